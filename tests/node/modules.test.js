// The modules of static/js that need no page: cursors, when and where to connect again, days, spans, ids, digests.

import assert from "node:assert/strict";
import { webcrypto } from "node:crypto";
import { test } from "node:test";

import { compare, parse, same, timeOf } from "../../static/js/cursor.js";
import { groupOf } from "../../static/js/days.js";
import { bytesOf, differing } from "../../static/js/digest.js";
import { Finding, folded } from "../../static/js/finding.js";
import { isId, newId } from "../../static/js/ids.js";
import { common, itemOf, itemsAfter } from "../../static/js/items.js";
import { afterClose, backoff_ms, rotation, socketUrl } from "../../static/js/retry.js";
import { load, save } from "../../static/js/said.js";
import { Span } from "../../static/js/span.js";
import { excess, isTrial, offers } from "../../static/js/welcome.js";

globalThis.crypto ??= webcrypto;

test("cursors are two integers", () => {
  const sorted = ["0-0", "1-9", "1-10", "2-0", "1795513829152-9", "1795513829152-10"];
  assert.deepEqual([...sorted].reverse().sort(compare), sorted);
  assert.equal(timeOf("1795513829152-13"), 1795513829152);
  assert.deepEqual([same("1-01", "1-1"), same("1-1", "1-10"), same(null, null)], [true, false, false]);
  for (const wrong of ["", "1", "1-", "-1", "1-1 ", "1.5-0", "1-1-1", "a-b", null, undefined, 7, "1".repeat(16) + "-0"]) {
    assert.throws(() => parse(wrong), TypeError, String(wrong));
  }
});

test("the time to the next try doubles, up to 20 s, and is anything from nothing to that", () => {
  const ceilings = Array.from({ length: 9 }, (_, tries) => backoff_ms(tries, 1));
  assert.deepEqual(ceilings, [500, 1000, 2000, 4000, 8000, 16_000, 20_000, 20_000, 20_000]);
  assert.deepEqual([backoff_ms(3, 0), backoff_ms(3, 0.25), backoff_ms(1e9, 1)], [0, 1000, 20_000]);
});

test("what a close code tells", () => {
  for (const code of [1000, 1001, 1005, 1006, 1011, 1012, 1013, 4000, 4008, 4499]) assert.equal(afterClose(code), "again");
  assert.equal(afterClose(4001), "sign_in");
  for (const code of [1002, 1003, 1008, 1009, 4500, 4999]) assert.equal(afterClose(code), "never");
});

test("nodes are rotated over, the own one first, each once, sixteen at the most", () => {
  const own = "wss://chat.example/ws";
  assert.deepEqual(rotation(own, null), [own]);
  const nodes = ["https://b.example", "http://c.example:81/other", "https://chat.example/", "http://[", "https://b.example/ws#x"];
  assert.deepEqual(rotation(own, nodes), [own, "wss://b.example/ws", "ws://c.example:81/other"]);
  assert.equal(rotation(own, Array.from({ length: 99 }, (_, n) => `https://${n}.example`)).length, 16);
  assert.equal(socketUrl("/ws", "http://127.0.0.1:8000/#s"), "ws://127.0.0.1:8000/ws");
});

test("a conversation stands under its day, over the change of the clock and of the year", () => {
  const at = (...parts) => `${new Date(...parts).getTime()}-0`;
  for (const [year, month, day] of [[2026, 10, 26], [2026, 2, 30], [2026, 9, 26], [2027, 0, 1]]) {
    const now = new Date(year, month, day, 0, 30);
    assert.equal(groupOf(at(year, month, day), now), "today");
    assert.equal(groupOf(at(year, month, day + 1), now), "today");
    assert.equal(groupOf(at(year, month, day - 1, 23, 59), now), "yesterday");
    assert.equal(groupOf(at(year, month, day - 1), now), "yesterday");
    assert.equal(groupOf(at(year, month, day - 2, 23, 59), now), "week");
    assert.equal(groupOf(at(year, month, day - 7), now), "week");
    assert.equal(groupOf(at(year, month, day - 8, 23, 59), now), "older");
  }
});

test("a text is the log's by its bytes and its digest", async () => {
  const sha256 = "936a185caaa266bb9cbe981e9e05cb78cd732b0b3280eb944412bb6f8f8f07af"; // of "helloworld"
  assert.equal(bytesOf("é😀"), 6);
  assert.equal(await differing("helloworld", { length: 10, sha256 }), null);
  assert.equal(await differing("helloworld", {}), null);
  assert.equal(await differing("helloworld", { length: 11, sha256 }), sha256);
  assert.notEqual(await differing("hello world", { length: 11, sha256 }), null);
});

test("ids", () => {
  for (const id of ["a", "0", "A.b_c-d", "a".repeat(64), newId()]) assert.equal(isId(id), true, id);
  for (const id of ["", "-a", ".", "a b", "ä", "a".repeat(65), "a\n"]) assert.equal(isId(id), false, id);
  assert.equal(new Set(Array.from({ length: 1000 }, newId)).size, 1000);
});

test("some turns around what is read are in the page", () => {
  const turns = Array.from({ length: 1000 }, (_, n) => ({ id: `t${n}` }));
  const span = new Span();
  const ids = (of, isPinned = false) => { const found = span.of(of, { isPinned }); return [found[0]?.id, found.at(-1)?.id, found.length]; };
  assert.deepEqual(ids([]), [undefined, undefined, 0]);
  assert.deepEqual(ids(turns), ["t950", "t999", 50]);
  for (let n = 0; n < 3; n += 1) { span.up(); span.of(turns, {}); }
  assert.deepEqual([ids(turns), span.isAtEnd, span.hasBefore], [["t800", "t949", 150], false, true]);
  const rated = turns.map((turn) => ({ ...turn, rating: {} }));
  assert.deepEqual(ids([{ id: "older" }, ...rated, { id: "newest" }]), ["t800", "t949", 150]);
  while (!span.isAtEnd) { span.down(); span.of(turns, {}); }
  assert.deepEqual(ids(turns), ["t850", "t999", 150]);
  const grown = [...turns, ...Array.from({ length: 60 }, (_, n) => ({ id: `new${n}` }))];
  assert.deepEqual(ids(grown, false), ["t850", "new59", 210]);
  assert.deepEqual(ids(grown, true), ["new10", "new59", 50]);
  span.up();
  span.toEnd();
  assert.deepEqual([ids(turns.slice(0, 20)), span.isAtEnd, span.hasBefore], [["t0", "t19", 20], true, false]);
});

test("titles are found without accents and case; the answer to an older question comes too late", async () => {
  assert.equal(folded("Ünïcödé"), "unicode");
  const all = [{ id: "1", title: "Éclair" }, { id: "2", title: "Bread" }];
  const asked = [];
  const find = (query) => new Promise((resolve) => asked.push({ query, resolve }));
  const finding = new Finding({ sessions: { all: () => all, find } });
  const changed = (condition) => new Promise((resolve) => finding.on("change", () => condition() && resolve()));
  finding.ask("eclair");
  assert.deepEqual([finding.found, finding.isWaiting], [[all[0]], true]);
  await new Promise((resolve) => setTimeout(resolve, 250));
  finding.ask("ec");
  const over = changed(() => !finding.isWaiting);
  asked[0].resolve([{ id: "3", title: "stale" }]);
  await new Promise((resolve) => setTimeout(resolve, 250));
  assert.deepEqual(asked.map(({ query }) => query), ["eclair", "ec"]);
  asked[1].resolve([all[0], { id: "4", title: "Eclipse" }]);
  await over;
  assert.deepEqual([finding.found.map(({ id }) => id), finding.isPartial], [["1", "4"], false]);
});

test("what a welcome offers, and how long a text may be", () => {
  assert.deepEqual([offers(null, "again"), offers({ features: ["hold"] }, "decide"), offers({ features: [] }, "again")], [false, true, false]);
  assert.equal(isTrial({ features: ["trial"] }), true);
  assert.equal(excess(null, "x".repeat(32_768)), 0);
  assert.equal(excess(null, "x".repeat(32_770)), 2);
  assert.ok(excess(null, "\u0001".repeat(12_000)) > 0, "escapes count");
  assert.equal(excess({ limits: { text_bytes: 3, message_bytes: 65_536 } }, "é😀"), 3);
});

test("what was said is kept with a tab, and a tab that keeps nothing or rubbish does no harm", (t) => {
  t.mock.method(console, "warn", () => {});
  const kept = new Map();
  const storage = { getItem: (key) => kept.get(key) ?? null, setItem: (key, value) => kept.set(key, value) };
  const say = { session: "s", id: "m", text: "Hi.", when_busy: "queue", model: "x" };
  save(storage, [{ ...say, problem: "…", timer: 7 }]);
  assert.deepEqual(load(storage), [say]);
  kept.set([...kept.keys()][0], "{");
  assert.deepEqual([load(storage), load(null)], [[], []]);
  save({ setItem: () => { throw new Error("full"); } }, [say]);
  assert.equal(console.warn.mock.callCount(), 2);
});

test("what is shown of a session, in order, and what of it is new", () => {
  const session = { run: { id: "r", turn: "m1", state: "running", text: "…" }, queued: [{ id: "m2", text: "b", run: "r2" }] };
  const shown = itemsAfter({ session, unseen: [{ id: "m3", text: "c" }] });
  assert.deepEqual(shown.map(({ id, role, state }) => [id, role, state]), [
    ["r", "assistant", "running"], ["m2", "user", "queued"], ["m3", "user", "pending"],
  ]);
  const turn = { id: "m1", role: "user", text: "a" };
  assert.deepEqual(itemOf(turn), { ...turn, state: "sent", source: turn });
  assert.deepEqual([itemOf({ role: "assistant" }).state, itemOf({ role: "assistant", state: "failed" }).state], ["done", "failed"]);
  for (const [old, now, expected] of [
    ["", "", [0, 0]], ["abc", "abc", [3, 0]], ["abc", "abxc", [2, 1]], ["aa", "aaa", [2, 0]], ["abc", "xyz", [0, 0]],
    ["bc", "abc", [0, 2]], ["abcd", "bcde", [0, 0]], ["aba", "a", [1, 0]],
  ]) assert.deepEqual(common([...old], [...now]), expected, `${old} ${now}`);
});
