// What stands beside the conversation: the list, and what can be done with each of its lines, also from the head.

import { byId } from "./dom.js";
import { Drawer } from "./drawer.js";
import { Renaming } from "./rename.js";
import { Saving } from "./save.js";
import { Search } from "./search.js";
import { SessionList } from "./session_list.js";
import { Undo } from "./undo.js";

export class Aside {
  #drawer = new Drawer();
  #list;
  #removed = null;

  /** `begin()` is called for a new conversation; `problem(words)` when something cannot be done. */
  constructor({ sessions, deletions, chat, unread, connection, begin, problem }) {
    Object.assign(this, { deletions, chat });
    this.begin = () => (this.#drawer.close(), begin());
    const [renaming, saving] = [new Renaming({ sessions }), new Saving({ problem })];
    /** What can be done with a line of the list, {id, title}. */
    this.deeds = {
      rename: ({ id, title }) => renaming.rename(id, title),
      save: (line, format) => saving.one(line, format),
      remove: ({ id }) => this.#remove(id),
    };
    const opened = () => this.#drawer.close();
    this.#list = new SessionList({ sessions, chat, unread, connection, deeds: this.deeds, opened });
    new Search({ sessions, opened: (id) => (opened(), (location.hash = id)), begin: this.begin });
    new Undo({ deletions, sessions, undone: (id) => this.#undone(id) });
    byId("session-new").addEventListener("click", this.begin);
    for (const source of [sessions, deletions]) source.on("problem", problem);
  }

  // Once the time to undo it is over. Whoever has it open goes on with a new one.
  #remove(id) {
    const isOpen = id === this.chat.session.session;
    this.#removed = isOpen ? id : null;
    this.deletions.delete(id);
    if (isOpen) this.begin();
  }

  // Back to what was open when it was deleted, unless something else was begun.
  #undone(id) {
    const { turns, run } = this.chat.session;
    const isBegun = turns.length || run || byId("composer-text").value;
    if (id === this.#removed && !isBegun) location.hash = id;
    else this.#list.focus(id);
  }
}
