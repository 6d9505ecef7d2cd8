// Whether the text that we show is the text of the log: by length, and by SHA-256 where the browser has it.

import { hex } from "./ids.js";

const encoder = new TextEncoder();

export const bytesOf = (text) => encoder.encode(text).length;

/** Return null if the text is the one that ended so, else its SHA-256 ("" where the browser cannot tell). */
export async function differing(text, { length, sha256 }) {
  const bytes = encoder.encode(text);
  const own = globalThis.crypto?.subtle ? hex(new Uint8Array(await crypto.subtle.digest("SHA-256", bytes))) : "";
  const sameLength = length == null || length === bytes.length;
  const sameText = !own || !sha256 || own === sha256;
  return sameLength && sameText ? null : own;
}
