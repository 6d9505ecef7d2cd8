// The drawer that the list becomes on a narrow page. The focus goes into it, and back to the button when it closes.

import { byId } from "./dom.js";

export class Drawer {
  #page = byId("page");
  #toggle = byId("sessions-toggle");

  constructor() {
    this.#toggle.addEventListener("click", () => this.#slide(!this.#isOpen));
    byId("veil").addEventListener("click", () => this.close());
    document.addEventListener("keydown", (event) => this.#escaped(event), { capture: true });
  }

  /** Slide it away, if it is out. */
  close() {
    if (this.#isOpen) this.#slide(false);
  }

  get #isOpen() {
    return this.#page.dataset.drawer === "open";
  }

  // Before the composer hears of it, where Esc would stop the answer; what lies over the drawer closes first.
  #escaped(event) {
    if (event.key !== "Escape" || !this.#isOpen || document.querySelector(":popover-open, dialog[open]")) return;
    event.preventDefault();
    this.close();
  }

  #slide(out) {
    this.#page.dataset.drawer = out ? "open" : "";
    this.#toggle.setAttribute("aria-expanded", String(out));
    if (out) byId("session-new").focus();
    else this.#toggle.focus();
  }
}
