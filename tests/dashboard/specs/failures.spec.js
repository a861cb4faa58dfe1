import { activity, expect, signIn, test, watch } from "../support/test.js";

/** The command's entry, once the server has returned its id. */
const all = (page) => activity(page).locator("li[data-command]", { hasText: "Refresh of all repositories" });
const refresh = (page) => page.getByRole("button", { name: "Refresh", exact: true }).first();

test("two tabs show the same command", async ({ dashboard, caller, stack, context }) => {
  await caller.enable();
  const other = await context.newPage();
  const errors = watch(other);
  await signIn(other, stack, caller.sub);
  await stack.github({ repository: "*", operation: "list_alerts", delayMs: 2500 });
  await refresh(dashboard).click();
  await expect(all(other)).toHaveAttribute("data-status", /accepted|running/);
  const id = await all(dashboard).getAttribute("data-command");
  await expect(all(other)).toHaveAttribute("data-command", id);
  await expect(other.getByRole("button", { name: "Refreshing …" })).toBeDisabled();
  for (const page of [dashboard, other]) await expect(all(page)).toHaveAttribute("data-status", "succeeded");
  expect(errors).toEqual([]);
});

test("a lost network is shown, settles no command, and recovers", async ({ dashboard, caller, stack, context }) => {
  await caller.enable();
  await stack.github({ repository: "*", operation: "list_alerts", delayMs: 2000 });
  await refresh(dashboard).click();
  await expect(all(dashboard)).toHaveAttribute("data-status", "running");
  const id = await all(dashboard).getAttribute("data-command");
  await context.setOffline(true);
  await expect(dashboard.getByRole("alert")).toContainText("No connection to the server since");
  // The command has ended, and the page cannot know yet.
  await caller.end(id);
  await expect(all(dashboard)).toHaveAttribute("data-status", "running");
  await expect(all(dashboard)).toContainText("Last update at");
  await context.setOffline(false);
  await expect(all(dashboard)).toHaveAttribute("data-status", "succeeded");
  await expect(dashboard.getByRole("alert")).toBeHidden();
});

test("a request made offline is sent once when the network is back", async ({ dashboard, caller, context }) => {
  await caller.enable();
  const before = (await caller.commands()).length;
  await context.setOffline(true);
  await refresh(dashboard).click();
  await expect(activity(dashboard)).toContainText("It is unknown whether the request arrived");
  await context.setOffline(false);
  await expect(all(dashboard)).toHaveAttribute("data-status", "succeeded");
  expect((await caller.commands()).length).toBe(before + 1);
});

test("a server error is not shown as a command's outcome", async ({ dashboard, caller, stack }) => {
  await caller.enable();
  await stack.github({ repository: "*", operation: "list_alerts", delayMs: 1500 });
  await refresh(dashboard).click();
  await expect(all(dashboard)).toHaveAttribute("data-status", /accepted|running/);
  let failed = 0;
  await dashboard.route("**/v1/**", (route) => {
    failed += 1;
    return route.fulfill({ status: 500, contentType: "application/json", body: '{"message":"Internal Server Error"}' });
  });
  await expect.poll(() => failed).toBeGreaterThan(3);
  await expect(all(dashboard)).toHaveAttribute("data-status", /accepted|running/);
  await dashboard.unroute("**/v1/**");
  await expect(all(dashboard)).toHaveAttribute("data-status", "succeeded");
});

test("an expired session keeps the page, asks to sign in, and continues", async ({ dashboard, caller, stack }) => {
  await caller.enable();
  await stack.github({ repository: "*", operation: "list_alerts", delayMs: 2500 });
  await refresh(dashboard).click();
  await expect(all(dashboard)).toHaveAttribute("data-status", "running");
  // The gateway's answer to the expired token.
  const old = await dashboard.evaluate(() => JSON.parse(sessionStorage.getItem("token")));
  await dashboard.route("**/v1/**", (route) =>
    route.request().headers().authorization === `Bearer ${old}`
      ? route.fulfill({ status: 401, contentType: "application/json", body: '{"message":"Unauthorized"}' })
      : route.fallback(),
  );
  const banner = dashboard.getByRole("alert", { name: "Session" });
  await expect(banner).toContainText("Your session has expired");
  await expect(all(dashboard)).toHaveAttribute("data-status", "running");
  await expect(dashboard.getByRole("heading", { name: "Repositories" })).toBeVisible();
  // Tokens issued in the same second are equal.
  const issued = JSON.parse(Buffer.from(old.split(".")[1], "base64url").toString()).iat;
  await expect.poll(() => Math.floor(Date.now() / 1000)).toBeGreaterThan(issued);
  await banner.getByRole("button", { name: "Sign in" }).click();
  await expect(banner).toBeHidden();
  await expect(all(dashboard)).toHaveAttribute("data-status", "succeeded");
});

test("an organisation's data is separate from the user's", async ({ page, stack }) => {
  const org = "6f1d1d3e-7a52-4c3b-9a55-0d0f3c1f7a10";
  await signIn(page, stack, `member|${Date.now()}`, [org]);
  await page.getByLabel("Owner").selectOption(`org:${org}`);
  await page.getByRole("button", { name: "Refresh", exact: true }).first().click();
  await expect(all(page)).toHaveAttribute("data-status", "no_op");
  await expect(all(page)).toContainText("Enable it in the settings and try again.");
  await page.getByLabel("Owner").selectOption({ index: 0 });
  await expect(activity(page)).toContainText("Nothing is in progress.");
  await page.getByLabel("Owner").selectOption(`org:${org}`);
  await expect(all(page)).toContainText("CONFIG_DISABLED");
});
