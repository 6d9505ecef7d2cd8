// Markdown as it comes, in whatever pieces: the vendored parser, and what keeps it within bounds.
//
// The parser reads each character once and never takes back what it gave to the renderer. Left alone it would let an
// unclosed `$` or `[a](` swallow the rest of an answer, and an unclosed `*` the rest of a table; see #endLine and #cell.

import * as smd from "../../vendor/streaming-markdown/smd.min.js";

const DEPTH = 24;
const ROOM = DEPTH + 512; // one piece opens no more than it has characters
const PENDING = 2_048; // an address; what is longer is none, and the parser looks at all of it each time
const PIECES = /[_|\n]|[^_|\n]{1,256}/gu;
const WORD = /[\p{L}\p{N}]$/u;
const LITERAL = new Set([smd.CODE_BLOCK, smd.CODE_FENCE, smd.CODE_INLINE, smd.EQUATION_BLOCK,
  smd.EQUATION_INLINE, smd.RAW_URL]);
const UNDERSCORED = new Set([smd.ITALIC_UND, smd.STRONG_UND]);

export class Markdown {
  #before = "";
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
    for (const piece of text.match(PIECES) ?? []) this.#piece(piece);
    this.renderer.flush();
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
    if (this.#isPlain) return this.renderer.plain(piece);
    const { parser } = this;
    const isInWord = piece === "_" && this.#isInWord;
    if (piece === "\n") this.#endLine();
    if (piece === "|") this.#endCell();
    smd.parser_write(parser, isInWord ? "\\_" : piece);
    if (!isInWord) this.#before = piece;
    this.#isPlain = parser.len > DEPTH;
    if (this.#isPlain || parser.pending.length > PENDING) this.#close(0);
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
