// @ts-check
// The signed-in user and the selected owner. The token is stored for this tab only.
import { Store, kept } from "./store.js";

const TOKEN = "token";
const OWNER = "owner";
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/**
 * @typedef {object} Session
 * @property {string} token
 * @property {{sub: string, name?: string, email?: string, orgs: string[]}} claims the token's claims
 * @property {boolean} expired whether the server has refused the token
 */

/** @type {Store<Session | null>} */
export const session = new Store(opened(kept.read(TOKEN)));

/** The owner whose data is shown: the caller or one of their organisations; empty while signed out. */
export const owner = new Store(chosen(kept.read(OWNER)));

/** @param {string} token */
export function signIn(token) {
  const before = session.value?.claims.sub;
  const next = opened(token);
  if (!next) throw new Error("The issuer's token names no subject. Sign in again.");
  kept.write(TOKEN, token);
  // The same user continues where they were. Another user must not see the previous user's data.
  if (before !== undefined && before !== next.claims.sub) return location.reload();
  session.set(next);
  choose(owner.value);
}

export function signOut() {
  kept.clear();
  location.reload();
}

/** The server refuses the token. The page stays as it is until the user signs in again. */
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

/** A list, or a list as JSON text; as for the API, one entry that is no UUID voids it. @param {unknown} claim */
function organisations(claim) {
  const list = typeof claim === "string" ? parsed(claim) : claim;
  const isId = (id) => typeof id === "string" && UUID.test(id);
  return Array.isArray(list) && list.every(isId) ? list.map((id) => `org:${id.toLowerCase()}`) : [];
}

/** @param {string} text @returns {unknown} */
function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
