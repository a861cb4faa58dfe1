// Sign-in with a real OpenID provider and a local stack that accepts its tokens.
import { test as base, expect } from "@playwright/test";
import * as issuers from "../support/issuer.js";
import { start } from "../support/stack.js";
import { activity, watch } from "../support/test.js";

const test = base.extend({
  issuer: async ({}, use) => {
    const issuer = await issuers.start();
    await use(issuer);
    await issuer.stop();
  },
  stack: async ({ issuer }, use) => {
    const parameters = {
      TokenIssuer: issuer.url,
      TokenAudience: issuers.AUDIENCE,
      DashboardClientId: issuers.CLIENT,
      DashboardScope: `openid ${issuers.SCOPE}`,
      DashboardAudienceParameter: "resource",
    };
    const stack = await start(
      Object.entries(parameters).flatMap(([name, value]) => ["--parameter", `${name}=${value}`]),
    );
    await use(stack);
    await stack.stop();
  },
});

/** Signs in at the provider, as a person would. */
async function signIn(page, sub) {
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.locator("input[name=login]").fill(sub);
  await page.locator("input[name=password]").fill("any");
  await page.getByRole("button", { name: "Sign-in" }).click();
  await page.getByRole("button", { name: "Continue" }).click();
}

test("the code flow signs people in and leaves no trace in the address or in storage", async ({
  page,
  stack,
  issuer,
}) => {
  issuer.open(stack.url, ["6f1d1d3e-7a52-4c3b-9a55-0d0f3c1f7a10"]);
  await stack.caller("somebody");
  const errors = watch(page);
  const addresses = [];
  page.on("request", (request) => addresses.push(request.url()));
  await page.goto(`${stack.url}/#/settings`);
  await signIn(page, "somebody");
  await expect(page.getByRole("heading", { level: 1 })).toHaveText("Settings");
  await expect(page.getByLabel("Owner")).toContainText("Organisation 6f1d1d3e");
  expect(page.url()).toBe(`${stack.url}/#/settings`);
  const [asked] = addresses.filter((address) => new URL(address).pathname === "/auth");
  const parameters = Object.fromEntries(new URL(asked).searchParams);
  expect(parameters).toMatchObject({
    response_type: "code",
    code_challenge_method: "S256",
    resource: issuers.AUDIENCE,
  });
  const token = await page.evaluate(() => JSON.parse(sessionStorage.getItem("token")));
  expect(addresses.filter((address) => address.includes(token))).toEqual([]);
  expect(await page.evaluate(() => [localStorage.length, document.cookie, sessionStorage.getItem("sign-in")])).toEqual([
    0,
    "",
    null,
  ]);
  expect(errors).toEqual([]);
});

test("after a token expires, a new sign-in continues where the page was", async ({ page, stack, issuer }) => {
  issuer.open(stack.url);
  issuer.lifetime = 6;
  const caller = await stack.caller("somebody");
  await caller.enable();
  // The command outlives the token; the page says that it waits for a sign-in.
  await stack.github({
    repository: "*",
    operation: "list_alerts",
    status: 429,
    headers: { "retry-after": "12" },
    times: 5,
  });
  await page.goto(`${stack.url}/#/`);
  await signIn(page, "somebody");
  await page.getByRole("button", { name: "Refresh", exact: true }).first().click();
  const item = activity(page).locator("li[data-command]", { hasText: "Refresh of all repositories" });
  await expect(item).toContainText("Waiting for a limit to end. It continues automatically.");
  const id = await item.getAttribute("data-command");
  const banner = page.getByRole("alert", { name: "Session" });
  await expect(banner).toContainText("Your session has expired");
  await expect(item).toHaveAttribute("data-status", "running");
  issuer.lifetime = 600;
  await banner.getByRole("button", { name: "Sign in again" }).click();
  // The provider still has a session for this browser, so no form is filled in again.
  await expect(item).toHaveAttribute("data-command", id);
  await expect(banner).toBeHidden();
  await expect(item).toHaveAttribute("data-status", "succeeded");
});

test("a code that this tab did not request is not redeemed", async ({ page, stack, issuer }) => {
  issuer.open(stack.url);
  const redeemed = [];
  page.on("request", (request) => request.url().startsWith(issuer.url) && redeemed.push(request.url()));
  await page.goto(`${stack.url}/?code=stolen&state=any`);
  await expect(page.getByRole("alert")).toContainText("The sign-in did not start in this tab. Sign in again.");
  expect(page.url()).toBe(`${stack.url}/`);
  expect(redeemed).toEqual([]);
});

test("an error from the issuer is shown", async ({ page, stack, issuer }) => {
  issuer.open(stack.url);
  await page.goto(stack.url);
  await page.evaluate(() =>
    sessionStorage.setItem(
      "sign-in",
      JSON.stringify({ verifier: "v".repeat(43), state: "s", nonce: "n", place: "#/" }),
    ),
  );
  await page.goto(
    `${stack.url}/?error=access_denied&error_description=Not%20you.&state=s&iss=${encodeURIComponent(issuer.url)}`,
  );
  await expect(page.getByRole("alert")).toContainText("Not you.");
  await expect(page.getByRole("button", { name: "Sign in" })).toBeVisible();
});
