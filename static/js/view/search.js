// The search: Ctrl/Cmd + K, a few letters, Enter. A combobox: the focus stays in its field, the arrows choose.

import { Finding, folded } from "../finding.js";
import { number } from "../language.js";
import { clock } from "../words.js";
import { sessions as words } from "../words/sessions.js";
import { IS_APPLE, arrange, byId, make } from "./dom.js";

const BEGIN = Object.freeze({ id: "", title: words.begin });

/** The parts of a title around what was looked for, where both have the same length without accents. */
function parts(title, query) {
  const place = folded(title).length === title.length && query ? folded(title).indexOf(folded(query)) : -1;
  if (place < 0) return [title];
  const end = place + folded(query).length;
  return [title.slice(0, place), make("mark", {}, title.slice(place, end)), title.slice(end)];
}

export class Search {
  #dialog = byId("search");
  #text = byId("search-text");
  #list = byId("search-found");
  #status = byId("search-none");
  #items = [];
  #chosen = 0;

  /** `opened(id)` is called for a conversation that was chosen, `begin()` for a new one. */
  constructor({ sessions, opened, begin }) {
    Object.assign(this, { opened, begin });
    this.finding = new Finding({ sessions });
    this.finding.on("change", () => this.#draw());
    sessions.on("change", () => this.#dialog.open && this.finding.refresh());
    byId("search-keys").textContent = IS_APPLE ? "⌘K" : "Ctrl K";
    byId("search-open").addEventListener("click", () => this.#open());
    document.addEventListener("keydown", (event) => this.#called(event));
    this.#text.addEventListener("input", () => this.#typed());
    this.#text.addEventListener("keydown", (event) => this.#pressed(event));
    this.#dialog.addEventListener("close", () => this.finding.stop());
    this.#dialog.addEventListener("click", (event) => this.#clicked(event));
  }

  #called(event) {
    if (event.key.toLowerCase() !== "k" || !(event.ctrlKey || event.metaKey) || event.shiftKey || event.altKey) return;
    event.preventDefault();
    if (this.#dialog.open) this.#dialog.close();
    else if (!document.querySelector("dialog[open]")) this.#open();
  }

  #open() {
    this.#text.value = "";
    this.#dialog.showModal();
    this.#typed();
  }

  #typed() {
    this.#chosen = 0;
    this.finding.ask(this.#text.value);
  }

  // What was chosen stays so while more is found.
  #draw() {
    if (!this.#dialog.open) return;
    const { found } = this.finding;
    const query = this.#text.value.trim();
    const chosen = this.#items[this.#chosen]?.id;
    this.#items = query ? [...found, BEGIN] : [BEGIN, ...found];
    const place = this.#items.findIndex(({ id }) => id === chosen);
    if (this.#chosen > 0 && place >= 0) this.#chosen = place;
    arrange(this.#list, this.#items.map((item, index) => this.#option(item, index, query)));
    this.#choose(Math.min(this.#chosen, this.#items.length - 1));
    this.#status.textContent = this.#told(query);
  }

  #told(query) {
    const { found, isWaiting, isPartial } = this.finding;
    if (isWaiting) return words.searching;
    if (isPartial) return words.unsearched;
    if (!query) return "";
    return found.length ? words.found(number(found.length)) : words.none;
  }

  #option({ id, title, at }, index, query) {
    const name = title || words.untitled;
    const shown = make("span", { className: "session-title", dir: "auto" }, ...(id ? parts(name, query) : [name]));
    const option = make("li", { role: "option", id: `search-${index}`, data: { session: id } }, shown);
    if (at) option.append(make("span", { className: "search-time" }, clock(at)));
    return option;
  }

  #choose(index) {
    this.#chosen = index;
    [...this.#list.children].forEach((option, place) => option.setAttribute("aria-selected", String(place === index)));
    this.#text.setAttribute("aria-activedescendant", `search-${index}`);
    this.#list.children[index]?.scrollIntoView({ block: "nearest" });
  }

  #pressed(event) {
    if (event.isComposing) return;
    const count = this.#items.length;
    if (event.key === "ArrowDown") this.#choose((this.#chosen + 1) % count);
    else if (event.key === "ArrowUp") this.#choose((this.#chosen - 1 + count) % count);
    else if (event.key === "Enter") this.#go(this.#items[this.#chosen]);
    else return;
    event.preventDefault();
  }

  // Outside of the dialog's own box is its backdrop.
  #clicked({ target }) {
    const option = target.closest("[role=option]");
    if (option) this.#go(this.#items[[...this.#list.children].indexOf(option)]);
    else if (target === this.#dialog) this.#dialog.close();
  }

  // The focus is first where it was, and then where what was chosen has it.
  #go({ id }) {
    this.#dialog.close();
    if (id) this.opened(id);
    else this.begin();
  }
}
