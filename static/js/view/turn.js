// One turn: its text, and a line under it that says in words what it is about.

import * as words from "../words.js";
import { answers } from "../words/answers.js";
import { Actions } from "./actions.js";
import { focusWriting, grow, make } from "./dom.js";
import { Text } from "./text.js";
import { Work } from "./work.js";

export class Turn {
  #text = document.createTextNode("");
  #who = make("h3", { className: "visually-hidden" });
  #body = make("div", { className: "text", dir: "auto" }, this.#text);
  #note = make("p", { className: "note" });
  #answer = null;
  #work = null;
  #actions;
  #drawn = "";
  #source = null;
  #mayAgain = false;

  constructor(chat) {
    this.chat = chat;
    this.element = make("li", { className: "turn" }, this.#who, this.#body, this.#note);
    this.#actions = new Actions(chat, this.#body);
    this.element.append(this.#actions.element);
  }

  /** Show an item {id, role, state, text, run, …, source, mayAgain, isOnline}; the same `source` is the same turn. */
  show(item) {
    const { id, role, state, text, source, mayAgain } = item;
    if (source && source === this.#source && mayAgain === this.#mayAgain) return;
    this.#source = source;
    this.#mayAgain = mayAgain;
    Object.assign(this.element.dataset, { id, role, state });
    this.element.setAttribute("aria-busy", String(state === "running"));
    this.#who.textContent = role === "user" ? answers.you : answers.answer;
    if (role === "assistant") this.#showAnswer(item);
    else grow(this.#text, text);
    this.#body.hidden = !text && state !== "running";
    if (role === "assistant") this.#showWork(item);
    this.#showNote(item);
    this.#actions.show(item, mayAgain && state === "done" ? (this.#asked(id)?.id ?? null) : null);
  }

  // A person's words stay as they were written; an answer is Markdown.
  #showAnswer({ state, text }) {
    this.#answer ??= new Text(this.#body);
    this.#answer.show(text, { over: state !== "running" });
  }

  #showWork(item) {
    if (!this.#work && !item.reasoning && !item.tools?.length && !item.asks?.length && !item.calls?.length) return;
    if (!this.#work) this.element.insertBefore((this.#work = new Work(this.chat)).element, this.#body);
    this.#work.show(item);
  }

  // Built anew only when something in it changed, so that a focused button is not taken from under the finger.
  #showNote(item) {
    const origin = item.role === "assistant" ? this.#origin(item) : "";
    const message = this.#message(item);
    const action = this.#action(item);
    const drawn = [origin, message, action?.name, action?.disabled].join("|");
    if (drawn === this.#drawn) return;
    this.#drawn = drawn;
    const parts = [];
    const press = () => (action.does(), focusWriting());
    if (message) parts.push(make("span", { className: "note-words" }, message));
    if (action) {
      const { name, disabled = false } = action;
      parts.push(make("button", { type: "button", className: "link", disabled, onclick: press }, name));
    }
    if (origin) parts.push(make("span", { className: "origin" }, origin));
    this.#note.replaceChildren(...parts);
  }

  #origin({ run, model, node, attempt, at, usage, timing }) {
    const origin = words.ofOrigin({ model, node, attempt, ...this.chat.served(run), at });
    return [origin, words.ofFacts({ usage, timing })].filter(Boolean).join(" · ");
  }

  #message({ role, state, text, code, problem, isOnline, how, attempt }) {
    if (state === "pending") return isOnline ? (problem ?? answers.sending) : answers.offline;
    if (role === "user") return state === "queued" ? answers.queued : "";
    if (state === "held") return answers.held;
    if (state === "running" && attempt > 1 && how !== "new") return answers.takenOver;
    return words.ofEnd({ state, code, text });
  }

  #action(item) {
    const { id, role, state, run, mayAgain } = item;
    if (role === "user" && state === "queued") return this.#stop(run, answers.takeBack);
    if (state === "held") return this.#goOn(item);
    if (state === "running" && this.chat.can("carryOn")) return { name: answers.pause, does: () => this.chat.deeds.pause(run) };
    if (role !== "assistant" || !mayAgain || !["failed", "stopped"].includes(state)) return null;
    const asked = this.#asked(id);
    return asked && { name: answers.again, does: () => this.chat.deeds.again(asked.id) };
  }

  // The person's turn that an answer answers.
  #asked(id) {
    const { turns } = this.chat.session;
    return turns.slice(0, turns.findIndex((turn) => turn.id === id)).findLast((turn) => turn.role === "user");
  }

  // A run that waits for an approval goes on when that is settled.
  #goOn({ run, asks }) {
    return this.chat.can("carryOn") && !asks.length ? { name: answers.goOn, does: () => this.chat.deeds.carryOn(run) } : null;
  }

  #stop(run, name) {
    const isStopping = this.chat.isStopping(run);
    return { name: isStopping ? answers.takingBack : name, disabled: isStopping, does: () => this.chat.stop(run) };
  }
}
