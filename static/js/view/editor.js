// Where one's own turn is written anew: Enter sends, Shift + Enter begins a line, Esc leaves it as it was.

import { answers } from "../words/answers.js";
import { focusWriting, make } from "./dom.js";

export class Editor {
  #field = make("textarea", { rows: 2, dir: "auto", ariaLabel: answers.editing });
  #problem = make("p", { className: "ask-problem", role: "alert", hidden: true });
  #send = make("button", { type: "button", className: "button primary", onclick: () => this.#sent() }, answers.sendAgain);
  #cancel = make("button", { type: "button", className: "button", onclick: () => this.#close() }, answers.cancel);
  #turn = null;
  #isSending = false;

  /** `body` and `bar` are hidden while one edits; this stands before `bar` then. */
  constructor(chat, body, bar) {
    Object.assign(this, { chat, body, bar });
    this.element = make("div", { className: "editor" },
      this.#field, this.#problem, make("div", { className: "ask-actions" }, this.#send, this.#cancel));
    this.element.addEventListener("keydown", (event) => this.#pressed(event));
  }

  /** Edit a turn; `back` has the focus when that is left. */
  open({ id, text }, { back = null } = {}) {
    if (this.element.isConnected) return this.#field.focus();
    Object.assign(this, { back });
    this.#turn = id;
    this.#field.value = text;
    this.#tell("");
    this.#show(true);
    this.#field.focus();
  }

  #close() {
    this.#show(false);
    (this.back ?? this.bar.querySelector("button:not([hidden])"))?.focus();
  }

  #show(isOpen) {
    if (isOpen) this.bar.before(this.element);
    else this.element.remove();
    this.bar.hidden = isOpen;
    this.body.classList.toggle("is-edited", isOpen);
  }

  #pressed(event) {
    if (event.isComposing || event.keyCode === 229) return;
    if (event.key === "Escape") return (event.preventDefault(), this.#close());
    if (event.key !== "Enter" || event.shiftKey || event.target !== this.#field) return;
    event.preventDefault();
    this.#sent();
  }

  async #sent() {
    if (!this.#field.value.trim() || this.#isSending) return;
    this.#isSending = true;
    const { why } = await this.chat.deeds.edit(this.#turn, this.#field.value.trimEnd());
    this.#isSending = false;
    if (why) return this.#tell(why);
    this.#show(false);
    focusWriting();
  }

  #tell(words) {
    this.#problem.textContent = words;
    this.#problem.hidden = !words;
  }
}
