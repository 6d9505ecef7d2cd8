// Links in an answer: only to where a click may go.

const SAFE = new Set(["http:", "https:", "mailto:"]);
const TRAILING = /[.,;:!?'"*_~)\]]+$/;

/** The address that `text` gives, if a click may go there. */
export function addressOf(text) {
  const [address] = text.trim().split(/\s/);
  const url = URL.parse(address.replace(/^<(.*)>$/, "$1"));
  return url && SAFE.has(url.protocol) ? url.href : null;
}

/** Let `element`, which is finished, lead to `address`. */
export function endLink(element, address) {
  if (!element.textContent) element.textContent = address;
  element.title = address;
  if (element.localName !== "a") return;
  Object.assign(element, { href: address, target: "_blank", rel: "noopener noreferrer nofollow" });
}

// The full stop after an address is not part of it.
/** Let `element` lead to the address that it shows, if it is one. */
export function endRaw(element) {
  const text = element.textContent;
  const [after = ""] = TRAILING.exec(text) ?? [];
  const address = addressOf(text.slice(0, text.length - after.length));
  if (!address) return element.replaceWith(...element.childNodes);
  element.textContent = text.slice(0, text.length - after.length);
  endLink(element, address);
  if (after) element.after(after);
}
