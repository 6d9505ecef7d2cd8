// The road to whichever node is there: one socket at a time, another one when it is lost.
//
// Rules: from the moment a new socket has sent its `hello` with our cursors, only its frames count (`#live`);
// an old one that said `away` is kept until the new one is welcomed, so that nobody waits.
// Emits: "resume" (a hello goes out: its ref), "connected" (welcome), "frame" (in order), "state".

import { asked } from "./ask.js";
import { Emitter } from "./emitter.js";
import { afterClose, backoff_ms, rotation } from "./retry.js";
import { Socket } from "./socket.js";
import { onWake } from "./wake.js";

const [HANDSHAKE_MS, PROBE_MS, STABLE_MS] = [10_000, 2_500, 5_000];

export class Connection extends Emitter {
  #current = null;
  #next = null;
  #live = null;
  #timer = null;
  #tries = 0;
  #node = 0;
  #notBefore = 0;
  #silence_ms = 35_000;

  /** `resume()` returns [{session, cursor}] for a hello; `renew()` gets the page's cookie anew. */
  constructor({ url, resume, renew }) {
    super();
    Object.assign(this, { urls: [url], resume, renew, welcome: null, since: null, state: "connecting", code: null });
  }

  /** Connect, and stay connected for the life of the page. */
  start() {
    this.#connect();
    setInterval(() => this.#listen(), 1_000);
    onWake(() => this.#wake());
    addEventListener("offline", () => this.emit("state", this));
  }

  /** Send on the socket that counts, now. Return {ref, reply}, or null if there is none that was welcomed. */
  send(type, fields) {
    return this.#current && this.#current === this.#live ? this.#current.send(type, fields) : null;
  }

  /** Send a command that may be repeated, again after each reconnect until it is answered or 30 s are over. */
  ask(type, fields) {
    return asked(() => this.send(type, fields));
  }

  #connect() {
    clearTimeout(this.#timer);
    this.#timer = null;
    this.#next = new Socket(this.urls[this.#node % this.urls.length], {
      opened: (socket) => this.#greet(socket),
      told: (frame, socket) => this.#hear(frame, socket),
      closed: (code, socket) => this.#lose(code, socket),
    });
  }

  #greet(socket) {
    this.#live = socket;
    const { ref, reply } = socket.send("hello", { resume: this.resume() });
    reply.catch((error) => console.warn("hello:", error.message));
    this.emit("resume", ref);
  }

  #hear(frame, socket) {
    if (frame.type === "away" && socket === this.#current) this.#move(frame, socket);
    if (socket !== this.#live) return;
    if (frame.type === "welcome" && socket !== this.#current) this.#arrive(frame, socket);
    this.emit("frame", frame);
  }

  #arrive(welcome, socket) {
    this.#current?.leave();
    this.#current = socket;
    this.#next = null;
    this.#silence_ms = (welcome.heartbeat_ms ?? 25_000) + 10_000;
    this.urls = rotation(this.urls[0], [socket.url, ...(welcome.nodes ?? [])]);
    this.#node = this.urls.indexOf(socket.url);
    Object.assign(this, { welcome, since: Date.now() });
    this.#tell("open");
    this.emit("connected", welcome);
  }

  #move({ after_ms }, socket) {
    setTimeout(() => {
      if (socket !== this.#current || this.#next || this.#timer) return;
      this.#node += 1;
      this.#connect();
    }, after_ms ?? 0);
  }

  #lose(code, socket) {
    const overlapped = socket === this.#next && this.#current && this.#live === this.#current;
    if (socket === this.#next) this.#next = null;
    else if (socket === this.#current) this.#current = null;
    if (!overlapped) {
      if (this.#live === socket) this.#forget();
      this.#tell("connecting", code);
    }
    if (this.#next || this.#timer) return;
    if (socket.welcomedAt && performance.now() - socket.welcomedAt > STABLE_MS) this.#tries = 0;
    this.#again(afterClose(code), code, socket.after_ms);
  }

  // A new socket took our cursors over and then failed: the old one's frames were ignored meanwhile, so it goes too.
  #forget() {
    this.#current?.leave();
    this.#current = null;
  }

  async #again(then, code, after_ms) {
    if (then === "never" && !this.#current) return this.#tell("closed", code);
    if (then === "sign_in") await this.renew();
    this.#node += 1;
    this.#notBefore = performance.now() + after_ms;
    const wait_ms = Math.max(after_ms, backoff_ms(this.#tries++, Math.random()));
    this.#timer = setTimeout(() => this.#connect(), wait_ms);
  }

  // Somebody looks at the page, or the network is another one: no backoff, and no patience with a socket that is dead.
  #wake() {
    if (this.#timer && performance.now() >= this.#notBefore) this.#connect();
    const socket = this.#current;
    if (!socket) return;
    if (socket.silent_ms > this.#silence_ms) return this.#replace(socket);
    const askedAt = performance.now();
    socket.send("ping").reply.catch(() => {});
    setTimeout(() => socket === this.#current && socket.heardAt < askedAt && this.#replace(socket), PROBE_MS);
  }

  #replace(socket) {
    socket.abandon(1006);
    if (this.#timer && performance.now() >= this.#notBefore) this.#connect();
  }

  #listen() {
    if (this.#current?.silent_ms > this.#silence_ms) this.#current.abandon(1006);
    if (this.#next?.silent_ms > HANDSHAKE_MS) this.#next.abandon(1006);
  }

  #tell(state, code = null) {
    Object.assign(this, { state, code });
    this.emit("state", this);
  }
}
