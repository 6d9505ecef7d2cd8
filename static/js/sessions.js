// The list of one's sessions, live: `watch` brings hints, `sessions` the list, again after each reconnect.
//
// Hints that come between the two are laid over the list, so that nothing is missed. What waits to be deleted is not in
// it. Emits: "change", "hint" ({before, now}: one line, before undefined if it is new), "problem" (words).

import { compare } from "./cursor.js";
import { Emitter } from "./emitter.js";
import { ofError } from "./words.js";

const PAGE = 30;

export class Sessions extends Emitter {
  #connection;
  #byId = new Map();
  #hints = null;
  #last = null;
  #deletions;

  constructor({ connection, deletions }) {
    super();
    this.#connection = connection;
    this.#deletions = deletions;
    Object.assign(this, { more: false, isListed: false });
    deletions.on("change", () => this.emit("change"));
    deletions.on("deleted", (id) => this.#byId.delete(id));
    connection.on("connected", () => this.#list());
    connection.on("frame", (frame) => frame.type === "session" && this.#hint(frame));
  }

  /** The newest first. */
  all() {
    const shown = [...this.#byId.values()].filter(({ id }) => !this.#deletions.has(id));
    return shown.sort((one, other) => compare(other.at, one.at));
  }

  get(id) {
    return this.#byId.get(id);
  }

  /** Bring those that come after the last one of the server's list, whose order is its own. Return whether it came. */
  async older() {
    const last = this.#byId.has(this.#last) ? this.#last : this.all().at(-1)?.id;
    const ok = last && (await this.#ask("sessions", { before: last, limit: PAGE }));
    if (!ok) return false;
    for (const item of ok.sessions) if (!this.#byId.has(item.id)) this.#byId.set(item.id, item);
    this.#came(ok);
    return true;
  }

  /** Resolve to those whose title has `query` in it, also of those that are not loaded. Throws ChatError. */
  async find(query) {
    const { sessions } = await this.#connection.ask("sessions", { query, limit: PAGE });
    return sessions.filter(({ id }) => !this.#deletions.has(id));
  }

  /** Return whether it was done; if not, "problem" has said why. */
  async rename(session, title) {
    return Boolean(await this.#ask("rename", { session, title }));
  }

  async #list() {
    this.#hints = [];
    this.#connection.send("watch")?.reply.catch((error) => console.warn("watch:", error.message));
    const ok = await this.#ask("sessions", { limit: PAGE });
    if (ok) this.#byId = new Map(ok.sessions.map((item) => [item.id, item]));
    for (const hint of this.#hints ?? []) this.#lay(hint);
    this.#hints = null;
    if (ok) this.isListed = true;
    if (ok) this.#came(ok);
    else this.emit("change");
  }

  #came({ sessions, more }) {
    this.#last = sessions.at(-1)?.id ?? this.#last;
    this.more = more;
    this.emit("change");
  }

  #hint(frame) {
    this.#hints?.push(frame);
    const before = this.#byId.get(frame.id);
    this.#lay(frame);
    const now = this.#byId.get(frame.id);
    if (now) this.emit("hint", { before, now });
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
