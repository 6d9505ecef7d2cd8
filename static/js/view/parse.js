// Markdown as it comes, in whatever pieces: the vendored parser, and what keeps it within bounds.
//
// The parser reads each character once and never takes back what it gave to the renderer. Left alone it would let an
// unclosed `$` or `[a](` swallow the rest of an answer, and an unclosed `*` the rest of a table; see #endLine and #cell.

import * as smd from "../../vendor/streaming-markdown/smd.min.js";

const DEPTH = 24;
const ROOM = DEPTH + 512; // one piece opens no more than it has characters
const PENDING = 2_048; // an address; what is longer is none, and the parser looks at all of it each time
const STEP = 256; // so often a line is looked at, wherever it was cut when it came
const LINE = 4_096; // a longer one goes on in another block at its next space, at twice that anywhere
const WORD = /[\p{L}\p{N}]$/u;
const LITERAL = new Set([smd.CODE_BLOCK, smd.CODE_FENCE, smd.CODE_INLINE, smd.EQUATION_BLOCK,
  smd.EQUATION_INLINE, smd.RAW_URL]);
const BLOCKS = new Set([smd.PARAGRAPH, smd.LIST_ITEM, smd.TABLE_CELL,
  smd.HEADING_1, smd.HEADING_2, smd.HEADING_3, smd.HEADING_4, smd.HEADING_5, smd.HEADING_6]);
const UNDERSCORED = new Set([smd.ITALIC_UND, smd.STRONG_UND]);

export class Markdown {
  #before = "";
  #column = 0;
  #begun = 0;
  #isPlain = false;

  /** Give what is written to `renderer`, which is told its `parser`. */
  constructor(renderer) {
    this.renderer = renderer;
    this.parser = renderer.parser = smd.parser(renderer);
    const tokens = new Uint32Array(ROOM);
    tokens.set(this.parser.tokens);
    Object.assign(this.parser, { tokens, spaces: new Uint8Array(ROOM) });
  }

  /** Go on with `text`. */
  write(text) {
    for (let at = 0; at < text.length; ) {
      const end = this.#endOf(text, at);
      this.#piece(text.slice(at, end));
      at = end;
    }
    this.renderer.flush();
  }

  // Where what is looked at on its own ends: the same places of a line in whatever pieces it came.
  #endOf(text, at) {
    const special = this.#isLong ? /[_|\n ]/g : /[_|\n]/g;
    special.lastIndex = at;
    const stop = special.exec(text)?.index ?? text.length;
    if (stop === at) return at + 1;
    const room = this.#isLong ? STEP : LINE - (this.#column - this.#begun);
    const end = at + Math.min(stop - at, STEP - (this.#column % STEP), room);
    return end < text.length && /[\ud800-\udbff]/.test(text[end - 1]) ? end + 1 : end;
  }

  /** Nothing more comes: close whatever is open. */
  end() {
    if (!this.#isPlain) {
      this.#endLine();
      smd.parser_end(this.parser);
      this.parser.pending = "";
      this.#close(0);
    }
    this.renderer.flush();
  }

  #piece(piece) {
    const step = Math.floor(this.#column / STEP);
    this.#column += piece.length;
    const isLooked = /^[_|\n ]$/.test(piece) || Math.floor(this.#column / STEP) > step;
    if (this.#isPlain) this.renderer.plain(piece);
    else this.#write(piece, isLooked);
    if (isLooked && this.#isLong && (piece === " " || this.#column - this.#begun >= 2 * LINE)) this.#goOn();
    if (piece === "\n") this.#column = this.#begun = 0;
  }

  #write(piece, isLooked) {
    const { parser } = this;
    const isInWord = piece === "_" && this.#isInWord;
    if (piece === "\n") this.#endLine();
    if (piece === "|") this.#endCell();
    smd.parser_write(parser, isInWord ? "\\_" : piece);
    if (!isInWord) this.#before = piece;
    if (!isLooked) return;
    this.#isPlain = parser.len > DEPTH;
    if (this.#isPlain || parser.pending.length > PENDING) this.#close(0);
  }

  get #isLong() {
    return this.#column - this.#begun >= LINE;
  }

  // All of a block is laid out again when something is added to it. What is open within a line that long is closed.
  #goOn() {
    this.#begun = this.#column;
    if (this.#isPlain) return this.renderer.goOn();
    const block = this.#open.findLastIndex((token) => BLOCKS.has(token));
    if (block < 0) return;
    this.#close(block);
    this.renderer.goOn();
  }

  // snake_case is no emphasis.
  get #isInWord() {
    const { token, pending } = this.parser;
    if (!WORD.test(this.#before) || LITERAL.has(token) || /^(`{3}|\]\()/.test(pending)) return false;
    return !this.#open.some((open) => UNDERSCORED.has(open));
  }

  get #open() {
    return this.parser.tokens.subarray(0, this.parser.len + 1);
  }

  // A link's address, maths within a line, and a row of a table end with their line at the latest.
  #endLine() {
    const { parser } = this;
    if (parser.pending.startsWith("](") && (parser.token === smd.LINK || parser.token === smd.IMAGE)) {
      this.#close(parser.len - 1);
    }
    if (parser.token === smd.EQUATION_INLINE && parser.pending !== "$") this.#close(parser.len - 1);
    const isOver = parser.token === smd.TABLE_CELL && parser.pending === "|";
    if (isOver || !this.#open.includes(smd.TABLE_CELL)) return;
    this.#endCell();
    this.#close(this.#open.indexOf(smd.TABLE_CELL));
    smd.parser_write(parser, "|");
  }

  // What was opened in a cell ends with it, but for code.
  #endCell() {
    const { parser } = this;
    const cell = this.#open.indexOf(smd.TABLE_CELL);
    if (cell < 0 || parser.len === cell || parser.token === smd.CODE_INLINE || parser.pending === "\\") return;
    smd.parser_write(parser, " ");
    this.#close(cell);
  }

  #close(depth) {
    const { parser, renderer } = this;
    const rest = parser.text + parser.pending;
    Object.assign(parser, { text: "", pending: "", fence_start: 0, fence_end: 0, indent: "", indent_len: 0 });
    renderer.add_text(null, rest);
    for (; parser.len > depth; parser.len -= 1) renderer.end_token();
    parser.token = parser.tokens[parser.len];
  }
}
