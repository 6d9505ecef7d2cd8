// Copying: to the clipboard, or where a page may not, by what is selected; and a text with a button that copies it.

import { copying } from "../words/composer.js";
import { byId, make } from "./dom.js";

const SHOWN_MS = 2_000;

const shown = new WeakMap();

/** Select what `element` shows, as a person would. */
function select(element) {
  const selection = getSelection();
  selection.removeAllRanges();
  const range = document.createRange();
  range.selectNodeContents(element);
  selection.addRange(range);
}

/** Copy `text` as the browser's own command does; what `element` shows is selected, and stays so. */
function copySelected(element, text) {
  const give = (event) => {
    event.preventDefault();
    event.clipboardData.setData("text/plain", text);
  };
  select(element);
  document.addEventListener("copy", give, { once: true });
  const isCopied = document.execCommand("copy");
  document.removeEventListener("copy", give);
  return isCopied;
}

// A page without a secure context has no clipboard, and a person may have forbidden it.
/** Copy `text`, which `element` shows; resolve to whether it was copied. */
export async function copied(element, text = element.textContent) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copySelected(element, text);
  }
}

/** Copy it, and say so on `button` for a moment, and aloud. */
export async function copyBy(button, element, text) {
  button.textContent = (await copied(element, text)) ? copying.copied : copying.selected;
  byId("announce").textContent = button.textContent;
  clearTimeout(shown.get(button));
  shown.set(button, setTimeout(() => (button.textContent = copying.copy), SHOWN_MS));
}

// A word of its own each, so that a line breaks between them, and not after the first hyphen of an option.
const words = (text) => text.split(/(?<= )/).map((word) => make("span", {}, word));

/** Make a <code> that shows `text`, and its button; `name` says what it is for. */
export function copyable(text, name) {
  const code = make("code", {}, ...words(text));
  const button = make("button", { type: "button", className: "link copy", ariaLabel: copying.line(name) }, copying.copy);
  button.addEventListener("click", () => copyBy(button, code));
  return [code, button];
}
