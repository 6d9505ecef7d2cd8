// The open session, and what a person can do in it.
//
// Views call its methods and its deeds, and read `session`, `unseen`, `served`; they never see a frame or the socket.
// Emits: "change" (a session id), "answered" ({session, turn}), "refused" ({say, error}), "returned" (a say),
// "problem" (a ChatError).

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
  #models;
  #says;
  #choosing = new Map(); // by session: the model that it is being given, "" for none
  #current = null;

  constructor({ connection, models, storage }) {
    super();
    this.#connection = connection;
    this.#models = models;
    this.#follows = new Follows(connection);
    this.#follows.on("folded", (folded) => this.#folded(folded));
    this.#follows.on("problem", (error) => this.emit("problem", error));
    const find = (id) => this.#follows.get(id)?.session;
    this.#says = new Says({ send: connection.send.bind(connection), storage, find });
    this.#says.on("change", (id) => this.#changed(id));
    for (const told of ["refused", "returned"]) this.#says.on(told, (of) => this.emit(told, of));
    this.#says.on("resync", (id) => this.#follows.open(id, null));
    const deeds = { ask: this.#ask.bind(this), settled: this.#settled.bind(this), changed: () => this.#changed(this.#current) };
    this.deeds = new Deeds({ ...deeds, says: this.#says, model: () => this.model });
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

  /** The models that may be asked, by name. */
  get models() {
    return this.#models.names;
  }

  /** Show this session from now on; `isFresh` if its id was just made and nobody can have used it. */
  show(id, { isFresh }) {
    const before = this.#current;
    this.#current = id;
    this.#release(before);
    this.#follows.follow(id, { isFresh });
    this.#changed(id);
  }

  /** Say it in the open session, after what runs there (`queue`) or in its place (`interrupt`). Return null, or in words why not. */
  say(text, when_busy = "queue") {
    const over = excess(this.#connection.welcome, text);
    if (over > 0) return answers.tooLong(number(over));
    if (this.#says.isFull) return answers.tooMany;
    this.#follows.begun(this.#current);
    this.#says.say(this.#current, text.toWellFormed?.() ?? text, { when_busy, model: this.model });
    return null;
  }

  /** Which model is to be asked, where the conversation does not say; null: the usual one. */
  get model() {
    return (this.#choosing.get(this.#current) ?? this.session?.settings?.model) ? null : this.#models.preferred;
  }

  /** Give the open session settings of its own; "" takes one back. Resolve to null, or in words to why it has not. */
  async set(fields) {
    const [id, isNew] = [this.#current, this.session?.at === null];
    this.#follows.begun(id);
    if ("model" in fields) this.#choosing.set(id, fields.model);
    const { why = null } = await this.#settled("set", fields);
    if (why) this.#choosing.delete(id);
    if (!why && isNew) this.#follows.open(id);
    return why;
  }

  /** Bring the turns before the first one that is shown. */
  async earlier() {
    const follow = this.#follows.get(this.#current);
    const before = follow?.session.turns[0]?.id;
    const ok = before && (await this.#ask("history", { before, limit: HISTORY_TURNS }));
    if (ok && follow.transcript.prepend(before, ok.turns, ok.more)) this.#changed(follow.session.session);
  }

  #reply(type, fields) {
    return this.#connection.ask(type, { session: this.#current, ...fields });
  }

  #ask(type, fields) {
    return this.#reply(type, fields).catch((error) => (this.emit("problem", error), null));
  }

  #settled(type, fields) {
    return this.#reply(type, fields).catch((error) => ({ why: ofError(error) }));
  }

  #folded({ session, transcript, outcome, isSnapshot, caughtUp }) {
    const { ended, over } = transcript.takeEnded();
    this.deeds.over(over);
    this.#says.settle(session, over);
    if (session.gone) this.#says.forget(session.session);
    else if (caughtUp || isSnapshot) this.#says.restore(session, { everything: caughtUp });
    if (this.#choosing.get(session.session) === (session.settings?.model ?? "")) this.#choosing.delete(session.session);
    for (const end of ended) this.#check(session, end);
    if (outcome === "applied") this.#changed(session.session);
  }

  async #check(session, end) {
    const turn = session.turns.findLast(({ id }) => id === end.run);
    if (turn) this.emit("answered", { session: session.session, turn });
    const sha256 = await differing(end.text, end);
    if (sha256 !== null) this.#follows.differs(session.session, end.run, sha256);
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
