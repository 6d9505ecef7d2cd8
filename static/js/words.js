// What the page says, in words: the connection, failures, times. Pure.

import { timeOf } from "./cursor.js";

const FAILURES = {
  model_timeout: "the model took too long",
  model_unavailable: "the model could not be reached",
  content_refused: "the model refused the content",
  too_long: "the answer grew too long",
  unavailable: "no attempt came to an end",
  overloaded: "too much was going on at once",
  quota_exceeded: "the quota is used up",
  internal: "something inside went wrong",
};

const CLOSINGS = {
  4500: "The server did not accept who you are.",
  4501: "The server did not understand this page; it may be an old copy.",
  4507: "You may not connect here.",
};

const CROWDED = {
  4003: "too many of your tabs are connected; close one",
  4029: "too much at once; this page waits a moment",
};

/** Of a connection {state, welcome, code}. */
export function ofConnection({ state, welcome, code }, isOnline) {
  if (state === "open") return `connected to node ${welcome.node}`;
  if (state === "closed") return `${CLOSINGS[code] ?? "The server closed the connection."} Reload to try again.`;
  if (CROWDED[code]) return CROWDED[code];
  if (!isOnline) return "you are offline; nothing is lost";
  return welcome ? "reconnecting, nothing is lost" : "connecting …";
}

/** Of a turn of the assistant that was stopped or failed; "" for one that is done. */
export function ofEnd({ state, code, text }) {
  if (state === "stopped") return text ? "Stopped. What was written stands." : "Stopped before the first word.";
  if (state !== "failed") return "";
  const why = FAILURES[code] ? `${FAILURES[code]} (${code})` : code;
  return `This answer failed: ${why}.${text ? " What was written is kept." : ""}`;
}

/** Who answered, and when: "model · node a · 14:05". */
export function ofOrigin({ model, node, attempt, at }) {
  const parts = [model, node && `node ${node}`, attempt > 1 && `attempt ${attempt}`, at && clock(at)];
  return parts.filter(Boolean).join(" · ");
}

/** When a cursor's entry was appended: the time today, else with the day. */
export function clock(at) {
  const then = new Date(timeOf(at));
  const time = { hour: "2-digit", minute: "2-digit" };
  const isToday = then.toDateString() === new Date().toDateString();
  return then.toLocaleString(undefined, isToday ? time : { day: "numeric", month: "short", ...time });
}

/** Until when an approval waits, of a time in ms since 1970; "" if nobody says. */
export const ofUntil = (until) =>
  until ? `It waits until ${new Date(until).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" })}.` : "";

/** What an answer took: "12 tokens · 0.3 s to the first word · 1.4 s in all", as far as it is known. */
export function ofFacts({ usage, timing }) {
  const seconds = (ms) => `${(ms / 1000).toFixed(1)} s`;
  const parts = [
    usage?.total_tokens != null && `${usage.total_tokens.toLocaleString()} tokens`,
    usage?.cost != null && `cost ${usage.cost}`,
    timing?.first_ms != null && `${seconds(timing.first_ms)} to the first word`,
    timing?.total_ms != null && `${seconds(timing.total_ms)} in all`,
  ];
  return parts.filter(Boolean).join(" · ");
}

/** How long conversations are kept, of `history_days`; "" if nobody says. */
export function ofKeeping(days) {
  if (!(days > 0)) return "";
  const hours = Math.round(days * 24);
  const span = hours < 48 ? `${hours} ${hours === 1 ? "hour" : "hours"}` : `${Math.round(days)} days`;
  return `Kept for ${span} after the last message, then deleted.`;
}

export const UNTITLED = "New conversation";
