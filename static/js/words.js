// What the page says, in words: the connection, failures, times. Pure; the words themselves stand in words/.

import { timeOf } from "./cursor.js";
import { number, time } from "./language.js";
import { answers } from "./words/answers.js";
import { connection } from "./words/connection.js";
import { errors, waiting } from "./words/errors.js";
import { sessions } from "./words/sessions.js";
import { tools } from "./words/tools.js";

/** Of a connection {state, welcome, code}. */
export function ofConnection({ state, welcome, code }, isOnline) {
  if (state === "open") return connection.open;
  if (state === "closed") return `${connection.closings[code] ?? connection.closed} ${connection.reload}`;
  if (connection.crowded[code]) return connection.crowded[code];
  if (!isOnline) return connection.offline;
  return welcome ? connection.reconnecting : connection.connecting;
}

/** Of what was wrong with a command: a ChatError, or any {code, message}. */
export const ofError = ({ code, message }) => errors[code] ?? message;

/** How long it is, of ms: "12 s", "5 min", "3 h". */
export function ofSpan(ms) {
  const seconds = Math.max(1, Math.ceil(ms / 1_000));
  if (seconds < 120) return waiting.seconds(number(seconds));
  if (seconds < 7_200) return waiting.minutes(number(Math.ceil(seconds / 60)));
  return waiting.hours(number(Math.ceil(seconds / 3_600)));
}

/** Of a turn of the assistant that was stopped or failed; "" for one that is done. */
export function ofEnd({ state, code, text }) {
  if (state === "stopped") return text ? answers.stopped : answers.stoppedEmpty;
  if (state !== "failed") return "";
  const why = answers.failures[code] ? `${answers.failures[code]} (${code})` : code;
  return `${answers.failed(why)}${text ? ` ${answers.kept}` : ""}`;
}

/** Who answered, and when: "model · node a · 14:05". */
export function ofOrigin({ model, node, attempt, at }) {
  const parts = [model, node && answers.node(node), attempt > 1 && answers.attempt(attempt), at && clock(at)];
  return parts.filter(Boolean).join(" · ");
}

/** When a cursor's entry was appended: the time today, else with the day. */
export function clock(at) {
  const then = timeOf(at);
  const short = { hour: "2-digit", minute: "2-digit" };
  const isToday = new Date(then).toDateString() === new Date().toDateString();
  return time(then, isToday ? short : { day: "numeric", month: "short", ...short });
}

/** Until when an approval waits, of a time in ms since 1970; "" if nobody says. */
export const ofUntil = (until) =>
  until ? tools.until(time(until, { dateStyle: "medium", timeStyle: "short" })) : "";

/** What an answer took: "12 tokens · 0.3 s to the first word · 1.4 s in all", as far as it is known. */
export function ofFacts({ usage, timing }) {
  const seconds = (ms) => number(ms / 1000, { minimumFractionDigits: 1, maximumFractionDigits: 1 });
  const parts = [
    usage?.total_tokens != null && answers.tokens(number(usage.total_tokens)),
    usage?.cost != null && answers.cost(number(usage.cost, { maximumFractionDigits: 6 })),
    timing?.first_ms != null && answers.first(seconds(timing.first_ms)),
    timing?.total_ms != null && answers.total(seconds(timing.total_ms)),
  ];
  return parts.filter(Boolean).join(" · ");
}

/** How long conversations are kept, of `history_days`; "" if nobody says. */
export function ofKeeping(days) {
  if (!(days > 0)) return "";
  const hours = Math.round(days * 24);
  return sessions.kept(hours < 48 ? sessions.hours(hours) : sessions.days(Math.round(days)));
}
