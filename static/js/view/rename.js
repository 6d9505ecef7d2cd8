// The dialog in which a conversation is given another title.

import { byId } from "./dom.js";

export class Renaming {
  #dialog = byId("rename-dialog");
  #name = byId("rename-text");

  constructor({ sessions }) {
    this.sessions = sessions;
    this.#dialog.addEventListener("click", ({ target }) => {
      if (target.dataset.answer) this.#dialog.close(target.dataset.answer);
    });
    this.#name.addEventListener("keydown", (event) => this.#entered(event));
  }

  /** Ask for the title of a session that is called `title` now, and have it renamed. */
  async rename(session, title) {
    this.#name.value = title;
    this.#dialog.returnValue = "";
    const closed = new Promise((resolve) => this.#dialog.addEventListener("close", resolve, { once: true }));
    this.#dialog.showModal();
    this.#name.select();
    await closed;
    const given = this.#name.value.trim();
    if (this.#dialog.returnValue === "yes" && given && given !== title) await this.sessions.rename(session, given);
  }

  // Kept from the button that gets the focus back, which would take the same Enter for a press.
  #entered(event) {
    if (event.key !== "Enter" || event.isComposing) return;
    event.preventDefault();
    this.#dialog.close("yes");
  }
}
