// The page where one signs in: with the invitation that stands behind the # of its address, or with a token.
//
// What is behind the # never leaves the browser by itself, so no server's log and no program that looks at links has it.
// Only the press of the button sends it, and uses it up.

import { isId } from "./ids.js";
import { belongTo, inherit } from "./storage.js";
import { byId } from "./view/dom.js";

const INVITE = "#invite=";
const PATIENCE_MS = 15_000;
const SPENT = "This link was used already, or it is too old or incomplete. Ask for a new one.";
const EMPTY = "There is no token here yet. Paste the one that you were given.";
const UNREACHED = "The server cannot be reached just now. Try again.";

const { hash } = location;
const invite = hash.startsWith(INVITE) ? hash.slice(INVITE.length) : "";
const session = isId(hash.slice(1)) ? hash : "";

const sentence = (words) => words[0].toUpperCase() + words.slice(1) + (words.endsWith(".") ? "" : ".");

/** Say in a form what is wrong, and lead to where it is; null if nothing is. */
function tell(form, words) {
  const field = form.querySelector("textarea");
  const problem = form.querySelector(".problem");
  problem.hidden = !words;
  problem.textContent = words && sentence(words);
  if (words) field?.setAttribute("aria-invalid", "true");
  else field?.removeAttribute("aria-invalid");
  if (words) (field ?? problem).focus();
}

/** Exchange what vouches for somebody for this page's cookie. Return the status, and who it is or what is wrong. */
async function exchange(shown) {
  const headers = { "Content-Type": "application/json" };
  const signal = AbortSignal.timeout(PATIENCE_MS);
  try {
    const answer = await fetch("/api/sign-in", { method: "POST", headers, body: JSON.stringify(shown), signal });
    return { status: answer.status, ...(await answer.json()) };
  } catch (error) {
    console.warn("sign-in:", error.message);
    return { status: 0, detail: UNREACHED };
  }
}

async function signIn(form, shown) {
  const button = form.querySelector("button");
  if (button.disabled) return;
  if (shown.token === "") return tell(form, EMPTY);
  tell(form, null);
  button.disabled = true;
  const { status, user, detail } = await exchange(shown);
  if (status === 200) {
    belongTo(user);
    return location.replace(`/${session}`);
  }
  button.disabled = false;
  if (shown.invite && status === 401) return spent(form, button);
  tell(form, detail ?? UNREACHED);
}

/** Say that a link is of no use any more; whoever was signed in here all along, and follows it again, is let in. */
async function spent(form, button) {
  byId("invited-words").hidden = button.hidden = true;
  tell(form, SPENT);
  byId("onward").hidden = !(await isSignedIn());
}

async function isSignedIn() {
  const answer = await fetch("/", { cache: "no-store" }).catch(() => null);
  return Boolean(answer?.ok && !answer.redirected);
}

function begin(id, shown) {
  const form = byId(id);
  form.hidden = false;
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    signIn(form, shown());
  });
}

/** The token in the field, however it was copied: in lines, or with the word before it that a header has. */
const pasted = () => byId("token-text").value.replace(/^\s*bearer\s/i, "").replace(/\s/g, "");

function submitOnEnter(event) {
  if (event.key !== "Enter" || event.isComposing) return;
  event.preventDefault();
  byId("token").requestSubmit();
}

inherit();
byId("ended").hidden = !new URLSearchParams(location.search).has("ended");
byId("token-text").addEventListener("keydown", submitOnEnter);
if (invite) begin("invited", () => ({ invite }));
else begin("token", () => ({ token: pasted() }));

// A link that is pasted over this page's address changes what is behind the # and nothing else.
addEventListener("hashchange", () => location.reload());
