// One WebSocket: frames in and out, replies matched to their commands by `ref`. It never reconnects.
//
// `told` gets every frame in the order of its arrival, replies too, and before the reply's promise is settled:
// a batch may stand right behind its `ok` in the same message, and whoever waits for the `ok` must not be later.

import { ChatError, disconnected } from "./errors.js";

export const SUBPROTOCOL = "chat.v1.json";
const REPLY_MS = 30_000;

let lastRef = 0;

export class Socket {
  #socket;
  #waiting = new Map();
  #told;
  #closed;

  /** `opened(socket)`, `told(frame, socket)` and `closed(code, socket)` are called; the latter exactly once. */
  constructor(url, { opened, told, closed }) {
    this.url = url;
    this.heardAt = performance.now();
    this.welcomedAt = null;
    this.after_ms = 0;
    this.#told = told;
    this.#closed = closed;
    this.#socket = new WebSocket(url, SUBPROTOCOL);
    this.#socket.onopen = () => opened(this);
    this.#socket.onmessage = ({ data }) => this.#hear(data);
    this.#socket.onclose = ({ code }) => this.#drop(code);
  }

  get silent_ms() {
    return performance.now() - this.heardAt;
  }

  /** Send a command. Return {ref, reply}: `reply` resolves to the `ok` or rejects with a ChatError. */
  send(type, fields = {}) {
    const ref = `r${++lastRef}`;
    const reply = new Promise((resolve, reject) => {
      const timer = setTimeout(() => this.#settle(ref, (waiting) => waiting.reject(disconnected())), REPLY_MS);
      this.#waiting.set(ref, { resolve, reject, timer });
    });
    if (this.#socket.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify({ type, ref, ...fields }));
    else this.#settle(ref, (waiting) => waiting.reject(disconnected()));
    return { ref, reply };
  }

  /** Close now and tell it as this code, without waiting for a network that may be dead. */
  abandon(code) {
    this.#silence();
    this.#drop(code);
  }

  /** Close without a word to the owner. */
  leave() {
    this.#silence();
    this.#reject();
  }

  #silence() {
    Object.assign(this.#socket, { onopen: null, onmessage: null, onclose: null });
    this.#socket.close(1000);
  }

  #hear(data) {
    this.heardAt = performance.now();
    const message = JSON.parse(data);
    for (const frame of Array.isArray(message) ? message : [message]) this.#read(frame);
  }

  #read(frame) {
    if (frame.type === "welcome") this.welcomedAt ??= performance.now();
    if (frame.type === "error" && frame.after_ms) this.after_ms = frame.after_ms;
    this.#told(frame, this);
    if (frame.type === "error") this.#settle(frame.ref, ({ reject }) => reject(ChatError.ofFrame(frame)));
    if (frame.type === "ok" || frame.type === "welcome") this.#settle(frame.ref, ({ resolve }) => resolve(frame));
  }

  #settle(ref, how) {
    const waiting = this.#waiting.get(ref);
    if (!waiting) return;
    this.#waiting.delete(ref);
    clearTimeout(waiting.timer);
    how(waiting);
  }

  #drop(code) {
    this.#reject();
    this.#closed(code, this);
  }

  #reject() {
    for (const ref of [...this.#waiting.keys()]) this.#settle(ref, ({ reject }) => reject(disconnected()));
  }
}
