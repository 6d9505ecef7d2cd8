// The direction in which a text is written.

const LETTER = /\p{L}/u;
const RIGHT_TO_LEFT = /[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc\u{10800}-\u{10fff}\u{1e800}-\u{1efff}]/u;

/** "ltr" or "rtl", by the first letter; null if there is none. */
export function directionOf(text) {
  const [letter] = LETTER.exec(text) ?? [];
  return letter ? (RIGHT_TO_LEFT.test(letter) ? "rtl" : "ltr") : null;
}
