// @ts-check
// One finding: its facts, its analysis, and the actions on it.
import { html } from "./html.js";
import { path } from "./api.js";
import { admit, commands, isActive } from "./commands.js";
import { Reading } from "./reading.js";
import { learn } from "./names.js";
import { owner } from "./session.js";
import { Heading, Read, Severity, View } from "./view.js";
import { Analysed, Due } from "./findings.js";
import { When, full, lasted } from "./time.js";
import { ANALYSIS_FAILURE, FINDING_STATUS, REASONS, SUGGESTION } from "./words.js";

/** How often to read a finding while it is being analysed, in ms. */
const ANALYSING = 2_000;
const LONGEST_COMMENT = 280;

const isAnalysing = (analysis) => analysis?.status === "pending" || analysis?.status === "running";

export class Finding extends View {
  constructor(props) {
    super(props);
    const pace = ({ analysis }) => (isAnalysing(analysis) ? ANALYSING : 30_000);
    this.finding = this.reads(new Reading(path(owner.value, `findings/${encodeURIComponent(props.id)}`), pace));
    this.finding.watch(({ data }) => data && learn([data]));
    this.watches(commands);
    this.state = { markdown: null };
  }

  componentDidMount() {
    super.componentDidMount();
    // Loaded here because only this view needs it. Without it, the advisory is shown as plain text.
    import("./markdown.js").then(
      (markdown) => this.setState({ markdown }),
      () => this.setState({ markdown: { Markdown: ({ text }) => html`<pre class="source">${text}</pre>` } }),
    );
  }

  render({ id }, { markdown }) {
    const active = (type) =>
      commands.value.admissions.some(({ request }) => request.type === type && request.findingId === id) ||
      [...commands.value.followed.values()].some(
        ({ command }) => command.type === type && command.findingId === id && isActive(command),
      );
    return html`
      <p class="up"><a href="#/findings?status=open">Findings</a></p>
      <${Read} of=${this.finding} what="the finding">
        ${(finding) => html`
          <${Heading} title=${finding.title}>${finding.title}</${Heading}>
          <p class="lead">
            <${Severity} of=${finding.severity} /> <span class="tag">${FINDING_STATUS[finding.status]}</span>
            <span><bdi>${finding.package.name}</bdi> (${finding.package.ecosystem}) in <bdi>${finding.repository}</bdi></span>
          </p>
          <div class="halves wide-first">
            <div>
              <${Actions} finding=${finding} dismissing=${active("dismiss_finding")} starting=${active("start_analysis")} reopening=${active("reopen_finding")} />
              <${Analysis} analysis=${finding.analysis} />
              <section aria-labelledby="advisory">
                <h2 id="advisory">Advisory</h2>
                <div class="advisory">
                  ${markdown ? html`<${markdown.Markdown} text=${finding.description} />` : html`<p class="quiet">Loading …</p>`}
                </div>
              </section>
            </div>
            <${Facts} finding=${finding} />
          </div>
        `}
      </${Read}>
    `;
  }
}

function Facts({ finding }) {
  const score = finding.cvssScore === null ? null : `${finding.cvssScore} (CVSS)`;
  return html`<section aria-labelledby="facts">
    <h2 id="facts">Facts</h2>
    <dl class="pairs">
      <dt>Vulnerable</dt>
      <dd>${finding.vulnerableVersionRange}</dd>
      <dt>Patched in</dt>
      <dd>${finding.patchedVersion ?? "No version yet"}</dd>
      <dt>Manifest</dt>
      <dd>${finding.manifestPath}</dd>
      ${finding.dependencyScope && html`<dt>Scope</dt><dd>${finding.dependencyScope}</dd>`}
      <dt>Advisory</dt>
      <dd>${[finding.ghsaId, finding.cveId, ...finding.cweIds].filter(Boolean).join(", ")}</dd>
      ${score && html`<dt>Score</dt><dd>${score}</dd>`}
      <dt>First detected</dt>
      <dd><${When} at=${finding.firstDetectedAt} /></dd>
      ${finding.status === "open" && html`<dt>Due</dt><dd><${Due} at=${finding.slaDueAt} /></dd>`}
      ${finding.status === "fixed" && html`<dt>Fixed</dt><dd><${When} at=${finding.fixedAt} /></dd>`}
      ${
        finding.status === "ignored" &&
        html`<dt>Ignored</dt>
        <dd>${REASONS[finding.ignoredReason] ?? finding.ignoredReason ?? "No reason given"}${finding.ignoredBy && html`, by <bdi>${finding.ignoredBy}</bdi>`}</dd>`
      }
      <dt>Last checked</dt>
      <dd><${When} at=${finding.lastSyncedAt} /></dd>
      <dt>On GitHub</dt>
      <dd><a href=${web(finding.url)} rel="noreferrer" target="_blank">Alert #${finding.sourceId}</a></dd>
    </dl>
  </section>`;
}

/** Only an HTTP(S) URL becomes a link. @param {string} url */
const web = (url) => (/^https?:\/\//.test(url) ? url : null);

class Actions extends View {
  constructor(props) {
    super(props);
    this.state = { asking: false, comment: "" };
  }

  render({ finding, dismissing, starting, reopening }, { asking, comment }) {
    if (finding.status === "ignored") {
      const reopen = () => admit({ type: "reopen_finding", findingId: finding.id });
      return html`
        <p class="actions">
          <button type="button" disabled=${reopening} onClick=${reopen}>${reopening ? "Reopening …" : "Reopen"}</button>
        </p>
      `;
    }
    if (finding.status !== "open") return null;
    const under = isAnalysing(finding.analysis);
    const analyse = () =>
      admit({ type: "start_analysis", findingId: finding.id, ...(under ? { restartActive: true } : {}) });
    const dismiss = (event) => {
      event.preventDefault();
      const reason = new FormData(event.target).get("reason");
      admit({ type: "dismiss_finding", findingId: finding.id, reason, ...(comment ? { comment } : {}) });
      this.setState({ asking: false, comment: "" });
    };
    return html`
      <p class="actions">
        <button type="button" class="primary" disabled=${starting} onClick=${analyse}>
          ${starting ? "Starting …" : under ? "Restart analysis" : finding.analysis ? "Analyse again" : "Analyse"}
        </button>
        <button type="button" aria-expanded=${String(asking)} disabled=${dismissing} onClick=${() => this.setState({ asking: !asking })}>
          ${dismissing ? "Dismissing …" : "Dismiss"}
        </button>
      </p>
      ${
        asking &&
        html`<form class="card dismissal" aria-label="Dismissal" onSubmit=${dismiss}>
        <label>
          Reason
          <select name="reason" required>
            ${Object.entries(REASONS).map(([value, text]) => html`<option key=${value} value=${value}>${text}</option>`)}
          </select>
        </label>
        <label>
          Comment, shown on the GitHub alert (optional)
          <textarea name="comment" rows="3" maxlength=${LONGEST_COMMENT} value=${comment}
            aria-describedby="left" onInput=${(event) => this.setState({ comment: event.target.value })}></textarea>
        </label>
        <p class="quiet" id="left">${LONGEST_COMMENT - comment.length} characters left</p>
        <p class="actions">
          <button type="submit" class="primary">Dismiss on GitHub</button>
          <button type="button" onClick=${() => this.setState({ asking: false })}>Cancel</button>
        </p>
      </form>`
      }
    `;
  }
}

function Analysis({ analysis }) {
  if (!analysis) return null;
  const { status, result, failureCode, startedAt, completedAt } = analysis;
  return html`<section class=${`card analysis ${status}`} aria-labelledby="analysis" data-analysis=${status}>
    <h2 id="analysis">Analysis</h2>
    <div role="status">
      <p><strong><${Analysed} analysis=${analysis} /></strong>${result && `, ${result.confidence} confidence`}</p>
      ${status === "pending" && html`<p class="quiet">The agent has not started yet.</p>`}
      ${status === "running" && html`<p class="quiet">The agent started <${When} at=${startedAt} /> and reports back when it is done.</p>`}
      ${status === "failed" && html`<p>${ANALYSIS_FAILURE[failureCode] ?? "The agent ended without a result. Start the analysis again."} <code>${failureCode}</code></p>`}
    </div>
    ${result && html`<${Result} result=${result} />`}
    ${completedAt && html`<p class="quiet">${full(completedAt)}${startedAt && `, took ${lasted(startedAt, completedAt)}`}</p>`}
  </section>`;
}

function Result({ result }) {
  return html`
    <p>${result.summary}</p>
    <dl class="pairs">
      <dt>Suggested</dt>
      <dd>${SUGGESTION[result.suggestedAction] ?? result.suggestedAction}</dd>
      ${result.suggestedFix && html`<dt>Fix</dt><dd>${result.suggestedFix}</dd>`}
    </dl>
    <details>
      <summary>Reasoning</summary>
      <p class="prose">${result.reasoning}</p>
      ${
        result.usageLocations.length > 0 &&
        html`<h3>Where it is used</h3>
        <ul>${result.usageLocations.map((place) => html`<li><code>${typeof place === "string" ? place : JSON.stringify(place)}</code></li>`)}</ul>`
      }
    </details>
  `;
}
