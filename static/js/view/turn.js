// One turn: its text, and a line under it that says in words what it is about.

import * as words from "../words.js";
import { answers } from "../words/answers.js";
import { Actions } from "./actions.js";
import { grow, make } from "./dom.js";
import { Note } from "./note.js";
import { Text } from "./text.js";
import { Work } from "./work.js";

export class Turn {
  #text = document.createTextNode("");
  #who = make("h3", { className: "visually-hidden" });
  #body = make("div", { className: "text", dir: "auto" }, this.#text);
  #note = new Note();
  #answer = null;
  #work = null;
  #actions;
  #source = null;
  #mayAgain = false;

  constructor(chat) {
    this.chat = chat;
    this.element = make("li", { className: "turn" }, this.#who, this.#body, this.#note.element);
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

  /** Open the editor of a turn that may be edited; leaving it goes back to where one writes. */
  edit() {
    this.#actions.edit();
  }

  // A person's words stay as they were written; an answer is Markdown.
  #showAnswer({ state, text }) {
    this.#answer ??= new Text(this.#body);
    this.#answer.show(text, { over: state !== "running" });
  }

  #showWork(item) {
    if (!this.#work && !item.reasoning && !item.tools?.length && !item.asks?.length && !item.calls?.length) return;
    if (!this.#work) {
      this.#work = new Work(this.chat);
      this.#body.before(this.#work.before);
      this.#body.after(this.#work.after);
    }
    this.#work.show(item);
  }

  #showNote(item) {
    const { state, code } = item;
    const isCard = state === "failed";
    const actions = this.#deeds(item).filter(Boolean);
    this.#note.show({
      message: this.#message(item),
      advice: isCard && actions.length ? (answers.advice[code] ?? "") : "",
      actions,
      origin: item.role === "assistant" ? this.#origin(item) : "",
      due: state === "pending" && item.isOnline ? item.due : null,
      isCard,
    });
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

  // What can be done about it as it is, besides what can always be done (actions.js).
  #deeds(item) {
    const { role, state, run, id } = item;
    if (state === "pending") return item.problem && item.isOnline ? this.#waiting(item) : [];
    if (role === "user") return state === "queued" ? [this.#stop(run, answers.takeBack)] : [];
    if (state === "held") return [this.#goOn(item)];
    if (state === "running") return [this.chat.can("carryOn") && { name: answers.pause, does: () => this.chat.deeds.pause(run) }];
    const asked = item.mayAgain && ["failed", "stopped"].includes(state) && this.#asked(id);
    if (!asked) return [];
    const other = state === "failed" && this.#otherThan(item.model);
    return [
      { name: answers.again, does: () => this.chat.deeds.again(asked.id), isMain: true },
      other && { name: answers.by(other), does: () => this.chat.deeds.again(asked.id, other) },
    ];
  }

  #waiting({ id, mayHurry }) {
    return [
      mayHurry && { name: answers.tryNow, does: () => this.chat.deeds.hurry(id), isMain: true },
      { name: answers.takeBack, does: () => this.chat.deeds.takeBack(id) },
    ];
  }

  // The next model after that one, so that trying on leads through all of them; null if there is no other.
  #otherThan(model) {
    const { models } = this.chat;
    const next = models[(models.indexOf(model) + 1) % models.length];
    return next === model ? null : (next ?? null);
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
    const isStopping = this.chat.deeds.isStopping(run);
    return { name: isStopping ? answers.takingBack : name, disabled: isStopping, does: () => this.chat.deeds.stop(run) };
  }
}
