// What is said where one writes, and of copying.

import { inLanguage } from "../language.js";

export const composer = inLanguage({
  en: {
    hint: "Enter sends, Shift + Enter begins a new line.",
    busy: (key) => `Enter queues it, ${key} + Enter sends it now, Esc stops the answer.`,
    waits: "A new message ends the answer that waits.",
    control: "Ctrl",
    command: "⌘",
    send: "Send",
    queue: "Queue",
    stop: "Stop",
    stopping: "Stopping …",
  },
  de: {
    hint: "Enter sendet, Umschalt + Enter beginnt eine neue Zeile.",
    busy: (key) => `Enter stellt an, ${key} + Enter sendet sofort, Esc stoppt die Antwort.`,
    waits: "Eine neue Nachricht beendet die wartende Antwort.",
    control: "Strg",
    command: "⌘",
    send: "Senden",
    queue: "Anstellen",
    stop: "Stoppen",
    stopping: "Stoppt …",
  },
});

export const copying = inLanguage({
  en: {
    copy: "Copy",
    copied: "Copied",
    selected: "Selected",
    code: "Copy the code",
    line: (name) => `Copy the line for ${name}`,
  },
  de: {
    copy: "Kopieren",
    copied: "Kopiert",
    selected: "Ausgewählt",
    code: "Code kopieren",
    line: (name) => `Zeile für ${name} kopieren`,
  },
});
