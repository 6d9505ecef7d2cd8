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
  #more = [];

  constructor({ sessions }) {
    super();
    Object.assign(this, { sessions, found: [], isWaiting: false, isPartial: false });
  }

  /** Look for a text in titles; without one, for the most recent conversations. */
  ask(text) {
    clearTimeout(this.#timer);
    this.#query = text.trim();
    this.#more = [];
    Object.assign(this, { isWaiting: this.#query !== "", isPartial: false });
    this.refresh();
    if (this.#query) this.#timer = setTimeout(() => this.#askServer(this.#query), PATIENCE_MS);
  }

  /** The list changed: look through it again. */
  refresh() {
    const here = this.#here();
    const known = new Set(here.map(({ id }) => id));
    this.found = [...here, ...this.#more.filter(({ id }) => !known.has(id))];
    this.emit("change");
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
    this.#more = found ?? [];
    Object.assign(this, { isWaiting: false, isPartial: found === null });
    this.refresh();
  }
}
