// @ts-check
// Activity, on every page: commands in progress, and the outcomes of recent ones.
import { html } from "./html.js";
import { commands, forget, forgetRefusal, giveUp, isActive, isQuiet, readmit } from "./commands.js";
import { silent } from "./api.js";
import { lookUp, names } from "./names.js";
import { View } from "./view.js";
import { clock, lasted } from "./time.js";
import { effectSentence, sentence, statusWord, title } from "./words.js";

/** The most commands shown; the history has all. */
const SHOWN = 6;
/** A description older than this many of the server's pauses is shown with its time. */
const STALE = 4;

export class Activity extends View {
  constructor(props) {
    super(props);
    this.watches(commands);
    this.watches(silent);
  }

  render() {
    const { followed, admissions, refusals } = commands.value;
    const news = [...followed.values()].filter(({ command }) => !isQuiet(command));
    news.sort((a, b) => (a.command.id < b.command.id ? 1 : -1));
    const idle = !news.length && !admissions.length && !refusals.length;
    return html`<aside class=${idle ? "activity idle" : "activity"} aria-labelledby="activity">
      <h2 id="activity">Activity</h2>
      ${idle && html`<p class="quiet">Nothing is in progress.</p>`}
      <ul aria-live="polite" aria-relevant="additions text">
        ${refusals.map((refusal) => html`<${Refusal} key=${refusal.error} ...${refusal} />`)}
        ${admissions.map((admission) => html`<${Sending} key=${admission.key} admission=${admission} />`)}
        ${news.slice(0, SHOWN).map((one) => html`<${Item} key=${one.command.id} one=${one} />`)}
      </ul>
      ${news.length > SHOWN && html`<p><a href="#/commands">${news.length - SHOWN} more in the history</a></p>`}
    </aside>`;
  }
}

/** A request without an answer: it is unknown whether it arrived. */
function Sending({ admission }) {
  return html`<li class="card sending" data-kind="sending">
    <p class="what"><strong>${title({ origin: "", ...admission.request })}</strong> <span class="status">Sending</span></p>
    ${
      admission.failure
        ? html`<p>
            It is unknown whether the request arrived. ${admission.failure} It is retried automatically and creates only one
            command.
          </p>
          <button type="button" class="small" onClick=${() => giveUp(admission.key)}>Stop retrying</button>`
        : html`<p class="quiet">The server has not answered yet.</p>`
    }
  </li>`;
}

function Refusal({ request, error }) {
  return html`<li class="card failed" data-kind="refused">
    <p class="what"><strong>${title({ origin: "", ...request })}</strong> <span class="status failed">Refused</span></p>
    <p>${error.message}</p>
    ${error.errors.map(({ pointer, message }) => html`<p class="quiet">${pointer} ${message}</p>`)}
    <p class="quiet"><code>${error.code}</code>, nothing has started</p>
    <button type="button" class="small" onClick=${() => forgetRefusal(error)}>
      Dismiss<span class="hidden">: ${title({ origin: "", ...request })}</span>
    </button>
  </li>`;
}

/** One command, as the server last described it. */
function Item({ one: { command, at, pause, admission } }) {
  const active = isActive(command);
  const old = active && (silent.value || Date.now() - at.getTime() > pause * STALE + 2000);
  return html`<li class=${`card ${command.status}`} data-command=${command.id} data-status=${command.status}>
    <p class="what"><strong>${title(command)}</strong> <${Status} of=${command} /></p>
    <${About} command=${command} />
    ${active && html`<${Progress} command=${command} />`}
    <p>${sentence(command)} ${!active && effectSentence(command)}</p>
    ${command.lastError && html`<p class="quiet">${active ? "Last attempt: " : "Last error: "}<bdi class="last">${command.lastError}</bdi></p>`}
    ${command.waitingUntil && active && html`<p class="quiet">It continues at ${clock(command.waitingUntil)}.</p>`}
    ${old && html`<p class="quiet">Last update at ${clock(at)}.</p>`}
    ${
      !active &&
      html`<p class="quiet">
        ${command.resultCode && html`<code>${command.resultCode}</code>, `}${clock(command.completedAt)}, took${" "}
        ${lasted(command.acceptedAt, command.completedAt)}
      </p>
      <p class="actions">
        ${
          command.resultCode === "QUEUE_ADMISSION_FAILED" &&
          admission &&
          html`<button type="button" class="small" onClick=${() => readmit(command.id)}>Try again</button>`
        }
        <button type="button" class="small" onClick=${() => forget(command.id)}>
          Dismiss<span class="hidden">: ${title(command)}</span>
        </button>
      </p>`
    }
  </li>`;
}

export const Status = ({ of: { status } }) => html`<span class=${`status ${status}`}>${statusWord(status)}</span>`;

/** The finding that a command is about. */
export class About extends View {
  constructor(props) {
    super(props);
    this.watches(names);
  }

  componentDidMount() {
    super.componentDidMount();
    const { owner, findingId } = this.props.command;
    if (findingId) lookUp(owner, findingId);
  }

  render({ command: { findingId } }) {
    if (!findingId) return null;
    const name = names.value.get(findingId) ?? findingId;
    return html`<p><a href=${`#/findings/${encodeURIComponent(findingId)}`}>${name}</a></p>`;
  }
}

export function Progress({ command: { progress } }) {
  if (!progress) return null;
  const { done, total } = progress;
  return html`<p class="progress">
    <progress value=${done} max=${total || 1} aria-label="Progress"></progress>
    <span>${done} of ${total} repositories</span>
  </p>`;
}
