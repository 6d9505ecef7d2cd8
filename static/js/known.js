// What every answer is to heed: one's context on the server, which all of one's devices share.
//
// Compare-and-set: what is saved names the version that it was made from. Where another device was first, what that one
// changed is taken over, what is changed here is laid over it, and "merged" tells.
// Emits: "change", "merged" (the names that were changed elsewhere).

import { bytesOf } from "./digest.js";
import { Emitter } from "./emitter.js";

const CONTEXT_BYTES = 8_192;

export class Known extends Emitter {
  #connection;
  #context = {};
  #version = null;
  #last = Promise.resolve();

  constructor({ connection }) {
    super();
    this.#connection = connection;
  }

  /** The text under a name, or "". */
  of(name) {
    return String(this.#context[name] ?? "");
  }

  /** Read all of it. Throws ChatError. */
  async load() {
    this.#take(await this.#connection.ask("context", {}));
    this.emit("change");
  }

  /** By how many bytes it would be too long with this. */
  excess(name, text) {
    const most = this.#connection.welcome?.limits?.context_bytes ?? CONTEXT_BYTES;
    return Math.max(0, bytesOf(JSON.stringify({ ...this.#context, [name]: text })) - most);
  }

  /** Have this text under a name ("" removes it), after what is being saved already. Throws ChatError. */
  save(name, text) {
    const saved = this.#last.then(() => this.#save(name, text));
    this.#last = saved.catch(() => {});
    return saved;
  }

  async #save(name, text) {
    const changed = new Set();
    if (this.#version === null) await this.load();
    while (!(await this.#set(name, text))) {
      await this.#merge(changed);
      if (this.of(name) !== text) continue;
      changed.delete(name); // it stands already: only the reply was lost, or another device means the same
      break;
    }
    this.emit("change");
    if (changed.size) this.emit("merged", [...changed]);
  }

  // Whether it could be set: not where there is a newer version.
  async #set(name, text) {
    try {
      this.#take(await this.#connection.ask("context", { set: { [name]: text || null }, version: this.#version }));
    } catch (error) {
      if (error.code !== "conflict") throw error;
      return false;
    }
    return true;
  }

  async #merge(changed) {
    const before = this.#context;
    this.#take(await this.#connection.ask("context", {}));
    for (const name of Object.keys({ ...before, ...this.#context })) {
      if (before[name] !== this.#context[name]) changed.add(name);
    }
  }

  #take({ context, version }) {
    this.#context = context;
    this.#version = version;
  }
}
