// @ts-check
// What the server said to a GET, kept up to date while somebody looks at it.
import { Store } from "./store.js";
import { Refused, SignedOut, call, silent } from "./api.js";
import { session } from "./session.js";

/** How often what is looked at is read again without another reason, in ms. */
const PACE = 30_000;
/** How long a failed reading waits for its next try at first, and at most, in ms. */
const [SOON, LATE] = [1_000, 30_000];

/** @type {Set<Reading>} */
const open = new Set();

/** Reads everything again that is on the screen: something has changed. */
export function refreshAll() {
  for (const reading of open) reading.refresh();
}

addEventListener("online", refreshAll);
document.addEventListener("visibilitychange", () => document.hidden || refreshAll());
let token = session.value?.token;
session.watch((now) => {
  if (now && now.token !== token) refreshAll();
  token = now?.token;
});
let wasSilent = silent.value;
silent.watch((since) => {
  if (wasSilent && !since) for (const reading of open) reading.value.trouble && reading.refresh();
  wasSilent = since;
});

/**
 * @typedef {object} State
 * @property {any} data what the server said last
 * @property {Date | null} at when it did
 * @property {Error | null} trouble why it could not be asked since
 */

/** @extends {Store<State>} */
export class Reading extends Store {
  #path;
  #pace;
  #turn = 0;
  #failures = 0;
  #timer = 0;

  /**
   * @param {string} path
   * @param {(data: any) => number} [pace] in how many ms such an answer is worth another look
   */
  constructor(path, pace = () => PACE) {
    super({ data: undefined, at: null, trouble: null });
    this.#path = path;
    this.#pace = pace;
  }

  open() {
    open.add(this);
    this.refresh();
  }

  close() {
    open.delete(this);
    clearTimeout(this.#timer);
  }

  async refresh() {
    clearTimeout(this.#timer);
    const turn = ++this.#turn;
    try {
      const { body } = await call("GET", this.#path);
      // A later reading knows better.
      if (turn !== this.#turn) return;
      this.#failures = 0;
      this.set({ data: body, at: new Date(), trouble: null });
      this.#again(document.hidden ? PACE : this.#pace(body));
    } catch (error) {
      if (turn !== this.#turn) return;
      this.set({ ...this.value, trouble: error });
      // Signing in reads everything again, and what is not there does not come by asking.
      if (error instanceof SignedOut || (error instanceof Refused && error.status < 500)) return;
      const pause = Math.min(SOON * 2 ** this.#failures++, LATE);
      this.#again(Math.max(pause, 1000 * (error.retryAfter ?? 0)));
    }
  }

  /** @param {number} pause */
  #again(pause) {
    if (open.has(this)) this.#timer = setTimeout(() => this.refresh(), pause);
  }
}
