// A menu that a button opens: arrows, Home and End and first letters choose, Enter does, Esc and Tab close.

import { make } from "./dom.js";
import { Popup } from "./popup.js";

const STEPS = { ArrowDown: 1, ArrowUp: -1 };

let open = null;

/** Make a button that opens a menu; `items()` gives its [{words, does, isGrave?}] each time. */
export function menuButton(properties, items, ...children) {
  const button = make("button", { type: "button", ...properties }, ...children);
  button.setAttribute("aria-haspopup", "menu");
  button.setAttribute("aria-expanded", "false");
  button.addEventListener("click", () => showMenu(button, items()));
  button.addEventListener("keydown", (event) => {
    if (!Object.hasOwn(STEPS, event.key)) return;
    event.preventDefault();
    showMenu(button, items(), event.key === "ArrowUp" ? -1 : 0);
  });
  return button;
}

/** Open a menu beside `anchor`, with the item at `first` chosen; if it is open there, close it. */
export function showMenu(anchor, items, first = 0) {
  const isAgain = open?.anchor === anchor;
  open?.close();
  if (isAgain) return;
  const menu = make("div", { className: "menu", role: "menu", popover: "manual", ariaLabel: anchor.ariaLabel });
  const buttons = items.map(({ words, does, isGrave }) => {
    const className = isGrave ? "menu-item grave" : "menu-item";
    const onclick = () => choose(does);
    return make("button", { type: "button", className, role: "menuitem", tabIndex: -1, onclick }, words);
  });
  menu.append(...buttons);
  menu.addEventListener("keydown", (event) => move(event, buttons));
  anchor.after(menu);
  open = new Popup(menu, anchor, { closed: () => ((open = null), menu.remove()) });
  buttons.at(first).focus();
}

// What is done finds the focus where it was before the menu came.
function choose(does) {
  open.close();
  does();
}

function move(event, buttons) {
  const [now, last] = [buttons.indexOf(document.activeElement), buttons.length - 1];
  const { key } = event;
  if (key === "Tab") return open.close();
  let next = null;
  if (Object.hasOwn(STEPS, key)) next = (now + STEPS[key] + buttons.length) % buttons.length;
  else if (key === "Home" || key === "End") next = key === "Home" ? 0 : last;
  else if (key.length === 1 && key !== " ") next = lettered(key, buttons, now);
  if (next === null) return;
  event.preventDefault();
  buttons[next].focus();
}

/** The next item after `now` that begins with this letter, or null. */
function lettered(key, buttons, now) {
  const order = buttons.map((_, step) => (now + 1 + step) % buttons.length);
  return order.find((place) => buttons[place].textContent.toLowerCase().startsWith(key.toLowerCase())) ?? null;
}
