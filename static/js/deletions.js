// Conversations that are to be deleted, while there is time to undo it.
//
// What waits is kept on this device for its user: it outlives a reload and a closed tab, and every tab hides it. The
// tab that was asked sends `delete` when the time is over; if that tab is gone, another one does, or the next page.
// `delete` may be sent twice. Emits: "change", "deleted" (a session id), "problem" (words).

import { Emitter } from "./emitter.js";
import { keepOwn, onOwn, readOwn, storage } from "./storage.js";
import { ofError } from "./words.js";

const NAME = "deleting";
const [UNDO_MS, AT_LEAST_MS, HELD_MS] = [8_000, 2_000, 300_000];
const [GRACE_MS, AGAIN_MS, LINGER_MS, FLUSH_MS] = [3_000, 2_000, 1_500, 3_000];

export class Deletions extends Emitter {
  #connection;
  #due = new Map();
  #offered = new Set();
  #flying = new Set();
  #over = new Set();
  #left_ms = null;
  #timer = null;

  constructor({ connection }) {
    super();
    this.#connection = connection;
    this.#load();
    for (const [id, due] of this.#due) if (due > Date.now()) this.#offered.add(id);
    onOwn(NAME, () => this.#heard());
    connection.on("connected", () => this.#heard());
    connection.on("frame", ({ type, state, id }) => type === "session" && state === "gone" && this.#finish(id));
    addEventListener("pagehide", () => this.resume());
  }

  /** Whether this session waits to be deleted: nobody is shown it. */
  has(id) {
    return this.#due.has(id);
  }

  /** Those that can be undone in this tab, the oldest first. */
  offered() {
    return [...this.#offered].filter((id) => this.#due.has(id) && !this.#flying.has(id));
  }

  delete(id) {
    this.#offered.add(id);
    this.#due.set(id, Date.now() + UNDO_MS);
    this.#keep();
  }

  undo(id) {
    if (this.#due.has(id) && !this.#flying.has(id)) this.#drop(id);
  }

  /** Let no time pass while somebody looks at what is offered; not for ever, should this tab be lost meanwhile. */
  pause() {
    if (this.#left_ms) return;
    this.#left_ms = new Map(this.offered().map((id) => [id, this.#due.get(id) - Date.now()]));
    for (const id of this.#left_ms.keys()) this.#due.set(id, Date.now() + HELD_MS);
    this.#keep();
  }

  resume() {
    const left_ms = this.#left_ms;
    this.#left_ms = null;
    if (!left_ms?.size) return;
    for (const [id, ms] of left_ms) {
      if (this.#due.has(id)) this.#due.set(id, Date.now() + Math.max(ms, AT_LEAST_MS));
    }
    this.#keep();
  }

  /** Send now all that waits, as far as it goes in a few seconds; the rest stays, for its user alone. */
  async flush() {
    const all = Promise.all([...this.#due.keys()].map((id) => this.#send(id)));
    await Promise.race([all, new Promise((resolve) => setTimeout(resolve, FLUSH_MS))]);
    for (const id of this.#over) this.#drop(id);
  }

  #load() {
    if (storage("localStorage")) this.#due = new Map(Object.entries(readOwn(NAME) ?? {}));
  }

  // Another tab changed what waits, or there is a connection again.
  #heard() {
    this.#load();
    this.#changed();
  }

  #keep() {
    keepOwn(NAME, this.#due.size ? Object.fromEntries(this.#due) : null);
    this.#changed();
  }

  #changed() {
    this.emit("change");
    clearTimeout(this.#timer);
    const now = Date.now();
    const times = [...this.#due].map(([id, due]) => [id, due + (this.#offered.has(id) ? 0 : GRACE_MS) - now]);
    for (const [id, ms] of times) if (ms <= 0) this.#send(id);
    const next_ms = Math.min(...times.map(([, ms]) => ms).filter((ms) => ms > 0));
    if (Number.isFinite(next_ms)) this.#timer = setTimeout(() => this.#changed(), next_ms);
  }

  async #send(id) {
    if (this.#flying.has(id)) return;
    this.#flying.add(id);
    this.emit("change");
    try {
      await this.#connection.ask("delete", { session: id });
      this.#finish(id);
    } catch (error) {
      this.#flying.delete(id);
      if (error.retry !== "no") return setTimeout(() => this.#changed(), error.after_ms ?? AGAIN_MS);
      this.#drop(id);
      this.emit("problem", ofError(error));
    }
  }

  // It stays hidden until all tabs have heard that it is gone.
  #finish(id) {
    if (!this.#due.has(id)) return;
    this.#flying.add(id);
    this.#over.add(id);
    this.emit("deleted", id);
    this.emit("change");
    setTimeout(() => this.#drop(id), LINGER_MS);
  }

  #drop(id) {
    for (const one of [this.#due, this.#offered, this.#flying, this.#over]) one.delete(id);
    this.#keep();
  }
}
