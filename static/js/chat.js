// The open session, and what a person can do in it.
//
// Views call its methods and read `session`, `unseen`, `served`, `isStopping`; they never see a frame or the socket.
// Emits: "change" (a session id), "answered" ({session, turn}), "refused" ({say, error}), "problem" (words).

import { Deeds } from "./deeds.js";
import { differing } from "./digest.js";
import { Emitter } from "./emitter.js";
import { Follows } from "./follows.js";
import { number } from "./language.js";
import { Says } from "./says.js";
import { excess, offers } from "./welcome.js";
import { ofError } from "./words.js";
import { answers } from "./words/answers.js";

const HISTORY_TURNS = 50;

export class Chat extends Emitter {
  #connection;
  #follows;
  #says;
  #stopping = new Set();
  #current = null;

  constructor({ connection, storage }) {
    super();
    this.#connection = connection;
    this.deeds = new Deeds({ ask: this.#ask.bind(this), settled: this.#settled.bind(this) });
    this.#follows = new Follows(connection);
    this.#follows.on("folded", (folded) => this.#folded(folded));
    this.#follows.on("problem", (words) => this.emit("problem", words));
    const find = (id) => this.#follows.get(id)?.session;
    this.#says = new Says({ send: connection.send.bind(connection), storage, find });
    this.#says.on("change", (id) => this.#changed(id));
    this.#says.on("refused", (refused) => this.emit("refused", refused));
    this.#says.on("resync", (id) => this.#follows.open(id, null));
    for (const id of this.#says.sessions()) this.#follows.follow(id);
  }

  get session() {
    return this.#follows.get(this.#current)?.session ?? null;
  }

  /** What was said here and is not in the log yet, as far as we know. */
  get unseen() {
    return this.session ? this.#says.unseen(this.session) : [];
  }

  /** What a `hello` resumes. */
  cursors() {
    return this.#follows.cursors();
  }

  served(run) {
    return this.#follows.get(this.#current)?.transcript.served(run);
  }

  /** Whether the node that serves us offers one of the deeds: again, carryOn or decide. */
  can(deed) {
    return offers(this.#connection.welcome, deed);
  }

  isStopping(run) {
    return this.#stopping.has(run);
  }

  /** Show this session from now on; `isFresh` if its id was just made and nobody can have used it. */
  show(id, { isFresh }) {
    const before = this.#current;
    this.#current = id;
    this.#release(before);
    this.#follows.follow(id, { isFresh });
    this.#changed(id);
  }

  /** Say it in the open session. Return null, or in words why it cannot be said. */
  say(text) {
    const over = excess(this.#connection.welcome, text);
    if (over > 0) return answers.tooLong(number(over));
    if (this.#says.isFull) return answers.tooMany;
    this.#follows.begun(this.#current);
    this.#says.say(this.#current, text.toWellFormed?.() ?? text);
    return null;
  }

  /** Stop a run, or take a queued one out of the queue. */
  async stop(run) {
    if (this.#stopping.has(run)) return;
    this.#stopping.add(run);
    this.#changed(this.#current);
    const ok = await this.#ask("stop", { run });
    if (!ok && this.#stopping.delete(run)) this.#changed(this.#current);
  }

  /** Bring the turns before the first one that is shown. */
  async earlier() {
    const follow = this.#follows.get(this.#current);
    const before = follow?.session.turns[0]?.id;
    const ok = before && (await this.#ask("history", { before, limit: HISTORY_TURNS }));
    if (ok && follow.transcript.prepend(before, ok.turns, ok.more)) this.#changed(follow.session.session);
  }

  async #ask(type, fields) {
    try {
      return await this.#connection.ask(type, { session: this.#current, ...fields });
    } catch (error) {
      this.emit("problem", ofError(error));
      return null;
    }
  }

  async #settled(type, fields) {
    try {
      return await this.#connection.ask(type, { session: this.#current, ...fields });
    } catch (error) {
      return { why: ofError(error) };
    }
  }

  #folded({ session, transcript, outcome, isSnapshot, caughtUp }) {
    const { ended, over } = transcript.takeEnded();
    for (const run of over) this.#stopping.delete(run);
    this.#says.settle(session, over);
    if (session.gone) this.#says.forget(session.session);
    else if (caughtUp || isSnapshot) this.#says.restore(session, { everything: caughtUp });
    for (const end of ended) this.#check(session, end);
    if (outcome === "applied") this.#changed(session.session);
  }

  async #check(session, end) {
    const turn = session.turns.findLast(({ id }) => id === end.run);
    if (turn) this.emit("answered", { session: session.session, turn });
    const sha256 = await differing(end.text, end);
    if (sha256 === null) return;
    console.warn(`run ${end.run}: the text shown is not the log's; asking for a snapshot`);
    this.#connection.send("differs", { session: session.session, run: end.run, sha256 })?.reply.catch(() => {});
  }

  #changed(id) {
    this.#release(id);
    this.emit("change", id);
  }

  // A session that is not shown is followed only while something that was said in it has not ended.
  #release(id) {
    if (id !== this.#current && !this.#says.of(id).length) this.#follows.unfollow(id);
  }
}
