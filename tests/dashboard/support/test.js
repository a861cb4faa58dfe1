// Fixtures of every test: a stack without faults, and a signed-in caller.
import { test as base, expect } from "@playwright/test";
import { randomUUID } from "node:crypto";
import { start } from "./stack.js";

export { expect };

export const test = base.extend({
  stack: [
    async ({}, use) => {
      const stack = await start();
      await use(stack);
      await stack.stop();
    },
    { scope: "worker", timeout: 60_000 },
  ],
  /** A new caller, outside the browser. */
  caller: async ({ stack }, use) => {
    const sub = `test|${randomUUID().slice(0, 8)}`;
    await use(Object.assign(await stack.caller(sub), { sub }));
    await stack.heal();
  },
  /** The page, with the caller signed in. An error that the page logs fails the test. */
  dashboard: async ({ page, stack, caller }, use) => {
    const errors = watch(page);
    await signIn(page, stack, caller.sub);
    await use(page);
    expect(errors).toEqual([]);
  },
});

/** Collects script errors and policy violations, but not failed requests, which tests cause themselves. */
export function watch(page) {
  const errors = [];
  page.on("pageerror", (error) => errors.push(error.stack));
  page.on("console", (message) => {
    if (message.type() === "error" && !message.text().startsWith("Failed to load resource"))
      errors.push(message.text());
  });
  return errors;
}

export async function signIn(page, stack, sub, orgs = []) {
  await page.goto(stack.url);
  await page.getByLabel("User").fill(sub);
  if (orgs.length) await page.getByLabel("Organisations").fill(orgs.join(", "));
  await page.getByRole("button", { name: "Sign in" }).click();
  await expect(page.getByRole("heading", { level: 1, name: "Dashboard" })).toBeVisible();
}

export const activity = (page) => page.getByRole("complementary", { name: "Activity" });
