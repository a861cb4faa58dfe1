// @ts-check
// What findings are called. Commands name them by id only; people know them by their titles.
import { Store } from "./store.js";
import { call, path } from "./api.js";

/** Titles by id, as far as they are known. @type {Store<Map<string, string>>} */
export const names = new Store(new Map());

/** What was asked for already, whatever became of it. */
const asked = new Set();

/** Keeps what an answer showed. @param {any[]} findings */
export function learn(findings) {
  const unknown = findings.filter(({ id, title }) => names.value.get(id) !== title);
  if (!unknown.length) return;
  const next = new Map(names.value);
  for (const { id, title } of unknown) next.set(id, title);
  names.set(next);
}

/** Asks once what a finding is called. @param {string} owner @param {string} id */
export async function lookUp(owner, id) {
  if (names.value.has(id) || asked.has(id)) return;
  asked.add(id);
  try {
    learn([(await call("GET", path(owner, `findings/${encodeURIComponent(id)}`))).body]);
  } catch {
    // Its id has to do.
  }
}
