// @ts-check
// The findings: filtered by the URL's parameters, most severe first, one page at a time.
import { html } from "./html.js";
import { call, path } from "./api.js";
import { Reading } from "./reading.js";
import { learn } from "./names.js";
import { owner } from "./session.js";
import { Heading, Read, Severity, View } from "./view.js";
import { When } from "./time.js";
import { ANALYSIS_STATUS, EXPLOITABILITY, FINDING_STATUS, SEVERITIES, capital, count } from "./words.js";

const FILTERS = ["status", "severity", "repository", "analysis"];
/** How often to read findings while one of them is being analysed, in ms. */
const ANALYSING = 5_000;

const isAnalysing = ({ analysis }) => analysis?.status === "pending" || analysis?.status === "running";

export class Findings extends View {
  constructor(props) {
    super(props);
    this.repositories = this.reads(new Reading(path(owner.value, "repositories")));
  }

  render({ parameters }) {
    const asked = new URLSearchParams();
    for (const name of FILTERS) if (parameters.get(name)) asked.set(name, parameters.get(name));
    const names = (this.repositories.value.data?.repositories ?? []).map((one) => one.fullName);
    const repository = parameters.get("repository");
    if (repository && !names.includes(repository)) names.push(repository);
    return html`
      <${Heading}>Findings</${Heading}>
      <form class="filters" role="search" aria-label="Findings" onSubmit=${(event) => event.preventDefault()}>
        <${Choice} name="status" label="Status" asked=${asked} options=${Object.entries(FINDING_STATUS)} />
        <${Choice} name="severity" label="Severity" asked=${asked} options=${SEVERITIES.map((one) => [one, capital(one)])} />
        <${Choice} name="repository" label="Repository" asked=${asked} options=${names.map((name) => [name, name])} />
        <${Choice} name="analysis" label="Analysis" asked=${asked} options=${Object.entries(ANALYSIS_STATUS)} />
      </form>
      <${Pages} key=${asked.toString()} asked=${asked} />
    `;
  }
}

function Choice({ name, label, asked, options }) {
  const change = (event) => {
    const next = new URLSearchParams(asked);
    if (event.target.value) next.set(name, event.target.value);
    else next.delete(name);
    location.hash = `#/findings?${next}`;
  };
  return html`<label>
    ${label}
    <select name=${name} value=${asked.get(name) ?? ""} onChange=${change}>
      <option value="">All</option>
      ${options.map(([value, text]) => html`<option key=${value} value=${value}>${text}</option>`)}
    </select>
  </label>`;
}

/** The first page is kept up to date; further pages are read once. */
class Pages extends View {
  constructor(props) {
    super(props);
    const pace = ({ findings }) => (findings.some(isAnalysing) ? ANALYSING : 30_000);
    this.first = this.reads(new Reading(path(owner.value, `findings?${props.asked}`), pace));
    this.first.watch(({ data }) => data && learn(data.findings));
    this.state = { more: [], next: undefined, failure: null };
  }

  async more(cursor) {
    this.setState({ reading: true, failure: null });
    try {
      const asked = new URLSearchParams(this.props.asked);
      asked.set("cursor", cursor);
      const { body } = await call("GET", path(owner.value, `findings?${asked}`));
      this.setState({ more: [...this.state.more, ...body.findings], next: body.nextCursor });
    } catch (error) {
      this.setState({ failure: error.message });
    }
    this.setState({ reading: false });
  }

  render(_, { more, next, reading, failure }) {
    return html`<${Read} of=${this.first} what="the findings">
      ${({ findings, nextCursor }) => {
        const known = new Set(findings.map(({ id }) => id));
        const all = [...findings, ...more.filter(({ id }) => !known.has(id))];
        const cursor = next === undefined ? nextCursor : next;
        return html`
          <p class="quiet" role="status">${all.length ? count(all.length, "finding") : "No finding matches"}${cursor ? ", and more" : ""}.</p>
          ${all.length > 0 && html`<${Table} findings=${all} />`}
          ${failure && html`<p class="notice failed" role="alert">${failure}</p>`}
          ${cursor && html`<button type="button" disabled=${reading} onClick=${() => this.more(cursor)}>${reading ? "Loading …" : "Show more"}</button>`}
        `;
      }}
    </${Read}>`;
  }
}

const Table = ({ findings }) => html`<div class="scroll" tabindex="0" role="region" aria-label="Findings">
  <table class="findings">
    <thead>
      <tr>
        <th scope="col">Severity</th>
        <th scope="col">Finding</th>
        <th scope="col">Status</th>
        <th scope="col">Due</th>
        <th scope="col">Analysis</th>
      </tr>
    </thead>
    <tbody>
      ${findings.map(
        (one) => html`<tr key=${one.id}>
          <td><${Severity} of=${one.severity} /></td>
          <th scope="row">
            <a href=${`#/findings/${encodeURIComponent(one.id)}`}>${one.title}</a>
            <span class="quiet block"><bdi>${one.package.name}</bdi> in <bdi>${one.repository}</bdi> #${one.sourceId}</span>
          </th>
          <td>${FINDING_STATUS[one.status]}</td>
          <td class="due">${one.status === "open" && html`<${Due} at=${one.slaDueAt} />`}</td>
          <td><${Analysed} analysis=${one.analysis} /></td>
        </tr>`,
      )}
    </tbody>
  </table>
</div>`;

export function Due({ at }) {
  const overdue = Date.parse(at) < Date.now();
  return html`<span class=${overdue ? "overdue" : null}>${overdue && "Overdue: "}<${When} at=${at} /></span>`;
}

export function Analysed({ analysis }) {
  if (!analysis) return html`<span class="quiet">${ANALYSIS_STATUS.none}</span>`;
  if (analysis.status !== "completed") return ANALYSIS_STATUS[analysis.status];
  return EXPLOITABILITY[analysis.result?.exploitability] ?? ANALYSIS_STATUS.completed;
}
