// The head of the page: the title, also of the tab, and what can be done with the open conversation.

import { sessions as words } from "../words/sessions.js";
import { byId, coalesced } from "./dom.js";

export class Head {
  #title = byId("title");
  #actions = byId("session-actions");

  /** `rename({id, title})` and `remove({id})` are what can be done with the open session. */
  constructor({ chat, sessions, unread, rename, remove }) {
    Object.assign(this, { chat, sessions, unread });
    const draw = coalesced(() => this.#draw());
    chat.on("change", draw);
    sessions.on("change", draw);
    for (const source of [chat, sessions, unread]) source.on("change", () => this.#entitle());
    byId("rename").addEventListener("click", () => rename({ id: chat.session.session, title: this.#titleNow }));
    byId("delete").addEventListener("click", () => remove({ id: chat.session.session }));
  }

  get #titleNow() {
    const { session } = this.chat;
    return session?.title || this.sessions.get(session?.session)?.title || "";
  }

  #draw() {
    const { session } = this.chat;
    this.#title.textContent = this.#titleNow || words.untitled;
    this.#actions.hidden = !session || session.gone || !(session.turns.length || session.run || session.queued.length);
  }

  // Also in a tab that nobody sees, where nothing is drawn.
  #entitle() {
    const marks = [this.unread.count ? `(${this.unread.count})` : "", this.chat.session?.run ? "…" : ""];
    const title = [...marks, this.#titleNow || words.untitled].filter(Boolean).join(" ");
    if (document.title !== title) document.title = title;
  }
}
