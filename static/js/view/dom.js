// Making elements without markup: user and model text only ever becomes text nodes.

/** Whether the keyboard has ⌘ where others have Ctrl. */
export const IS_APPLE = /mac|iphone|ipad/i.test(navigator.userAgentData?.platform ?? navigator.platform);

/** Find an element of index.html by its id; it must be there. */
export function byId(id) {
  const found = document.getElementById(id);
  if (!found) throw new Error(`index.html has no #${id}`);
  return found;
}

/** Give the focus to where one writes; not where a keyboard would slide over the page unasked. */
export function focusWriting() {
  if (matchMedia("(hover: hover)").matches) byId("composer-text").focus({ preventScroll: true });
}

/** Do `change`; if it takes the focus from something in `box`, that goes to where one writes. */
export function keepingFocus(box, change) {
  const had = box.contains(document.activeElement);
  change();
  if (had && !(box.contains(document.activeElement) && document.activeElement.checkVisibility())) focusWriting();
}

/** Make an element. `properties` are DOM properties, `data` a dataset; children are nodes or strings. */
export function make(tag, { data, ...properties } = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  Object.assign(element.dataset, data);
  element.append(...children);
  return element;
}

/** Make a text node say `text`, appending where it only grew. */
export function grow(node, text) {
  if (node.data === text) return;
  if (text.startsWith(node.data)) node.appendData(text.slice(node.length));
  else node.data = text;
}

/** Bring `parent`'s children into this order with as few moves as can be; children that are not named go. */
export function arrange(parent, children) {
  const wanted = new Set(children);
  for (const child of [...parent.children]) if (!wanted.has(child)) child.remove();
  let place = parent.firstElementChild;
  for (const child of children) {
    if (child === place) place = place.nextElementSibling;
    else parent.insertBefore(child, place);
  }
}

/** Call `draw` once before the next frame is painted, however often it was asked for. */
export function coalesced(draw) {
  let isDue = false;
  return () => {
    if (isDue) return;
    isDue = true;
    requestAnimationFrame(() => {
      isDue = false;
      draw();
    });
  };
}
