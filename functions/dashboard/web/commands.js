// @ts-check
// The commands this tab follows. Nothing is shown of a command but what the server said about exactly that id: no time
// that passes, no lost answer and no other tab ever decides what became of it.
import { Store, kept } from "./store.js";
import { Refused, SignedOut, Unanswered, call, path, silent } from "./api.js";
import { owner, session } from "./session.js";
import { refreshAll } from "./reading.js";

/** How often commands that others started are looked for, in ms: when the page is seen, and when it is not. */
const [SEEN, HIDDEN] = [15_000, 60_000];
/** Between two tries of what was not answered, in ms. */
const [SOON, LATE] = [1_000, 15_000];
/** So many commands are asked for one by one, with their entity tags; more are asked for together. */
const ONE_BY_ONE = 4;

/** Each owner has lists of its own. */
const names = { admissions: () => `admissions ${owner.value}`, followed: () => `followed ${owner.value}` };

/**
 * @typedef {object} Followed
 * @property {any} command as the server described it last
 * @property {Date} at when it did
 * @property {string} [tag] the description's entity tag
 * @property {number} pause how long the server said to wait before the next look, in ms
 * @property {number} due when the next look is, in ms
 * @property {Admission} [admission] how this tab asked for it
 */

/**
 * @typedef {object} Admission a request whose answer is not known, or was that it was not queued
 * @property {string} key the same for each try, so that they are one command
 * @property {string} owner
 * @property {any} request
 * @property {string | null} trouble why it is not known whether it arrived
 * @property {boolean} [sending]
 * @property {number} [failures]
 */

/** @typedef {{request: any, error: Refused}} Refusal */
/** @typedef {{followed: Map<string, Followed>, admissions: Admission[], refusals: Refusal[]}} State */

/** @type {Store<State>} */
export const commands = new Store({ followed: new Map(), admissions: [], refusals: [] });

/** Ids whose end has not been put away yet, and how they were asked for. @type {Map<string, Admission | null>} */
let noted = new Map();
/** Whose commands these are: until they are taken up, nothing may be kept in the place of what was kept. */
let whose = "";
let pump = 0;
let looked = 0;
let looking = false;
let lookAgain = false;

/** Other tabs: what they say is only a reason to ask the server. */
const tabs = new BroadcastChannel("commands");
tabs.onmessage = () => askSoon();

export const isActive = (command) => command.status === "accepted" || command.status === "running";

/** What automation did stands in the history. What failed is told, whoever asked for it. */
export const isQuiet = (command) =>
  !isActive(command) && command.status !== "failed" && command.origin.startsWith("auto_");

/** Asks the server for a command. What becomes of that is seen in `commands`. @param {any} request */
export function admit(request) {
  send({ key: crypto.randomUUID(), owner: owner.value, request, trouble: null });
}

/** Asks again for a command that could not be queued: the same command, by its key. @param {string} id */
export function readmit(id) {
  const admission = commands.value.followed.get(id)?.admission;
  if (!admission) return;
  forget(id);
  send({ ...admission, trouble: null, failures: 0 });
}

/** No longer asks whether a request arrived. @param {string} key */
export function giveUp(key) {
  change({ admissions: commands.value.admissions.filter((admission) => admission.key !== key) });
  look();
}

/** Puts a command's end away. @param {string} id */
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

/** Takes up a command that an answer showed. @param {any} command @param {Admission} [admission] */
export function follow(command, admission) {
  hear(command, { admission });
  tabs.postMessage(null);
}

/** Starts anew for the owner: with what is active, what this tab was waiting for, and what was not answered. */
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
  // Kept before it is sent: a reload asks again with the same key.
  change({ admissions: [...others(), { ...admission, sending: true }] });
  try {
    const { body } = await call("POST", path(admission.owner, "commands"), {
      body: admission.request,
      headers: { "idempotency-key": admission.key },
    });
    // Another owner is looked at now. Whoever comes back to this one asks again, and learns of the same command.
    if (admission.owner !== owner.value) return;
    change({ admissions: others() });
    follow(body, admission);
  } catch (error) {
    if (admission.owner !== owner.value) return;
    if (error instanceof Refused && error.command) {
      // Stored, and not queued as far as is known. The command itself says how it stands.
      change({ admissions: others() });
      follow(error.command, admission);
    } else if (error instanceof Refused && error.status < 500) {
      change({ admissions: others(), refusals: [...commands.value.refusals, { request: admission.request, error }] });
    } else {
      const failures = (admission.failures ?? 0) + 1;
      const unknown = { ...admission, trouble: error.message, failures, sending: false };
      if (!commands.value.admissions.some(({ key }) => key === admission.key)) return;
      change({ admissions: [...others(), unknown] });
      // Who signs in again sends it again.
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
 * Keeps what the server said about a command.
 * @param {any} command @param {{tag?: string, pause?: number, admission?: Admission}} [said]
 */
function hear(command, { tag, pause = 1000, admission } = {}) {
  const before = commands.value.followed.get(command.id);
  // Answers may overtake each other.
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

/** Looks for commands that others have started, and for those this tab does not know the end of. */
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
    // What it means is said where it matters: the connection's state, or the session's.
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

/** Asks about every active command whose time has come. */
async function poll() {
  const now = Date.now();
  const active = [...commands.value.followed.values()].filter(({ command }) => isActive(command));
  const due = active.filter((one) => one.due <= now);
  // Asked together, a few that are not due yet cost nothing.
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

/** Nothing was said: nothing changes but the time of the next look. @param {Followed[]} these @param {any} error */
function later(these, error) {
  const pause = Math.max(SOON * 2, 1000 * (error instanceof Unanswered ? (error.retryAfter ?? 0) : 0));
  const followed = new Map(commands.value.followed);
  for (const one of these) {
    const known = followed.get(one.command.id);
    if (known) followed.set(one.command.id, { ...known, due: Date.now() + pause });
  }
  change({ followed });
}

/** The server knows it no longer: its owner was erased, or its time is over. @param {string} id */
function gone(id) {
  forget(id);
  refreshAll();
}

/** Sets the one timer to whatever comes next. */
function wake() {
  clearTimeout(pump);
  // Nothing is asked with a token that is refused.
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

/** The server can be asked again. */
function recover() {
  for (const { key } of commands.value.admissions) sendAgain(key);
  askSoon();
}

/** There may be news. */
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
