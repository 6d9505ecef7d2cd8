// What is said where one writes, and of copying.

import { inLanguage } from "../language.js";

export const composer = inLanguage({
  en: {
    hint: "Enter sends, Shift + Enter begins a new line.",
    busy: "Esc stops the answer. A new message waits for its end.",
    send: "Send",
    queue: "Queue",
    stop: "Stop",
    stopping: "Stopping …",
  },
  de: {
    hint: "Enter sendet, Umschalt + Enter beginnt eine neue Zeile.",
    busy: "Esc stoppt die Antwort. Eine neue Nachricht wartet auf ihr Ende.",
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
