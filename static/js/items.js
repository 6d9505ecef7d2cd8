// What is shown of a session, in order. Pure.
//
// An item is what one <li> shows; its key is the turn's id (an answer has its run's), whether it is in the log, is being
// written, waits, or is not sent yet.

/** The item of a turn that is in the log. */
export const itemOf = (turn) => ({ ...turn, state: turn.state ?? (turn.role === "user" ? "sent" : "done"), source: turn });

/** The items of what is not in the log yet, in order. */
export const itemsAfter = ({ session: { run, queued }, unseen }) => [
  ...(run ? [{ ...run, role: "assistant", run: run.id }] : []),
  ...queued.map((turn) => ({ ...turn, role: "user", state: "queued" })),
  ...unseen.map((say) => ({ ...say, role: "user", state: "pending" })),
];

/** How many of the first and how many of the last are the same in two lists. */
export function common(old, now) {
  const most = Math.min(old.length, now.length);
  let [first, last] = [0, 0];
  while (first < most && old[first] === now[first]) first += 1;
  while (last < most - first && old.at(-1 - last) === now.at(-1 - last)) last += 1;
  return [first, last];
}
