// What a tab or a device keeps, and for whom: whatever one person left in it is not another's.

const USER = "chat.user";

/** The storage "sessionStorage" (of this tab) or "localStorage" (of this device), or null where there is none. */
export function storage(name) {
  try {
    return window[name];
  } catch (error) {
    console.warn("no storage in this tab:", error.message);
    return null;
  }
}

/** Take that this tab is a user's; what it kept for another is forgotten. */
export function belongTo(user) {
  const kept = storage("sessionStorage");
  if (kept?.getItem(USER) && kept.getItem(USER) !== user) kept.clear();
  kept?.setItem(USER, user);
}

/** Forget what this tab kept. */
export function forget() {
  storage("sessionStorage")?.clear();
}
