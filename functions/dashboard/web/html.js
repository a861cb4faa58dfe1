// @ts-check
// Preact and htm, bound together: markup as tagged templates, without a build step.
import { Component, createRef, h, render } from "./vendor/preact.mjs";
import htm from "./vendor/htm.mjs";

export const html = htm.bind(h);
export { Component, createRef, h, render };
