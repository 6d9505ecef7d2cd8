// The two ends of what is in the page of a session: near one of them, or by its button, more is brought.

import { byId } from "./dom.js";

const AHEAD = "800px"; // so near to an end, more is brought

export class Edges {
  #earlier = byId("earlier");
  #later = byId("later");
  #isBusy = false;
  #near = new IntersectionObserver((seen) => this.#seen(seen), { root: byId("scroll"), rootMargin: AHEAD });

  /** `up()` and `down()` resolve to whether something came; `isPinned()`: one is at the end, and nothing is brought by itself. */
  constructor({ up, down, isPinned }) {
    Object.assign(this, { up, down, isPinned });
    this.#earlier.addEventListener("click", () => this.#bring(up));
    this.#later.addEventListener("click", () => this.#bring(down));
    for (const edge of [this.#earlier, this.#later]) this.#near.observe(edge);
  }

  /** Show whether there is something before and after. */
  show({ before, after }) {
    const { activeElement: has } = document;
    this.#earlier.hidden = !before;
    this.#later.hidden = !after;
    if (has.hidden) byId("scroll").focus({ preventScroll: true });
  }

  #seen(seen) {
    if (this.isPinned()) return;
    for (const { target, isIntersecting } of seen) if (isIntersecting) this.#bring(target === this.#earlier ? this.up : this.down);
  }

  // Both ends are looked at anew after something came: they may still be near.
  async #bring(by) {
    if (this.#isBusy) return;
    this.#isBusy = true;
    const came = await by();
    this.#isBusy = false;
    if (!came) return;
    for (const edge of [this.#earlier, this.#later]) {
      this.#near.unobserve(edge);
      requestAnimationFrame(() => this.#near.observe(edge));
    }
  }
}
