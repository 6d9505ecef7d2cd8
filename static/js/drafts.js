// What was being written in each conversation: kept on this device, for one user's tabs, until it is said.
//
// A draft outlives a reload, a crash and the tab. The one of a conversation that has not begun has the key "".
// Writing to the device waits for a pause in the typing; leaving the page does not.
// Emits: "change" (): another tab of this user keeps other drafts.

import { Emitter } from "./emitter.js";
import { keepOwn, onOwn, readOwn } from "./storage.js";

const NAME = "drafts";
const PAUSE_MS = 300;
const KEPT_COUNT = 30;
const KEPT_LENGTH = 200_000;

/** The newest of these [key, text], as many as are kept. */
function bounded(drafts) {
  let length = 0;
  return drafts.slice(-KEPT_COUNT).reverse().filter(([, text]) => (length += text.length) <= KEPT_LENGTH).reverse();
}

export class Drafts extends Emitter {
  #waiting = new Map();
  #timer = null;

  constructor() {
    super();
    onOwn(NAME, () => this.emit("change"));
    addEventListener("pagehide", () => this.flush());
  }

  /** The draft of a conversation, or "". */
  of(key) {
    return this.#waiting.get(key) ?? new Map(readOwn(NAME)).get(key) ?? "";
  }

  /** Keep a draft; an empty one is forgotten. */
  set(key, text) {
    this.#waiting.set(key, text);
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.flush(), PAUSE_MS);
  }

  /** Write what waits. The device is read first: other tabs keep their drafts in the same place. */
  flush() {
    clearTimeout(this.#timer);
    if (!this.#waiting.size) return;
    const others = (readOwn(NAME) ?? []).filter(([key]) => !this.#waiting.has(key));
    const kept = bounded([...others, ...[...this.#waiting].filter(([, text]) => text)]);
    if (!keepOwn(NAME, kept.length ? kept : null)) return;
    this.#waiting.clear();
  }
}
