// @ts-check
// Calls of the API. Whatever becomes of a call, exactly one of these is known: the server's answer, its refusal, or
// that nothing is known.
import { Store } from "./store.js";
import { expire, session } from "./session.js";

/** The gateway answers within 30 s, or never. */
const PATIENCE = 35_000;

/** Since when nothing has been heard from the server. @type {Store<Date | null>} */
export const silent = new Store(navigator.onLine ? null : new Date());
addEventListener("offline", () => silent.value ?? silent.set(new Date()));

/** No answer, or none of the API itself: what became of the request is not known. */
export class Unanswered extends Error {
  /** @param {string} message @param {number} [retryAfter] in seconds */
  constructor(message, retryAfter) {
    super(message);
    this.retryAfter = retryAfter;
  }
}

/** The server no longer takes the token, and has done nothing. */
export class SignedOut extends Error {
  constructor() {
    super("The session has expired.");
  }
}

/** The server has said no, and why. */
export class Refused extends Error {
  /** @param {number} status @param {any} problem RFC 9457 @param {number} [retryAfter] in seconds */
  constructor(status, problem, retryAfter) {
    super(problem.detail ?? problem.title);
    this.status = status;
    this.code = problem.code;
    /** @type {{pointer: string, message: string}[]} */
    this.errors = problem.errors ?? [];
    this.command = problem.command;
    this.retryAfter = retryAfter;
  }
}

/**
 * @param {string} method
 * @param {string} path
 * @param {{body?: unknown, headers?: Record<string, string>}} [options]
 * @returns {Promise<{status: number, headers: Headers, body: any}>} a success, or 304
 */
export async function call(method, path, { body, headers = {} } = {}) {
  const token = session.value?.token;
  let response, text;
  try {
    response = await fetch(path, {
      method,
      headers: {
        authorization: `Bearer ${token}`,
        ...(body === undefined ? {} : { "content-type": "application/json" }),
        ...headers,
      },
      body: body === undefined ? undefined : JSON.stringify(body),
      cache: "no-store",
      signal: AbortSignal.timeout(PATIENCE),
    });
    text = await response.text();
  } catch {
    if (!silent.value) silent.set(new Date());
    throw new Unanswered("The server could not be reached.");
  }
  if (silent.value) silent.set(null);
  const seconds = Number(response.headers.get("retry-after")) || undefined;
  const parsed = json(text);
  if (response.ok || response.status === 304) {
    return { status: response.status, headers: response.headers, body: parsed };
  }
  if (response.status === 401) {
    // Another call may have brought a new token in the meantime.
    if (session.value?.token === token) expire();
    throw new SignedOut();
  }
  if (typeof parsed?.code === "string") throw new Refused(response.status, parsed, seconds);
  throw new Unanswered(`The server failed (status ${response.status}).`, seconds);
}

/** @param {string} owner `me`, `user:<id>` or `org:<uuid>` @param {string} rest */
export const path = (owner, rest) => `/v1/owners/${encodeURIComponent(owner)}/${rest}`;

/** @param {string} text */
function json(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
