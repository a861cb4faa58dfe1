// @ts-check
// The history: every command and its outcome.
import { html } from "./html.js";
import { call, path } from "./api.js";
import { commands } from "./commands.js";
import { Reading } from "./reading.js";
import { owner } from "./session.js";
import { Heading, Read, View } from "./view.js";
import { About, Progress, Status } from "./activity.js";
import { When, full, lasted } from "./time.js";
import { ORIGIN, count, effectSentence, sentence, title } from "./words.js";

export class History extends View {
  constructor(props) {
    super(props);
    this.first = this.reads(new Reading(path(owner.value, "commands")));
    this.watches(commands);
    this.state = { more: [], next: undefined, failure: null };
  }

  async more(cursor) {
    this.setState({ reading: true, failure: null });
    try {
      const { body } = await call("GET", path(owner.value, `commands?cursor=${encodeURIComponent(cursor)}`));
      this.setState({ more: [...this.state.more, ...body.commands], next: body.nextCursor });
    } catch (error) {
      this.setState({ failure: error.message });
    }
    this.setState({ reading: false });
  }

  render(_, { more, next, reading, failure }) {
    return html`
      <${Heading}>Commands</${Heading}>
      <p class="quiet">All commands and their outcomes, newest first.</p>
      <${Read} of=${this.first} what="the history">
        ${(page) => {
          const cursor = next === undefined ? page.nextCursor : next;
          const all = merged([...page.commands, ...more]);
          return html`
            <p class="quiet" role="status">${all.length ? count(all.length, "command") : "No commands yet"}${cursor ? ", and more" : ""}.</p>
            <ol class="history">
              ${all.map((command) => html`<${Entry} key=${command.id} command=${command} />`)}
            </ol>
            ${failure && html`<p class="notice failed" role="alert">${failure}</p>`}
            ${cursor && html`<button type="button" disabled=${reading} onClick=${() => this.more(cursor)}>${reading ? "Loading …" : "Show more"}</button>`}
          `;
        }}
      </${Read}>
    `;
  }
}

/** The latest description of each command, newest first. @param {any[]} listed */
function merged(listed) {
  const latest = new Map(listed.map((command) => [command.id, command]));
  for (const { command } of commands.value.followed.values()) {
    const known = latest.get(command.id);
    if (!known || known.updatedAt < command.updatedAt) latest.set(command.id, command);
  }
  return [...latest.values()].sort((a, b) => (a.id < b.id ? 1 : -1));
}

function Entry({ command }) {
  const ended = command.completedAt;
  return html`<li class=${`card ${command.status}`} data-command=${command.id}>
    <p class="what"><strong>${title(command)}</strong> <${Status} of=${command} /></p>
    <${About} command=${command} />
    ${!ended && html`<${Progress} command=${command} />`}
    <p>${sentence(command)} ${ended && effectSentence(command)}</p>
    ${command.lastError && html`<p class="quiet">Last error: <bdi class="last">${command.lastError}</bdi></p>`}
    <dl class="facts">
      <div><dt>Requested</dt><dd><${When} at=${command.acceptedAt} />, ${ORIGIN[command.origin] ?? command.origin}</dd></div>
      ${command.startedAt && html`<div><dt>Waited</dt><dd>${lasted(command.acceptedAt, command.startedAt)}</dd></div>`}
      ${command.startedAt && ended && html`<div><dt>Took</dt><dd>${lasted(command.startedAt, ended)}</dd></div>`}
      ${ended && html`<div><dt>Ended</dt><dd>${full(ended)}</dd></div>`}
      <div><dt>Attempts</dt><dd>${command.attempts}</dd></div>
      ${command.progress && ended && html`<div><dt>Repositories</dt><dd>${command.progress.done} of ${command.progress.total}</dd></div>`}
      ${command.resultCode && html`<div><dt>Code</dt><dd><code>${command.resultCode}</code></dd></div>`}
      ${command.effect && html`<div><dt>Effect</dt><dd>${command.effect}</dd></div>`}
      <div><dt>ID</dt><dd><code>${command.id}</code></dd></div>
    </dl>
  </li>`;
}
