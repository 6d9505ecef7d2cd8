// What an answer did besides writing: its thinking, the tools it called, the approvals it waits for.

import { grow, make } from "./dom.js";

const asText = (value) => (typeof value === "string" ? value : JSON.stringify(value, null, 2)) ?? "";

function tool({ name, arguments: given, result, error }) {
  const state = error !== undefined ? "failed" : result !== undefined ? "done" : "running";
  const heading = make("summary", {}, make("code", {}, name ?? "a tool"), ` ${state}`);
  const parts = [given, error ?? result].filter((part) => part !== undefined);
  const blocks = parts.map((part) => make("pre", {}, asText(part)));
  return make("details", { className: "tool", data: { state } }, heading, ...blocks);
}

export class Work {
  #thoughts = document.createTextNode("");
  #thinking = make("details", { className: "thinking", hidden: true },
    make("summary", {}, "Thinking"), make("div", { className: "thoughts" }, this.#thoughts));
  #tools = make("div", { className: "tools" });
  #asks = make("div", { className: "asks" });
  #drawn = "";

  constructor(chat) {
    this.chat = chat;
    this.element = make("div", { className: "work" }, this.#thinking, this.#tools, this.#asks);
  }

  /** Show a run's {reasoning, tools, asks}; a finished answer has none of the latter two and keeps what it showed. */
  show({ state, run, reasoning, tools, asks }) {
    if (reasoning) grow(this.#thoughts, reasoning);
    this.#thinking.hidden = !this.#thoughts.length;
    if (state !== "running" && state !== "held") {
      this.#asks.replaceChildren();
      return;
    }
    const open = this.chat.can("decide") ? asks : [];
    const drawn = JSON.stringify([tools, open]);
    if (drawn === this.#drawn) return;
    this.#drawn = drawn;
    this.#tools.replaceChildren(...tools.map(tool));
    this.#asks.replaceChildren(...open.map((ask) => this.#ask(run, ask)));
  }

  #ask(run, { call, name, arguments: given }) {
    const button = (label, decision) => {
      const onclick = () => this.chat.decide(run, call, decision);
      return make("button", { type: "button", className: "button", onclick }, label);
    };
    return make("div", { className: "ask" },
      make("p", {}, "May it use ", make("code", {}, name), "?"),
      make("pre", {}, asText(given)),
      button("Allow", "allow"), button("Deny", "deny"));
  }
}
