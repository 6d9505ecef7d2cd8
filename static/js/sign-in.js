// The page where one signs in: with the invitation that stands behind the # of its address, or with a token.
//
// What is behind the # never leaves the browser by itself, so no server's log and no program that looks at links has it.
// Only the press of the button sends it, and uses it up.

import { isId } from "./ids.js";
import { belongTo } from "./storage.js";
import { byId } from "./view/dom.js";

const INVITE = "#invite=";

const { hash } = location;
const invite = hash.startsWith(INVITE) ? hash.slice(INVITE.length) : "";
const session = isId(hash.slice(1)) ? hash : "";

function tell(words) {
  const problem = byId("problem");
  problem.textContent = words && words[0].toUpperCase() + words.slice(1);
  problem.hidden = !words;
}

/** Exchange what vouches for somebody for this page's cookie, and go on to the chat. */
async function signIn(form, shown) {
  tell("");
  const button = form.querySelector("button");
  button.disabled = true;
  try {
    const headers = { "Content-Type": "application/json" };
    const answer = await fetch("/api/sign-in", { method: "POST", headers, body: JSON.stringify(shown) });
    const { user, detail } = await answer.json();
    if (answer.ok) {
      belongTo(user);
      return location.replace(`/${session}`);
    }
    tell(detail ?? "That did not work.");
  } catch (error) {
    console.warn("sign-in:", error.message);
    tell("The server cannot be reached just now. Try again.");
  }
  button.disabled = false;
}

function begin(id, shown) {
  const form = byId(id);
  form.hidden = false;
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    signIn(form, shown());
  });
}

if (invite) begin("invited", () => ({ invite }));
else begin("token", () => ({ token: byId("token-text").value.trim() }));
