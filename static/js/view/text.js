// The text of an answer, from Markdown, while it is written: it only grows, unless the answer itself began anew.

import { Renderer } from "./markdown.js";
import { Markdown } from "./parse.js";

export class Text {
  #text = "";
  #markdown = null;
  #isOver = false;

  /** Be shown in `element`, which is emptied; its `source` is the Markdown that it shows. */
  constructor(element) {
    this.element = element;
    element.classList.add("markdown");
    this.#begin();
  }

  /** Show `text`, Markdown; `over`: nothing is added to it any more. */
  show(text, { over = false } = {}) {
    if (!text.startsWith(this.#text) || (this.#isOver && text.length > this.#text.length)) this.#begin();
    if (text.length > this.#text.length) this.#markdown.write(text.slice(this.#text.length));
    if (over && !this.#isOver) this.#markdown.end();
    this.#isOver ||= over;
    this.#text = this.element.source = text;
  }

  #begin() {
    this.element.replaceChildren();
    this.#markdown = new Markdown(new Renderer(this.element));
    this.#isOver = false;
    this.#text = this.element.source = "";
  }
}
