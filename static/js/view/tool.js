// A tool that was called: its name, how it stands in words, and folded what it was given and what came of it.

import { tools } from "../words/tools.js";
import { make } from "./dom.js";

const LONG = 1_500;
const DENIED = /^not allowed(?:: ([^]*))?$/; // what the server writes where a call that waited for a person was denied

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

/** How a call stands, and what it came to: [state, label, value]; `isOver`: its run has ended. */
function outcome({ result, error }, isOver) {
  const denied = DENIED.exec(error ?? "");
  if (denied) return ["denied", tools.why, denied[1]];
  if (error !== undefined) return ["failed", tools.error, error];
  if (result !== undefined) return ["done", tools.result, result];
  return [isOver ? "none" : "running", tools.result, undefined];
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
    const [state, label, value] = outcome(call, isOver);
    this.element.dataset.state = state;
    this.#name.textContent = call.name ?? tools.unnamed;
    this.#state.textContent = tools.states[state];
    const part = (label, value) => (value === undefined ? [] : [make("p", {}, label), ...block(value)]);
    this.#body.replaceChildren(...part(tools.given, call.arguments), ...part(label, value));
  }
}
