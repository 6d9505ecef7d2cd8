// What this device has not seen yet: conversations that went on while no visible tab of it showed them.
//
// Kept on the device for its user, so all tabs agree: a session's last cursor that was seen; `since` for those that are
// not named, which is where the list stood at the first visit, so that nothing is unread then. A new title is no news.
// Emits: "change".

import { compare } from "./cursor.js";
import { Emitter } from "./emitter.js";
import { keepOwn, onOwn, readOwn } from "./storage.js";

const NAME = "seen";
const SEEN_COUNT = 500;
const NEVER = "0-0";

const later = (one, other) => (compare(one, other) >= 0 ? one : other);

export class Unread extends Emitter {
  #since = null;
  #seen = new Map();
  #unread = new Set();
  #shown = null;

  constructor({ sessions, chat }) {
    super();
    Object.assign(this, { sessions, chat });
    sessions.on("hint", ({ before, now }) => this.#hint(before, now));
    sessions.on("change", () => this.#look());
    chat.on("change", () => this.#look());
    document.addEventListener("visibilitychange", () => this.#look());
    addEventListener("pagehide", () => this.#leave());
    onOwn(NAME, () => (this.#load(), this.#look()));
  }

  has(id) {
    return this.#unread.has(id);
  }

  get count() {
    return this.#unread.size;
  }

  #load() {
    const { since, seen } = readOwn(NAME) ?? {};
    this.#since = since ?? this.#since;
    this.#seen = new Map(seen ?? this.#seen);
  }

  #begin() {
    this.#load();
    if (this.#since !== null) return;
    this.#since = this.sessions.all()[0]?.at ?? NEVER;
    this.#keep();
  }

  #isNews({ id, at }) {
    return compare(at, this.#seen.get(id) ?? this.#since) > 0;
  }

  // Only a title changed: whoever had seen all there was has seen all there is.
  #hint(before, now) {
    if (this.#since === null || !before || before.state !== now.state || before.title === now.title) return;
    if (!this.#isNews(before)) this.#see(now.id, now.at);
  }

  #look() {
    if (!this.sessions.isListed) return;
    if (this.#since === null) this.#begin();
    this.#watch(document.visibilityState === "visible" ? this.chat.session : null);
    const unread = new Set(this.sessions.all().filter((one) => this.#isNews(one)).map(({ id }) => id));
    const isSame = unread.size === this.#unread.size && [...unread].every((id) => this.#unread.has(id));
    this.#unread = unread;
    if (!isSame) this.emit("change");
  }

  // The log of what is shown runs ahead of the list, so where it stands counts, too, when one turns away from it.
  #watch(session) {
    if (this.#shown && this.#shown.id !== session?.session) this.#leave();
    if (!session) return;
    this.#shown = { id: session.session, at: session.at ?? NEVER };
    const listed = this.sessions.get(session.session);
    if (listed && this.#isNews(listed)) this.#see(listed.id, later(listed.at, this.#shown.at));
  }

  #leave() {
    if (this.#since !== null && this.#shown && this.#isNews(this.#shown)) this.#see(this.#shown.id, this.#shown.at);
    this.#shown = null;
  }

  #see(id, at) {
    this.#seen.delete(id);
    this.#seen.set(id, at);
    for (const [oldest, its] of this.#seen) {
      if (this.#seen.size <= SEEN_COUNT) break;
      this.#seen.delete(oldest);
      this.#since = later(this.#since, its);
    }
    this.#keep();
  }

  #keep() {
    keepOwn(NAME, { since: this.#since, seen: [...this.#seen] });
  }
}
