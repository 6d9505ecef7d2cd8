// The models that may be asked, and which one this device prefers where a conversation has none of its own.
//
// Emits: "change".

import { Emitter } from "./emitter.js";
import { keepOwn, onOwn, readOwn } from "./storage.js";

const NAME = "model";

export class Models extends Emitter {
  /** `names`: those of the node that serves us, its usual one first. */
  constructor({ connection }) {
    super();
    this.names = [];
    connection.on("connected", ({ models }) => {
      this.names = models ?? [];
      this.emit("change");
    });
    onOwn(NAME, () => this.emit("change"));
  }

  /** The preferred one, or null: the usual one. Until a node says which there are, it counts as one of them. */
  get preferred() {
    const name = readOwn(NAME);
    return !this.names.length || this.names.includes(name) ? name : null;
  }

  /** Prefer one from now on; "" or the usual one: none. */
  prefer(name) {
    keepOwn(NAME, name || null);
    this.emit("change");
  }
}
