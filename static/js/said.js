// What was said and has not ended: where its session has it, and how a tab's storage keeps it.

const KEY = "chat.says";

/** Whether its run is under way or waits. */
export const isLive = (session, say) =>
  session.run?.id === say.run || session.queued.some(({ run }) => run === say.run);

/** Its turn in the history or in the queue, or undefined. */
export const turnOf = (session, say) =>
  session.turns.findLast(({ id }) => id === say.id) ?? session.queued.find(({ id }) => id === say.id);

/** What is kept there; [] if there is nothing, or it cannot be read. */
export function load(storage) {
  try {
    return JSON.parse(storage?.getItem(KEY) ?? "[]");
  } catch (error) {
    console.warn("what was kept in this tab cannot be read:", error.message);
    return [];
  }
}

/** Keep these; where there is no room for them, go on without. */
export function save(storage, says) {
  try {
    const kept = [...says].map(({ session, id, text, when_busy, model }) => ({ session, id, text, when_busy, model }));
    storage?.setItem(KEY, JSON.stringify(kept));
  } catch (error) {
    console.warn("what was said cannot be kept in this tab:", error.message);
  }
}
