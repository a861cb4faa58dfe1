import { activity, expect, signIn, test } from "../support/test.js";

/** The command's entry, once the server has returned its id. */
const all = (page) => activity(page).locator("li[data-command]", { hasText: "Refresh of all repositories" });
const refresh = (page) => page.getByRole("button", { name: "Refresh", exact: true }).first();

test("a refresh is shown from queued, through its progress, to its end", async ({ dashboard, caller, stack }) => {
  await caller.enable();
  await stack.github({ repository: "acme-appsec/zeppelin", operation: "list_alerts", delayMs: 6000 });
  const before = (await caller.ask("GET", "summary")).lastSyncedAt;
  await refresh(dashboard).click();
  await expect(all(dashboard)).toHaveAttribute("data-status", "running");
  await expect(all(dashboard)).toContainText("4 of 5 repositories");
  await expect(dashboard.getByRole("button", { name: "Refreshing …" })).toBeDisabled();
  await expect(all(dashboard)).toHaveAttribute("data-status", "succeeded");
  await expect(all(dashboard)).toContainText("Every repository in scope was refreshed");
  await expect(all(dashboard)).toContainText("SYNC_COMPLETED");
  expect((await caller.ask("GET", "summary")).lastSyncedAt > before).toBe(true);
  // The page reloads the changed data automatically.
  await expect(dashboard.getByText("Last refreshed").locator("..")).toContainText("just now");
});

test("a user whose id is more than a path can carry sees their refresh end", async ({ page, stack }) => {
  const sub = "oauth/a?b#\u{1f512} 100%";
  const caller = await stack.caller(sub);
  await caller.enable();
  await signIn(page, stack, sub);
  await refresh(page).click();
  await expect(all(page)).toHaveAttribute("data-status", "succeeded");
  const [command] = await caller.commands();
  expect([command.owner, command.origin]).toEqual([`user:${sub}`, "dashboard_refresh"]);
});

test("a failure says what happened, what to do, and why for each repository", async ({ dashboard, caller }) => {
  await caller.ask("PUT", "config", { enabled: true }, { "if-match": "*" });
  await refresh(dashboard).click();
  await expect(all(dashboard)).toHaveAttribute("data-status", "failed");
  await expect(all(dashboard)).toContainText("REPOSITORY_UNAVAILABLE");
  await expect(all(dashboard)).toContainText("Check that it exists and that the GitHub App may access it");
  await expect(all(dashboard)).toContainText("Part of it took effect.");
  const row = dashboard.getByRole("row").filter({ hasText: "acme-appsec/no-permission" });
  await expect(row).toContainText("The app may not read this repository's alerts. Grant it that permission.");
});

test("a reload in mid-command finds the command again and shows its end", async ({ dashboard, caller, stack }) => {
  await caller.enable();
  await stack.github({ repository: "*", operation: "list_alerts", delayMs: 3000 });
  await refresh(dashboard).click();
  await expect(all(dashboard)).toHaveAttribute("data-status", "running");
  const id = await all(dashboard).getAttribute("data-command");
  await dashboard.reload();
  await expect(all(dashboard)).toHaveAttribute("data-command", id);
  await expect(all(dashboard)).toHaveAttribute("data-status", "running");
  await expect(all(dashboard)).toHaveAttribute("data-status", "succeeded");
});

test("a command that ended unseen is shown after a reload until dismissed", async ({
  dashboard,
  caller,
  stack,
}) => {
  await caller.enable();
  await stack.github({ repository: "*", operation: "list_alerts", delayMs: 2000 });
  await refresh(dashboard).click();
  await expect(all(dashboard)).toHaveAttribute("data-status", /accepted|running/);
  const id = await all(dashboard).getAttribute("data-command");
  await dashboard.goto("about:blank");
  await caller.end(id);
  await dashboard.goto(stack.url);
  await expect(all(dashboard)).toHaveAttribute("data-status", "succeeded");
  await all(dashboard).getByRole("button", { name: "Dismiss" }).click();
  await dashboard.reload();
  await expect(activity(dashboard)).toContainText("Nothing is in progress.");
});

test("a command that could not be queued says so, and a retry is the same command", async ({
  dashboard,
  caller,
  stack,
}) => {
  await caller.enable();
  await stack.aws({ service: "sqs", operation: "SendMessage", function: "api", effect: "error", status: 500 });
  await refresh(dashboard).click();
  await expect(all(dashboard)).toHaveAttribute("data-status", "failed");
  await expect(all(dashboard)).toContainText("QUEUE_ADMISSION_FAILED");
  await expect(all(dashboard)).toContainText("Nothing has changed.");
  const id = await all(dashboard).getAttribute("data-command");
  await dashboard.reload();
  await stack.heal();
  await all(dashboard).getByRole("button", { name: "Try again" }).click();
  await expect(all(dashboard)).toHaveAttribute("data-status", "succeeded");
  await expect(all(dashboard)).toHaveAttribute("data-command", id);
});

test("a request whose answer is lost is retried, even after a reload, as one command", async ({
  dashboard,
  caller,
}) => {
  await caller.enable();
  const before = (await caller.commands()).length;
  let lost = 0;
  await dashboard.route("**/commands", async (route) => {
    if (route.request().method() !== "POST" || lost === 2) return route.fallback();
    lost += 1;
    await route.fetch();
    await route.abort();
  });
  await refresh(dashboard).click();
  await expect(activity(dashboard)).toContainText("It is unknown whether the request arrived");
  await dashboard.reload();
  await expect(all(dashboard)).toHaveAttribute("data-status", "succeeded");
  expect(lost).toBe(2);
  expect((await caller.commands()).length).toBe(before + 1);
});

test("a refused request is shown as refused and leaves nothing pending", async ({ dashboard }) => {
  await dashboard.route("**/commands", (route) =>
    route.request().method() === "POST"
      ? route.fulfill({
          status: 422,
          contentType: "application/problem+json",
          body: JSON.stringify({
            code: "IDEMPOTENCY_KEY_REUSED",
            detail: "The key was used for another request.",
            status: 422,
          }),
        })
      : route.fallback(),
  );
  await refresh(dashboard).click();
  const item = activity(dashboard).locator("[data-kind=refused]");
  await expect(item).toContainText("The key was used for another request.");
  await item.getByRole("button", { name: "Dismiss" }).click();
  await expect(activity(dashboard)).toContainText("Nothing is in progress.");
});

test("many running commands are polled together, and each shows its own end", async ({ dashboard, caller, stack }) => {
  await caller.enable();
  await dashboard.reload();
  await stack.github({ repository: "*", operation: "list_alerts", delayMs: 4000, times: 6 });
  const together = [];
  dashboard.on("request", (request) => request.url().includes("ids=") && together.push(request.url()));
  const names = ["docs-site", "nodegoat", "pygoat", "zeppelin", "security-agent-testbed", "gone-since-listing"];
  for (const name of names) {
    await dashboard.getByRole("button", { name: `Refresh acme-appsec/${name}` }).click();
  }
  for (const name of names) {
    const item = activity(dashboard).locator("li[data-command]", { hasText: `Refresh of acme-appsec/${name}` });
    await expect(item).toHaveAttribute("data-status", name === "gone-since-listing" ? "failed" : "succeeded");
  }
  expect(together.length).toBeGreaterThan(0);
});
