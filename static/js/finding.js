// Finding conversations by their titles: at once among those that are loaded, then among all, as the server has them.
//
// The answer to an older question never takes the place of a newer one's.
// Emits: "change". `found` are the lines, the newest first; `isWaiting` and `isPartial` say what the server did.

import { Emitter } from "./emitter.js";

const PATIENCE_MS = 200;
const RECENT_COUNT = 12;

/** A text without accents and case: what is compared. */
export const folded = (text) => text.normalize("NFD").replace(/\p{M}/gu, "").toLocaleLowerCase();

export class Finding extends Emitter {
  #timer = null;
  #query = "";

  constructor({ sessions }) {
    super();
    Object.assign(this, { sessions, found: [], isWaiting: false, isPartial: false });
  }

  /** Look for a text in titles; without one, for the most recent conversations. */
  ask(text) {
    clearTimeout(this.#timer);
    this.#query = text.trim();
    this.#tell({ isWaiting: this.#query !== "", isPartial: false, found: this.#here() });
    if (this.#query) this.#timer = setTimeout(() => this.#askServer(this.#query), PATIENCE_MS);
  }

  /** Look no more. */
  stop() {
    clearTimeout(this.#timer);
    this.#query = "";
  }

  #here() {
    const all = this.sessions.all();
    if (!this.#query) return all.slice(0, RECENT_COUNT);
    return all.filter(({ title }) => folded(title).includes(folded(this.#query)));
  }

  async #askServer(query) {
    const found = await this.sessions.find(query).catch(() => null);
    if (query !== this.#query) return;
    const here = this.#here();
    const known = new Set(here.map(({ id }) => id));
    const more = (found ?? []).filter(({ id }) => !known.has(id));
    this.#tell({ isWaiting: false, isPartial: found === null, found: [...here, ...more] });
  }

  #tell(what) {
    Object.assign(this, what);
    this.emit("change");
  }
}
