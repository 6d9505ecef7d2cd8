// Tables, whose rows come one by one: the first row is the head, and a long table goes on in another one under the same.
//
// A browser lays a table out anew at each row, so that none may have thousands.

import { make } from "./dom.js";

const ROWS = 100;
const COLUMNS = 64; // what a wider table has more stands in its last column

/** Make a table in a box of its own at the end of `parent`. */
export function beginTable(parent) {
  const table = make("table");
  parent.append(make("div", { className: "table" }, table));
  return table;
}

/** Where the next row of `table` stands: in it, or in the table that follows it. */
export function rowsOf(table) {
  if (table.children.length < 2) table.append(make(table.children.length ? "tbody" : "thead"));
  const rows = table.lastElementChild;
  if (rows.childElementCount < ROWS) return rows;
  const next = make("table", {}, table.tHead.cloneNode(true), make("tbody"));
  table.parentElement.after(make("div", { className: "table" }, next));
  return next.tBodies[0];
}

/** The cell that takes what stands beyond the last column of `row`; null while there is room. */
export const lastCell = (row) => (row.childElementCount === COLUMNS ? row.lastElementChild : null);

export const isHead = (row) => row.parentElement.tagName === "THEAD";
