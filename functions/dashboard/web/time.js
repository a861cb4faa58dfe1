// @ts-check
// Times in the user's time zone and language.
import { Component, html } from "./html.js";

const FULL = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const CLOCK = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });
const AGO = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
/** @type {[Intl.RelativeTimeFormatUnit, number][]} */
const UNITS = [
  ["year", 31_557_600],
  ["month", 2_629_800],
  ["day", 86_400],
  ["hour", 3_600],
  ["minute", 60],
];

/** @param {string | Date} time */
export const full = (time) => FULL.format(new Date(time));

/** @param {string | Date} time */
export const clock = (time) => CLOCK.format(new Date(time));

// A number and its unit stay on one line.
const NBSP = "\u00a0";

/** The time between two times, as text. @param {string} from @param {string} to */
export function lasted(from, to) {
  const seconds = Math.max(0, (Date.parse(to) - Date.parse(from)) / 1000);
  if (seconds < 60) return `${seconds.toFixed(1)}${NBSP}s`;
  const minutes = Math.floor(seconds / 60);
  return minutes < 60
    ? `${minutes}${NBSP}min ${Math.floor(seconds % 60)}${NBSP}s`
    : `${Math.floor(minutes / 60)}${NBSP}h ${minutes % 60}${NBSP}min`;
}

/** @param {number} seconds negative for the past */
function relative(seconds) {
  for (const [unit, size] of UNITS) {
    if (Math.abs(seconds) >= size) return AGO.format(Math.trunc(seconds / size), unit);
  }
  return seconds > 0 ? "in less than a minute" : "just now";
}

/** A relative time, exact on hover and for machines. */
export class When extends Component {
  componentDidMount() {
    this.timer = setInterval(() => this.forceUpdate(), 20_000);
  }

  componentWillUnmount() {
    clearInterval(this.timer);
  }

  render({ at }) {
    if (!at) return "never";
    const text = relative((Date.parse(at) - Date.now()) / 1000);
    return html`<time datetime=${at} title=${full(at)}>${text}</time>`;
  }
}
