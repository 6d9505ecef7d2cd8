// A session as one reader knows it: the fold of its snapshots, batches and resets.
//
// Pure: no DOM, no socket, no clock. The client's one rule lives here:
//   a batch whose `after` is my cursor is applied, and its `at` becomes my cursor;
//   one whose `at` is my cursor, or one that I passed on this connection, is ignored;
//   anything else means that I am behind: whoever owns me opens the session with my cursor (follow.js).
// Without a cursor, the first batch's `after` becomes mine. Between a reset and its snapshot nothing is applied.
//
// A turn object is never changed once it is in `turns`, so a view may compare by identity.

import { same } from "./cursor.js";
import { FOLD, arrange, isUnfoldable, keptBySnapshot } from "./entries.js";

const PASSED_COUNT = 1024;
const SERVED_COUNT = 500;

export const emptySession = (session) => ({
  session, at: null, title: "", turns: [], queued: [], run: null, more: false, gone: false,
});

export class Transcript {
  #passed = new Set();
  #awaitsSnapshot = false;
  #aside = { kept: null, cut: null, ended: [], over: [], served: new Map() };

  constructor(session) {
    this.session = emptySession(session);
  }

  /** Forget the cursors that were passed: they belong to the connection that is no more. */
  connected() {
    this.#passed.clear();
  }

  /** Fold one frame in. Return "applied", "ignored" or "behind". */
  apply(frame) {
    switch (frame.type) {
      case "snapshot": return this.#replace(frame);
      case "reset": return this.#reset();
      case "batch": return this.#batch(frame);
      default: return "ignored";
    }
  }

  /** Put older turns, which `history` brought, before the first that we have. Return whether they still fit there. */
  prepend(before, turns, more) {
    if (this.session.turns[0]?.id !== before) return false;
    this.session.turns = [...turns, ...this.session.turns];
    this.session.more = more;
    return true;
  }

  /** Take what ended since the last call: {ended: [{run, text, length, sha256}], over: [run id]}. */
  takeEnded() {
    const { ended, over } = this.#aside;
    Object.assign(this.#aside, { ended: [], over: [] });
    return { ended, over };
  }

  /** Who answered: {node, model, attempt}, or undefined for a run that this reader never saw alive. */
  served(run) {
    return this.#aside.served.get(run);
  }

  // A snapshot disowns what was passed: a lost tail may be put back under its old ids, and must then be applied again.
  #replace({ at, title, turns, queued, run, more, settings }) {
    const copy = structuredClone({ turns: turns ?? [], queued: queued ?? [], run: run ?? null });
    Object.assign(this.session, { at, title: title ?? "", more: Boolean(more), gone: false }, copy);
    arrange(this.session, { ...settings });
    this.#awaitsSnapshot = false;
    Object.assign(this.#aside, { kept: keptBySnapshot(run), cut: null });
    this.#passed.clear();
    if (run) this.#aside.served.set(run.id, { node: run.node, model: run.model, attempt: run.attempt });
    this.#pass(at);
    return "applied";
  }

  #reset() {
    this.session.at = null;
    this.#awaitsSnapshot = true;
    return "applied";
  }

  #batch({ after, at, entries }) {
    if (this.#awaitsSnapshot) return "ignored";
    if (this.session.at === null) {
      this.session.at = after;
      this.#pass(after);
    }
    if (!same(after, this.session.at)) return same(at, this.session.at) || this.#passed.has(at) ? "ignored" : "behind";
    if (entries.some((entry) => isUnfoldable(this.session, entry, this.#aside))) return this.#lose();
    for (const entry of entries) {
      if (Object.hasOwn(FOLD, entry.kind)) FOLD[entry.kind](this.session, entry, at, this.#aside);
    }
    this.session.at = at;
    this.#pass(at);
    return "applied";
  }

  // A restart cuts back to a place that the snapshot did not tell. Without a cursor, `open` brings a new snapshot.
  #lose() {
    this.session.at = null;
    this.#awaitsSnapshot = true;
    return "behind";
  }

  #pass(cursor) {
    this.#passed.delete(cursor);
    this.#passed.add(cursor);
    for (const oldest of this.#passed) if (this.#passed.size > PASSED_COUNT) this.#passed.delete(oldest); else break;
    const { served } = this.#aside;
    for (const oldest of served.keys()) if (served.size > SERVED_COUNT) served.delete(oldest); else break;
  }
}
