// What a person can ask of a turn or a run of the open session, besides saying something.
//
// `ask(type, fields)` resolves to the reply, or null once the problem was told. What has a field beside it where the
// problem is better told takes `settled` instead, which resolves to the reply, or to {why}: the problem in words.
// `changed()` is called when `isStopping` has another answer.

import { newId } from "./ids.js";

export class Deeds {
  #stopping = new Set();

  constructor({ ask, settled, changed, says, model }) {
    Object.assign(this, { ask, settled, changed, says, model });
  }

  /** Stop a run, or take a queued one out of the queue. Resolve to whether that was done now. */
  async stop(run) {
    if (this.#stopping.has(run)) return false;
    this.#stopping.add(run);
    this.changed();
    const ok = await this.ask("stop", { run });
    if (!ok && this.#stopping.delete(run)) this.changed();
    return Boolean(ok);
  }

  isStopping(run) {
    return this.#stopping.has(run);
  }

  /** These runs have ended: none is stopping any more. */
  over(runs) {
    for (const run of runs) this.#stopping.delete(run);
  }

  /** Settle an approval: allow, deny (`reason`) or edit (`arguments`). Resolve to the reply, or {why}. */
  decide(run, call, decision, more = {}) {
    return this.settled("answer", { run, call, decision, ...more });
  }

  /** Send what was said now, though its time to be sent again has not come. */
  hurry(say) {
    this.says.hurry(say);
  }

  /** Take back what was said and was refused for now. */
  takeBack(say) {
    this.says.takeBack(say);
  }

  pause(run) {
    return this.ask("pause", { run });
  }

  carryOn(run) {
    return this.ask("resume", { run });
  }

  /** Answer this person's turn anew, by another model if one is named. */
  again(turn, model = this.model()) {
    return this.ask("again", { id: newId(), turn, model });
  }

  /** Put `text` in the place of this person's turn and all that followed. Resolve to the reply, or {why}. */
  edit(turn, text) {
    return this.settled("edit", { id: newId(), turn, text, model: this.model() });
  }

  /** Think `value` (up, down) of this answer; null takes it back. */
  rate(turn, value) {
    return this.ask("rate", value ? { turn, value } : { turn });
  }

  /** Resolve to the turns whose place this one took, or null. */
  async replaced(turn) {
    return (await this.ask("history", { turn }))?.turns ?? null;
  }
}
