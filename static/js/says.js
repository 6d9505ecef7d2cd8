// What this page said and cannot yet forget: each `say` is kept until its run ends.
//
// It is sent again, under the same id, after a reconnect and when a snapshot lacks its turn; the server makes one run
// of it however often it comes. It is kept in the tab's storage, so a reload in the middle loses nothing either.
// Emits: "change" (a session), "refused" ({say, error}: it will not be sent again), "returned" (a say: its text goes back
// to the person), "resync" (a session). A say that was refused for now has `problem` (why, in words), `due` (when it is
// sent again, as of Date.now()) and `mayHurry` (whether it may be sent before).

import { compare } from "./cursor.js";
import { Emitter } from "./emitter.js";
import { newId } from "./ids.js";
import { backoff_ms } from "./retry.js";
import { isLive, load, save, turnOf } from "./said.js";
import { ofError } from "./words.js";

const KEPT_COUNT = 50;
const COUNTED = new Set(["rate_limited", "quota_exceeded"]); // there is no use in asking before the time

export class Says extends Emitter {
  #all = new Map();
  #send;
  #find;
  #storage;

  /** `send(type, fields)` as of Connection; `find(id)` a session or undefined; `storage` as sessionStorage, or null. */
  constructor({ send, find, storage }) {
    super();
    this.#send = send;
    this.#find = find;
    this.#storage = storage;
    for (const said of load(storage)) this.#keep(said);
  }

  get isFull() {
    return this.#all.size >= KEPT_COUNT;
  }

  sessions() {
    return new Set([...this.#all.values()].map(({ session }) => session));
  }

  of(session) {
    return [...this.#all.values()].filter((say) => say.session === session);
  }

  /** Those of a session whose turn its log does not show yet. */
  unseen(session) {
    return this.of(session.session).filter((say) => !turnOf(session, say));
  }

  /** Say it; `when_busy` and `model` as in the protocol. */
  say(session, text, { when_busy, model }) {
    const say = this.#keep({ session, id: newId(), text, when_busy, model });
    save(this.#storage, this.#all.values());
    this.#deliver(say);
    this.emit("change", session);
  }

  /** After a batch: those whose run has ended are done with. */
  settle(session, over) {
    for (const say of this.of(session.session)) {
      say.run ??= turnOf(session, say)?.run ?? null;
      if (over.includes(say.run)) this.#drop(say);
    }
  }

  /** After a snapshot, or when a connection has caught up: settle what is over, send again what is missing or all. */
  restore(session, { everything }) {
    for (const say of this.of(session.session)) {
      const turn = turnOf(session, say);
      say.run = turn?.run ?? say.run;
      if (turn && !isLive(session, say)) this.#drop(say);
      else if (!turn || everything) this.#deliver(say);
    }
  }

  /** Send one now that waits for its time. */
  hurry(id) {
    const say = this.#all.get(id);
    if (say) this.#deliver(say);
  }

  /** Take one back that was refused for now: its text goes back to the person. */
  takeBack(id) {
    const say = this.#all.get(id);
    if (say?.problem && !say.flying) this.#giveBack(say);
  }

  forget(session) {
    for (const say of this.of(session)) this.#drop(say);
  }

  // Without a connection it stays: whoever connects again calls restore().
  async #deliver(say) {
    if (say.flying || !this.#all.has(say.id)) return;
    clearTimeout(say.timer);
    const { session, id, text, when_busy, model } = say;
    const sent = this.#send("say", { session, id, text, when_busy, model });
    if (!sent) return;
    say.flying = true;
    try {
      this.#accept(say, await sent.reply);
    } catch (error) {
      this.#postpone(say, error);
    } finally {
      say.flying = false;
    }
  }

  #accept(say, { run, at }) {
    Object.assign(say, { run, problem: null, due: null, tries: 0 });
    const session = this.#find(say.session);
    if (session?.at && compare(session.at, at) >= 0 && !isLive(session, say)) this.#drop(say);
    this.emit("change", say.session);
  }

  #postpone(say, error) {
    if (!this.#all.has(say.id)) return;
    if (error.retry === "no") {
      this.emit("refused", { say, error });
      this.#giveBack(say);
      return;
    }
    if (error.code !== "disconnected") say.problem = ofError(error);
    if (error.retry === "resync") this.emit("resync", say.session);
    const wait_ms = Math.max(error.after_ms ?? 0, 250 + backoff_ms(say.tries++, Math.random()));
    Object.assign(say, { due: Date.now() + wait_ms, mayHurry: !COUNTED.has(error.code) });
    say.timer = setTimeout(() => this.#deliver(say), wait_ms);
    this.emit("change", say.session);
  }

  #giveBack(say) {
    this.#drop(say);
    this.emit("returned", say);
  }

  #keep({ session, id, text, when_busy, model }) {
    const say = { session, id, text, when_busy, model, run: null, flying: false, tries: 0, problem: null, due: null };
    this.#all.set(id, say);
    return say;
  }

  #drop(say) {
    this.#all.delete(say.id);
    save(this.#storage, this.#all.values());
    this.emit("change", say.session);
  }
}
