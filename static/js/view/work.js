// What an answer did besides writing. Its thinking stands before its text; the tools that it called and the approvals
// that it waits for stand at its end, below the words that introduce them.

import { arrange, grow, make } from "./dom.js";
import { answers } from "../words/answers.js";
import { tools as words } from "../words/tools.js";
import { AskCard } from "./ask.js";
import { ToolCard } from "./tool.js";

export class Work {
  #thoughts = document.createTextNode("");
  #heading = make("summary", {}, answers.thinking);
  #thinking = make("details", { className: "thinking", hidden: true },
    this.#heading, make("div", { className: "thoughts", dir: "auto" }, this.#thoughts));
  #tools = make("div", { className: "tools" });
  #asks = make("div", { className: "asks" });
  #cards = new Map();
  #asked = new Map();

  constructor(chat) {
    this.chat = chat;
    this.before = make("div", { className: "work" }, this.#thinking);
    this.after = make("div", { className: "work" }, this.#tools, this.#asks);
  }

  /** Show a run's {reasoning, tools, asks, text}, or a finished turn's {reasoning, calls}. */
  show({ state, run, text, reasoning = "", tools, calls, asks }) {
    const isOver = state !== "running" && state !== "held";
    grow(this.#thoughts, reasoning);
    this.#thinking.hidden = !reasoning;
    this.#heading.textContent = isOver || text ? answers.thought : answers.thinking;
    this.#showTools(tools ?? calls ?? [], isOver);
    this.#showAsks(run, isOver ? [] : (asks ?? []), isOver);
  }

  #showTools(all, isOver) {
    for (const one of all) {
      if (!this.#cards.has(one.call)) this.#cards.set(one.call, new ToolCard());
      this.#cards.get(one.call).show(one, isOver);
    }
    arrange(this.#tools, all.map(({ call }) => this.#cards.get(call).element));
  }

  // A card stays, settled, until its run is over: it says what was decided.
  #showAsks(run, asks, isOver) {
    const open = this.chat.can("decide") ? asks : [];
    for (const ask of open) if (!this.#asked.has(ask.call)) this.#asked.set(ask.call, new AskCard(this.chat, run, ask));
    for (const [call, card] of this.#asked) if (!open.some((ask) => ask.call === call)) card.settle(words.elsewhere);
    if (isOver) this.#asked.clear();
    arrange(this.#asks, [...this.#asked.values()].map(({ element }) => element));
  }
}
