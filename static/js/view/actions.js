// What can be done with a turn that stands: copy, rate, answer again, edit, and see what it replaced.
//
// The buttons are made once; showing a turn only hides them or changes their state.

import { answers } from "../words/answers.js";
import { copying } from "../words/composer.js";
import { copyBy } from "./copy.js";
import { byId, focusWriting, make } from "./dom.js";
import { Editor } from "./editor.js";

const SIDES = { up: answers.good, down: answers.bad };

const link = (label, onclick) => make("button", { type: "button", className: "link", onclick }, label);

/** Make a turn that was replaced, to read only. */
const old = ({ role, text }) =>
  make("li", {}, make("p", { className: "old-who" }, role === "user" ? answers.you : answers.answer),
    make("p", { className: "old-text", dir: "auto" }, text || answers.nothing));

export class Actions {
  #copy = link(copying.copy, () => copyBy(this.#copy, this.body, this.#item.text));
  #again = link(answers.again, () => (this.#asked && this.chat.deeds.again(this.#asked), focusWriting()));
  #edit = link(answers.edit, () => this.#editor.open(this.#item));
  #rates = Object.keys(SIDES).map((side) => this.#rate(side));
  #replaced = make("details", { className: "replaced", hidden: true, ontoggle: () => this.#bring() },
    make("summary", {}, answers.replaced), make("ol", {}));
  #item = null;
  #asked = null;
  #editor;

  constructor(chat, body) {
    Object.assign(this, { chat, body });
    this.bar = make("div", { className: "turn-actions" }, this.#copy, ...this.#rates, this.#again, this.#edit);
    this.#editor = new Editor(chat, body, this.bar);
    this.element = make("div", { className: "after" }, this.bar, this.#replaced);
  }

  /** Show what can be done with an item; `asked`: the id of the person's turn that may be answered anew, or null. */
  show(item, asked) {
    this.#item = item;
    this.#asked = asked;
    const [isAnswer, may] = [item.role === "assistant", this.chat.can("again")];
    const stands = !["running", "held", "queued", "pending"].includes(item.state);
    this.#copy.hidden = !isAnswer || !stands || !item.text;
    this.#again.hidden = !asked;
    this.#edit.hidden = isAnswer || !stands || !may;
    for (const button of this.#rates) {
      button.hidden = !isAnswer || !stands || !may;
      button.setAttribute("aria-pressed", String(item.rating?.value === button.dataset.side));
    }
    this.#replaced.hidden = !stands || !item.replaced?.length;
  }

  /** Edit the turn, as its button does; whoever leaves the editor is back where one writes. */
  edit() {
    if (!this.#edit.hidden) this.#editor.open(this.#item, { back: byId("composer-text") });
  }

  #rate(side) {
    const isSet = () => this.#item.rating?.value === side;
    const button = link(SIDES[side], () => this.chat.deeds.rate(this.#item.id, isSet() ? null : side));
    button.dataset.side = side;
    return button;
  }

  async #bring() {
    const list = this.#replaced.lastElementChild;
    if (!this.#replaced.open || list.children.length) return;
    const turns = await this.chat.deeds.replaced(this.#item.id);
    if (turns) list.replaceChildren(...turns.map(old));
  }
}
