// What a tab or a device keeps, and for whom: whatever one person left in it is not another's.
//
// All tabs of a browser share one cookie, so one of them can become another person's while it is open. Each tab
// (sessionStorage) knows whose it is; the device (localStorage) knows who was here last, and tells the other tabs.

const USER = "chat.user";
const WRITTEN = "chat.drafts.";
// Of what a device keeps for a user, that which goes when they sign out; what is still to be done stays theirs.
const PASSING = ["seen", "drafts", "model"];

/** The storage "sessionStorage" (of this tab) or "localStorage" (of this device), or null where there is none. */
export function storage(name) {
  try {
    return window[name];
  } catch (error) {
    console.warn("no storage in this tab:", error.message);
    return null;
  }
}

const userOf = (name) => storage(name)?.getItem(USER) ?? null;

/** Keep a text there; where there is no room for it, go on without. */
export function keep(name, key, text) {
  try {
    storage(name)?.setItem(key, text);
  } catch (error) {
    console.warn(`${key} is not kept:`, error.message);
  }
}

/** Remove from this device what anybody but `user` was writing. */
function dropDrafts(user) {
  const kept = storage("localStorage");
  for (const key of Object.keys(kept ?? {})) if (key.startsWith(WRITTEN) && key !== WRITTEN + user) kept.removeItem(key);
}

/** Take that this browser is a user's; what this tab kept for another is forgotten. Return whether there was another. */
export function belongTo(user) {
  const before = userOf("sessionStorage");
  const wasAnothers = before !== null && before !== user;
  if (wasAnothers) storage("sessionStorage").clear();
  keep("sessionStorage", USER, user);
  if (userOf("localStorage") === user) return wasAnothers;
  dropDrafts(user);
  keep("localStorage", USER, user);
  return wasAnothers;
}

/** Be whoever was here last, and forget what this tab kept for anybody else; before anything of that is read. */
export function inherit() {
  const user = userOf("localStorage");
  if (userOf("sessionStorage") === user) return;
  storage("sessionStorage")?.clear();
  if (user !== null) keep("sessionStorage", USER, user);
}

/** Where this device keeps something of whoever this tab belongs to; null while that is nobody. */
const ownKey = (name) => userOf("sessionStorage") && `chat.${name}.${userOf("sessionStorage")}`;

/** What this device keeps under that name for this tab's user, or null. */
export function readOwn(name) {
  try {
    return JSON.parse(storage("localStorage")?.getItem(ownKey(name)) ?? "null");
  } catch (error) {
    console.warn(`${name} cannot be read:`, error.message);
    return null;
  }
}

/** Keep a value on this device for this tab's user, for all of their tabs; null removes it. Return whether they are here. */
export function keepOwn(name, value) {
  const key = ownKey(name);
  if (key === null || userOf("localStorage") !== userOf("sessionStorage")) return false;
  if (value === null) storage("localStorage").removeItem(key);
  else keep("localStorage", key, JSON.stringify(value));
  return true;
}

/** Call `changed()` when another tab of this user keeps something else under that name. */
export function onOwn(name, changed) {
  addEventListener("storage", ({ storageArea, key }) => {
    if (storageArea === storage("localStorage") && key === ownKey(name)) changed();
  });
}

/** Forget what this tab kept, and who was here; the other tabs hear of it. */
export function forget() {
  for (const name of PASSING) keepOwn(name, null);
  storage("sessionStorage")?.clear();
  storage("localStorage")?.removeItem(USER);
}

/** Call `became(user)` when another tab says that this browser is somebody else's, or (null) nobody's any more. */
export function onOthers(became) {
  addEventListener("storage", ({ storageArea, key, newValue }) => {
    if (storageArea !== storage("localStorage") || (key !== USER && key !== null)) return;
    if (newValue !== userOf("sessionStorage")) became(newValue);
  });
}
