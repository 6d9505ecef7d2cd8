// What is said where the model is only for trying out: which one answers, and how to connect a real one.
//
// The notice on an empty page goes for good, on this device, when it is dismissed; the link in the head stays.

import { isTrial } from "../welcome.js";
import { trial as words } from "../words/trial.js";
import { copyable } from "./copy.js";
import { byId, focusWriting, make } from "./dom.js";

const DISMISSED = "chat.trial.dismissed";
const ROOMY = "(min-width: 48rem) and (min-height: 46rem)";
const START = ".venv/bin/python -m app";
const LINES = {
  Ollama: `OPENAI_BASE_URL=http://127.0.0.1:11434/v1 ${START}`,
  "llama-server": `OPENAI_BASE_URL=http://127.0.0.1:8080/v1 ${START}`,
  vLLM: `OPENAI_BASE_URL=http://127.0.0.1:8000/v1 ${START} --port 8080`,
  OpenAI: `OPENAI_API_KEY=sk-… MODEL_NAME=gpt-… ${START}`,
};

const line = ([name, text]) => make("li", {}, make("span", { className: "trial-name" }, name), ...copyable(text, name));

export class Trial {
  #notice = byId("trial");
  #open = byId("trial-open");
  #dialog = byId("trial-dialog");

  constructor({ connection, storage }) {
    Object.assign(this, { connection, storage });
    for (const list of document.querySelectorAll(".trial-lines")) list.append(...Object.entries(LINES).map(line));
    byId("trial-more").open = matchMedia(ROOMY).matches;
    this.#open.addEventListener("click", () => this.#dialog.showModal());
    byId("trial-close").addEventListener("click", () => this.#dialog.close());
    byId("trial-dismiss").addEventListener("click", () => this.#dismiss());
    connection.on("connected", () => this.#draw());
  }

  #draw() {
    const { welcome } = this.connection;
    const shown = isTrial(welcome);
    this.#open.hidden = !shown;
    this.#notice.hidden = !shown || this.#isDismissed;
    for (const line of document.querySelectorAll(".trial-words")) {
      line.replaceChildren(make("code", {}, welcome.models[0]), words.answers);
    }
  }

  get #isDismissed() {
    return this.storage?.getItem(DISMISSED) === "yes";
  }

  #dismiss() {
    this.#notice.hidden = true;
    focusWriting();
    try {
      this.storage?.setItem(DISMISSED, "yes");
    } catch (error) {
      console.warn("not remembered on this device:", error.message);
    }
  }
}
