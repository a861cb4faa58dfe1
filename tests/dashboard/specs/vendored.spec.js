import { readFileSync } from "node:fs";
import { expect, test } from "@playwright/test";

const VENDOR = new URL("../../../functions/dashboard/web/vendor/", import.meta.url);
const MODULES = new URL("../node_modules/", import.meta.url);

/** Vendored files and their originals in the packages. `npm ci` verifies the packages against package-lock.json. */
const FILES = {
  "preact.mjs": "preact/dist/preact.mjs",
  "preact.LICENSE.txt": "preact/LICENSE",
  "htm.mjs": "htm/dist/htm.mjs",
  "htm.LICENSE.txt": "htm/LICENSE",
  "markdown-it.esm.min.mjs": "markdown-it/dist/browser/markdown-it.esm.min.mjs",
  "markdown-it.LICENSE.txt": "markdown-it/LICENSE",
  "oauth4webapi.js": "oauth4webapi/build/index.js",
  "oauth4webapi.LICENSE.txt": "oauth4webapi/LICENSE.md",
};

for (const [vendored, published] of Object.entries(FILES)) {
  test(`${vendored} is as published`, () => {
    expect(readFileSync(new URL(vendored, VENDOR)).equals(readFileSync(new URL(published, MODULES)))).toBe(true);
  });
}
