// The button that signs out, where one has signed in.

import { forget } from "../storage.js";
import { byId } from "./dom.js";

export class SignOut {
  #button = byId("sign-out");

  constructor({ connection }) {
    connection.on("connected", ({ features }) => {
      this.#button.hidden = !features?.includes("sign_in");
    });
    this.#button.addEventListener("click", () => this.#leave());
  }

  async #leave() {
    this.#button.disabled = true;
    await fetch("/api/sign-in", { method: "DELETE" }).catch((error) => console.warn("sign-out:", error.message));
    forget();
    location.replace("/sign-in");
  }
}
