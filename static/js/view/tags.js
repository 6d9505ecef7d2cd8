// The elements that Markdown may become, by the parser's tokens, and how what turned out to be none was written.

import * as smd from "../../vendor/streaming-markdown/smd.min.js";
import { answers } from "../words/answers.js";
import { make } from "./dom.js";

const TAGS = {
  [smd.BLOCKQUOTE]: "blockquote", [smd.PARAGRAPH]: "p", [smd.LINE_BREAK]: "br", [smd.RULE]: "hr",
  [smd.HEADING_1]: "h4", [smd.HEADING_2]: "h5", [smd.HEADING_3]: "h6",
  [smd.HEADING_4]: "h6", [smd.HEADING_5]: "h6", [smd.HEADING_6]: "h6",
  [smd.ITALIC_AST]: "em", [smd.ITALIC_UND]: "em", [smd.STRONG_AST]: "strong", [smd.STRONG_UND]: "strong",
  [smd.STRIKE]: "s", [smd.CODE_INLINE]: "code", [smd.EQUATION_INLINE]: "code", [smd.EQUATION_BLOCK]: "pre",
  [smd.LINK]: "a", [smd.RAW_URL]: "a", [smd.IMAGE]: "a",
  [smd.LIST_UNORDERED]: "ul", [smd.LIST_ORDERED]: "ol", [smd.LIST_ITEM]: "li", [smd.CHECKBOX]: "input",
  [smd.TABLE]: "table", [smd.TABLE_ROW]: "tr", [smd.TABLE_CELL]: "td",
};

export const MARKS = {
  [smd.ITALIC_AST]: "*", [smd.ITALIC_UND]: "_", [smd.STRONG_AST]: "**", [smd.STRONG_UND]: "__",
  [smd.STRIKE]: "~~", [smd.LINK]: "[", [smd.IMAGE]: "![",
};

// Those that have a direction of writing of their own, and those of them in which a long text goes on.
export const BLOCKS = new Set(["p", "h4", "h5", "h6", "li", "td", "th", "blockquote", "ul", "ol", "table"]);
export const INNER = new Set(["li", "td", "th"]);

/** Make the element of a token; `isHead`: a cell of a table's head; `isNested`: an image in a link. */
export function elementOf(token, { isHead, isNested }) {
  const element = make(isHead ? "th" : isNested ? "span" : TAGS[token] ?? "span");
  if (token >= smd.HEADING_1 && token <= smd.HEADING_6) element.dataset.level = token - smd.HEADING_1 + 1;
  if (token === smd.IMAGE) Object.assign(element, { className: "image" }).dataset.kind = answers.image;
  if (token === smd.EQUATION_BLOCK || token === smd.EQUATION_INLINE) element.className = "maths";
  if (token === smd.CHECKBOX) Object.assign(element, { type: "checkbox", disabled: true, ariaLabel: answers.toDo });
  return element;
}
