// The page: makes the objects, and knows which session its address names.
//
//   socket ◀─ connection ◀─ follows, says ◀─ chat ◀─ views        sessions ◀─ the list
//
// The address is `/` for a new conversation, or `/#id` for one that has begun: a reload comes back to it.

import { Chat } from "./chat.js";
import { Connection } from "./connection.js";
import { Deletions } from "./deletions.js";
import { Drafts } from "./drafts.js";
import { isId, newId } from "./ids.js";
import { socketUrl } from "./retry.js";
import { Known } from "./known.js";
import { Models } from "./models.js";
import { Returns } from "./returns.js";
import { Sessions } from "./sessions.js";
import { belongTo, inherit, onOthers, storage } from "./storage.js";
import { Unread } from "./unread.js";
import { announceAnswers } from "./view/announce.js";
import { Aside } from "./view/aside.js";
import { Composer } from "./view/composer.js";
import { Details } from "./view/details.js";
import { Head } from "./view/head.js";
import { ModelChoice } from "./view/model.js";
import { Notice } from "./view/notice.js";
import { Preferences } from "./view/preferences.js";
import { Shortcuts } from "./view/shortcuts.js";
import { SignOut } from "./view/sign_out.js";
import { Status } from "./view/status.js";
import { translate } from "./view/translate.js";
import { Trial } from "./view/trial.js";
import { Turns } from "./view/turns.js";

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
    return go(`/sign-in?ended${location.hash}`);
  } catch (error) {
    console.warn(error.message);
  }
}

inherit();
translate();

const connection = new Connection({
  url: socketUrl("/ws", location.href),
  resume: () => chat.cursors(),
  renew: renewCookie,
});
connection.on("connected", ({ user }) => belongTo(user) && go("/"));
const models = new Models({ connection });
const chat = new Chat({ connection, models, storage: storage("sessionStorage") });
const returns = new Returns({ connection, cursors: () => chat.cursors() });
const deletions = new Deletions({ connection });
const sessions = new Sessions({ connection, deletions });
const unread = new Unread({ sessions, chat });

let routed = null;

const notice = new Notice();
const problem = (words) => notice.say(words);
const turns = new Turns({ chat, connection });
const composer = new Composer({ chat, drafts: new Drafts(), said, problem, edit: (id) => turns.edit(id) });
const aside = new Aside({ sessions, deletions, chat, unread, connection, begin, problem });
const signOut = new SignOut({ connection, deletions, problem });
new Trial({ connection, storage: storage("localStorage") });
new Head({ chat, sessions, unread, ...aside.deeds });
new Status({ connection, returns, chat });
new Details({ connection, returns, chat });
new ModelChoice({ chat, models, problem });
new Preferences({ known: new Known({ connection }), chat, models });
new Shortcuts();
announceAnswers(chat);

connection.on("connected", () => composer.known());
chat.on("problem", (error) => notice.tell(error));
chat.on("refused", ({ error }) => notice.tell(error));

function show(id, isFresh) {
  notice.clear();
  chat.show(id, { isFresh });
  composer.show(id, { isFresh });
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
  deletions.undo(session);
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
