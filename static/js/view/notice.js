// What went wrong with something the person just did, in words, until it is dismissed or something else succeeds.
//
// A limit says how long it lasts. The region is an alert: it is read once, and not at each second.

import { ofError } from "../words.js";
import { waiting } from "../words/errors.js";
import { Countdown } from "./countdown.js";
import { byId, focusWriting } from "./dom.js";

export class Notice {
  #box = byId("notice");
  #words = byId("notice-words");
  #countdown = new Countdown(waiting.possible, waiting.now);

  constructor() {
    byId("notice-close").addEventListener("click", () => (this.clear(), focusWriting()));
  }

  /** Say it; `due`: when it can be tried again, as of Date.now(), where that is known. */
  say(words, due = null) {
    this.#box.hidden = false;
    this.#words.replaceChildren(words, " ", this.#countdown.element);
    this.#countdown.until(due);
  }

  /** Say what was wrong with a command: a ChatError. */
  tell(error) {
    this.say(ofError(error), error.after_ms ? Date.now() + error.after_ms : null);
  }

  clear() {
    this.#box.hidden = true;
    this.#words.replaceChildren();
    this.#countdown.until(null);
  }
}
