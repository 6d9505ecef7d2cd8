// The smallest publish and subscribe: names, and functions that are called with one value.

export class Emitter {
  #listeners = new Map();

  /** Call `listener` with the value of each `emit(name, value)` from now on. */
  on(name, listener) {
    if (!this.#listeners.has(name)) this.#listeners.set(name, []);
    this.#listeners.get(name).push(listener);
  }

  emit(name, value) {
    for (const listener of this.#listeners.get(name) ?? []) listener(value);
  }
}
