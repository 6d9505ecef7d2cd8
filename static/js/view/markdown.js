// What Markdown may become: the elements below and no others, made one by one; any text only ever becomes text nodes.
//
// Append-only: what is finished is not touched again. Raw HTML is text. An image is a link to it, and is never loaded.
// What turns out to be no link, or an emphasis that nobody closed, stands there as it was written.

import * as smd from "../../vendor/streaming-markdown/smd.min.js";
import { answers } from "../words/answers.js";
import { CodeBlock } from "./code.js";
import { direct, write } from "./direction.js";
import { make } from "./dom.js";
import { addressOf, endLink, endRaw } from "./links.js";
import { beginTable, isHead, lastCell, rowsOf } from "./table.js";
import { BLOCKS, INNER, MARKS, elementOf } from "./tags.js";

const PART = 8_192; // characters, and some for each block: so much is left out of layout, or is not, together
const BLOCK = 64;
const LONG = 4_096; // characters; from then on the next line of a paragraph begins another one

export class Renderer {
  #waiting = "";
  #open;
  #part;
  #plain = null;

  constructor(root) {
    this.#open = [{ element: root, length: 0, isDirected: true }];
    this.#part = { element: root, length: 0 };
  }

  get #last() { return this.#open.at(-1); }

  add_token(_, token) {
    this.flush();
    const { pending } = this.parser;
    if (token === smd.LINE_BREAK && this.#isLong) return this.#open.push({ token, element: this.goOn() });
    if (token === smd.CODE_FENCE || token === smd.CODE_BLOCK) {
      const block = new CodeBlock();
      this.#place.append(block.element);
      this.#open.push({ token, block, element: block.code, length: 0, isDirected: true });
      return;
    }
    const element = this.#made(token);
    const isBlock = BLOCKS.has(element.localName);
    this.#open.push({ token, element, length: 0, isDirected: !isBlock && this.#last.isDirected });
    if (token === smd.EQUATION_INLINE) this.add_text(null, pending[0] === "$" ? "$" : "\\(");
    if (token === smd.EQUATION_BLOCK) this.add_text(null, `${pending}\n`);
  }

  #made(token) {
    const parent = this.#place;
    if (token === smd.TABLE) return beginTable(parent);
    if (token === smd.TABLE_ROW) return this.#row();
    if (token === smd.TABLE_CELL && lastCell(parent)) return lastCell(parent);
    const isNested = token === smd.IMAGE && this.#open.some((open) => open.token === smd.LINK);
    const element = elementOf(token, { isHead: token === smd.TABLE_CELL && isHead(parent), isNested });
    parent.append(element);
    return element;
  }

  // Where the next element stands: within the open one, or in the last part of the text.
  get #place() {
    if (this.#open.length > 1) return this.#last.element;
    if (this.#part.length >= PART) {
      this.#part = { element: make("div", { className: "part" }), length: 0 };
      this.#open[0].element.append(this.#part.element);
    }
    this.#part.length += BLOCK;
    return this.#part.element;
  }

  #row() {
    const row = make("tr");
    rowsOf(this.#last.element).append(row);
    this.#last.element = row.closest("table");
    return row;
  }

  end_token() {
    const { pending } = this.parser;
    const { token } = this.#last;
    if (token === smd.EQUATION_INLINE && pending) this.add_text(null, pending === "$" ? "$" : "\\)");
    if (token === smd.EQUATION_BLOCK && pending) this.add_text(null, pending[0] === "$" ? "$$" : "\\]");
    this.flush();
    const { element, block, address, source } = this.#open.pop();
    if (block) block.finish();
    else if (token === smd.RAW_URL) endRaw(element);
    else if (token === smd.LINK || token === smd.IMAGE) {
      if (address) endLink(element, address);
      else element.replaceWith(MARKS[token], ...element.childNodes, source ?? (pending === "]" ? "]" : ""));
    } else if (MARKS[token] && !["*", "**", "_", "__", "~"].includes(pending)) {
      element.replaceWith(MARKS[token], ...element.childNodes);
    }
  }

  add_text(_, text) {
    this.#waiting += text;
  }

  set_attr(_, name, value) {
    const last = this.#last;
    if (name === smd.LANG) last.block.language = value;
    if (name === smd.START) last.element.start = Number(value);
    if (name === smd.CHECKED) Object.assign(last.element, { checked: true, ariaLabel: answers.done });
    if (name === smd.HREF || name === smd.SRC) Object.assign(last, { address: addressOf(value), source: `](${value})` });
  }

  /** Show `text` as it is, after everything else: Markdown that is nested too deep is read no further. */
  plain(text) {
    if (!this.#plain) this.#place.append((this.#plain = make("p", { className: "plain" })));
    if (this.#last.element !== this.#plain) this.#open = [this.#open[0], { element: this.#plain, length: 0 }];
    this.add_text(null, text);
  }

  /** Go on with a block that became long in another one that looks like the same. Return that. */
  goOn() {
    this.flush();
    const last = this.#open.pop();
    const { element } = last;
    const isInner = INNER.has(element.localName);
    const next = make(isInner ? "div" : element.localName, { className: `${element.className} more`.trim() });
    if (isInner) element.append(next);
    else this.#beside(element, next);
    this.#open.push({ ...last, element: next, length: 0 });
    if (this.#plain) this.#plain = next;
    return next;
  }

  #beside(element, next) {
    next.dir = element.dir;
    const place = this.#open.length > 1 ? element.parentElement : this.#place;
    if (!place.childElementCount) place.classList.add("more");
    place.append(next);
  }

  get #isLong() {
    const { length, element } = this.#last;
    return length >= LONG && element.localName === "p";
  }

  /** Put the text that waits into the page; one node grows, however many pieces there were. */
  flush() {
    const text = this.#waiting;
    if (!text) return;
    this.#waiting = "";
    if (!this.#last.isDirected) direct(this.#open, text);
    this.#part.length += text.length;
    this.#last.length += text.length;
    write(this.#last.element, text);
  }
}
