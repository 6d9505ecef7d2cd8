// The direction in which a text is written.

import { make } from "./dom.js";
import { BLOCKS } from "./tags.js";

const LETTER = /\p{L}/u;
const RIGHT_TO_LEFT = /[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc\u{10800}-\u{10fff}\u{1e800}-\u{1efff}]/u;

// Overrides of the direction of writing: each is shut in, so that it turns round nothing but itself.
const OVERRIDE = /([\u202a-\u202e\u2066-\u2069])/;

/** "ltr" or "rtl", by the first letter; null if there is none. */
function directionOf(text) {
  const [letter] = LETTER.exec(text) ?? [];
  return letter ? (RIGHT_TO_LEFT.test(letter) ? "rtl" : "ltr") : null;
}

/**
 * Have those of the open elements {element, isDirected} that have no direction yet run the way of the first letter of
 * `text`, if there is one. It is found once: dir="auto" would look for it at each append.
 */
export function direct(open, text) {
  const dir = directionOf(text);
  if (!dir) return;
  for (const one of open.filter(({ isDirected }) => !isDirected)) {
    if (BLOCKS.has(one.element.localName)) one.element.dir = dir;
    one.isDirected = true;
  }
}

/** Let `element` go on with `text`. */
export function write(element, text) {
  for (const part of text.split(OVERRIDE)) {
    if (OVERRIDE.test(part)) element.append(make("bdi", { className: "override" }, part));
    else if (element.lastChild?.nodeType === Node.TEXT_NODE) element.lastChild.appendData(part);
    else if (part) element.append(part);
  }
}
