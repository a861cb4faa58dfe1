// @ts-check
// Who is signed in, and for which owner this tab looks at findings. The token is kept for this tab only.
import { Store, kept } from "./store.js";

const TOKEN = "token";
const OWNER = "owner";

/**
 * @typedef {object} Session
 * @property {string} token
 * @property {{sub: string, name?: string, email?: string, orgs: string[]}} claims as the token has them
 * @property {boolean} expired whether the server has refused the token since
 */

/** @type {Store<Session | null>} */
export const session = new Store(opened(kept.read(TOKEN)));

/** The owner whose data is shown: the caller, or an organisation of theirs; empty while nobody is signed in. */
export const owner = new Store(chosen(kept.read(OWNER)));

/** @param {string} token */
export function signIn(token) {
  const before = session.value?.claims.sub;
  const next = opened(token);
  if (!next) throw new Error("The issuer gave no token that says who it is for.");
  kept.write(TOKEN, token);
  // Who comes back goes on where they were. For somebody else nothing on the screen is true.
  if (before !== undefined && before !== next.claims.sub) return location.reload();
  session.set(next);
  choose(owner.value);
}

export function signOut() {
  kept.clear();
  location.reload();
}

/** The server refuses the token: everything stays on the screen until there is another. */
export function expire() {
  if (session.value && !session.value.expired) session.set({ ...session.value, expired: true });
}

/** @param {string} name */
export function choose(name) {
  const next = chosen(name);
  kept.write(OWNER, next);
  if (next !== owner.value) owner.set(next);
}

/** @param {unknown} name */
function chosen(name) {
  const claims = session.value?.claims;
  if (!claims) return "";
  return typeof name === "string" && claims.orgs.includes(name) ? name : `user:${claims.sub}`;
}

/** @param {unknown} token @returns {Session | null} */
function opened(token) {
  if (typeof token !== "string") return null;
  try {
    const payload = token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/");
    const bytes = Uint8Array.from(atob(payload), (character) => character.charCodeAt(0));
    const claims = JSON.parse(new TextDecoder().decode(bytes));
    if (typeof claims.sub !== "string") return null;
    return { token, claims: { ...claims, orgs: organisations(claims.orgs) }, expired: false };
  } catch {
    return null;
  }
}

/** A list, or a list in a text. Without the prefix they are organisations all the same. @param {unknown} claim */
function organisations(claim) {
  const list = typeof claim === "string" && claim.startsWith("[") ? JSON.parse(claim) : claim;
  const ids = Array.isArray(list) ? list.filter((id) => typeof id === "string") : [];
  return ids.map((id) => (id.startsWith("org:") ? id : `org:${id}`));
}
