// When and where to connect again. Pure: randomness and numbers come as arguments.

const SHORTEST_MS = 500;
const LONGEST_MS = 20_000;
const NODE_COUNT = 16;

const LOST = new Set([1000, 1001, 1005, 1006, 1011, 1012, 1013]);

/** Wait before the try with this number (from 0): full jitter, a ceiling that doubles from 500 ms to 20 s. */
export function backoff_ms(tries, random) {
  return random * Math.min(LONGEST_MS, SHORTEST_MS * 2 ** Math.min(tries, 10));
}

/** What a close code tells the client: "again", "sign_in" (then again) or "never". */
export function afterClose(code) {
  if (code === 4001) return "sign_in";
  return LOST.has(code) || (code >= 4000 && code <= 4499) ? "again" : "never";
}

/** The socket's address on a node, from what NODES says of it (http, https, ws or wss; with or without a path). */
export function socketUrl(node, base) {
  const url = new URL(node, base);
  url.protocol = url.protocol.replace("http", "ws");
  if (url.pathname === "/") url.pathname = "/ws";
  url.hash = "";
  return url.href;
}

/** The nodes to rotate over: the page's own first, then the others, each once. */
export function rotation(own, nodes) {
  const urls = [own];
  for (const node of nodes ?? []) if (URL.canParse(node, own)) urls.push(socketUrl(node, own));
  return [...new Set(urls)].slice(0, NODE_COUNT);
}
