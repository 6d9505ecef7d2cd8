// What was deleted a moment ago, each with its Undo, until the time is over.
//
// No time passes while the pointer or the focus is there. It is said once, and Ctrl/Cmd + Z undoes the last one where
// nobody is writing.

import { sessions as words } from "../words/sessions.js";
import { arrange, byId, coalesced, make } from "./dom.js";

/** Whether a key pressed there changes a text. */
const isWritten = (element) => element.matches("input, textarea, [contenteditable]");

export class Undo {
  #list = byId("toasts");
  #rows = new Map();
  #watchers = new Set();

  /** `undone(id)` is called when one was taken back here. */
  constructor({ deletions, sessions, undone }) {
    Object.assign(this, { deletions, sessions, undone });
    sessions.on("change", coalesced(() => this.#draw()));
    this.#list.addEventListener("pointerenter", () => this.#watch("pointer", true));
    this.#list.addEventListener("pointerleave", () => this.#watch("pointer", false));
    this.#list.addEventListener("focusin", () => this.#watch("focus", true));
    this.#list.addEventListener("focusout", ({ relatedTarget: next }) => this.#watch("focus", this.#list.contains(next)));
    document.addEventListener("keydown", (event) => this.#pressed(event));
  }

  #watch(what, isThere) {
    if (isThere) this.#watchers.add(what);
    else this.#watchers.delete(what);
    if (this.#watchers.size) this.deletions.pause();
    else this.deletions.resume();
  }

  #pressed(event) {
    if (event.key !== "z" || !(event.ctrlKey || event.metaKey) || event.shiftKey || isWritten(event.target)) return;
    const last = this.deletions.offered().at(-1);
    if (!last) return;
    event.preventDefault();
    this.#undo(last);
  }

  #undo(id) {
    this.deletions.undo(id);
    byId("announce").textContent = words.undone;
    this.undone(id);
  }

  #draw() {
    if (!this.sessions.isListed) return;
    const kept = new Map();
    for (const id of this.deletions.offered()) kept.set(id, this.#rows.get(id) ?? this.#row(id));
    const had = this.#list.contains(document.activeElement);
    this.#rows = kept;
    arrange(this.#list, [...kept.values()]);
    if (had && !this.#list.contains(document.activeElement)) this.#list.querySelector("button")?.focus();
    if (kept.size) return;
    this.#watch("pointer", false);
    this.#watch("focus", false);
  }

  #row(id) {
    const title = this.sessions.get(id)?.title || words.untitled;
    byId("announce").textContent = words.deletedOne(title);
    const button = make("button", { type: "button", className: "button", onclick: () => this.#undo(id) }, words.undo);
    button.setAttribute("aria-keyshortcuts", "Control+Z Meta+Z");
    button.setAttribute("aria-label", words.undoOne(title));
    const [before, after] = words.deletedOne("\n").split("\n");
    return make("li", { className: "toast", data: { session: id } },
      make("p", {}, before, make("bdi", {}, title), after), button);
  }
}
