// What this page said and cannot yet forget: each `say` is kept until its run ends.
//
// It is sent again, under the same id, after a reconnect and when a snapshot lacks its turn; the server makes one run
// of it however often it comes. It is kept in the tab's storage, so a reload in the middle loses nothing either.
// Emits: "change" (a session), "refused" ({say, error}: it will not be sent again, its text goes back to the person),
// "resync" (a session). `problem` of a say tells in words why it waits.

import { compare } from "./cursor.js";
import { Emitter } from "./emitter.js";
import { newId } from "./ids.js";
import { backoff_ms } from "./retry.js";
import { ofError } from "./words.js";

const KEY = "chat.says";
const KEPT_COUNT = 50;

const isLive = (session, say) =>
  session.run?.id === say.run || session.queued.some(({ run }) => run === say.run);

const turnOf = (session, say) =>
  session.turns.findLast(({ id }) => id === say.id) ?? session.queued.find(({ id }) => id === say.id);

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
    for (const { session, id, text } of this.#load()) this.#keep(session, id, text);
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

  say(session, text) {
    const say = this.#keep(session, newId(), text);
    this.#save();
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

  forget(session) {
    for (const say of this.of(session)) this.#drop(say);
  }

  // Without a connection it stays: whoever connects again calls restore().
  async #deliver(say) {
    if (say.flying || !this.#all.has(say.id)) return;
    const { session, id, text } = say;
    const sent = this.#send("say", { session, id, text });
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
    Object.assign(say, { run, problem: null, tries: 0 });
    const session = this.#find(say.session);
    if (session?.at && compare(session.at, at) >= 0 && !isLive(session, say)) this.#drop(say);
    this.emit("change", say.session);
  }

  #postpone(say, error) {
    if (!this.#all.has(say.id)) return;
    if (error.retry === "no") {
      this.#drop(say);
      this.emit("refused", { say, error });
      return;
    }
    if (error.code !== "disconnected") say.problem = ofError(error);
    if (error.retry === "resync") this.emit("resync", say.session);
    const wait_ms = Math.max(error.after_ms ?? 0, 250 + backoff_ms(say.tries++, Math.random()));
    setTimeout(() => this.#deliver(say), wait_ms);
    this.emit("change", say.session);
  }

  #keep(session, id, text) {
    const say = { session, id, text, run: null, flying: false, tries: 0, problem: null };
    this.#all.set(id, say);
    return say;
  }

  #drop(say) {
    this.#all.delete(say.id);
    this.#save();
    this.emit("change", say.session);
  }

  #load() {
    try {
      return JSON.parse(this.#storage?.getItem(KEY) ?? "[]");
    } catch (error) {
      console.warn("what was kept in this tab cannot be read:", error.message);
      return [];
    }
  }

  #save() {
    try {
      const kept = [...this.#all.values()].map(({ session, id, text }) => ({ session, id, text }));
      this.#storage?.setItem(KEY, JSON.stringify(kept));
    } catch (error) {
      console.warn("what was said cannot be kept in this tab:", error.message);
    }
  }
}
