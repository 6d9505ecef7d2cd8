// What can be wrong with a command, as the server says it (protocol.md) or as the connection finds it.

export class ChatError extends Error {
  /** `retry`: no, now, later, sign_in or resync. `after_ms`: how long to wait at least, or null. */
  constructor(code, message, retry, after_ms = null) {
    super(message);
    Object.assign(this, { code, retry, after_ms });
  }

  static ofFrame({ code, message, retry, after_ms }) {
    return new ChatError(code, message, retry ?? "no", after_ms ?? null);
  }
}

export const disconnected = () => new ChatError("disconnected", "the connection was lost before a reply came", "now");
