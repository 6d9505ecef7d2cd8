// The buttons beside the field where one writes, and the line under it: what can be done now, and by which key.

import { composer as words } from "../words/composer.js";
import { IS_APPLE, byId } from "./dom.js";

export class ComposerBar {
  #send = byId("send");
  #interrupt = byId("interrupt");
  #stop = byId("stop");
  #hint = byId("composer-hint");

  /** `interrupt()` and `stop()` are called when their buttons are pressed. */
  constructor({ interrupt, stop }) {
    this.#interrupt.addEventListener("click", interrupt);
    this.#stop.addEventListener("click", stop);
  }

  /** Show what can be done while `run` (or null) is there. One that is held ends when something is said. */
  show({ run, isStopping, isEmpty }) {
    const isRunning = run?.state === "running";
    this.#stop.hidden = !run;
    this.#stop.disabled = isStopping;
    this.#stop.textContent = isStopping ? words.stopping : words.stop;
    this.#send.disabled = isEmpty;
    this.#send.textContent = isRunning ? words.queue : words.send;
    this.#interrupt.hidden = !isRunning || isEmpty;
    this.#hint.textContent = isRunning ? words.busy(IS_APPLE ? words.command : words.control) : run ? words.waits : words.hint;
  }
}
