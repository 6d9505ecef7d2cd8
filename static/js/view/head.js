// The head of the page: the title, the connection in words, rename and delete.

import { ofConnection } from "../words.js";
import { sessions as words } from "../words/sessions.js";
import { byId, coalesced } from "./dom.js";

/** Show a <dialog> and resolve to whether it was answered with yes. */
function confirmed(dialog) {
  return new Promise((resolve) => {
    dialog.returnValue = "";
    dialog.onclick = ({ target }) => target.dataset.answer && dialog.close(target.dataset.answer);
    dialog.onclose = () => resolve(dialog.returnValue === "yes");
    dialog.showModal();
  });
}

export class Head {
  #title = byId("title");
  #status = byId("status");
  #actions = byId("session-actions");
  #renaming = byId("rename-dialog");
  #deleting = byId("delete-dialog");
  #name = byId("rename-text");

  /** `left()` is called when the open session was deleted here. */
  constructor({ chat, sessions, connection, left }) {
    Object.assign(this, { chat, sessions, connection, left });
    const draw = coalesced(() => this.#draw());
    chat.on("change", draw);
    sessions.on("change", draw);
    connection.on("state", () => this.#tell());
    byId("rename").addEventListener("click", () => this.#rename());
    byId("delete").addEventListener("click", () => this.#delete());
    this.#name.addEventListener("keydown", (event) => this.#entered(event));
  }

  // Kept from the button that gets the focus back, which would take the same Enter for a press.
  #entered(event) {
    if (event.key !== "Enter" || event.isComposing) return;
    event.preventDefault();
    this.#renaming.close("yes");
  }

  #tell() {
    document.documentElement.dataset.connection = this.connection.state;
    this.#status.textContent = ofConnection(this.connection, navigator.onLine);
  }

  get #titleNow() {
    const { session } = this.chat;
    return session?.title || this.sessions.get(session?.session)?.title || "";
  }

  #draw() {
    const { session } = this.chat;
    const title = this.#titleNow || words.untitled;
    this.#title.textContent = title;
    document.title = session?.run ? `… ${title}` : title;
    this.#actions.hidden = !session || session.gone || !(session.turns.length || session.run || session.queued.length);
  }

  async #rename() {
    const { session } = this.chat.session;
    this.#name.value = this.#titleNow;
    const answer = confirmed(this.#renaming);
    this.#name.select();
    const title = (await answer) && this.#name.value.trim();
    if (title) await this.sessions.rename(session, title);
  }

  async #delete() {
    const { session } = this.chat.session;
    byId("delete-words").textContent = words.deleting(this.#titleNow || words.untitled);
    if ((await confirmed(this.#deleting)) && (await this.sessions.delete(session))) this.left(session);
  }
}
