// The preferences: what every answer is to heed, what this conversation has of its own, and how this device shows it.
//
// Each field is kept by itself, as soon as one leaves it.

import { bytesOf } from "../digest.js";
import { LANGUAGES, language, number, onSpoken, speak } from "../language.js";
import { look, looks } from "../looking.js";
import { ofError } from "../words.js";
import { preferences as words } from "../words/preferences.js";
import { byId, make } from "./dom.js";
import { Field, choice, modelsOf } from "./field.js";

const PROMPT_BYTES = 8_192;
const [LANGUAGE_LENGTH, INSTRUCTIONS_LENGTH] = [64, 4_096];
const HEEDED = ["expertise_level", "preferred_style", "language", "instructions"];
const { options } = words;

const pairs = (named) => Object.entries(named);

export class Preferences {
  #dialog = byId("preferences");
  #fields = {};

  constructor({ known, chat, models }) {
    Object.assign(this, { known, chat, models });
    const groups = { model: this.#forModel(), session: this.#ofSession(), device: this.#ofDevice() };
    byId("preferences-groups").append(...pairs(groups).map(([name, fields]) => this.#group(name, fields)));
    byId("preferences-open").addEventListener("click", () => this.open());
    byId("preferences-close").addEventListener("click", () => this.#dialog.close());
    this.#dialog.addEventListener("close", () => Object.values(this.#fields).forEach((field) => field.keep()));
    this.#dialog.addEventListener("click", ({ target }) => target === this.#dialog && this.#dialog.close());
    document.addEventListener("keydown", (event) => this.#called(event));
    known.on("change", () => HEEDED.forEach((name) => this.#fields[name].show(known.of(name))));
    known.on("merged", (names) => this.#told(words.merged(names.map((name) => words.labels[name] ?? name).join(", "))));
    onSpoken(() => location.reload());
    models.on("change", () => this.#showSession());
    chat.on("change", () => this.#dialog.open && this.#showSession());
  }

  open() {
    this.#showSession();
    for (const [name, value] of pairs(looks())) this.#fields[name].show(value);
    for (const field of Object.values(this.#fields)) field.begin();
    this.#told("");
    this.#dialog.showModal();
    this.known.load().catch((error) => this.#told(ofError(error)));
  }

  #called(event) {
    if (event.key !== "," || !(event.ctrlKey || event.metaKey) || document.querySelector("dialog[open]")) return;
    event.preventDefault();
    this.open();
  }

  #group(name, fields) {
    const [heading, about] = words.groups[name];
    const legend = make("legend", {}, heading);
    const note = about ? [make("p", { className: "group-about" }, about)] : [];
    return make("fieldset", { data: { group: name } }, legend, ...note, ...fields.map(({ element }) => element));
  }

  #field(name, control, save) {
    return (this.#fields[name] = new Field({ name, control, save }));
  }

  #forModel() {
    const several = (name) => choice([["", options.any], ...pairs(options[name])]);
    const controls = {
      expertise_level: several("expertise_level"),
      preferred_style: several("preferred_style"),
      language: make("input", { type: "text", maxLength: LANGUAGE_LENGTH, autocomplete: "off" }),
      instructions: make("textarea", { rows: 3 }),
    };
    return HEEDED.map((name) => this.#field(name, controls[name], (value) => this.#heed(name, value)));
  }

  #ofSession() {
    const number = make("input", { type: "number", min: 0, max: 2, step: 0.1, inputMode: "decimal" });
    return [
      this.#field("model", make("select"), (model) => this.chat.set({ model })),
      this.#field("temperature", number, (value) => this.#heat(number, value)),
      this.#field("prompt", make("textarea", { rows: 3 }), (prompt) => this.#prompt(prompt)),
    ];
  }

  #ofDevice() {
    const kept = (does) => (value) => (does(value), Promise.resolve(null));
    const look_of = (name, usual) =>
      this.#field(name, choice([["", usual], ...pairs(options[name])]), kept((value) => look(name, value)));
    const speaks = this.#field("speaks", choice(pairs(LANGUAGES)), kept(speak));
    speaks.show(language);
    return [
      this.#field("preferred", make("select"), kept((model) => this.models.prefer(model))),
      look_of("theme", options.system), look_of("contrast", options.system), look_of("motion", options.system),
      look_of("size", options.normal), speaks,
    ];
  }

  #showSession() {
    const { settings = {} } = this.chat.session ?? {};
    const { names, preferred } = this.models;
    this.#offer("model", modelsOf(names, preferred ?? names[0]));
    this.#offer("preferred", modelsOf(names, names[0]));
    this.#fields.preferred.show(preferred ?? "");
    for (const name of ["model", "temperature", "prompt"]) this.#fields[name].show(String(settings[name] ?? ""));
  }

  /** Let one choose among [value, label] pairs; where there is no choice, nothing is shown of it. */
  #offer(name, from) {
    const { control, element } = this.#fields[name];
    const { value } = control;
    element.hidden = !from.length;
    control.replaceChildren(...choice(from).children);
    control.value = value;
  }

  #told(text) {
    byId("preferences-told").textContent = text;
  }

  async #heed(name, value) {
    const letters = [...value].length - INSTRUCTIONS_LENGTH;
    if (letters > 0) return words.letters(number(letters));
    const over = this.known.excess(name, value);
    if (over > 0) return words.long(number(over));
    return this.known.save(name, value).then(() => null, ofError);
  }

  #heat(field, value) {
    if (field.validity.badInput || Number(value) < 0 || Number(value) > 2) return words.range;
    return this.chat.set({ temperature: value === "" ? "" : Number(value) });
  }

  #prompt(prompt) {
    const over = bytesOf(prompt) - PROMPT_BYTES;
    return over > 0 ? words.long(number(over)) : this.chat.set({ prompt });
  }
}
