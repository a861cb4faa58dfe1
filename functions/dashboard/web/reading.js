// @ts-check
// The answer to a GET, kept up to date while a view shows it.
import { Store } from "./store.js";
import { Refused, SignedOut, call, silent } from "./api.js";
import { session } from "./session.js";

/** How often to read again without another reason, in ms. */
const PACE = 30_000;
/** Backoff after a failed read, in ms: first and longest. */
const [SOON, LATE] = [1_000, 30_000];

/** @type {Set<Reading>} */
const open = new Set();

/** Reads everything on the screen again. */
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
  if (wasSilent && !since) for (const reading of open) reading.value.failure && reading.refresh();
  wasSilent = since;
});

/**
 * @typedef {object} State
 * @property {any} data the last answer
 * @property {Date | null} at when it arrived
 * @property {Error | null} failure why the latest read failed
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
   * @param {(data: any) => number} [pace] after how many ms to read again, given the answer
   */
  constructor(path, pace = () => PACE) {
    super({ data: undefined, at: null, failure: null });
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
      // Race: a later read has started, and its answer counts.
      if (turn !== this.#turn) return;
      this.#failures = 0;
      this.set({ data: body, at: new Date(), failure: null });
      this.#again(document.hidden ? PACE : this.#pace(body));
    } catch (error) {
      if (turn !== this.#turn) return;
      this.set({ ...this.value, failure: error });
      // No retry: signing in reads everything again, and other 4xx answers do not change.
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
