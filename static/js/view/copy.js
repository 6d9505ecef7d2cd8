// A text with a button that copies it.

import { copying } from "../words/composer.js";
import { byId, make } from "./dom.js";

const SHOWN_MS = 2_000;

/** Select what `element` shows, as a person would. */
function select(element) {
  const selection = getSelection();
  selection.removeAllRanges();
  const range = document.createRange();
  range.selectNodeContents(element);
  selection.addRange(range);
}

// A page without a secure context has no clipboard; there what is selected can be copied, or it stays selected.
/** Copy `text`, what `element` shows; resolve to whether it was copied. */
export async function copied(element, text = element.textContent) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    select(element);
    return document.execCommand("copy");
  }
}

// A word of its own each, so that a line breaks between them, and not after the first hyphen of an option.
const words = (text) => text.split(/(?<= )/).map((word) => make("span", {}, word));

/** Make a <code> that shows `text`, and its button; `name` says what it is for. */
export function copyable(text, name) {
  const code = make("code", {}, ...words(text));
  const button = make("button", { type: "button", className: "link copy", ariaLabel: copying.line(name) }, copying.copy);
  let timer = null;
  button.addEventListener("click", async () => {
    button.textContent = (await copied(code)) ? copying.copied : copying.selected;
    byId("announce").textContent = button.textContent;
    clearTimeout(timer);
    timer = setTimeout(() => (button.textContent = copying.copy), SHOWN_MS);
  });
  return [code, button];
}
