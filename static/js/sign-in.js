// The page where one signs in: with the invitation that stands behind the # of its address, or with a token.
//
// What is behind the # never leaves the browser by itself, so no server's log and no program that looks at links has it.
// Only the press of the button sends it, and uses it up.

import { isId } from "./ids.js";
import { belongTo, inherit } from "./storage.js";
import { byId } from "./view/dom.js";
import { translate } from "./view/translate.js";
import { ofError } from "./words.js";
import { signIn as words } from "./words/trial.js";

const INVITE = "#invite=";
const PATIENCE_MS = 15_000;

const { hash } = location;
const invite = hash.startsWith(INVITE) ? hash.slice(INVITE.length) : "";
const session = isId(hash.slice(1)) ? hash : "";

const sentence = (text) => text[0].toUpperCase() + text.slice(1) + (text.endsWith(".") ? "" : ".");

/** Say in a form what is wrong, and lead to where it is; null if nothing is. */
function tell(form, problem) {
  const field = form.querySelector("textarea");
  const place = form.querySelector(".problem");
  place.hidden = !problem;
  place.textContent = problem && sentence(problem);
  if (problem) field?.setAttribute("aria-invalid", "true");
  else field?.removeAttribute("aria-invalid");
  if (problem) (field ?? place).focus();
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
    return { status: 0, detail: words.unreached };
  }
}

async function signIn(form, shown) {
  const button = form.querySelector("button");
  if (button.disabled) return;
  if (shown.token === "") return tell(form, words.empty);
  tell(form, null);
  button.disabled = true;
  const { status, user, code, detail } = await exchange(shown);
  if (status === 200) {
    belongTo(user);
    return location.replace(`/${session}`);
  }
  button.disabled = false;
  if (shown.invite && status === 401) return spent(form, button);
  tell(form, detail ? ofError({ code, message: detail }) : words.unreached);
}

/** Say that a link is of no use any more; whoever was signed in here all along, and follows it again, is let in. */
async function spent(form, button) {
  byId("invited-words").hidden = button.hidden = true;
  tell(form, words.spent);
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
translate();
byId("ended").hidden = !new URLSearchParams(location.search).has("ended");
byId("token-text").addEventListener("keydown", submitOnEnter);
if (invite) begin("invited", () => ({ invite }));
else begin("token", () => ({ token: pasted() }));

// A link that is pasted over this page's address changes what is behind the # and nothing else.
addEventListener("hashchange", () => location.reload());
