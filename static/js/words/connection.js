// How the connection is, and its details.

import { inLanguage } from "../language.js";

export const connection = inLanguage({
  en: {
    open: "connected",
    detailsOf: (status) => `${status}; details of the connection`,
    caughtUp: (count, shown) => `caught up, ${shown} ${count === 1 ? "word" : "words"}`,
    connecting: "connecting …",
    reconnecting: "reconnecting, nothing is lost",
    offline: "you are offline; nothing is lost",
    closed: "The server closed the connection.",
    reload: "Reload to try again.",
    closings: {
      4500: "The server did not accept who you are.",
      4501: "The server did not understand this page; it may be an old copy.",
      4507: "You may not connect here.",
    },
    crowded: {
      4003: "too many of your tabs are connected; close one",
      4029: "too much at once; this page waits a moment",
    },
  },
  de: {
    open: "verbunden",
    detailsOf: (status) => `${status}; Einzelheiten der Verbindung`,
    caughtUp: (count, shown) => `aufgeholt, ${shown} ${count === 1 ? "Wort" : "Wörter"}`,
    connecting: "verbindet …",
    reconnecting: "verbindet neu, nichts geht verloren",
    offline: "offline; nichts geht verloren",
    closed: "Der Server hat die Verbindung beendet.",
    reload: "Neu laden, um es noch einmal zu versuchen.",
    closings: {
      4500: "Der Server erkennt diese Anmeldung nicht an.",
      4501: "Der Server versteht diese Seite nicht; vielleicht ist sie veraltet.",
      4507: "Hier ist keine Verbindung erlaubt.",
    },
    crowded: {
      4003: "zu viele Tabs sind verbunden; bitte einen schließen",
      4029: "zu viel auf einmal; diese Seite wartet einen Moment",
    },
  },
});

export const details = inLanguage({
  en: {
    names: {
      node: "Node",
      since: "Since",
      latency: "There and back",
      cursor: "Cursor",
      steps: "This page",
      resumed: "Resumed",
      transport: "Transport",
      features: "Features",
      limits: "Limits",
      user: "User",
    },
    none: "–",
    never: "never",
    resumes: (times, entries) => `${times} ×, ${entries} entries brought back`,
    ms: (count) => `${count} ms`,
    unheard: "no heartbeat yet",
    behind: "catching up",
    inStep: "in step with the node",
    bounds: (bytes, waiting, open) => `${bytes} bytes a message, ${waiting} waiting, ${open} open`,
  },
  de: {
    names: {
      node: "Knoten",
      since: "Seit",
      latency: "Hin und zurück",
      cursor: "Cursor",
      steps: "Diese Seite",
      resumed: "Fortgesetzt",
      transport: "Übertragung",
      features: "Zusätze",
      limits: "Grenzen",
      user: "Person",
    },
    none: "–",
    never: "nie",
    resumes: (times, entries) => `${times} ×, ${entries} Einträge nachgeholt`,
    ms: (count) => `${count} ms`,
    unheard: "noch kein Herzschlag",
    behind: "holt auf",
    inStep: "im Gleichschritt mit dem Knoten",
    bounds: (bytes, waiting, open) => `${bytes} Bytes je Nachricht, ${waiting} wartend, ${open} offen`,
  },
});
