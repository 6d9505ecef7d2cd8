// How long something waits: a number that changes each second for the eye, and one sentence for the ear.

import { ofSpan } from "../words.js";
import { make } from "./dom.js";

const STEP_MS = 1_000;
const WORTH_MS = 1_500; // a shorter wait is over before it is read

export class Countdown {
  #seen = make("span", { ariaHidden: "true" });
  #told = make("span", { className: "visually-hidden" });
  #timer = null;
  #due = null;

  /** `words(span)` says how long it is; `over` (words, or "") is shown when the time has come. */
  constructor(words, over = "") {
    Object.assign(this, { words, over });
    this.element = make("span", { className: "countdown", hidden: true }, this.#seen, this.#told);
  }

  /** Count down to `due`, as of Date.now(); null: there is nothing to wait for. Return what the ear is told. */
  until(due) {
    if (due === this.#due) return this.#told.textContent;
    this.#due = due;
    clearInterval(this.#timer);
    const isLong = due !== null && due - Date.now() >= WORTH_MS;
    this.element.hidden = !isLong;
    this.#told.textContent = isLong ? this.words(ofSpan(due - Date.now())) : "";
    if (!isLong) return "";
    this.#timer = setInterval(() => this.#step(), STEP_MS);
    this.#step();
    return this.#told.textContent;
  }

  #step() {
    const left = this.#due - Date.now();
    const isOver = left <= 0 || (this.#seen.textContent && !this.element.isConnected);
    this.#seen.textContent = isOver ? this.over : this.words(ofSpan(left));
    if (isOver) clearInterval(this.#timer);
  }
}
