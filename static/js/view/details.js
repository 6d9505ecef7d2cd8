// How it stands with the connection, for whoever wants to know or has to tell: in a panel beside the status line.
//
// While it is open the node is asked for a sign of life every 5 s. What is copied has no secrets: of one's key, a part.

import { compare } from "../cursor.js";
import { number, time } from "../language.js";
import { SUBPROTOCOL } from "../socket.js";
import { details as words } from "../words/connection.js";
import { copying } from "../words/composer.js";
import { copied } from "./copy.js";
import { byId, make } from "./dom.js";
import { Popup } from "./popup.js";

const [PING_MS, DRAW_MS, COPIED_MS] = [5_000, 1_000, 2_000];
const KEY_LENGTH = 6;

export class Details {
  #panel = byId("details");
  #list = byId("details-list");
  #status = byId("status");
  #copy = byId("details-copy");
  #label = this.#copy.textContent;
  #copying = null;
  #popup = null;
  #timers = [];
  #heads = null;
  #latency_ms = null;

  constructor({ connection, returns, chat }) {
    Object.assign(this, { connection, returns, chat });
    this.#status.addEventListener("click", () => (this.#popup ? this.#popup.close() : this.#open()));
    this.#copy.addEventListener("click", () => this.#copied());
    connection.on("connected", () => (this.#heads = null));
    connection.on("frame", (frame) => frame.type === "ping" && (this.#heads = frame.heads ?? {}));
    connection.on("state", () => this.#popup && this.#draw());
  }

  #open() {
    this.#draw();
    this.#popup = new Popup(this.#panel, this.#status, { closed: () => this.#closed() });
    this.#panel.focus({ preventScroll: true });
    this.#ping();
    this.#timers = [setInterval(() => this.#ping(), PING_MS), setInterval(() => this.#draw(), DRAW_MS)];
  }

  #closed() {
    this.#popup = null;
    this.#timers.forEach(clearInterval);
  }

  async #ping() {
    const askedAt = performance.now();
    const reply = this.connection.send("ping")?.reply;
    try {
      await reply;
      this.#latency_ms = reply ? performance.now() - askedAt : null;
    } catch {
      this.#latency_ms = null;
    }
    this.#draw();
  }

  get #steps() {
    if (!this.#heads) return words.unheard;
    const isBehind = ({ session, cursor }) => this.#heads[session] && compare(cursor, this.#heads[session]) < 0;
    return this.chat.cursors().some(isBehind) ? words.behind : words.inStep;
  }

  #facts() {
    const { welcome, since, state } = this.connection;
    const isOpen = state === "open";
    const { count, entries } = this.returns;
    const { text_bytes, queued, sessions } = welcome?.limits ?? {};
    return {
      node: isOpen ? welcome.node : words.none,
      since: isOpen ? time(since, { dateStyle: "medium", timeStyle: "medium" }) : words.none,
      latency: isOpen && this.#latency_ms !== null ? words.ms(number(Math.round(this.#latency_ms))) : words.none,
      cursor: this.chat.session?.at ?? words.none,
      steps: isOpen ? this.#steps : words.none,
      resumed: count ? words.resumes(number(count), number(entries)) : words.never,
      transport: `WebSocket, ${SUBPROTOCOL}`,
      features: welcome?.features?.join(", ") || words.none,
      limits: welcome?.limits ? words.bounds(number(text_bytes), number(queued), number(sessions)) : words.none,
      user: welcome?.user ? `${welcome.user.slice(0, KEY_LENGTH)}…` : words.none,
    };
  }

  #draw() {
    const facts = Object.entries(this.#facts());
    if (!this.#list.children.length) {
      for (const [fact] of facts) this.#list.append(make("dt", {}, words.names[fact]), make("dd", { data: { fact } }));
    }
    for (const [name, value] of facts) {
      const place = this.#list.querySelector(`[data-fact="${name}"]`);
      if (place.textContent !== value) place.textContent = value;
    }
  }

  async #copied() {
    const text = Object.entries(this.#facts()).map(([name, value]) => `${words.names[name]}: ${value}`).join("\n");
    this.#copy.textContent = (await copied(this.#list, text)) ? copying.copied : copying.selected;
    byId("announce").textContent = this.#copy.textContent;
    clearTimeout(this.#copying);
    this.#copying = setTimeout(() => (this.#copy.textContent = this.#label), COPIED_MS);
  }
}
