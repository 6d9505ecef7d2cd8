// The button that signs out, where one has signed in.

import { forget } from "../storage.js";
import { sessions as words } from "../words/sessions.js";
import { byId } from "./dom.js";

const PATIENCE_MS = 10_000;
const MAY_NOT = 4507;

export class SignOut {
  #button = byId("sign-out");

  /** `problem(words)` is called when it cannot be done. */
  constructor({ connection, deletions, problem }) {
    Object.assign(this, { deletions, problem, leaving: null });
    connection.on("connected", ({ features }) => {
      this.#button.hidden = !features?.includes("sign_in");
    });
    connection.on("state", ({ state, code }) => {
      if (state === "closed" && code === MAY_NOT) this.#button.hidden = false;
    });
    this.#button.addEventListener("click", () => {
      this.leaving = this.#leave();
    });
  }

  // `leaving` is a promise of whether the page is on its way out. Whatever it writes until then is forgotten, too.
  async #leave() {
    this.#button.disabled = true;
    await this.deletions.flush();
    try {
      const answer = await fetch("/api/sign-in", { method: "DELETE", signal: AbortSignal.timeout(PATIENCE_MS) });
      if (!answer.ok) throw new Error(`status ${answer.status}`);
    } catch (error) {
      console.warn("sign-out:", error.message);
      this.#button.disabled = false;
      this.problem(words.signedIn);
      return false;
    }
    addEventListener("pagehide", forget);
    location.replace("/sign-in");
    return true;
  }
}
