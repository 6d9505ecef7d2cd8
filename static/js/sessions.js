// The list of one's sessions, live: `watch` brings hints, `sessions` the list, again after each reconnect.
//
// Hints that come between the two are laid over the list, so that nothing is missed.
// Emits: "change", "problem" (words).

import { compare } from "./cursor.js";
import { Emitter } from "./emitter.js";
import { ofError } from "./words.js";

const PAGE = 30;

export class Sessions extends Emitter {
  #connection;
  #byId = new Map();
  #hints = null;

  constructor({ connection }) {
    super();
    this.#connection = connection;
    this.more = false;
    connection.on("connected", () => this.#list());
    connection.on("frame", (frame) => frame.type === "session" && this.#hint(frame));
  }

  /** The newest first. */
  all() {
    return [...this.#byId.values()].sort((one, other) => compare(other.at, one.at));
  }

  get(id) {
    return this.#byId.get(id);
  }

  async older() {
    const last = this.all().at(-1);
    const ok = last && (await this.#ask("sessions", { before: last.id, limit: PAGE }));
    if (!ok) return;
    for (const item of ok.sessions) this.#byId.set(item.id, item);
    this.more = ok.more;
    this.emit("change");
  }

  /** Return whether it was done; if not, "problem" has said why. */
  async rename(session, title) {
    return Boolean(await this.#ask("rename", { session, title }));
  }

  async delete(session) {
    const ok = await this.#ask("delete", { session });
    if (ok && this.#byId.delete(session)) this.emit("change");
    return Boolean(ok);
  }

  async #list() {
    this.#hints = [];
    this.#connection.send("watch")?.reply.catch((error) => console.warn("watch:", error.message));
    const ok = await this.#ask("sessions", { limit: PAGE });
    if (ok) {
      this.#byId = new Map(ok.sessions.map((item) => [item.id, item]));
      this.more = ok.more;
    }
    for (const hint of this.#hints ?? []) this.#lay(hint);
    this.#hints = null;
    this.emit("change");
  }

  #hint(frame) {
    this.#hints?.push(frame);
    this.#lay(frame);
    this.emit("change");
  }

  #lay({ id, title, state, at }) {
    const known = this.#byId.get(id);
    if (state === "gone") this.#byId.delete(id);
    else if (!known || compare(at, known.at) >= 0) this.#byId.set(id, { id, title, state, at });
  }

  async #ask(type, fields) {
    try {
      return await this.#connection.ask(type, fields);
    } catch (error) {
      this.emit("problem", ofError(error));
      return null;
    }
  }
}
