// A labelled field that keeps what is chosen as soon as one leaves it; what becomes of it stands under it, in words.

import { preferences as words } from "../words/preferences.js";
import { make } from "./dom.js";

/** Make a <select> of [value, label] pairs. */
export const choice = (options) =>
  make("select", {}, ...options.map(([value, label]) => make("option", { value }, label)));

/** The [value, label] pairs of these models, first "" for the usual one; none where there is no choice. */
export const modelsOf = (names, usual) =>
  names.length < 2 ? [] : [["", words.usual(usual)], ...names.map((name) => [name, name])];

export class Field {
  #note = make("p", { className: "field-note", role: "status" });
  #kept = "";

  /** `save(value)` resolves to null, or in words to why it was not kept. */
  constructor({ name, control, save }) {
    Object.assign(this, { control, save });
    Object.assign(control, { id: `field-${name}`, dir: control.matches("select") ? "" : "auto" });
    this.#note.id = `${control.id}-note`;
    control.setAttribute("aria-describedby", this.#note.id);
    control.addEventListener("change", () => this.keep());
    this.element = make("div", { className: "field" },
      make("label", { htmlFor: control.id }, words.labels[name]), control, this.#note);
  }

  /** Show what is kept; what somebody is just changing stays. */
  show(value) {
    if (this.control.value === this.#kept) this.control.value = value;
    this.#kept = value;
  }

  /** Begin anew: nothing is said of earlier changes. */
  begin() {
    this.control.value = this.#kept;
    this.#tell("");
  }

  /** Keep what stands there, if that is something else. */
  async keep() {
    const value = this.control.value.trim();
    const before = this.#kept;
    if (value === before) return;
    this.#kept = value;
    this.#tell(words.saving);
    const why = await this.save(value);
    if (why && this.#kept === value) this.#kept = before;
    this.#tell(why ?? words.saved, why !== null);
  }

  #tell(text, isProblem = false) {
    this.#note.textContent = text;
    this.#note.classList.toggle("is-problem", isProblem);
  }
}
