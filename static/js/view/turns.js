// The turns of the open session: what is in its log, what is being written, what waits, what is not sent yet.
//
// An item is what one <li> shows; its key is the turn's id (an answer has its run's), so the element of a message that
// was pending becomes the sent one, and the running answer becomes the finished one, without being built again.

import { sessions as words } from "../words/sessions.js";
import { arrange, byId, coalesced } from "./dom.js";
import { Scroll } from "./scroll.js";
import { Turn } from "./turn.js";

/** The items of a session, in order. */
function itemsOf({ session, unseen }) {
  const { turns, run, queued } = session;
  return [
    ...turns.map((turn) => ({ ...turn, state: turn.state ?? (turn.role === "user" ? "sent" : "done"), source: turn })),
    ...(run ? [{ ...run, role: "assistant", run: run.id }] : []),
    ...queued.map((turn) => ({ ...turn, role: "user", state: "queued" })),
    ...unseen.map((say) => ({ ...say, role: "user", state: "pending" })),
  ];
}

export class Turns {
  #list = byId("turns");
  #empty = byId("empty");
  #earlier = byId("earlier");
  #scroll = new Scroll();
  #shown = new Map();
  #session = null;

  constructor({ chat, connection }) {
    Object.assign(this, { chat, connection });
    const draw = coalesced(() => this.#draw());
    chat.on("change", (id) => id === chat.session?.session && draw());
    connection.on("state", draw);
    this.#earlier.addEventListener("click", () => this.#bringEarlier());
  }

  /** Go to the end and stay there. */
  toEnd() {
    this.#scroll.pin();
  }

  #draw() {
    const { session } = this.chat;
    if (!session) return;
    if (session.session !== this.#session) this.#begin(session.session);
    const first = this.#list.firstElementChild;
    const items = itemsOf(this.chat);
    const last = items.findLast(({ role, state }) => role === "assistant" || state === "sent");
    const keep = new Map();
    const [mayAgain, isOnline] = [this.chat.can("again"), this.connection.state === "open"];
    for (const item of items) {
      const turn = this.#shown.get(item.id) ?? new Turn(this.chat);
      turn.show({ ...item, mayAgain: item === last && mayAgain, isOnline });
      keep.set(item.id, turn);
    }
    this.#shown = keep;
    this.#scroll.holding(first, () => arrange(this.#list, [...keep.values()].map(({ element }) => element)));
    this.#earlier.hidden = !session.more;
    this.#empty.hidden = items.length > 0 || (session.at === null && this.#isExpected);
    this.#empty.textContent = session.gone ? words.deleted : words.empty;
  }

  // A session named in the address is on its way: an empty page would say that there is nothing in it.
  get #isExpected() {
    return location.hash.length > 1;
  }

  #begin(id) {
    this.#session = id;
    this.#shown.clear();
    this.#list.replaceChildren();
    this.#scroll.pin();
  }

  async #bringEarlier() {
    this.#earlier.disabled = true;
    await this.chat.earlier();
    this.#earlier.disabled = false;
  }
}
