// @ts-check
// What views have in common.
import { Component, createRef, html } from "./html.js";
import { Refused, SignedOut } from "./api.js";
import { clock } from "./time.js";

/** A view that is drawn again when what it watches has changed. */
export class View extends Component {
  #watched = [];
  #readings = [];
  #ends = [];

  /** @template {import("./store.js").Store<any>} S @param {S} store @returns {S} */
  watches(store) {
    this.#watched.push(store);
    return store;
  }

  /** A reading that is kept up to date while the view is there. @param {import("./reading.js").Reading} reading */
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

/** The page's heading. It gets the focus when the page is changed to, so that a screen reader says where one is. */
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

/** Shows a reading: what the server said, or why there is nothing, or that it is from earlier. */
export function Read({ of: reading, what, children }) {
  const { data, at, trouble } = reading.value;
  if (data === undefined) {
    if (!trouble || trouble instanceof SignedOut) return html`<p class="quiet" role="status">Reading ${what} …</p>`;
    return html`<p class="notice failed" role="alert">
      ${
        trouble instanceof Refused && trouble.status === 404
          ? `There is nothing here: ${what} cannot be found.`
          : `${trouble.message} It is tried again by itself.`
      }
    </p>`;
  }
  const stale =
    trouble &&
    html`<p class="quiet" role="status">What is shown of ${what} is from ${clock(at)}. ${trouble.message}</p>`;
  return [stale, children(data)];
}

/** Severity: a shape and a word, never a colour alone. */
export const Severity = ({ of }) =>
  html`<span class=${`severity ${of}`}><span class="bars" aria-hidden="true"><i></i><i></i><i></i><i></i></span>${of}</span>`;
