// The line under a turn: what it is about in words, how long it waits, what can be done, and where it came from.
//
// Of an answer that failed it is a card. Built anew only when something in it changed, so that a focused button is not
// taken from under the finger; one that goes gives the focus to the one that comes, or to where one writes.

import { waiting } from "../words/errors.js";
import { Countdown } from "./countdown.js";
import { byId, focusWriting, make } from "./dom.js";

/** Make the button of an action {name, does, isMain, disabled}. A second press waits until the first is done. */
function pressed({ name, does, isMain = false, disabled = false }) {
  let isBusy = false;
  const onclick = async () => {
    if (isBusy) return;
    isBusy = true;
    await does();
    isBusy = false;
  };
  return make("button", { type: "button", className: isMain ? "button" : "button quiet", disabled, onclick }, name);
}

export class Note {
  #countdown = new Countdown(waiting.again);
  #drawn = "";
  #due = null;

  constructor() {
    this.element = make("div", { className: "note" });
  }

  /** Show {message, advice, actions, origin, due}; any may be empty. `isCard`: something went wrong. */
  show({ message, advice = "", actions, origin, due = null, isCard = false }) {
    this.#wait(message, due);
    const drawn = [origin, message, advice, isCard, ...actions.map(({ name, disabled }) => [name, disabled])].join("|");
    if (drawn === this.#drawn) return;
    this.#drawn = drawn;
    const had = this.element.contains(document.activeElement);
    const said = message && make("p", { className: "note-words" }, message);
    const told = advice && make("p", { className: "note-advice" }, advice);
    const buttons = actions.length && make("div", { className: "note-actions" }, ...actions.map(pressed));
    const main = [said, this.#countdown.element, told, buttons].filter(Boolean);
    const card = make("div", { className: isCard ? "failure" : "note-main" }, ...main);
    this.element.replaceChildren(...(message || buttons ? [card] : []));
    if (origin) this.element.append(make("p", { className: "origin" }, origin));
    if (!had) return;
    const next = this.element.querySelector("button:enabled");
    if (next) next.focus({ preventScroll: true });
    else focusWriting();
  }

  #wait(message, due) {
    if (due === this.#due) return;
    this.#due = due;
    const told = this.#countdown.until(due);
    if (told) byId("announce").textContent = `${message} ${told}`;
  }
}
