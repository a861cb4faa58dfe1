// @ts-check
// The commands this tab follows. A command's status is always what the server last said about that id: a timeout, a
// lost answer or another tab never decides it.
import { Store, kept } from "./store.js";
import { Refused, SignedOut, Unanswered, call, path, silent } from "./api.js";
import { owner, session } from "./session.js";
import { refreshAll } from "./reading.js";

/** How often to look for commands that others started, in ms: while the page is visible, and while it is hidden. */
const [SEEN, HIDDEN] = [15_000, 60_000];
/** Backoff after a request without an answer, in ms: first and longest. */
const [SOON, LATE] = [1_000, 15_000];
/** Up to this many commands are polled one by one, with their entity tags; more are polled together. */
const ONE_BY_ONE = 4;

/** The keys in session storage: each owner has its own lists. */
const names = { admissions: () => `admissions ${owner.value}`, followed: () => `followed ${owner.value}` };

/**
 * @typedef {object} Followed
 * @property {any} command the server's latest description
 * @property {Date} at when it arrived
 * @property {string} [tag] the description's entity tag
 * @property {number} pause how long the server said to wait before the next poll, in ms
 * @property {number} due when the next poll is, in ms
 * @property {Admission} [admission] this tab's request for it
 */

/**
 * @typedef {object} Admission a request without an answer, or whose command was not queued
 * @property {string} key the idempotency key: the same for each try, so that all tries are one command
 * @property {string} owner
 * @property {any} request
 * @property {string | null} failure why it is unknown whether the request arrived
 * @property {boolean} [sending]
 * @property {number} [failures]
 */

/** @typedef {{request: any, error: Refused}} Refusal */
/** @typedef {{followed: Map<string, Followed>, admissions: Admission[], refusals: Refusal[]}} State */

/** @type {Store<State>} */
export const commands = new Store({ followed: new Map(), admissions: [], refusals: [] });

/** Ids that are not dismissed from Activity, and the requests for them. @type {Map<string, Admission | null>} */
let noted = new Map();
/** The owner whose commands are loaded. Until `resume` has read the stored lists, nothing may overwrite them. */
let whose = "";
let pump = 0;
let looked = 0;
let looking = false;
let lookAgain = false;

/** Messages from other tabs carry no data: they are only a reason to ask the server. */
const tabs = new BroadcastChannel("commands");
tabs.onmessage = () => askSoon();

export const isActive = (command) => command.status === "accepted" || command.status === "running";

/** Automatic commands appear in the history only, unless they are active or failed. */
export const isQuiet = (command) =>
  !isActive(command) && command.status !== "failed" && command.origin.startsWith("auto_");

/** Sends a request for a command. `commands` shows its outcome. @param {any} request */
export function admit(request) {
  send({ key: crypto.randomUUID(), owner: owner.value, request, failure: null });
}

/** Retries a command that could not be queued. The same idempotency key makes it the same command. @param {string} id */
export function readmit(id) {
  const admission = commands.value.followed.get(id)?.admission;
  if (!admission) return;
  forget(id);
  send({ ...admission, failure: null, failures: 0 });
}

/** Stops retrying a request without an answer. @param {string} key */
export function giveUp(key) {
  change({ admissions: commands.value.admissions.filter((admission) => admission.key !== key) });
  look();
}

/** Dismisses a command from Activity. @param {string} id */
export function forget(id) {
  const followed = new Map(commands.value.followed);
  followed.delete(id);
  noted.delete(id);
  change({ followed });
}

/** @param {Refused} error */
export function forgetRefusal(error) {
  change({ refusals: commands.value.refusals.filter((refusal) => refusal.error !== error) });
}

/** Follows a command from an answer, and tells other tabs. @param {any} command @param {Admission} [admission] */
export function follow(command, admission) {
  hear(command, { admission });
  tabs.postMessage(null);
}

/** Starts over for the owner: with active commands, the commands this tab follows, and unanswered requests. */
export function resume() {
  if (!session.value) return;
  whose = owner.value;
  noted = new Map(kept.read(names.followed()) ?? []);
  const unanswered = kept.read(names.admissions()) ?? [];
  commands.set({ followed: new Map(), admissions: unanswered, refusals: [] });
  for (const admission of unanswered) send(admission);
  look();
}

/** @param {Partial<State>} part */
function change(part) {
  commands.set({ ...commands.value, ...part });
  if (part.admissions) {
    kept.write(
      names.admissions(),
      commands.value.admissions.map(({ sending, failures, ...admission }) => admission),
    );
  }
  kept.write(names.followed(), [...noted]);
}

/** @param {Admission} admission */
async function send(admission) {
  const others = () => commands.value.admissions.filter(({ key }) => key !== admission.key);
  // Stored before it is sent: after a reload, the request is retried with the same key.
  change({ admissions: [...others(), { ...admission, sending: true }] });
  try {
    const { body } = await call("POST", path(admission.owner, "commands"), {
      body: admission.request,
      headers: { "idempotency-key": admission.key },
    });
    // The user has switched owners. When they return, `resume` retries the request and gets the same command.
    if (admission.owner !== owner.value) return;
    change({ admissions: others() });
    follow(body, admission);
  } catch (error) {
    if (admission.owner !== owner.value) return;
    if (error instanceof Refused && error.command) {
      // The command is stored but may not be queued. Its own status says more.
      change({ admissions: others() });
      follow(error.command, admission);
    } else if (error instanceof Refused && error.status < 500) {
      change({ admissions: others(), refusals: [...commands.value.refusals, { request: admission.request, error }] });
    } else {
      const failures = (admission.failures ?? 0) + 1;
      const unknown = { ...admission, failure: error.message, failures, sending: false };
      if (!commands.value.admissions.some(({ key }) => key === admission.key)) return;
      change({ admissions: [...others(), unknown] });
      // Signing in sends it again.
      if (error instanceof SignedOut) return;
      const pause = Math.min(SOON * 2 ** (failures - 1), LATE);
      setTimeout(() => sendAgain(admission.key), Math.max(pause, 1000 * (error.retryAfter ?? 0)));
    }
  }
}

/** @param {string} key */
function sendAgain(key) {
  const admission = commands.value.admissions.find((admission) => admission.key === key);
  if (admission && !admission.sending) send(admission);
}

/**
 * Stores the server's description of a command.
 * @param {any} command @param {{tag?: string, pause?: number, admission?: Admission}} [said]
 */
function hear(command, { tag, pause = 1000, admission } = {}) {
  const before = commands.value.followed.get(command.id);
  // Race: an older answer may arrive after a newer one.
  if (before && before.command.updatedAt > command.updatedAt) return;
  const asked = admission ?? before?.admission ?? noted.get(command.id) ?? undefined;
  const due = Date.now() + (document.hidden ? Math.max(pause, HIDDEN / 4) : pause);
  const followed = new Map(commands.value.followed);
  followed.set(command.id, { command, at: new Date(), tag, pause, due, admission: asked });
  if (isQuiet(command)) noted.delete(command.id);
  else noted.set(command.id, asked ?? null);
  change({ followed });
  if (!isActive(command) && before && isActive(before.command)) {
    refreshAll();
    tabs.postMessage(null);
  }
  wake();
}

/** Looks for commands that others started, and for followed commands whose end this tab has missed. */
async function look() {
  if (!session.value || session.value.expired) return;
  if (looking) {
    lookAgain = true;
    return;
  }
  looking = true;
  const asked = owner.value;
  try {
    const { body } = await call("GET", path(asked, "commands?state=active"));
    const listed = body.commands;
    const missed = [...noted.keys()].filter(
      (id) => !commands.value.followed.has(id) && !listed.some((command) => command.id === id),
    );
    const ended = missed.length
      ? (await call("GET", path(asked, `commands?ids=${missed.slice(0, 100).join()}`))).body.commands
      : [];
    if (asked !== owner.value) return;
    for (const command of [...listed, ...ended]) {
      const known = commands.value.followed.get(command.id);
      if (!known || command.updatedAt > known.command.updatedAt) hear(command);
    }
    looked = Date.now();
  } catch {
    // The banners for connection and session show the error.
    looked = Date.now() - SEEN + SOON * 3;
  } finally {
    looking = false;
    if (lookAgain) {
      lookAgain = false;
      look();
    } else {
      wake();
    }
  }
}

/** Polls every active command that is due. */
async function poll() {
  const now = Date.now();
  const active = [...commands.value.followed.values()].filter(({ command }) => isActive(command));
  const due = active.filter((one) => one.due <= now);
  if (active.length > ONE_BY_ONE) await pollTogether(due);
  else await Promise.all(due.map(pollOne));
}

/** @param {Followed} known */
async function pollOne(known) {
  const { id } = known.command;
  try {
    const headers = known.tag ? { "if-none-match": known.tag } : {};
    const answer = await call("GET", path(known.command.owner, `commands/${id}`), { headers });
    const pause = 1000 * (Number(answer.headers.get("retry-after")) || 1);
    const tag = answer.headers.get("etag") ?? undefined;
    if (commands.value.followed.has(id)) hear(answer.status === 304 ? known.command : answer.body, { tag, pause });
  } catch (error) {
    if (error instanceof Refused && error.status === 404) return gone(id);
    later([known], error);
  }
}

/** @param {Followed[]} due */
async function pollTogether(due) {
  for (let start = 0; start < due.length; start += 100) {
    const these = due.slice(start, start + 100);
    try {
      const { body } = await call(
        "GET",
        path(owner.value, `commands?ids=${these.map(({ command }) => command.id).join()}`),
      );
      for (const one of these) {
        const found = body.commands.find((command) => command.id === one.command.id);
        if (!found) gone(one.command.id);
        else hear(found, { pause: Math.max(one.pause, 2000) });
      }
    } catch (error) {
      later(these, error);
    }
  }
}

/** Without an answer, only the time of the next poll changes. @param {Followed[]} these @param {any} error */
function later(these, error) {
  const pause = Math.max(SOON * 2, 1000 * (error instanceof Unanswered ? (error.retryAfter ?? 0) : 0));
  const followed = new Map(commands.value.followed);
  for (const one of these) {
    const known = followed.get(one.command.id);
    if (known) followed.set(one.command.id, { ...known, due: Date.now() + pause });
  }
  change({ followed });
}

/** The server no longer has the command: its owner was erased, or its retention is over. @param {string} id */
function gone(id) {
  forget(id);
  refreshAll();
}

/** Sets the one timer to the next poll or look. */
function wake() {
  clearTimeout(pump);
  // An expired token would only be refused again.
  if (!session.value || session.value.expired) return;
  const active = [...commands.value.followed.values()].filter(({ command }) => isActive(command));
  const next = Math.min(looked + (document.hidden ? HIDDEN : SEEN), ...active.map(({ due }) => due));
  pump = setTimeout(run, Math.max(next - Date.now(), 50));
}

async function run() {
  await poll();
  if (Date.now() >= looked + (document.hidden ? HIDDEN : SEEN)) await look();
  wake();
}

/** The server is reachable again, or the session is new. */
function recover() {
  for (const { key } of commands.value.admissions) sendAgain(key);
  askSoon();
}

/** Polls everything now: something may have changed. */
function askSoon() {
  if (whose !== owner.value) return;
  const followed = new Map(commands.value.followed);
  for (const [id, known] of followed) followed.set(id, { ...known, due: 0 });
  change({ followed });
  look();
}

addEventListener("online", recover);
document.addEventListener("visibilitychange", () => document.hidden || recover());
owner.watch(resume);
let wasSilent = silent.value;
silent.watch((since) => {
  if (wasSilent && !since) queueMicrotask(recover);
  wasSilent = since;
});
let who = session.value?.token;
session.watch((now) => {
  const next = now?.expired ? undefined : now?.token;
  if (next && next !== who) recover();
  who = next;
});
