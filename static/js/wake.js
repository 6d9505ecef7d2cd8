// When a page should look at once whether its connection lives: it came into view, back from a sleep, or online again.

/** Call `wake()` then; several reasons may come together. */
export function onWake(wake) {
  addEventListener("online", wake);
  addEventListener("pageshow", ({ persisted }) => persisted && wake());
  document.addEventListener("resume", wake);
  document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && wake());
  navigator.connection?.addEventListener("change", wake);
}
