// What is said of a model that is only for trying out, and of signing in.

import { inLanguage } from "../language.js";

export const trial = inLanguage({
  en: { answers: " answers here. It is only for trying out." },
  de: { answers: " antwortet hier. Es ist nur zum Ausprobieren da." },
});

export const signIn = inLanguage({
  en: {
    spent: "This link was used already, or it is too old or incomplete. Ask for a new one.",
    empty: "There is no token here yet. Paste the one that you were given.",
    unreached: "The server cannot be reached just now. Try again.",
  },
  de: {
    spent: "Dieser Link ist schon benutzt, zu alt oder unvollständig. Bitte um einen neuen.",
    empty: "Hier steht noch kein Token. Füge das ein, das du bekommen hast.",
    unreached: "Der Server ist gerade nicht zu erreichen. Versuche es noch einmal.",
  },
});
