// A tool that was called: its name, how it stands in words, and folded what it was given and what came of it.

import { tools } from "../words/tools.js";
import { make } from "./dom.js";

const LONG = 1_500;

/** A value as text: what is JSON, indented. */
export const asText = (value) => (typeof value === "string" ? value : JSON.stringify(value, null, 2)) ?? "";

/** Make a <pre> of a value; a long one is cut until its button is pressed. */
export function block(value) {
  const text = asText(value);
  if (text.length <= LONG) return [make("pre", { dir: "auto" }, text)];
  const pre = make("pre", { dir: "auto" }, `${text.slice(0, LONG)} …`);
  const whole = () => (pre.replaceChildren(text), button.remove());
  const button = make("button", { type: "button", className: "link", onclick: whole }, tools.showAll);
  return [pre, button];
}

export class ToolCard {
  #name = make("code", {});
  #state = make("span", { className: "tool-state" });
  #body = make("div", { className: "tool-body" });
  #drawn = "";

  constructor() {
    const summary = make("summary", {}, this.#name, " ", this.#state);
    this.element = make("details", { className: "tool" }, summary, this.#body);
  }

  /** Show a call {name, arguments, result?, error?}; `isOver`: its run has ended. */
  show(call, isOver) {
    const drawn = JSON.stringify([call, isOver]);
    if (drawn === this.#drawn) return;
    this.#drawn = drawn;
    const settled = call.error !== undefined ? "failed" : call.result !== undefined ? "done" : null;
    const state = settled ?? (isOver ? "none" : "running");
    this.element.dataset.state = state;
    this.#name.textContent = call.name ?? tools.unnamed;
    this.#state.textContent = tools.states[state];
    const part = (label, value) => (value === undefined ? [] : [make("p", {}, label), ...block(value)]);
    this.#body.replaceChildren(
      ...part(tools.given, call.arguments),
      ...(call.error !== undefined ? part(tools.error, call.error) : part(tools.result, call.result)),
    );
  }
}
