// What of the page's looks was chosen on this device; looks.js puts it on.

import { keep, storage } from "./storage.js";

const KEY = "chat.looks";

/** What was chosen: {theme, contrast, motion, size}, "" for what is left to the system. */
export function looks() {
  try {
    return { theme: "", contrast: "", motion: "", size: "", ...JSON.parse(storage("localStorage")?.getItem(KEY) ?? "{}") };
  } catch {
    return { theme: "", contrast: "", motion: "", size: "" };
  }
}

/** Choose one of them. */
export function look(name, value) {
  keep("localStorage", KEY, JSON.stringify({ ...looks(), [name]: value }));
  dispatchEvent(new Event("looks"));
}
