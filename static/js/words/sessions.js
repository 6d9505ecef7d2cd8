// What is said of conversations: the list, the title, what becomes of them.

import { inLanguage } from "../language.js";

export const sessions = inLanguage({
  en: {
    untitled: "New conversation",
    states: { running: "answering", held: "on hold" },
    kept: (span) => `Kept for ${span} after the last message, then deleted.`,
    hours: (count) => `${count} ${count === 1 ? "hour" : "hours"}`,
    days: (count) => `${count} days`,
    deleting: (title) => `“${title}” is deleted for good, on every device.`,
    deleted: "This conversation was deleted.",
    empty: "What would you like to know?",
    signedIn: "You may still be signed in: the server cannot be reached just now. Try again.",
  },
  de: {
    untitled: "Neue Unterhaltung",
    states: { running: "antwortet", held: "angehalten" },
    kept: (span) => `Wird ${span} nach der letzten Nachricht gelöscht.`,
    hours: (count) => `${count} ${count === 1 ? "Stunde" : "Stunden"}`,
    days: (count) => `${count} Tage`,
    deleting: (title) => `„${title}“ wird endgültig gelöscht, auf allen Geräten.`,
    deleted: "Diese Unterhaltung wurde gelöscht.",
    empty: "Was möchtest du wissen?",
    signedIn: "Vielleicht besteht die Anmeldung noch: der Server ist gerade nicht zu erreichen. Bitte noch einmal versuchen.",
  },
});
