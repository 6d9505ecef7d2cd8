// Under which day of the list a conversation stands. Pure.

import { timeOf } from "./cursor.js";

/** The groups, the newest first. */
export const GROUPS = Object.freeze(["today", "yesterday", "week", "older"]);

const WEEK_DAYS = 7;

/** The group of a cursor, at `now` (a Date); days are this device's, and what is of tomorrow is of today. */
export function groupOf(at, now) {
  const before = (days) => new Date(now.getFullYear(), now.getMonth(), now.getDate() - days).getTime();
  const then = timeOf(at);
  if (then >= before(0)) return "today";
  if (then >= before(1)) return "yesterday";
  return then >= before(WEEK_DAYS) ? "week" : "older";
}
