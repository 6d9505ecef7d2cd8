// Conversations to take along, as files: one, or all.

import { ChatError } from "./errors.js";

const SUFFIX = { markdown: "md", json: "json" };
const UNNAMEABLE = /[\p{C}\\/:*?"<>|#%.]+/gu;
const NAME_LENGTH = 60;
const RELEASE_MS = 60_000;

/** A file's name, of a title, that every system takes. */
export function fileName(title, format, now = new Date()) {
  const plain = [...title.replace(UNNAMEABLE, " ").replace(/\s+/g, " ").trim()].slice(0, NAME_LENGTH).join("").trim();
  const day = [now.getFullYear(), now.getMonth() + 1, now.getDate()].map((part) => String(part).padStart(2, "0"));
  return `${[plain, day.join("-")].filter(Boolean).join(" ")}.${SUFFIX[format]}`;
}

async function fetched(path) {
  let answer;
  try {
    answer = await fetch(path, { cache: "no-store" });
  } catch (error) {
    throw new ChatError("disconnected", error.message, "later");
  }
  if (answer.ok) return answer.blob();
  const { code, detail } = await answer.json().catch(() => ({}));
  throw new ChatError(code ?? "internal", detail ?? String(answer.status), "later");
}

/** Save a session, or all there are (`id` null), under a title. Throws ChatError. */
export async function save(id, title, format) {
  const path = id === null ? "/api/export" : `/api/sessions/${encodeURIComponent(id)}/export`;
  const url = URL.createObjectURL(await fetched(`${path}?format=${format}`));
  const link = Object.assign(document.createElement("a"), { href: url, download: fileName(title, format) });
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), RELEASE_MS);
}
