// What a screen reader is told of an answer: its sentences as they are finished, and how it ended; never a piece of one.
//
// Sentences that come fast are told together, at least a second apart. What stood there when one came is not read.

import { ofEnd } from "../words.js";
import { byId } from "./dom.js";

const APART_MS = 1_000;
const BEGUN_LENGTH = 200;
const READ_LENGTH = 2_000;
const SENTENCE = /[.!?…。！？][\])"'”’»*_`]*(?=\s)|[。！？]|\n/g;
const MARKS = /^[ \t]*(?:#{1,6} |> ?|[-*+] |`{3,}.*$|~{3,}.*$)|[*_`|]+/gm;

/** How far `text` has finished sentences. */
const finished = (text) => [...text.matchAll(SENTENCE)].reduce((_, { 0: end, index }) => index + end.length, 0);

/** Markdown as it is read: without its marks, and not endlessly. */
const readable = (text) => {
  const plain = text.replace(MARKS, "").trim();
  return plain.length > READ_LENGTH ? `${plain.slice(0, READ_LENGTH)} …` : plain;
};

class Reader {
  #region = byId("announce");
  #run = null;
  #read = 0;
  #timer = null;
  #toldAt = -Infinity;

  constructor(chat) {
    this.chat = chat;
  }

  /** Look whether the running answer has finished sentences that were not read. */
  look() {
    const { run } = this.chat.session ?? {};
    if (!run) return;
    if (run.id !== this.#run) this.#begin(run);
    if (run.text.length < this.#read) this.#read = 0; // it began anew
    if (this.#timer === null && finished(run.text.slice(this.#read))) this.#soon();
  }

  /** Read what is left of an answer, and how it ended. */
  end(turn) {
    this.#wait(null);
    const rest = turn.id === this.#run ? turn.text.slice(this.#read) : turn.text;
    this.#run = null;
    this.#tell([ofEnd(turn), readable(rest)].filter(Boolean).join(" "));
  }

  #begin({ id, text }) {
    this.#wait(null);
    this.#run = id;
    this.#read = text.length > BEGUN_LENGTH ? finished(text) : 0;
  }

  #soon() {
    this.#wait(setTimeout(() => this.#tellSentences(), Math.max(0, this.#toldAt + APART_MS - performance.now())));
  }

  #tellSentences() {
    this.#wait(null);
    const { run } = this.chat.session ?? {};
    if (run?.id !== this.#run) return;
    const rest = run.text.slice(this.#read);
    const length = finished(rest);
    this.#read += length;
    this.#tell(readable(rest.slice(0, length)));
  }

  #tell(words) {
    if (!words) return;
    this.#toldAt = performance.now();
    this.#region.textContent = words;
  }

  #wait(timer) {
    clearTimeout(this.#timer);
    this.#timer = timer;
  }
}

/** Tell what the open session's answers say. */
export function announceAnswers(chat) {
  const reader = new Reader(chat);
  chat.on("change", (id) => id === chat.session?.session && reader.look());
  chat.on("answered", ({ session, turn }) => session === chat.session?.session && reader.end(turn));
}
