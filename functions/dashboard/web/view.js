// @ts-check
// What all views share.
import { Component, createRef, html } from "./html.js";
import { Refused, SignedOut } from "./api.js";
import { clock } from "./time.js";

/** A view that renders again when a store it watches changes. */
export class View extends Component {
  #watched = [];
  #readings = [];
  #ends = [];

  /** @template {import("./store.js").Store<any>} S @param {S} store @returns {S} */
  watches(store) {
    this.#watched.push(store);
    return store;
  }

  /** A reading that is kept up to date while the view is mounted. @param {import("./reading.js").Reading} reading */
  reads(reading) {
    this.#readings.push(reading);
    return this.watches(reading);
  }

  componentDidMount() {
    this.#ends = this.#watched.map((store) => store.watch(() => this.forceUpdate()));
    for (const reading of this.#readings) reading.open();
  }

  componentWillUnmount() {
    for (const end of this.#ends) end();
    for (const reading of this.#readings) reading.close();
  }
}

/** The page's heading. It takes the focus on navigation, so that a screen reader announces the page. */
export class Heading extends Component {
  heading = createRef();

  componentDidMount() {
    this.name();
    if (this.props.focus !== false && document.body.dataset.started) this.heading.current.focus();
    document.body.dataset.started = "yes";
  }

  componentDidUpdate() {
    this.name();
  }

  name() {
    document.title = `${this.props.title ?? this.props.children} · Security Agent`;
  }

  render({ children }) {
    return html`<h1 tabindex="-1" ref=${this.heading}>${children}</h1>`;
  }
}

/** Shows a reading: its data, why there is none, or that the data is old. */
export function Read({ of: reading, what, children }) {
  const { data, at, failure } = reading.value;
  if (data === undefined) {
    if (!failure || failure instanceof SignedOut) return html`<p class="quiet" role="status">Loading ${what} …</p>`;
    return html`<p class="notice failed" role="alert">
      ${
        failure instanceof Refused && failure.status === 404
          ? `Not found: ${what}. Check the address.`
          : `${failure.message} It is retried automatically.`
      }
    </p>`;
  }
  const stale =
    failure &&
    html`<p class="quiet" role="status">This shows ${what} as of ${clock(at)}. ${failure.message}</p>`;
  return [stale, children(data)];
}

/** Severity as bars and a word, so that it never depends on colour alone. */
export const Severity = ({ of }) =>
  html`<span class=${`severity ${of}`}><span class="bars" aria-hidden="true"><i></i><i></i><i></i><i></i></span>${of}</span>`;
