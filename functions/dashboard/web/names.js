// @ts-check
// Titles of findings. Commands name a finding by its id only; people know its title.
import { Store } from "./store.js";
import { call, path } from "./api.js";

/** The known titles, by id. @type {Store<Map<string, string>>} */
export const names = new Store(new Map());

/** Ids that were looked up before, whatever the outcome. */
const asked = new Set();

/** Remembers the titles in an answer. @param {any[]} findings */
export function learn(findings) {
  const unknown = findings.filter(({ id, title }) => names.value.get(id) !== title);
  if (!unknown.length) return;
  const next = new Map(names.value);
  for (const { id, title } of unknown) next.set(id, title);
  names.set(next);
}

/** Looks a finding's title up, once. @param {string} owner @param {string} id */
export async function lookUp(owner, id) {
  if (names.value.has(id) || asked.has(id)) return;
  asked.add(id);
  try {
    learn([(await call("GET", path(owner, `findings/${encodeURIComponent(id)}`))).body]);
  } catch {
    // The id is shown instead.
  }
}
