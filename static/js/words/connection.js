// How the connection is.

import { inLanguage } from "../language.js";

export const connection = inLanguage({
  en: {
    open: (node) => `connected to node ${node}`,
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
    open: (node) => `verbunden mit Knoten ${node}`,
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
