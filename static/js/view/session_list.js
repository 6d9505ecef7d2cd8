// The list of conversations, by day. Older ones come when its end comes into view; the button is for the keyboard.

import { GROUPS, groupOf } from "../days.js";
import { ofKeeping } from "../words.js";
import { sessions as words } from "../words/sessions.js";
import { arrange, byId, coalesced, make } from "./dom.js";
import { Row } from "./session_row.js";

class Group {
  #rows = make("ul", {});

  constructor(name) {
    this.element = make("section", { data: { group: name } }, make("h2", {}, words.groups[name]), this.#rows);
  }

  show(elements) {
    arrange(this.#rows, elements);
  }
}

export class SessionList {
  #list = byId("session-list");
  #none = byId("session-none");
  #older = byId("session-older");
  #groups = new Map(GROUPS.map((name) => [name, new Group(name)]));
  #rows = new Map();
  #ends = new IntersectionObserver(([{ isIntersecting }]) => isIntersecting && this.#bring());
  #wanted = null;

  /** `deeds` has what can be done with a line: rename, save and remove. `opened()` is called when one is followed. */
  constructor({ sessions, chat, unread, connection, deeds, opened }) {
    Object.assign(this, { sessions, chat, unread });
    this.deeds = { ...deeds, step: (element, by) => this.#step(element, by) };
    connection.on("connected", ({ history_days }) => this.#tellKeeping(history_days));
    const draw = coalesced(() => this.#draw());
    for (const source of [sessions, chat, unread]) source.on("change", draw);
    document.addEventListener("visibilitychange", draw);
    this.#older.addEventListener("click", () => this.#bring());
    this.#list.addEventListener("click", ({ target }) => target.closest("a") && opened());
  }

  /** Give the focus to the line of a session, as soon as it is there. */
  focus(id) {
    this.#wanted = id;
  }

  #tellKeeping(days) {
    const kept = byId("sessions-kept");
    kept.textContent = ofKeeping(days);
    kept.hidden = !kept.textContent;
  }

  async #bring() {
    if (this.#older.disabled || this.#older.hidden) return;
    const had = document.activeElement === this.#older;
    const last = this.sessions.all().at(-1)?.id;
    this.#older.disabled = true;
    const came = await this.sessions.older();
    this.#older.disabled = false;
    if (had && came) this.#focusAfter(last);
  }

  #focusAfter(id) {
    const all = this.sessions.all();
    this.#wanted = all[all.findIndex((one) => one.id === id) + 1]?.id ?? null;
  }

  #step(element, by) {
    const rows = [...this.#rows.values()];
    rows[rows.findIndex((row) => row.element === element) + by]?.focus();
  }

  #draw() {
    const [open, now, before] = [this.chat.session?.session, new Date(), [...this.#rows.keys()]];
    const held = document.activeElement;
    const focused = before.find((id) => this.#rows.get(id).element.contains(held));
    const kept = new Map();
    const members = new Map(GROUPS.map((name) => [name, []]));
    for (const session of this.sessions.all()) {
      const row = this.#rows.get(session.id) ?? new Row(session.id, this.deeds);
      row.show(session, { isOpen: session.id === open, isUnread: this.unread.has(session.id) });
      kept.set(session.id, row);
      members.get(groupOf(session.at, now)).push(row.element);
    }
    this.#rows = kept;
    this.#show(members);
    if (this.#rows.has(focused)) held.focus({ preventScroll: true });
    this.#refocus(focused, before);
  }

  #show(members) {
    for (const [name, elements] of members) this.#groups.get(name).show(elements);
    const filled = GROUPS.filter((name) => members.get(name).length);
    arrange(this.#list, filled.map((name) => this.#groups.get(name).element));
    this.#none.hidden = filled.length > 0 || !this.sessions.isListed;
    this.#older.hidden = !this.sessions.more;
    this.#ends.disconnect();
    this.#ends.observe(this.#older);
  }

  // A line that moved keeps the focus, which moving takes away; of one that is gone, the neighbour gets it.
  #refocus(focused, before) {
    const wanted = this.#rows.get(this.#wanted);
    if (wanted) return ((this.#wanted = null), wanted.focus());
    if (focused === undefined || this.#rows.has(focused) || document.activeElement !== document.body) return;
    const place = before.indexOf(focused);
    const near = [...before.slice(place), ...before.slice(0, place).reverse()];
    const next = near.find((id) => this.#rows.has(id));
    if (next) this.#rows.get(next).focus();
    else byId("session-new").focus();
  }
}
