// A block of code: its language, a button that copies it, and colours once it is finished.

import { copying } from "../words/composer.js";
import { copyBy } from "./copy.js";
import { make } from "./dom.js";

const COLOURED_LENGTH = 20_000; // longer ones stay plain: colouring them would hold up the page

let loading = null;

/** The highlighter, brought when the first block is finished. */
const highlighter = () => (loading ??= import("./highlight.js"));

/** Wait until the page has nothing better to do. */
const idle = () => new Promise((resolve) => (globalThis.requestIdleCallback ?? setTimeout)(resolve));

export class CodeBlock {
  #button = make("button", { type: "button", className: "link", ariaLabel: copying.code }, copying.copy);
  #head = make("div", { className: "code-head" }, this.#button);
  #language = "";

  constructor() {
    this.code = make("code");
    this.element = make("div", { className: "code", dir: "ltr" }, this.#head, make("pre", {}, this.code));
    this.#button.addEventListener("click", () => copyBy(this.#button, this.code));
  }

  /** What stands behind the fence; its first word is the language. */
  set language(words) {
    [this.#language] = words.trim().toLowerCase().split(/\s/);
    this.#head.dataset.language = this.#language;
  }

  /** Give it colours; its text stays what it is. */
  async finish() {
    const text = this.code.textContent;
    if (!this.#language || text.length > COLOURED_LENGTH) return;
    const { coloured } = await highlighter();
    await idle();
    const selected = getSelection();
    if (selected.type === "Range" && selected.containsNode(this.code, true)) return; // one holds it just now
    const parts = coloured(text, this.#language);
    if (parts && this.code.textContent === text) this.code.replaceChildren(...parts);
  }
}
