// @ts-check
// The first page: an overview of findings, analyses and repositories.
import { html } from "./html.js";
import { path } from "./api.js";
import { admit, commands, isActive } from "./commands.js";
import { Reading } from "./reading.js";
import { owner } from "./session.js";
import { Heading, Read, Severity, View } from "./view.js";
import { When } from "./time.js";
import { REPOSITORY_FAILURE, SEVERITIES, count } from "./words.js";

export class Dashboard extends View {
  constructor(props) {
    super(props);
    this.summary = this.reads(new Reading(path(owner.value, "summary")));
    this.repositories = this.reads(new Reading(path(owner.value, "repositories")));
    this.config = this.reads(new Reading(path(owner.value, "config")));
    this.integration = this.reads(new Reading(path(owner.value, "integration")));
    this.watches(commands);
  }

  render() {
    const refreshing =
      commands.value.admissions.some(({ request }) => request.type === "sync" && !request.repository) ||
      [...commands.value.followed.values()].some(
        ({ command }) => command.type === "sync" && !command.repository && isActive(command),
      );
    return html`
      <div class="title">
        <${Heading}>Dashboard</${Heading}>
        <button type="button" class="primary" disabled=${refreshing} onClick=${refresh}>
          ${refreshing ? "Refreshing …" : "Refresh"}
        </button>
      </div>
      <${Standing} config=${this.config.value.data} integration=${this.integration.value.data} />
      <${Read} of=${this.summary} what="the findings">${(summary) => html`<${Numbers} summary=${summary} />`}</${Read}>
      <h2>Repositories</h2>
      <${Read} of=${this.repositories} what="the repositories">
        ${({ repositories }) => html`<${Repositories} repositories=${repositories} />`}
      </${Read}>
    `;
  }
}

const refresh = () => admit({ type: "sync", origin: "dashboard_refresh" });

/** The problem that stops all refreshes, if there is one. */
function Standing({ config, integration }) {
  if (!config || !integration) return null;
  const settings = html`<a href="#/settings">Settings</a>`;
  if (!integration.connected) {
    return html`<p class="notice">This owner is not connected to a GitHub App installation. Install the app first.</p>`;
  }
  if (integration.authInvalidAt) {
    return html`<p class="notice failed">
      GitHub rejects the app's credentials (since <${When} at=${integration.authInvalidAt} />). Reinstall or reconnect the
      GitHub App, then refresh.
    </p>`;
  }
  if (!integration.canReadAlerts) {
    return html`<p class="notice failed">
      The GitHub App may not read Dependabot alerts. Grant it that permission, then enable Security Agent in the ${settings}.
    </p>`;
  }
  if (!config.enabled) {
    return html`<p class="notice">Security Agent is not enabled for this owner, so nothing is refreshed. Enable it in the ${settings}.</p>`;
  }
  return null;
}

function Numbers({ summary: { findings, sla, analysis, lastSyncedAt } }) {
  const most = Math.max(1, ...SEVERITIES.map((severity) => findings.openBySeverity[severity]));
  return html`
    <dl class="tiles">
      <div class="tile">
        <dt>Open findings</dt>
        <dd><a href="#/findings?status=open">${findings.open}</a></dd>
        <dd class="quiet">${findings.fixed} fixed, ${findings.ignored} ignored</dd>
      </div>
      <div class=${sla.overdue ? "tile alarming" : "tile"}>
        <dt>Overdue</dt>
        <dd>${sla.overdue}</dd>
        <dd class="quiet">past their due date</dd>
      </div>
      <div class="tile">
        <dt>Due soon</dt>
        <dd>${sla.dueSoon}</dd>
        <dd class="quiet">within seven days</dd>
      </div>
      <div class="tile">
        <dt>Last refreshed</dt>
        <dd class="words"><${When} at=${lastSyncedAt} /></dd>
        <dd class="quiet">all repositories in scope</dd>
      </div>
    </dl>
    <div class="halves">
      <section aria-labelledby="severities">
        <h2 id="severities">Open findings by severity</h2>
        <ul class="bars-chart">
          ${SEVERITIES.map(
            (severity) => html`<li key=${severity}>
              <a href=${`#/findings?status=open&severity=${severity}`}><${Severity} of=${severity} /></a>
              <meter class=${severity} min="0" max=${most} value=${findings.openBySeverity[severity]}
                aria-label=${`${severity} open findings`}></meter>
              <span class="number">${findings.openBySeverity[severity]}</span>
            </li>`,
          )}
        </ul>
      </section>
      <section aria-labelledby="analyses">
        <h2 id="analyses">Analyses</h2>
        <dl class="pairs">
          <dt>In progress</dt>
          <dd>${analysis.pending + analysis.running}</dd>
          <dt>Exploitable</dt>
          <dd>${analysis.exploitable}</dd>
          <dt>Not exploitable</dt>
          <dd>${analysis.notExploitable}</dd>
          <dt>Failed</dt>
          <dd>${analysis.failed}</dd>
        </dl>
      </section>
    </div>
  `;
}

function Repositories({ repositories }) {
  if (!repositories.length) return html`<p class="quiet">The installation has no repositories.</p>`;
  const failing = repositories.filter((one) => one.inScope && one.lastFailureCode);
  return html`
    <p class="quiet">
      ${count(repositories.length, "repository", "repositories")}, ${repositories.filter((one) => one.inScope).length} in scope.
      ${failing.length > 0 && ` ${failing.length} failed at the last attempt.`}
    </p>
    <div class="scroll" tabindex="0" role="region" aria-label="Repositories">
      <table class="repositories">
        <thead>
          <tr>
            <th scope="col">Repository</th>
            <th scope="col">Refreshed</th>
            <th scope="col">Last attempt</th>
            <th scope="col"><span class="hidden">Action</span></th>
          </tr>
        </thead>
        <tbody>
          ${repositories.map(
            (one) => html`<tr key=${one.id}>
              <th scope="row">
                <a href=${`#/findings?status=open&repository=${encodeURIComponent(one.fullName)}`}>${one.fullName}</a>
                ${one.private && html` <span class="tag">private</span>`}${!one.inScope && html` <span class="tag">not in scope</span>`}
              </th>
              <td class="refreshed"><${When} at=${one.lastSucceededAt} /></td>
              <td class="reason">
                ${
                  one.lastFailureCode
                    ? html`<strong>Failed</strong> <${When} at=${one.lastAttemptedAt} />.
                      ${REPOSITORY_FAILURE[one.lastFailureCode]}${" "}<code>${one.lastFailureCode}</code>`
                    : one.lastAttemptedAt
                      ? "Succeeded"
                      : "Not attempted yet"
                }
              </td>
              <td>
                <button type="button" class="small" onClick=${() => admit({ type: "sync", repository: one.fullName })}>
                  Refresh<span class="hidden"> ${one.fullName}</span>
                </button>
              </td>
            </tr>`,
          )}
        </tbody>
      </table>
    </div>
  `;
}
