// A small panel beside the button that opens it: Esc, a press outside and the focus going elsewhere close it.
//
// It lies in the top layer, so no list cuts it off. Esc closes it and nothing else: it is heard before the composer and
// the drawer hear of it. The focus goes back to the button, unless it went elsewhere by itself.

const GAP_PX = 4;
const MARGIN_PX = 8;

export class Popup {
  #listeners = new AbortController();

  /** `element` (a popover="manual") is shown beside `anchor`; `closed()` is called once, when it goes. */
  constructor(element, anchor, { closed = () => {} } = {}) {
    Object.assign(this, { element, anchor, closed, isOpen: true });
    anchor.setAttribute("aria-expanded", "true");
    element.showPopover();
    this.#place();
    const { signal } = this.#listeners;
    const how = { signal, capture: true };
    const on = (name, listener, target = document) => target.addEventListener(name, listener, how);
    on("keydown", (event) => this.#pressed(event));
    on("pointerdown", ({ target }) => this.#isOutside(target) && this.close({ isLeft: true }));
    on("focusin", ({ target }) => this.#isOutside(target) && this.close({ isLeft: true }));
    on("scroll", ({ target }) => target.contains(anchor) && this.close());
    on("resize", () => this.#place(), window);
  }

  /** Close it; the focus goes back to the button, unless `isLeft`: it went elsewhere. */
  close({ isLeft = false } = {}) {
    if (!this.isOpen) return;
    this.isOpen = false;
    this.#listeners.abort();
    const hadFocus = this.element.contains(document.activeElement);
    this.anchor.setAttribute("aria-expanded", "false");
    if (hadFocus && !isLeft) this.anchor.focus({ preventScroll: true });
    if (this.element.matches(":popover-open")) this.element.hidePopover();
    this.closed();
  }

  #isOutside(target) {
    return !this.element.contains(target) && !this.anchor.contains(target);
  }

  #pressed(event) {
    if (event.key !== "Escape" || event.isComposing) return;
    event.preventDefault();
    event.stopPropagation();
    this.close();
  }

  // Under the button where there is room, else over it; never out of the window, in either direction of writing.
  #place() {
    const [button, own] = [this.anchor.getBoundingClientRect(), this.element.getBoundingClientRect()];
    const under = button.bottom + GAP_PX;
    const fits = under + own.height + MARGIN_PX <= innerHeight;
    const top = fits ? under : Math.max(MARGIN_PX, button.top - GAP_PX - own.height);
    const isRtl = getComputedStyle(this.element).direction === "rtl";
    const start = isRtl ? innerWidth - button.right : button.left;
    const most = innerWidth - own.width - MARGIN_PX;
    this.element.style.insetBlockStart = `${top}px`;
    this.element.style.insetInlineStart = `${Math.max(MARGIN_PX, Math.min(start, most))}px`;
  }
}
