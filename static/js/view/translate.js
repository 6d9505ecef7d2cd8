// What stands in the page's HTML, in the language that the page speaks.

import { language } from "../language.js";
import { german } from "../words/page.js";

const ATTRIBUTES = ["aria-label", "placeholder"];

/** The blanks around a text stay. */
const translated = (text) => text.replace(text.trim(), (words) => german[words] ?? words);

/** Put all texts of the document into the page's language. */
export function translate() {
  document.documentElement.lang = language;
  if (language === "en") return;
  const nodes = document.createTreeWalker(document.documentElement, NodeFilter.SHOW_TEXT);
  while (nodes.nextNode()) if (nodes.currentNode.data.trim()) nodes.currentNode.data = translated(nodes.currentNode.data);
  for (const name of ATTRIBUTES) {
    for (const element of document.querySelectorAll(`[${name}]`)) element.setAttribute(name, translated(element.getAttribute(name)));
  }
}
