// Which model answers in the open conversation: a choice in the head, where there is one.

import { byId, coalesced } from "./dom.js";
import { choice, modelsOf } from "./field.js";

export class ModelChoice {
  #select = byId("model");
  #drawn = "";

  /** `problem(words)` is called when it cannot be chosen. */
  constructor({ chat, models, problem }) {
    Object.assign(this, { chat, models, problem });
    const draw = coalesced(() => this.#draw());
    models.on("change", draw);
    chat.on("change", draw);
    this.#select.addEventListener("change", () => this.#choose(this.#select.value));
  }

  async #choose(model) {
    const why = await this.chat.set({ model });
    if (why) this.problem(why);
    this.#drawn = "";
    this.#draw();
  }

  #draw() {
    const { names, preferred } = this.models;
    const own = this.chat.session?.settings?.model ?? "";
    const drawn = JSON.stringify([names, preferred, own]);
    if (drawn === this.#drawn) return;
    this.#drawn = drawn;
    this.#select.hidden = names.length < 2;
    this.#select.replaceChildren(...choice(modelsOf(names, preferred ?? names[0])).children);
    this.#select.value = own;
  }
}
