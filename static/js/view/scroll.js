// Pinned to the end while the text grows, until the person scrolls up; "To the newest" pins it again.
//
// `isOpen`: there is more after what is in the page, so that its end is none to be pinned to.

import { byId, focusWriting } from "./dom.js";

const NEAR_PX = 40;

export class Scroll {
  #box = byId("scroll");
  #button = byId("newest");
  #isPinned = true;
  #top = 0;

  isOpen = false;

  /** `newest()` is called when somebody wants to see the end. */
  constructor({ newest }) {
    this.#box.addEventListener("scroll", () => this.#moved(), { passive: true });
    this.#button.addEventListener("click", () => {
      newest();
      focusWriting();
    });
    const sizes = new ResizeObserver(() => this.#follow());
    sizes.observe(this.#box);
    sizes.observe(this.#box.firstElementChild);
  }

  get isPinned() {
    return this.#isPinned;
  }

  pin() {
    this.#isPinned = true;
    this.#follow();
  }

  /** Keep what is read in its place while `change` puts something before it, or takes it away: of `elements`, in order. */
  holding(elements, change) {
    const top = this.#box.getBoundingClientRect().top;
    const read = [...elements].filter((element) => element.getBoundingClientRect().bottom > top);
    const places = read.map((element) => element.getBoundingClientRect().top);
    change();
    const stays = read.findIndex(({ isConnected }) => isConnected);
    if (stays < 0) return;
    const moved = read[stays].getBoundingClientRect().top - places[stays];
    if (moved) this.#box.scrollTop += moved;
  }

  get #gap() {
    return this.#box.scrollHeight - this.#box.clientHeight - this.#box.scrollTop;
  }

  // Only a move upwards lets go: text that grew under us looks like a gap too, and is none of the person's doing.
  #moved() {
    const top = this.#box.scrollTop;
    if (this.#gap <= NEAR_PX && !this.isOpen) this.#isPinned = true;
    else if (top < this.#top) this.#isPinned = false;
    this.#top = top;
    this.#button.hidden = this.#isPinned;
  }

  #follow() {
    if (this.#isPinned) this.#box.scrollTop = this.#box.scrollHeight;
    this.#top = this.#box.scrollTop;
    this.#button.hidden = this.#isPinned;
  }
}
