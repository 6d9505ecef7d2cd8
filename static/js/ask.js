// A command that may be repeated: again after each reconnect, until it is answered or nobody waits any more.

import { ChatError } from "./errors.js";

const [PATIENCE_MS, AGAIN_MS] = [30_000, 250];

/** `send()` gives {reply}, or null without a connection. Resolve to the reply; throws ChatError. */
export async function asked(send) {
  const giveUpAt = performance.now() + PATIENCE_MS;
  while (performance.now() < giveUpAt) {
    const sent = send();
    try {
      if (sent) return await sent.reply;
    } catch (error) {
      if (error.code !== "disconnected") throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
  }
  throw new ChatError("disconnected", "no connection for 30 s", "later");
}
