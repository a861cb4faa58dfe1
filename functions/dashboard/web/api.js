// @ts-check
// Calls to the API. Each call has exactly one outcome: the server's answer, its refusal (`Refused`, `SignedOut`), or
// an unknown outcome (`Unanswered`).
import { Store } from "./store.js";
import { expire, session } from "./session.js";

/** How long to wait for an answer, in ms: the gateway answers within 30 s or not at all. */
const TIMEOUT = 35_000;

/** Since when the server has not answered; `null` while it does. @type {Store<Date | null>} */
export const silent = new Store(navigator.onLine ? null : new Date());
addEventListener("offline", () => silent.value ?? silent.set(new Date()));

/** No answer from the API: the outcome of the request is unknown. */
export class Unanswered extends Error {
  /** @param {string} message @param {number} [retryAfter] in seconds */
  constructor(message, retryAfter) {
    super(message);
    this.retryAfter = retryAfter;
  }
}

/** The server refused the token and did nothing. */
export class SignedOut extends Error {
  constructor() {
    super("The session has expired.");
  }
}

/** The server refused the request and said why. */
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
      signal: AbortSignal.timeout(TIMEOUT),
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
    // Race: the user may have signed in again while this call was on its way.
    if (session.value?.token === token) expire();
    throw new SignedOut();
  }
  if (typeof parsed?.code === "string") throw new Refused(response.status, parsed, seconds);
  throw new Unanswered(`The server failed (status ${response.status}).`, seconds);
}

/** @param {string} owner `me`, `user:<id>` or `org:<uuid>` @param {string} rest */
export const path = (owner, rest) => `/v1/owners/${segment(owner)}/${rest}`;

/** @param {string} owner */
function segment(owner) {
  const id = owner.replace(/^user:/, "");
  // API Gateway decodes a path before it routes it, so it misreads others of these ids, such as those with `?`.
  if (/^[\w.:|@-]*$/.test(id)) return encodeURIComponent(owner);
  const bytes = String.fromCharCode(...new TextEncoder().encode(id));
  return `user~${btoa(bytes).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "")}`;
}

/** @param {string} text */
function json(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
