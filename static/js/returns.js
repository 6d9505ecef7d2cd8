// What came back with each new connection: how often we resumed, how many entries that brought, and how many words.
//
// A session has caught up when it has reached the head that the `ok` to our `hello` named for it; what comes after that
// is live. Emits: "caught" ({session, words}).

import { compare, parse, same } from "./cursor.js";
import { Emitter } from "./emitter.js";

const TEXTS = new Set(["delta", "turn"]);
const segmenter = globalThis.Intl?.Segmenter ? new Intl.Segmenter(undefined, { granularity: "word" }) : null;

/** How many words a text has, in languages without blanks too, as far as the browser can tell. */
export function wordsIn(text) {
  if (!segmenter) return text.split(/\s+/).filter(Boolean).length;
  let count = 0;
  for (const { isWordLike } of segmenter.segment(text)) if (isWordLike) count += 1;
  return count;
}

const entriesOf = ({ after, at }) => parse(at)[1] - parse(after)[1];

export class Returns extends Emitter {
  #ref = null;
  #awaited = new Map();

  /** `cursors()` gives what a `hello` resumes. */
  constructor({ connection, cursors }) {
    super();
    Object.assign(this, { count: 0, entries: 0 });
    connection.on("resume", (ref) => this.#resumed(ref, cursors()));
    connection.on("frame", (frame) => this.#awaited.has(frame.session) && this.#hear(frame));
  }

  #resumed(ref, cursors) {
    this.#ref = ref;
    this.#awaited = new Map(cursors.map(({ session, cursor }) => [session, { cursor, until: null, text: "" }]));
    if (cursors.length) this.count += 1;
  }

  #hear(frame) {
    const awaited = this.#awaited.get(frame.session);
    if (frame.type === "ok" && frame.ref === this.#ref) awaited.until = frame.at;
    else if (frame.type === "batch" && awaited.until) this.#bring(awaited, frame);
    else if (frame.type === "reset") this.#awaited.delete(frame.session);
    if (awaited.until && (same(awaited.cursor, awaited.until) || compare(awaited.cursor, awaited.until) > 0)) {
      this.#awaited.delete(frame.session);
      this.emit("caught", { session: frame.session, words: wordsIn(awaited.text) });
    }
  }

  #bring(awaited, frame) {
    this.entries += entriesOf(frame);
    awaited.cursor = frame.at;
    awaited.text += frame.entries.filter(({ kind }) => TEXTS.has(kind)).map(({ text }) => text).join("");
  }
}
