// Where one writes. Enter sends, Shift + Enter begins a line, Esc stops; what is typed is never lost.

import { composer as words } from "../words/composer.js";
import { byId, coalesced, focusWriting } from "./dom.js";

export class Composer {
  #form = byId("composer");
  #text = byId("composer-text");
  #send = byId("send");
  #stop = byId("stop");
  #hint = byId("composer-hint");
  #drafts = new Map();
  #session = null;

  /** `said()` is called after something was said; `problem(words)` when it cannot be. */
  constructor({ chat, said, problem }) {
    Object.assign(this, { chat, said, problem });
    const draw = coalesced(() => this.#draw());
    chat.on("change", (id) => id === chat.session?.session && draw());
    chat.on("refused", ({ say }) => this.putBack(say.session, say.text));
    this.#form.addEventListener("submit", (event) => (event.preventDefault(), this.#say()));
    this.#text.addEventListener("input", () => this.#typed());
    this.#text.addEventListener("keydown", (event) => this.#pressed(event));
    this.#stop.addEventListener("click", () => this.#stopRun());
    document.addEventListener("keydown", (event) => this.#escaped(event));
    addEventListener("resize", () => this.#fit());
  }

  /** Change to a session: each keeps its own draft. */
  show(id) {
    if (this.#session) this.#drafts.set(this.#session, this.#text.value);
    this.#session = id;
    this.#text.value = this.#drafts.get(id) ?? "";
    this.#drafts.delete(id);
    this.#typed();
    this.#draw();
    focusWriting();
  }

  /** Give a text that was refused back to the person, before what was typed since. */
  putBack(session, text) {
    const isHere = session === this.#session;
    const typed = isHere ? this.#text.value : (this.#drafts.get(session) ?? "");
    const whole = typed ? `${text}\n\n${typed}` : text;
    if (!isHere) return this.#drafts.set(session, whole);
    this.#text.value = whole;
    this.#typed();
  }

  #say() {
    const text = this.#text.value.trimEnd();
    if (!text.trim()) return;
    const why = this.chat.say(text);
    if (why) return this.problem(why);
    this.#text.value = "";
    this.#typed();
    this.#text.focus();
    this.said();
  }

  #stopRun() {
    const { run } = this.chat.session ?? {};
    if (run) this.chat.stop(run.id);
    focusWriting();
  }

  // An input method's Enter chooses a word: `isComposing`, or the key code 229 that Safari sends after it.
  #pressed(event) {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === 229) return;
    event.preventDefault();
    this.#say();
  }

  #escaped(event) {
    if (event.key !== "Escape" || event.defaultPrevented || event.isComposing) return;
    if (document.querySelector("dialog[open]")) return;
    if (this.chat.session?.run) this.#stopRun();
  }

  #typed() {
    this.#send.disabled = !this.#text.value.trim();
    this.#fit();
  }

  // The ceiling is the style sheet's max-height.
  #fit() {
    this.#text.style.height = "auto";
    this.#text.style.height = `${this.#text.scrollHeight}px`;
  }

  #draw() {
    const { run } = this.chat.session ?? {};
    const isStopping = Boolean(run) && this.chat.isStopping(run.id);
    this.#stop.hidden = !run;
    this.#stop.disabled = isStopping;
    this.#stop.textContent = isStopping ? words.stopping : words.stop;
    this.#send.textContent = run ? words.queue : words.send;
    this.#hint.textContent = run ? words.busy : words.hint;
  }
}
