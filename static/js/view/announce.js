// What a screen reader is told: each finished answer once, and not each piece of it.

import { ofEnd } from "../words.js";
import { byId } from "./dom.js";

const READ_ALOUD = 2_000;

export function announceAnswers(chat) {
  const region = byId("announce");
  chat.on("answered", ({ session, turn }) => {
    if (session !== chat.session?.session) return;
    const text = turn.text.length > READ_ALOUD ? `${turn.text.slice(0, READ_ALOUD)} …` : turn.text;
    region.textContent = [ofEnd(turn), text].filter(Boolean).join(" ");
  });
}
