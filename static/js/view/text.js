// The text of an answer, from Markdown, while it is written: it only grows, unless the answer itself began anew.
//
// What comes at once and is long is written in slices, some a frame, the last turn first: no frame waits for it.

import { Renderer } from "./markdown.js";
import { Markdown } from "./parse.js";

const SLICE = 512;
const IN_PAIR = /[\ud800-\udbff]/;
const FRAME_SLICES = 16;
const FRAME_MS = 6; // of writing; what was written costs as much and more again when it is laid out
const SLOW_MS = 25; // two frames that lie further apart: half as much

const behind = new Set();
let [room, before] = [1, 0];

/** Write on, within what a frame has room for, in the texts that are behind; one that left the page is let go. */
function writeOn(now) {
  room = now - before > SLOW_MS ? Math.max(1, room >> 1) : Math.min(FRAME_SLICES, room + 1);
  before = now;
  const until = performance.now() + FRAME_MS;
  let left = room;
  for (const text of behind) if (!text.element.isConnected) behind.delete(text);
  for (const text of [...behind].reverse()) {
    for (; left && text.isBehind && performance.now() < until; left -= 1) text.writeSlice();
    if (!text.isBehind) behind.delete(text);
    if (!left || performance.now() >= until) break;
  }
  if (behind.size) requestAnimationFrame(writeOn);
}

export class Text {
  #wanted = "";
  #length = 0;
  #markdown = null;
  #isOver = false;
  #isEnded = false;

  /** Be shown in `element`, which is emptied; its `source` is the Markdown that it shows. */
  constructor(element) {
    this.element = element;
    element.classList.add("markdown");
    element.removeAttribute("dir"); // each block has its own
    this.#begin();
  }

  /** Show `text`, Markdown; `over`: nothing is added to it any more. */
  show(text, { over = false } = {}) {
    if (!text.startsWith(this.#wanted) || (this.#isEnded && text.length > this.#length)) this.#begin();
    this.#wanted = text;
    this.#isOver = over;
    if (behind.has(this)) return;
    this.writeSlice();
    if (!this.isBehind) return;
    if (!behind.size) requestAnimationFrame(writeOn);
    behind.add(this);
  }

  get isBehind() {
    return this.#length < this.#wanted.length || (this.#isOver && !this.#isEnded);
  }

  /** Write the next slice; after the last one, end. */
  writeSlice() {
    const end = this.#length + SLICE;
    const piece = this.#wanted.slice(this.#length, IN_PAIR.test(this.#wanted[end - 1]) ? end + 1 : end);
    if (piece) this.#markdown.write(piece);
    this.#length += piece.length;
    this.#isEnded ||= this.#isOver && this.#length === this.#wanted.length;
    if (this.#isEnded) this.#markdown.end();
    this.element.source = this.#wanted.slice(0, this.#length);
  }

  #begin() {
    this.element.replaceChildren();
    this.#markdown = new Markdown(new Renderer(this.element));
    this.#isOver = this.#isEnded = false;
    this.#wanted = this.element.source = "";
    this.#length = 0;
  }
}
