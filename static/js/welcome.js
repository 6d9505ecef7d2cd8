// What follows for this page from the node's `welcome`: what may be asked of it, and how long a text may be. Pure.

import { bytesOf } from "./digest.js";

const FRAME_BYTES = 512;

// The feature that a node must announce for each of these to be offered; what is not named here, every node knows.
const FEATURE = { again: "again", carryOn: "hold", decide: "hold" };

/** Whether a node with this welcome (null: none yet) can be asked for `deed`: again, carryOn or decide. */
export const offers = (welcome, deed) => Boolean(welcome?.features?.includes(FEATURE[deed]));

/** Whether the model of this node is for trying out only: a small local one, or a demonstration that is none. */
export const isTrial = (welcome) => Boolean(welcome?.features?.includes("trial"));

/** By how many bytes a text is too long to be said; 0 if it is not. */
export function excess(welcome, text) {
  const { text_bytes = 32_768, message_bytes = 65_536 } = welcome?.limits ?? {};
  return Math.max(0, bytesOf(text) - text_bytes, bytesOf(JSON.stringify(text)) + FRAME_BYTES - message_bytes);
}
