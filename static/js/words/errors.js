// What was wrong with a command, by its code. In English mostly the server's own words say it, which are more exact.

import { inLanguage } from "../language.js";

export const errors = inLanguage({
  en: {
    disconnected: "There is no connection just now. Nothing is lost; try again soon.",
    unavailable: "The server cannot reach its store just now. Nothing is lost.",
  },
  de: {
    disconnected: "Gerade besteht keine Verbindung. Nichts geht verloren; gleich noch einmal versuchen.",
    bad_frame: "Der Server hat das nicht verstanden.",
    too_big: "Das ist zu groß.",
    too_long: "Das ist zu lang.",
    unknown_command: "Dieser Server kann das nicht.",
    unauthorized: "Die Anmeldung fehlt oder ist abgelaufen.",
    forbidden: "Das ist hier nicht erlaubt.",
    not_found: "Das gibt es nicht mehr.",
    id_reused: "Diese Nachricht wurde schon mit anderem Inhalt gesendet.",
    busy: "Eine andere Antwort läuft noch.",
    queue_full: "Es warten schon zu viele Nachrichten auf eine Antwort.",
    run_over: "Diese Antwort ist schon zu Ende.",
    conflict: "Das wurde inzwischen anderswo geändert.",
    rate_limited: "Das war zu viel auf einmal.",
    quota_exceeded: "Das Kontingent für heute ist aufgebraucht.",
    unavailable: "Der Speicher des Servers antwortet gerade nicht. Nichts geht verloren.",
    overloaded: "Der Server ist gerade überlastet.",
    internal: "Auf dem Server ging etwas schief.",
  },
});

export const waiting = inLanguage({
  en: {
    again: (span) => `It is sent again in ${span}.`,
    possible: (span) => `It can be tried again in ${span}.`,
    now: "It can be tried again now.",
    seconds: (count) => `${count} s`,
    minutes: (count) => `${count} min`,
    hours: (count) => `${count} h`,
  },
  de: {
    again: (span) => `Wird in ${span} noch einmal gesendet.`,
    possible: (span) => `Geht wieder in ${span}.`,
    now: "Geht jetzt wieder.",
    seconds: (count) => `${count} s`,
    minutes: (count) => `${count} min`,
    hours: (count) => `${count} h`,
  },
});
