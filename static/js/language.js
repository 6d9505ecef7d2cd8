// The language that the page speaks, and how it writes numbers and times.
//
// It is chosen once, when the page begins: by this device, else by what the browser asks for. Another one loads the
// page anew. Every text that a view shows stands in words/, English and German beside each other.

import { keep, storage } from "./storage.js";

const KEY = "chat.language";

/** The languages of the page, each by its own name. */
export const LANGUAGES = Object.freeze({ en: "English", de: "Deutsch" });

function chosen() {
  const wanted = [storage("localStorage")?.getItem(KEY), ...navigator.languages];
  return wanted.map((tag) => tag?.slice(0, 2)).find((tag) => Object.hasOwn(LANGUAGES, tag ?? "")) ?? "en";
}

export const language = chosen();

const locale = navigator.languages.find((tag) => tag.startsWith(language)) ?? language;

/** Of words in each language, those of the page's. */
export const inLanguage = (words) => words[language];

/** Speak another language from now on, on this device. */
export function speak(name) {
  keep("localStorage", KEY, name);
  location.reload();
}

/** Call `changed()` when another tab of this device chooses another one. */
export function onSpoken(changed) {
  addEventListener("storage", ({ key, newValue }) => key === KEY && newValue !== language && changed());
}

export const number = (value, options) => value.toLocaleString(locale, options);

/** A time in ms since 1970. */
export const time = (at, options) => new Date(at).toLocaleString(locale, options);
