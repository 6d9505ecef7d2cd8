// The connection in words, quietly: a short gap is not shown, and what was brought back is said once.
//
// The line is a button that opens the details; a live region beside it hears of trouble, and of its end.

import { number } from "../language.js";
import { ofConnection } from "../words.js";
import { connection as words } from "../words/connection.js";
import { byId } from "./dom.js";

const [GAP_MS, SHOWN_MS, SETTLED_MS] = [400, 4_000, 1_000];

export class Status {
  #button = byId("status");
  #said = byId("status-said");
  #timers = { gap: null, caught: null, said: null };
  #state = "connecting";
  #wasLost = false;

  constructor({ connection, returns, chat }) {
    Object.assign(this, { connection, chat });
    connection.on("state", () => this.#changed());
    returns.on("caught", (caught) => this.#caughtUp(caught));
    this.#after("gap", GAP_MS, () => this.#show());
  }

  #after(name, ms, does) {
    clearTimeout(this.#timers[name]);
    this.#timers[name] = setTimeout(does, ms);
  }

  #changed() {
    const { state, code } = this.connection;
    clearTimeout(this.#timers.gap);
    if (state !== "open" || this.#state === "open") this.#wasLost = state !== "open";
    this.#state = state;
    if (state === "connecting" && !words.crowded[code]) this.#after("gap", GAP_MS, () => this.#show());
    else this.#show();
  }

  #show() {
    const { state, welcome } = this.connection;
    const isBack = state === "open";
    const text = ofConnection(this.connection, navigator.onLine);
    document.documentElement.dataset.connection = state;
    if (isBack) document.documentElement.dataset.node = welcome.node;
    clearTimeout(this.#timers.caught);
    this.#write(text);
    if (isBack) this.#after("said", SETTLED_MS, () => this.#said.textContent && this.#say(text));
    else if (welcome || state === "closed") this.#say(text);
  }

  #caughtUp({ session, words: count }) {
    const wasLost = this.#wasLost;
    this.#wasLost = false;
    if (!wasLost || !count || session !== this.chat.session?.session) return;
    const text = words.caughtUp(count, number(count));
    this.#write(text);
    this.#say(text);
    this.#after("caught", SHOWN_MS, () => this.#show());
  }

  #write(text) {
    if (this.#button.textContent === text) return;
    this.#button.textContent = text;
    this.#button.setAttribute("aria-label", words.detailsOf(text));
  }

  #say(text) {
    clearTimeout(this.#timers.said);
    if (this.#said.textContent !== text) this.#said.textContent = text;
  }
}
