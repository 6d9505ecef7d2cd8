// An approval: what the answer wants to do, and Allow, Deny (with a reason) and Edit (other arguments).
//
// A card is made once for a call and never rebuilt, so that nothing is taken from under the finger.

import { ofUntil } from "../words.js";
import { tools } from "../words/tools.js";
import { make } from "./dom.js";
import { asText, block } from "./tool.js";

const DECIDED = { allow: tools.allowed, deny: tools.denied, edit: tools.edited };

/** The JSON object that `text` is, or null. */
function objectOf(text) {
  try {
    const value = JSON.parse(text);
    return value && typeof value === "object" && !Array.isArray(value) ? value : null;
  } catch {
    return null;
  }
}

export class AskCard {
  #problem = make("p", { className: "ask-problem", role: "alert", hidden: true });
  #form = make("div", { className: "ask-form" });
  #buttons = [];
  #isOver = false;
  #mine = null;

  constructor(chat, run, ask) {
    Object.assign(this, { chat, run, ask });
    const button = (label, onclick, more = "") => {
      const made = make("button", { type: "button", className: `button ${more}`, onclick }, label);
      this.#buttons.push(made);
      return made;
    };
    this.button = button;
    this.choices = make("div", { className: "ask-actions" },
      button(tools.allow, () => this.#decide("allow"), "primary"),
      button(tools.deny, () => this.#denying()),
      button(tools.edit, () => this.#editing()));
    this.element = make("div", { className: "ask", role: "group", ariaLabel: tools.may.join(ask.name) },
      make("p", { className: "ask-question" }, tools.may[0], make("code", {}, ask.name), tools.may[1]),
      ...block(ask.arguments), make("p", { className: "ask-until" }, ofUntil(ask.until)),
      this.choices, this.#form, this.#problem);
  }

  /** It is settled, here or elsewhere: say so in words (here: once the reply came), and take no more decisions. */
  settle(words) {
    if (this.#isOver || this.#mine) return;
    this.#isOver = true;
    const had = this.element.contains(document.activeElement);
    const said = make("p", { className: "ask-decided", tabIndex: -1 }, words);
    this.element.replaceChildren(this.element.firstElementChild, said);
    if (had) said.focus({ preventScroll: true });
  }

  async #decide(decision, more) {
    if (this.#mine) return;
    this.#tell("");
    this.#mine = decision;
    this.#rest(true); // disabled, the one that was pressed would lose the focus
    const { why, decision: stands } = await this.chat.deeds.decide(this.run, this.ask.call, decision, more);
    this.#rest(false);
    this.#mine = null;
    if (!why) return this.settle(stands === decision ? DECIDED[decision] : tools.late);
    this.#tell(why);
  }

  #rest(isBusy) {
    for (const one of this.#buttons) one.setAttribute("aria-disabled", String(isBusy));
  }

  #denying() {
    const reason = make("input", { type: "text", maxLength: 1000, ariaLabel: tools.reason, placeholder: tools.reason });
    const deny = () => this.#decide("deny", reason.value.trim() ? { reason: reason.value.trim() } : {});
    reason.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.isComposing) return;
      event.preventDefault();
      deny();
    });
    this.#open(reason, { from: 1, label: tools.denyIt, does: deny });
  }

  #editing() {
    const given = asText(this.ask.arguments);
    const field = make("textarea", { value: given, rows: 5, ariaLabel: tools.arguments, spellcheck: false });
    const allow = () => {
      const value = objectOf(field.value);
      if (!value) return (this.#tell(tools.noObject), field.focus());
      this.#decide("edit", { arguments: value });
    };
    this.#open(field, { from: 2, label: tools.allowThis, does: allow });
  }

  // `from`: the number of the choice that has the focus again when one goes back.
  #open(field, { from, label, does }) {
    this.#tell("");
    const back = () => {
      this.#form.replaceChildren();
      this.choices.hidden = false;
      this.choices.children[from].focus();
    };
    field.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || event.isComposing) return;
      event.preventDefault();
      back();
    });
    const buttons = [this.button(label, does, "primary"), this.button(tools.back, back)];
    this.#form.replaceChildren(field, make("div", { className: "ask-actions" }, ...buttons));
    this.choices.hidden = true;
    field.focus();
  }

  #tell(words) {
    this.#problem.textContent = words;
    this.#problem.hidden = !words;
  }
}
