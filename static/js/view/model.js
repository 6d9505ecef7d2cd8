// Which model answers in the open conversation: a choice in the head, where there is one.

import { preferences as words } from "../words/preferences.js";
import { byId, coalesced } from "./dom.js";
import { choice } from "./field.js";

export class ModelChoice {
  #select = byId("model");
  #drawn = "";

  constructor({ chat, models }) {
    Object.assign(this, { chat, models });
    const draw = coalesced(() => this.#draw());
    models.on("change", draw);
    chat.on("change", draw);
    this.#select.addEventListener("change", () => this.#choose(this.#select.value));
  }

  async #choose(model) {
    const why = await this.chat.set({ model });
    if (why) this.chat.emit("problem", { code: "", message: why });
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
    const usual = [["", words.usual(preferred ?? names[0])], ...names.map((name) => [name, name])];
    this.#select.replaceChildren(...choice(usual).children);
    this.#select.value = own;
  }
}
