// Names that this client chooses: session ids and message ids.

const SHAPE = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$/;

export const isId = (text) => SHAPE.test(text);

/** 128 random bits as hex. (crypto.randomUUID wants a secure context, which a plain http page is not.) */
export const newId = () => hex(crypto.getRandomValues(new Uint8Array(16)));

export const hex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
