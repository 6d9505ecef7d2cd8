// Following one session: its transcript, and whether an `open` of ours is still unanswered.
//
// Pure: it says what to do ("behind" means: send `open` with `cursor`), and is told what was sent.
// From an `open` until its `ok`, batches of the session are ignored: they belong to the place that we left.

import { same } from "./cursor.js";
import { Transcript } from "./transcript.js";

export class Follow {
  #openRef = null;

  constructor(session) {
    this.transcript = new Transcript(session);
    this.caughtUp = false;
  }

  get session() {
    return this.transcript.session;
  }

  get cursor() {
    return this.session.at;
  }

  /** Begin anew on another connection: nothing was asked there yet, nothing passed. */
  connected() {
    this.transcript.connected();
    this.#openRef = null;
    this.caughtUp = false;
  }

  /** An `open` (or a `hello` that resumes) was sent under this ref; the last one counts. */
  opening(ref) {
    this.#openRef = ref;
  }

  /** The `open` with this ref was answered. Call it in order with the frames, not later. */
  opened(ref) {
    if (this.#openRef === ref) this.#openRef = null;
  }

  /** Whether the `open` with this ref is the one that we wait for. */
  isOpening(ref) {
    return this.#openRef === ref;
  }

  /** Fold one frame in. Return "applied", "ignored" or "behind". */
  receive(frame) {
    const waits = this.#openRef !== null;
    if (waits && frame.type === "batch") return "ignored";
    const outcome = this.transcript.apply(frame);
    if (!waits && outcome !== "behind" && frame.type !== "reset") this.caughtUp = true;
    return outcome;
  }

  /** Whether a heartbeat's head shows that we are not where the log is, in either direction. */
  isOff(head) {
    return this.#openRef === null && !same(head, this.cursor);
  }
}
