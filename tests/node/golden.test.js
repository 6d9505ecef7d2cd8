// static/js/transcript.js and follow.js: the fold of a log, on the golden logs that `core.transcript` folds, too.

import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { test } from "node:test";

import { Follow } from "../../static/js/follow.js";
import { Transcript } from "../../static/js/transcript.js";

const GOLDEN = new URL("../golden/", import.meta.url);

const snapshot = { type: "snapshot", session: "s", at: "5-1", turns: [], queued: [], more: false };
const batch = (after, at, entries = []) => ({ type: "batch", session: "s", after, at, entries });

for (const name of readdirSync(GOLDEN)) {
  test(`${name} folds to its session`, () => {
    const { steps, session } = JSON.parse(readFileSync(new URL(name, GOLDEN), "utf8"));
    const transcript = new Transcript(session.session);
    for (const [number, { frame, outcome }] of steps.entries()) {
      assert.equal(transcript.apply(frame), outcome, `step ${number}`);
    }
    assert.deepEqual(JSON.parse(JSON.stringify(transcript.session)), session);
  });
}

test("what was passed on one connection means nothing on the next", () => {
  const transcript = new Transcript("s");
  const [first, second] = [batch("5-1", "6-2"), batch("6-2", "7-3")];
  const outcomes = [snapshot, first, second, first].map((frame) => transcript.apply(frame));
  assert.deepEqual(outcomes, ["applied", "applied", "applied", "ignored"]);
  transcript.connected();
  assert.equal(transcript.apply(first), "behind");
  assert.equal(transcript.session.at, "7-3");
});

test("from an `open` to its answer, batches belong to the place that was left; the last `open` counts", () => {
  const follow = new Follow("s");
  follow.receive(snapshot);
  assert.equal(follow.caughtUp, true);
  follow.opening("o1");
  follow.opening("o2");
  assert.equal(follow.receive(batch("5-1", "6-2")), "ignored");
  assert.equal(follow.isOff("9-9"), false);
  follow.opened("o1");
  assert.equal(follow.isOpening("o2"), true);
  follow.opened("o2");
  assert.equal(follow.receive(batch("5-1", "6-2")), "applied");
  assert.deepEqual([follow.isOff("6-2"), follow.isOff("6-10")], [false, true]);
});

test("an answer is the same text in whatever pieces it comes", () => {
  const text = "Hé 漢字 😀\n👩‍👩‍👧 end.";
  const run = { kind: "run", run: "r", turn: "m", attempt: 1, how: "new", node: "a", model: "x" };
  for (let size = 1; size <= text.length; size += 1) {
    const transcript = new Transcript("s");
    transcript.apply(snapshot);
    const pieces = text.match(new RegExp(`[^]{1,${size}}`, "g"));
    const entries = [run, ...pieces.map((piece) => ({ kind: "delta", run: "r", text: piece }))];
    for (const [number, entry] of entries.entries()) {
      const after = number ? `6-${number}` : "5-1";
      assert.equal(transcript.apply(batch(after, `6-${number + 1}`, [entry])), "applied");
    }
    assert.equal(transcript.session.run.text, text);
  }
});
