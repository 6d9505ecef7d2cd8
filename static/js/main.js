// The page: makes the objects, and knows which session its address names.
//
//   socket ◀─ connection ◀─ follows, says ◀─ chat ◀─ views        sessions ◀─ the list
//
// The address is `/` for a new conversation, or `/#id` for one that has begun: a reload comes back to it.

import { Chat } from "./chat.js";
import { Connection } from "./connection.js";
import { isId, newId } from "./ids.js";
import { socketUrl } from "./retry.js";
import { Sessions } from "./sessions.js";
import { belongTo, inherit, keep, onOthers, storage } from "./storage.js";
import { announceAnswers } from "./view/announce.js";
import { Composer } from "./view/composer.js";
import { byId } from "./view/dom.js";
import { Head } from "./view/head.js";
import { Notice } from "./view/notice.js";
import { SessionList } from "./view/session_list.js";
import { SignOut } from "./view/sign_out.js";
import { translate } from "./view/translate.js";
import { Trial } from "./view/trial.js";
import { Turns } from "./view/turns.js";
import { ofError } from "./words.js";

const DRAFT = "chat.draft";
const NEVER = new Promise(() => {});

/** Leave this page for good: nothing of it is seen from now on, and no step in the history comes back to it. */
function go(where) {
  document.body.hidden = true;
  location.replace(where);
  return NEVER;
}

/** Fetch the page for its cookie, or go where one signs in; that it fails is told by the next connection. */
async function renewCookie() {
  if (await signOut.leaving) return NEVER;
  try {
    const answer = await fetch("/", { cache: "no-store", credentials: "same-origin" });
    if (!answer.redirected) return;
    keep("sessionStorage", DRAFT, byId("composer-text").value);
    return go(`/sign-in?ended${location.hash}`);
  } catch (error) {
    console.warn(error.message);
  }
}

/** Give back what somebody was writing when they had to sign in again. */
function takeDraft() {
  const kept = storage("sessionStorage");
  const draft = kept?.getItem(DRAFT);
  if (!draft) return;
  kept.removeItem(DRAFT);
  composer.putBack(chat.session.session, draft);
}

inherit();
translate();

const connection = new Connection({
  url: socketUrl("/ws", location.href),
  resume: () => chat.cursors(),
  renew: renewCookie,
});
connection.on("connected", ({ user }) => belongTo(user) && go("/"));
const chat = new Chat({ connection, storage: storage("sessionStorage") });
const sessions = new Sessions({ connection });

let routed = null;

const notice = new Notice();
const turns = new Turns({ chat, connection });
const composer = new Composer({ chat, said, problem: (words) => notice.say(words) });
new SessionList({ sessions, chat, connection, begin });
const signOut = new SignOut({ connection, problem: (words) => notice.say(words) });
new Trial({ connection, storage: storage("localStorage") });
new Head({ chat, sessions, connection, left: begin });
announceAnswers(chat);

connection.on("connected", takeDraft);
chat.on("problem", (words) => notice.say(words));
chat.on("refused", ({ error }) => notice.say(ofError(error)));
sessions.on("problem", (words) => notice.say(words));

function show(id, isFresh) {
  notice.clear();
  chat.show(id, { isFresh });
  composer.show(id);
  turns.toEnd();
}

function begin() {
  history.pushState(null, "", location.pathname);
  routed = "";
  show(newId(), true);
}

function said() {
  notice.clear();
  turns.toEnd();
  const { session } = chat.session;
  if (routed === session) return;
  routed = session;
  history.replaceState(null, "", `#${session}`);
}

// A step in the history tells itself twice, as `popstate` and as `hashchange`.
function route() {
  const id = location.hash.slice(1);
  if (id === routed) return;
  routed = id;
  if (isId(id)) show(id, false);
  else show(newId(), true);
}

// A tab that was put aside, or hears that somebody else is here now, shows nothing of what it showed.
onOthers((user) => go(user ? "/" : "/sign-in"));
addEventListener("pageshow", ({ persisted }) => persisted && location.reload());
addEventListener("hashchange", route);
addEventListener("popstate", route);
route();
connection.start();
