// Saving conversations as files: from a line's menu, and all of them from the foot of the list.

import { save } from "../exports.js";
import { ofError } from "../words.js";
import { sessions as words } from "../words/sessions.js";
import { byId } from "./dom.js";
import { showMenu } from "./menu.js";

export class Saving {
  /** `problem(words)` is called when it cannot be done. */
  constructor({ problem }) {
    this.problem = problem;
    const button = byId("export-all");
    const item = (format, label) => ({ words: label, does: () => this.#save(null, words.all, format) });
    const items = [item("markdown", words.asMarkdown), item("json", words.asJson)];
    button.addEventListener("click", () => showMenu(button, items));
  }

  one({ id, title }, format) {
    return this.#save(id, title || words.untitled, format);
  }

  async #save(id, title, format) {
    try {
      await save(id, title, format);
      byId("announce").textContent = words.saved(title);
    } catch (error) {
      this.problem(words.unsaved(ofError(error)));
    }
  }
}
