// What went wrong with something the person just did, in words, until it is dismissed or something else succeeds.

import { byId } from "./dom.js";

export class Notice {
  #box = byId("notice");
  #words = byId("notice-words");

  constructor() {
    byId("notice-close").addEventListener("click", () => this.clear());
  }

  say(words) {
    this.#box.hidden = false;
    this.#words.textContent = words;
  }

  clear() {
    this.#box.hidden = true;
    this.#words.textContent = "";
  }
}
