// The list of conversations, and the drawer that it becomes on a narrow page.

import { ofKeeping } from "../words.js";
import { sessions as words } from "../words/sessions.js";
import { arrange, byId, coalesced, make } from "./dom.js";

class Row {
  #title = make("span", { className: "session-title", dir: "auto" });
  #mark = make("span", { className: "session-mark" });
  #link = make("a", {}, this.#title, this.#mark);

  constructor(id) {
    this.#link.href = `#${id}`;
    this.element = make("li", { data: { session: id } }, this.#link);
  }

  show({ title, state }, isOpen) {
    this.element.dataset.run = state;
    this.#title.textContent = title || words.untitled;
    this.#mark.textContent = words.states[state] ?? "";
    if (isOpen) this.#link.setAttribute("aria-current", "page");
    else this.#link.removeAttribute("aria-current");
  }
}

export class SessionList {
  #list = byId("session-list");
  #none = byId("session-none");
  #older = byId("session-older");
  #page = byId("page");
  #toggle = byId("sessions-toggle");
  #rows = new Map();

  /** `begin()` is called for a new conversation. */
  constructor({ sessions, chat, connection, begin }) {
    Object.assign(this, { sessions, chat });
    connection.on("connected", ({ history_days }) => this.#tellKeeping(history_days));
    const draw = coalesced(() => this.#draw());
    sessions.on("change", draw);
    chat.on("change", draw);
    this.#older.addEventListener("click", () => sessions.older());
    this.#toggle.addEventListener("click", () => this.#slide(this.#page.dataset.drawer !== "open"));
    byId("veil").addEventListener("click", () => this.#slide(false));
    document.addEventListener("keydown", (event) => this.#escaped(event), { capture: true });
    byId("session-new").addEventListener("click", () => (this.close(), begin()));
    this.#list.addEventListener("click", () => this.close());
  }

  /** Slide the drawer away, if it is out. */
  close() {
    if (this.#page.dataset.drawer === "open") this.#slide(false);
  }

  // Before the composer hears of it, where Esc would stop the answer.
  #escaped(event) {
    if (event.key !== "Escape" || this.#page.dataset.drawer !== "open") return;
    event.preventDefault();
    this.#slide(false);
  }

  #slide(out) {
    this.#page.dataset.drawer = out ? "open" : "";
    this.#toggle.setAttribute("aria-expanded", String(out));
    if (out) byId("session-new").focus();
    else this.#toggle.focus();
  }

  #tellKeeping(days) {
    const kept = byId("sessions-kept");
    kept.textContent = ofKeeping(days);
    kept.hidden = !kept.textContent;
  }

  #draw() {
    const open = this.chat.session?.session;
    const kept = new Map();
    for (const session of this.sessions.all()) {
      const row = this.#rows.get(session.id) ?? new Row(session.id);
      row.show(session, session.id === open);
      kept.set(session.id, row);
    }
    this.#rows = kept;
    arrange(this.#list, [...kept.values()].map(({ element }) => element));
    this.#none.hidden = kept.size > 0;
    this.#older.hidden = !this.sessions.more;
  }
}
