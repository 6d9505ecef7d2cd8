// The turns of the open session: what is in its log, what is being written, what waits, what is not sent yet.
//
// The element of a message that was pending becomes the sent one, and the running answer becomes the finished one,
// without being built again: their items (items.js) have the same key.
// A turn in the log never changes: only those between the first and the last that are new are looked at. What is far
// from where one reads is not in the page (span.js).

import { common, itemOf, itemsAfter } from "../items.js";
import { Span } from "../span.js";
import { sessions as words } from "../words/sessions.js";
import { byId, coalesced, keepingFocus } from "./dom.js";
import { Edges } from "./edges.js";
import { Scroll } from "./scroll.js";
import { Turn } from "./turn.js";

export class Turns {
  #list = byId("turns");
  #empty = byId("empty");
  #span = new Span();
  #scroll = new Scroll({ newest: () => this.toEnd() });
  #shown = new Map();
  #session = null;
  #turns = [];
  #after = [];
  #last = null;
  #edges = new Edges({
    up: () => this.#up(),
    down: () => this.#move(() => this.#span.down()),
    isPinned: () => this.#scroll.isPinned,
  });

  constructor({ chat, connection }) {
    Object.assign(this, { chat, connection });
    const draw = coalesced(() => keepingFocus(this.#list, () => this.#draw()));
    chat.on("change", (id) => id === chat.session?.session && draw());
    connection.on("state", draw);
  }

  /** Go to the end and stay there. */
  toEnd() {
    this.#span.toEnd();
    if (this.#session) this.#draw();
    this.#scroll.pin();
  }

  /** Edit one's own turn, if it is shown and stands. */
  edit(id) {
    if (!this.#shown.has(id)) this.toEnd();
    this.#shown.get(id)?.edit();
  }

  #draw() {
    const { session } = this.chat;
    if (!session) return;
    if (session.session !== this.#session) this.#begin(session.session);
    const turns = this.#span.of(session.turns, this.#scroll);
    const after = this.#span.isAtEnd ? itemsAfter(this.chat) : [];
    const isMoved = !this.#scroll.isPinned && this.#turns.length && turns[0] !== this.#turns[0];
    if (isMoved) this.#scroll.holding(this.#list.children, () => this.#show(turns, after));
    else this.#show(turns, after);
    this.#scroll.isOpen = !this.#span.isAtEnd;
    this.#edges.show({ before: session.more || this.#span.hasBefore, after: !this.#span.isAtEnd });
    this.#empty.hidden = session.turns.length + after.length > 0 || (session.at === null && this.#isExpected);
    this.#empty.textContent = session.gone ? words.deleted : words.empty;
  }

  #show(turns, after) {
    const [first, same] = common(this.#turns, turns);
    const fresh = turns.slice(first, turns.length - same).map(itemOf);
    this.#drop([...this.#turns.slice(first, this.#turns.length - same), ...this.#after], [...fresh, ...after]);
    const before = this.#last;
    const newest = this.#span.isAtEnd ? turns.at(-1) : null;
    this.#last = after.find(({ role }) => role === "assistant") ?? (newest ? itemOf(newest) : null);
    for (const item of [...fresh, ...after]) this.#showItem(item);
    if (before?.source && this.#shown.has(before.id)) this.#showItem(before);
    if (this.#last?.source) this.#showItem(this.#last);
    const start = first ? this.#elementOf(turns[first - 1]).nextElementSibling : this.#list.firstElementChild;
    this.#put(start, fresh);
    this.#put(turns.length ? this.#elementOf(turns.at(-1)).nextElementSibling : this.#list.firstElementChild, after);
    this.#turns = turns;
    this.#after = after;
  }

  #showItem(item) {
    if (!this.#shown.has(item.id)) this.#shown.set(item.id, new Turn(this.chat));
    const mayAgain = item.id === this.#last?.id && this.chat.can("again");
    this.#shown.get(item.id).show({ ...item, mayAgain, isOnline: this.connection.state === "open" });
  }

  #drop(old, items) {
    const stay = new Set(items.map(({ id }) => id));
    for (const { id } of old) {
      if (stay.has(id)) continue;
      this.#shown.get(id)?.element.remove();
      this.#shown.delete(id);
    }
  }

  // Those that stand where they belong are not moved.
  #put(place, items) {
    for (const { element } of items.map(({ id }) => this.#shown.get(id))) {
      if (element === place) place = place.nextElementSibling;
      else this.#list.insertBefore(element, place);
    }
  }

  #elementOf({ id }) {
    return this.#shown.get(id).element;
  }

  // A session named in the address is on its way: an empty page would say that there is nothing in it.
  get #isExpected() {
    return location.hash.length > 1;
  }

  #begin(id) {
    this.#session = id;
    this.#shown.clear();
    this.#turns = this.#after = [];
    this.#last = null;
    this.#list.replaceChildren();
    this.#span.toEnd();
    this.#scroll.pin();
  }

  async #up() {
    if (!this.#span.hasBefore) await this.chat.earlier();
    return this.#move(() => this.#span.up());
  }

  #move(by) {
    const [first, count] = [this.#turns[0], this.#turns.length];
    this.#span.of(this.chat.session.turns, this.#scroll);
    by();
    this.#draw();
    return this.#turns[0] !== first || this.#turns.length !== count;
  }
}
