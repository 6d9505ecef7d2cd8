// A cursor, `<ms>-<seq>`: an entry's id, and how far a reader is.
//
// It is two integers and is compared as such: as text, "…-10" would come before "…-9".

const SHAPE = /^(\d{1,15})-(\d{1,15})$/;

/** Return [ms, seq]. Throws TypeError for anything that is not a cursor. */
export function parse(cursor) {
  const parts = SHAPE.exec(cursor ?? "");
  if (!parts) throw new TypeError(`not a cursor: ${String(cursor).slice(0, 40)}`);
  return [Number(parts[1]), Number(parts[2])];
}

/** Negative if `one` comes before `other`, 0 if they are the same, positive if after. */
export function compare(one, other) {
  const [oneMs, oneSeq] = parse(one);
  const [otherMs, otherSeq] = parse(other);
  return oneMs - otherMs || oneSeq - otherSeq;
}

/** Whether both are the same place. Null (no cursor yet) is the same as nothing, not even as null. */
export function same(one, other) {
  return one != null && other != null && compare(one, other) === 0;
}

/** When the entry was appended: milliseconds of Redis's clock. */
export function timeOf(cursor) {
  return parse(cursor)[0];
}
