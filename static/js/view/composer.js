// Where one writes. Enter sends, Shift + Enter begins a line, Esc stops; what is typed is never lost.
//
// While an answer runs, Enter queues what is written, and Ctrl/Cmd + Enter sends it now, which stops the answer.
// ArrowUp in an empty field takes the last message up again. Tabs that show one conversation share its draft, as long
// as only one of them is written in.

import { ComposerBar } from "./composer_bar.js";
import { byId, coalesced, focusWriting } from "./dom.js";

/** An input method's key chooses a word: `isComposing`, or the key code 229 that Safari sends after it. */
const isComposed = (event) => event.isComposing || event.keyCode === 229;

export class Composer {
  #form = byId("composer");
  #text = byId("composer-text");
  #bar = new ComposerBar({ interrupt: () => this.#say("interrupt"), stop: () => this.#stopRun() });
  #session = null;
  #key = "";
  #isTyped = false;
  #isKnown = false;

  /** `said()` is called after something was said; `problem(words)` when it cannot be; `edit(id)` edits a turn. */
  constructor({ chat, drafts, said, problem, edit }) {
    Object.assign(this, { chat, drafts, said, problem, edit });
    const draw = coalesced(() => this.#draw());
    chat.on("change", (id) => id === chat.session?.session && draw());
    chat.on("returned", ({ session, text }) => this.putBack(session, text));
    drafts.on("change", () => this.#isTyped || this.#take());
    this.#form.addEventListener("submit", (event) => (event.preventDefault(), this.#say()));
    this.#text.addEventListener("input", () => this.#typed());
    this.#text.addEventListener("keydown", (event) => this.#pressed(event));
    document.addEventListener("keydown", (event) => this.#escaped(event));
    addEventListener("resize", () => this.#fit());
  }

  /** Change to a session; `isFresh` if it has not begun. Each keeps its own draft. */
  show(id, { isFresh = false } = {}) {
    const isEarly = this.#session === null && this.#text.value;
    this.#session = id;
    this.#key = isFresh ? "" : id;
    if (isEarly) this.#typed(); // before there was a script
    else this.#take();
    focusWriting();
  }

  /** It is known who is here: their drafts may be seen, and kept. */
  known() {
    const typed = this.#isTyped ? this.#text.value : "";
    this.#isKnown = true;
    if (!typed) return this.#isTyped || this.#take();
    const draft = this.drafts.of(this.#key);
    if (draft && draft !== typed) this.putBack(this.#session, draft);
    else this.#typed();
  }

  /** Give a text back to the person, before what was typed since. */
  putBack(session, text) {
    const isHere = session === this.#session;
    const typed = isHere ? this.#text.value : this.drafts.of(session);
    const whole = typed ? `${text}\n\n${typed}` : text;
    if (!isHere) return this.drafts.set(session, whole);
    this.#text.value = whole;
    this.#typed();
  }

  #take() {
    this.#text.value = this.#isKnown ? this.drafts.of(this.#key) : "";
    this.#isTyped = false;
    this.#shape();
  }

  #say(when_busy = "queue") {
    const text = this.#text.value.trimEnd();
    if (!text.trim()) return;
    const why = this.chat.say(text, when_busy);
    if (why) return this.problem(why);
    this.#text.value = "";
    this.#typed();
    this.drafts.flush();
    this.#key = this.#session;
    this.#isTyped = false;
    this.#text.focus();
    this.said();
  }

  #stopRun() {
    const { run } = this.chat.session ?? {};
    if (run) this.chat.deeds.stop(run.id);
    focusWriting();
  }

  #pressed(event) {
    if (isComposed(event)) return;
    if (event.key === "ArrowUp" && !this.#text.value && !event.shiftKey) return this.#recall(event);
    if (event.key !== "Enter" || event.shiftKey) return;
    event.preventDefault();
    this.#say(event.ctrlKey || event.metaKey ? "interrupt" : "queue");
  }

  // What waits is taken back into the field; what stands is edited in its place.
  async #recall(event) {
    const { session, queued = [], turns = [] } = this.chat.session ?? {};
    if (this.chat.unseen.length) return;
    const [waiting, last] = [queued.at(-1), turns.findLast(({ role }) => role === "user")];
    if (!waiting && !last) return;
    event.preventDefault();
    if (!waiting) return this.edit(last.id);
    if (await this.chat.deeds.stop(waiting.run)) this.putBack(session, waiting.text);
  }

  #escaped(event) {
    if (event.key !== "Escape" || event.defaultPrevented || isComposed(event)) return;
    if (document.querySelector("dialog[open]")) return;
    if (this.chat.session?.run) this.#stopRun();
  }

  #typed() {
    this.#isTyped = true;
    if (this.#isKnown) this.drafts.set(this.#key, this.#text.value);
    this.#shape();
  }

  #shape() {
    this.#draw();
    this.#fit();
  }

  // The ceiling is the style sheet's max-height.
  #fit() {
    this.#text.style.height = "auto";
    this.#text.style.height = `${this.#text.scrollHeight}px`;
  }

  #draw() {
    const run = this.chat.session?.run ?? null;
    const isStopping = Boolean(run) && this.chat.deeds.isStopping(run.id);
    this.#bar.show({ run, isStopping, isEmpty: !this.#text.value.trim() });
  }
}
