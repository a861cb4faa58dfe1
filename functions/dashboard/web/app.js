// @ts-check
// The entry point: the frame around the pages, and the router.
import { query } from "./arrival.js";
import { html, render } from "./html.js";
import { silent } from "./api.js";
import { choose, owner, session, signIn, signOut } from "./session.js";
import { resume } from "./commands.js";
import { Activity } from "./activity.js";
import { View } from "./view.js";
import { clock } from "./time.js";
import { Dashboard } from "./dashboard.js";
import { Findings } from "./findings.js";
import { Finding } from "./finding.js";
import { History } from "./history.js";
import { Settings } from "./settings.js";

const PAGES = [
  ["", "Dashboard", Dashboard],
  ["findings", "Findings", Findings],
  ["commands", "Commands", History],
  ["settings", "Settings", Settings],
];

/** `#/findings/x?a=b` */
function place() {
  const [path, parameters] = location.hash.replace(/^#\/?/, "").split("?");
  const [page, ...rest] = path.split("/");
  return {
    page,
    id: rest.length ? decodeURIComponent(rest.join("/")) : null,
    parameters: new URLSearchParams(parameters),
  };
}

class App extends View {
  constructor(props) {
    super(props);
    this.watches(session);
    this.watches(owner);
    this.watches(silent);
    addEventListener("hashchange", () => this.forceUpdate());
  }

  render() {
    if (!session.value) return html`<${SignIn} />`;
    const { page, id, parameters } = place();
    const [, , Page] = PAGES.find(([name]) => name === page) ?? PAGES[0];
    const Shown = page === "findings" && id ? Finding : Page;
    return html`
      <a class="skip" href="#main" onClick=${skip}>Skip to content</a>
      <header class="frame">
        <a class="brand" href="#/"><${Mark} />Security Agent</a>
        <nav aria-label="Pages">
          ${PAGES.map(
            ([name, title]) =>
              html`<a key=${name} href=${`#/${name}`} aria-current=${name === page ? "page" : null}>${title}</a>`,
          )}
        </nav>
        <${Caller} />
      </header>
      ${silent.value && html`<${Silence} since=${silent.value} />`}
      ${session.value.expired && html`<${Expired} />`}
      <div class="columns">
        <main id="main" key=${`${owner.value} ${page} ${id}`} tabindex="-1">
          <${Shown} id=${id} parameters=${parameters} />
        </main>
        <${Activity} />
      </div>
      <footer class="frame quiet">
        Libraries:
        ${["preact", "htm", "markdown-it", "oauth4webapi"].map(
          (name) =>
            html` <a key=${name} href=${new URL(`vendor/${name}.LICENSE.txt`, import.meta.url).pathname}>${name}</a>`,
        )}
      </footer>
    `;
  }
}

/** Moves the focus only: the URL's fragment belongs to the router. */
function skip(event) {
  event.preventDefault();
  document.getElementById("main")?.focus();
}

const Mark = () =>
  html`<svg viewBox="0 0 32 32" aria-hidden="true">
    <path class="shield" d="M16 2 4 6v9c0 7 5 12.5 12 15 7-2.5 12-8 12-15V6z" />
    <path class="tick" d="m10 16 4.500 4.500L22.500 12" />
  </svg>`;

/** The signed-in user and the selected owner. */
function Caller() {
  const { sub, name, orgs } = session.value.claims;
  return html`<div class="caller">
    ${
      orgs.length > 0 &&
      html`<label
      ><span class="hidden">Owner</span>
      <select id="owner" value=${owner.value} onChange=${(event) => choose(event.target.value)}>
        <option value=${`user:${sub}`}>Personal (${name ?? sub})</option>
        ${orgs.map((org) => html`<option key=${org} value=${org}>Organisation ${org.slice(4)}</option>`)}
      </select></label
    >`
    }
    <span class="who">${name ?? sub}</span>
    <button type="button" class="plain" onClick=${signOut}>Sign out</button>
  </div>`;
}

const Silence = ({ since }) =>
  html`<p class="banner" role="alert">
    No connection to the server since ${clock(since)}. This page shows the last known data and reconnects automatically.
  </p>`;

const Expired = () =>
  html`<section class="banner" aria-label="Session" role="alert">
    <p>Your session has expired. This page shows the last known data. Sign in to continue.</p>
    <${Ways} />
  </section>`;

const SignIn = () =>
  html`<main class="sign-in">
    <h1><${Mark} />Security Agent</h1>
    <p>Dependabot findings of your repositories, with analyses and dismissals.</p>
    <${Ways} />
  </main>`;

/** The form or button to sign in, once it is loaded. */
class Ways extends View {
  componentDidMount() {
    signing().then(
      (way) => this.setState({ way }),
      (error) => this.setState({ failure: error.message }),
    );
  }

  render(_, { way, failure = refused }) {
    const act = async (choice) => {
      this.setState({ failure: null });
      try {
        const token = await way.signIn(choice);
        if (token) signIn(token);
      } catch (error) {
        this.setState({ failure: error.message });
      }
    };
    return html`
      ${way && html`<${way.View} act=${act} caller=${session.value?.claims} />`}
      ${!way && !failure && html`<p class="quiet" role="status">Loading …</p>`}
      ${failure && html`<p class="notice failed" role="alert">Sign-in failed. ${failure}</p>`}
    `;
  }
}

/** This server's way to sign in. Loaded on first use, then kept. */
let known;
const signing = () =>
  (known ??= load().catch((error) => {
    known = undefined;
    throw error;
  }));

async function load() {
  const answer = await fetch("/dashboard.json").catch(() => null);
  if (!answer?.ok) throw new Error("The server's sign-in settings could not be read. Reload the page to try again.");
  const settings = await answer.json();
  const module = await import(settings.module ?? "./oidc.js");
  return module.way({ html, settings, query });
}

/** Why the issuer returned the browser without a token, if it did. */
let refused = null;

/** Completes a sign-in when the issuer has returned the browser. */
async function finish() {
  try {
    const token = await (await signing()).returned?.();
    if (token) signIn(token);
  } catch (error) {
    refused = error.message;
  }
}

if (query.has("code") || query.has("error")) await finish();
resume();
render(html`<${App} />`, document.getElementById("app"));
