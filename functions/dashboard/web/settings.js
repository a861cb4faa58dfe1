// @ts-check
// The settings. A save and the refresh that it starts have separate outcomes, and both are shown.
import { html } from "./html.js";
import { Refused, SignedOut, call, path } from "./api.js";
import { admit, follow } from "./commands.js";
import { Reading, refreshAll } from "./reading.js";
import { owner } from "./session.js";
import { Heading, Read, View } from "./view.js";
import { SEVERITIES, capital } from "./words.js";

const MODES = [
  ["auto", "The agent decides"],
  ["shallow", "Triage only"],
  ["deep", "The whole codebase"],
];
const MIN_SEVERITIES = [
  ["critical", "Critical only"],
  ["high", "High and above"],
  ["medium", "Medium and above"],
  ["all", "All"],
];
const CONFIDENCES = [
  ["high", "High"],
  ["medium", "Medium or high"],
  ["low", "Any"],
];

export class Settings extends View {
  constructor(props) {
    super(props);
    this.config = this.reads(new Reading(path(owner.value, "config")));
    this.repositories = this.reads(new Reading(path(owner.value, "repositories")));
    this.integration = this.reads(new Reading(path(owner.value, "integration")));
  }

  render() {
    return html`
      <${Heading}>Settings</${Heading}>
      <${Read} of=${this.config} what="the settings">
        ${(config) =>
          html`<${Form}
            saved=${config}
            repositories=${this.repositories.value.data?.repositories ?? []}
            integration=${this.integration.value.data}
          />`}
      </${Read}>
    `;
  }
}

class Form extends View {
  constructor(props) {
    super(props);
    // An edited draft keeps its values and version, whatever is read in the meantime: the version is its `If-Match`.
    this.state = { draft: props.saved, edited: false, saving: false, outcome: null };
  }

  static getDerivedStateFromProps({ saved }, { edited, draft }) {
    return !edited && saved.version > draft.version ? { draft: saved } : null;
  }

  set(part) {
    this.setState({ draft: { ...this.state.draft, ...part }, edited: true, outcome: null });
  }

  async save(event) {
    event.preventDefault();
    const { draft } = this.state;
    this.setState({ saving: true, outcome: null });
    try {
      const { body } = await put(draft);
      this.saved(body.config, body.initialSync ? (body.initialSync.admitted ? "started" : "not started") : "saved");
      if (body.initialSync?.admitted) follow(body.initialSync.command);
    } catch (error) {
      if (error instanceof SignedOut) this.setState({ outcome: { kind: "signed out" } });
      else if (error instanceof Refused && error.code === "VERSION_CONFLICT") await this.conflict();
      else if (error instanceof Refused) this.setState({ outcome: { kind: "refused", error } });
      else await this.lost(draft, error);
    }
    this.setState({ saving: false });
  }

  saved(config, kind) {
    this.setState({ draft: config, edited: false, outcome: { kind } });
    refreshAll();
  }

  /** Somebody else saved. The form keeps its draft, which may replace their version. */
  async conflict() {
    try {
      const { body } = await call("GET", path(owner.value, "config"));
      this.setState({
        draft: { ...this.state.draft, version: body.version },
        outcome: { kind: "conflict", theirs: body },
      });
    } catch (error) {
      this.setState({ outcome: { kind: "unread", error } });
    }
  }

  /** The answer was lost. The server's configuration shows whether the save succeeded. */
  async lost(draft, error) {
    try {
      const { body } = await call("GET", path(owner.value, "config"));
      if (same(body, draft)) return this.saved(body, "saved silently");
      this.setState({ draft: { ...draft, version: body.version }, outcome: { kind: "not saved", error } });
    } catch {
      this.setState({ outcome: { kind: "unknown", error } });
    }
  }

  render({ repositories, integration }, { draft, saving, outcome, edited }) {
    const nested = (name, part) => this.set({ [name]: { ...draft[name], ...part } });
    return html`<form class="settings" onSubmit=${(event) => this.save(event)}>
      <fieldset>
        <legend>Security Agent</legend>
        <${Check} name="enabled" label="Enabled" checked=${draft.enabled} set=${(enabled) => this.set({ enabled })}
          hint="If this is off, nothing is refreshed, dismissed or analysed for this owner." />
        <${Integration} integration=${integration} />
        <${Check} name="autoSync" label="Refresh every few hours" checked=${draft.autoSync} set=${(autoSync) => this.set({ autoSync })} />
      </fieldset>

      <fieldset>
        <legend>Repositories</legend>
        <label class="check">
          <input type="radio" name="selection" checked=${draft.repositorySelection === "all"}
            onChange=${() => this.set({ repositorySelection: "all" })} />
          All repositories of the installation, including future ones
        </label>
        <label class="check">
          <input type="radio" name="selection" checked=${draft.repositorySelection === "selected"}
            onChange=${() => this.set({ repositorySelection: "selected" })} />
          Only selected repositories
        </label>
        ${
          draft.repositorySelection === "selected" &&
          html`<${Selection} repositories=${repositories} ids=${draft.selectedRepositoryIds}
          set=${(selectedRepositoryIds) => this.set({ selectedRepositoryIds })} />`
        }
      </fieldset>

      <fieldset>
        <legend>Analyses</legend>
        <${Select} name="analysisMode" label="Depth" value=${draft.analysisMode} options=${MODES} set=${(analysisMode) => this.set({ analysisMode })} />
        <${Text} name="triageModel" label="Model for triage" value=${draft.triageModel} set=${(triageModel) => this.set({ triageModel })} />
        <${Text} name="analysisModel" label="Model for analyses" value=${draft.analysisModel} set=${(analysisModel) => this.set({ analysisModel })} />
      </fieldset>

      <fieldset>
        <legend>Automatic</legend>
        <${Check} name="autoAnalysis" label="Analyse new findings" checked=${draft.autoAnalysis.enabled}
          set=${(enabled) => nested("autoAnalysis", { enabled })} hint="At most two at a time, so that one slot is always free for you." />
        <${Select} name="minSeverity" label="Minimum severity" value=${draft.autoAnalysis.minSeverity} options=${MIN_SEVERITIES}
          set=${(minSeverity) => nested("autoAnalysis", { minSeverity })} />
        <${Check} name="includeExisting" label="Also analyse existing findings" checked=${draft.autoAnalysis.includeExisting}
          set=${(includeExisting) => nested("autoAnalysis", { includeExisting })} />
        <${Check} name="autoDismiss" label="Dismiss findings when an analysis recommends it" checked=${draft.autoDismiss.enabled}
          set=${(enabled) => nested("autoDismiss", { enabled })} hint="Also on GitHub." />
        <${Select} name="minConfidence" label="Minimum confidence" value=${draft.autoDismiss.minConfidence} options=${CONFIDENCES}
          set=${(minConfidence) => nested("autoDismiss", { minConfidence })} />
      </fieldset>

      <fieldset>
        <legend>Days a finding may stay open</legend>
        <div class="row">
          ${SEVERITIES.map(
            (severity) => html`<label key=${severity}>
              ${capital(severity)}
              <input type="number" name=${severity} min="1" max="365" required value=${draft.slaDays[severity]}
                onInput=${(event) => nested("slaDays", { [severity]: event.target.value === "" ? "" : Number(event.target.value) })} />
            </label>`,
          )}
        </div>
      </fieldset>

      <${Outcome} outcome=${outcome} theirs=${(theirs) => this.setState({ draft: theirs, edited: false, outcome: null })} />
      <p class="actions">
        <button type="submit" class="primary" disabled=${saving}>${saving ? "Saving …" : "Save"}</button>
        <span class="quiet">${edited ? "Unsaved changes." : `Version ${draft.version}`}</span>
      </p>
    </form>`;
  }
}

const put = (draft) =>
  call("PUT", path(owner.value, "config"), { body: draft, headers: { "if-match": String(draft.version) } });

/** Whether two configurations are equal apart from their versions. */
function same(a, b) {
  const content = ({ version, ...settings }) =>
    JSON.stringify(
      { ...settings, selectedRepositoryIds: [...settings.selectedRepositoryIds].sort() },
      [...Object.keys(settings), "enabled", "minSeverity", "includeExisting", "minConfidence", ...SEVERITIES].sort(),
    );
  return content(a) === content(b);
}

function Outcome({ outcome, theirs }) {
  return html`<div role="status" class="outcome" data-outcome=${outcome?.kind}>
    ${outcome && html`<${Said} outcome=${outcome} theirs=${theirs} />`}
  </div>`;
}

function Said({ outcome: { kind, error, theirs: other }, theirs }) {
  switch (kind) {
    case "saved":
      return html`<p class="notice succeeded">The settings are saved.</p>`;
    case "started":
      return html`<p class="notice succeeded">The settings are saved, and a refresh has started. Activity shows its progress.</p>`;
    case "not started":
      return html`<div class="notice failed">
        <p>
          <strong>The settings are saved, but the refresh could not be queued</strong>
          (<code>QUEUE_ADMISSION_FAILED</code>). Start the refresh; you do not need to save again.
        </p>
        <button type="button" onClick=${() => admit({ type: "sync", origin: "dashboard_refresh" })}>Start the refresh</button>
      </div>`;
    case "saved silently":
      return html`<p class="notice succeeded">
        The answer was lost, but the settings are saved. Activity shows whether a refresh has started.
      </p>`;
    case "conflict":
      return html`<div class="notice failed">
        <p>
          Somebody else saved in the meantime, so your changes are not saved. Save again to replace their settings, or
          show theirs.
        </p>
        <button type="button" onClick=${() => theirs(other)}>Show theirs</button>
      </div>`;
    case "not saved":
      return html`<p class="notice failed">Nothing was saved. ${error.message} Your changes are still here. Save again.</p>`;
    case "unread":
      return html`<p class="notice failed">Somebody else saved in the meantime, so your changes are not saved. ${error.message} Save again to see theirs.</p>`;
    case "unknown":
      return html`<p class="notice failed">
        It is unknown whether the settings were saved. ${error.message} Your changes are still here. Save again when the
        server is reachable.
      </p>`;
    case "signed out":
      return html`<p class="notice failed">Your session has expired, so nothing was saved. Your changes are still here. Sign in, then save again.</p>`;
    default:
      return html`<div class="notice failed">
        <p><strong>Nothing was saved.</strong> ${error.message} <code>${error.code}</code></p>
        ${error.errors.length > 0 && html`<ul>${error.errors.map((one) => html`<li><code>${one.pointer}</code> ${one.message}</li>`)}</ul>`}
      </div>`;
  }
}

function Integration({ integration }) {
  if (!integration) return null;
  if (!integration.connected) {
    return html`<p class="quiet">GitHub: not connected. Install the GitHub App to enable Security Agent.</p>`;
  }
  const rights = integration.canReadAlerts
    ? "may read alerts"
    : "may not read alerts. Grant it that permission to enable Security Agent";
  const refused = integration.authInvalidAt ? " GitHub rejects its credentials. Reinstall or reconnect it." : "";
  return html`<p class="quiet">GitHub: connected to installation ${integration.installationId}, which ${rights}.${refused}</p>`;
}

function Selection({ repositories, ids, set }) {
  const toggle = (id) => set(ids.includes(id) ? ids.filter((one) => one !== id) : [...ids, id]);
  return html`<div class="selection" role="group" aria-label="Selected repositories">
    ${ids.length === 0 && html`<p class="quiet">No repository is selected, so nothing is refreshed.</p>`}
    ${repositories.map(
      (one) => html`<label class="check" key=${one.id}>
        <input type="checkbox" checked=${ids.includes(one.id)} onChange=${() => toggle(one.id)} />
        ${one.fullName}
      </label>`,
    )}
  </div>`;
}

const Check = ({ name, label, checked, set, hint }) =>
  html`<div>
    <label class="check">
      <input type="checkbox" name=${name} checked=${checked} aria-describedby=${hint ? `${name}-hint` : null}
        onChange=${(event) => set(event.target.checked)} />
      ${label}
    </label>
    ${hint && html`<p class="quiet hint" id=${`${name}-hint`}>${hint}</p>`}
  </div>`;

const Select = ({ name, label, value, options, set }) =>
  html`<label>
    ${label}
    <select name=${name} value=${value} onChange=${(event) => set(event.target.value)}>
      ${options.map(([option, text]) => html`<option key=${option} value=${option}>${text}</option>`)}
    </select>
  </label>`;

const Text = ({ name, label, value, set }) =>
  html`<label>
    ${label}
    <input type="text" name=${name} required maxlength="128" value=${value} onInput=${(event) => set(event.target.value)} />
  </label>`;
