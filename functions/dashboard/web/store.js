// @ts-check
// Values that views watch, and this tab's storage.

/** @template T */
export class Store {
  #value;
  #watchers = new Set();

  /** @param {T} value */
  constructor(value) {
    this.#value = value;
  }

  /** @returns {T} */
  get value() {
    return this.#value;
  }

  /** @param {T} value */
  set(value) {
    this.#value = value;
    for (const watcher of [...this.#watchers]) watcher(value);
  }

  /**
   * @param {(value: T) => void} watcher called after each change, until the returned function is called
   * @returns {() => void}
   */
  watch(watcher) {
    this.#watchers.add(watcher);
    return () => this.#watchers.delete(watcher);
  }
}

/** Session storage: survives a reload and ends with the tab. */
export const kept = {
  /** @param {string} name */
  read(name) {
    try {
      return JSON.parse(sessionStorage.getItem(name) ?? "null");
    } catch {
      return null;
    }
  },
  /**
   * @param {string} name
   * @param {unknown} value `null` removes it
   */
  write(name, value) {
    try {
      if (value === null) sessionStorage.removeItem(name);
      else sessionStorage.setItem(name, JSON.stringify(value));
    } catch {
      // Storage is unavailable: everything works until the next reload.
    }
  },
  clear() {
    try {
      sessionStorage.clear();
    } catch {
      // Storage is unavailable, so it holds nothing.
    }
  },
};
