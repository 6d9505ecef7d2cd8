// The sessions that this page follows: who is sent which frame, and when one is opened again.
//
// Emits: "folded" {session, transcript, outcome, isSnapshot, caughtUp}: one frame is in; `caughtUp` is true for
// the first one of a connection that left us where the log was. "problem" (a ChatError): a session cannot be opened.

import { Emitter } from "./emitter.js";
import { ChatError } from "./errors.js";
import { Follow } from "./follow.js";

const AGAIN_MS = 1_000;
const FOLDED = new Set(["batch", "snapshot", "reset"]);

export class Follows extends Emitter {
  #connection;
  #follows = new Map();
  #fresh = new Set();

  constructor(connection) {
    super();
    this.#connection = connection;
    connection.on("resume", (ref) => this.#resumed(ref));
    connection.on("connected", () => this.#connected());
    connection.on("frame", (frame) => this.#hear(frame));
  }

  get(id) {
    return this.#follows.get(id);
  }

  /** What a `hello` resumes: the sessions with a cursor. */
  cursors() {
    return [...this.#follows].filter(([, { cursor }]) => cursor).map(([session, { cursor }]) => ({ session, cursor }));
  }

  /** Follow a session. A fresh one, whose id was just made, is opened by its first `say`. */
  follow(id, { isFresh = false } = {}) {
    if (this.#follows.has(id)) return;
    this.#follows.set(id, new Follow(id));
    if (isFresh) this.#fresh.add(id);
    else this.open(id);
  }

  unfollow(id) {
    const wasFresh = this.#fresh.delete(id);
    if (this.#follows.delete(id) && !wasFresh) this.#connection.send("close", { session: id })?.reply.catch(() => {});
  }

  /** Ask for what comes after our cursor; for a snapshot if it is null. Without a connection the next one does. */
  open(id, cursor = this.get(id)?.cursor ?? null) {
    const follow = this.get(id);
    if (!follow) return;
    const sent = this.#connection.send("open", cursor ? { session: id, cursor } : { session: id });
    if (!sent) return;
    follow.opening(sent.ref);
    sent.reply.catch((error) => this.#refused(id, sent.ref, error));
  }

  #resumed(ref) {
    for (const follow of this.#follows.values()) {
      follow.connected();
      if (follow.cursor) follow.opening(ref);
    }
  }

  #connected() {
    for (const [id, { cursor, session }] of this.#follows) {
      if (cursor || (this.#fresh.has(id) && session.at === null)) continue;
      this.open(id);
    }
  }

  /** What is shown of a run is not what its log has: ask for a snapshot. */
  differs(session, run, sha256) {
    console.warn(`run ${run}: the text shown is not the log's; asking for a snapshot`);
    this.#connection.send("differs", { session, run, sha256 })?.reply.catch(() => {});
  }

  /** The first `say` of a fresh session was sent: from now on it is opened like any other. */
  begun(id) {
    this.#fresh.delete(id);
  }

  #refused(id, ref, error) {
    const follow = this.get(id);
    if (error.code === "disconnected" || !follow?.isOpening(ref)) return;
    follow.opening("again");
    if (error.code === "bad_cursor") this.open(id, null);
    else if (error.retry === "no") this.emit("problem", error);
    else setTimeout(() => this.open(id), error.after_ms ?? AGAIN_MS);
  }

  #hear(frame) {
    if (frame.type === "ping") return this.#compare(frame.heads ?? {});
    const follow = this.get(frame.session);
    if (!follow) return;
    if (frame.type === "ok") follow.opened(frame.ref);
    else if (frame.type === "error") this.#refused(frame.session, frame.ref, ChatError.ofFrame(frame));
    else if (FOLDED.has(frame.type)) this.#fold(follow, frame);
  }

  #compare(heads) {
    for (const [id, head] of Object.entries(heads)) if (this.get(id)?.isOff(head)) this.open(id);
  }

  #fold(follow, frame) {
    const wasBehind = !follow.caughtUp;
    const outcome = follow.receive(frame);
    if (outcome === "behind") this.open(frame.session);
    const { session, transcript } = follow;
    const caughtUp = wasBehind && follow.caughtUp;
    this.emit("folded", { session, transcript, outcome, isSnapshot: frame.type === "snapshot", caughtUp });
  }
}
