// One line of the list of conversations: its title, whether it is answered or unread, and the menu of what can be done.
//
// By keyboard: F2 renames, Delete deletes, the arrows go from line to line.

import { sessions as words } from "../words/sessions.js";
import { make } from "./dom.js";
import { menuButton } from "./menu.js";

export class Row {
  #title = make("span", { className: "session-title", dir: "auto" });
  #mark = make("span", { className: "session-mark" });
  #unread = make("span", { className: "visually-hidden" }, ` ${words.unread}`);
  #link = make("a", {}, this.#title, this.#mark);
  #session = null;

  /** `deeds` has rename, export and remove, which take a session's line; and `step(element, by)`. */
  constructor(id, deeds) {
    this.deeds = deeds;
    this.#link.href = `#${id}`;
    this.#link.addEventListener("keydown", (event) => this.#pressed(event));
    this.more = menuButton({ className: "row-menu" }, () => this.#items(), make("span", { className: "dots" }));
    this.element = make("li", { data: { session: id } }, this.#link, this.more);
  }

  show(session, { isOpen, isUnread }) {
    const title = session.title || words.untitled;
    this.#session = session;
    this.element.dataset.run = session.state;
    this.element.classList.toggle("is-unread", isUnread);
    this.#title.textContent = title;
    this.#mark.textContent = words.states[session.state] ?? "";
    if (!isUnread) this.#unread.remove();
    else if (!this.#unread.isConnected) this.#link.append(this.#unread);
    this.more.setAttribute("aria-label", words.more(title));
    if (isOpen) this.#link.setAttribute("aria-current", "page");
    else this.#link.removeAttribute("aria-current");
  }

  focus() {
    this.#link.focus();
  }

  #items() {
    const { rename, save, remove } = this.deeds;
    return [
      { words: words.rename, does: () => rename(this.#session) },
      { words: words.asMarkdown, does: () => save(this.#session, "markdown") },
      { words: words.asJson, does: () => save(this.#session, "json") },
      { words: words.delete, does: () => remove(this.#session), isGrave: true },
    ];
  }

  #pressed(event) {
    const { rename, remove, step } = this.deeds;
    const steps = { ArrowDown: 1, ArrowUp: -1 };
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    if (event.key === "F2") rename(this.#session);
    else if (event.key === "Delete") remove(this.#session);
    else if (Object.hasOwn(steps, event.key)) step(this.element, steps[event.key]);
    else return;
    event.preventDefault();
  }
}
