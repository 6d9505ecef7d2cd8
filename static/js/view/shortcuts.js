// The keys that mean something everywhere: F6 goes on from part to part, `?` shows all keys. And the focus is never lost.
//
// What opens by a key of its own (the search, the preferences) hears of that key itself.

import { IS_APPLE, byId, focusWriting } from "./dom.js";

const FIELDS = "input, textarea, select, [contenteditable]";

/** The parts of the page in their order, each with what has the focus in it first. */
const parts = () => [
  [byId("sessions"), document.querySelector("#session-list [aria-current]") ?? byId("session-new")],
  [byId("scroll"), byId("scroll")],
  [byId("composer"), byId("composer-text")],
];

const isOver = () => document.querySelector("dialog[open]");

export class Shortcuts {
  #dialog = byId("keyboard");

  constructor() {
    if (IS_APPLE) for (const key of document.querySelectorAll("[data-key=command]")) key.textContent = "⌘";
    byId("keyboard-open").addEventListener("click", () => this.#dialog.showModal());
    byId("keyboard-close").addEventListener("click", () => this.#dialog.close());
    byId("skip").addEventListener("click", (event) => (event.preventDefault(), byId("composer-text").focus()));
    document.addEventListener("keydown", (event) => this.#pressed(event));
    document.addEventListener("close", () => this.#closed(), { capture: true });
  }

  // The focus goes back by itself to what had it before; there may be nothing of the kind.
  #closed() {
    const { activeElement: has } = document;
    if (!isOver() && (has === document.body || !has.checkVisibility())) focusWriting();
  }

  #pressed(event) {
    if (event.isComposing || event.ctrlKey || event.metaKey || event.altKey || isOver()) return;
    if (event.key === "F6") this.#goOn(event.shiftKey ? -1 : 1);
    else if (event.key === "?" && !event.target.closest(FIELDS)) this.#dialog.showModal();
    else return;
    event.preventDefault();
  }

  // From nowhere it begins with the first part. A list that is away as a drawer is left out.
  #goOn(by) {
    const open = parts().filter(([part]) => part.checkVisibility({ visibilityProperty: true }));
    const here = open.findIndex(([part]) => part.contains(document.activeElement));
    const next = here < 0 ? (by > 0 ? 0 : open.length - 1) : (here + by + open.length) % open.length;
    open[next][1].focus({ preventScroll: true });
  }
}
