// The direction in which a text is written.

import { make } from "./dom.js";

const LETTER = /\p{L}/u;
const RIGHT_TO_LEFT = /[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc\u{10800}-\u{10fff}\u{1e800}-\u{1efff}]/u;

// Overrides of the direction of writing: each is shut in, so that it turns round nothing but itself.
const OVERRIDE = /([\u202a-\u202e\u2066-\u2069])/;

/** "ltr" or "rtl", by the first letter; null if there is none. */
export function directionOf(text) {
  const [letter] = LETTER.exec(text) ?? [];
  return letter ? (RIGHT_TO_LEFT.test(letter) ? "rtl" : "ltr") : null;
}

/** Let `element` go on with `text`. */
export function write(element, text) {
  for (const part of text.split(OVERRIDE)) {
    if (OVERRIDE.test(part)) element.append(make("bdi", { className: "override" }, part));
    else if (element.lastChild?.nodeType === Node.TEXT_NODE) element.lastChild.appendData(part);
    else if (part) element.append(part);
  }
}
