import { activity, expect, test } from "../support/test.js";

const open = async (page, finding) => {
  await page.evaluate((id) => (location.hash = `#/findings/${encodeURIComponent(id)}`), finding.id);
  await expect(page.getByRole("heading", { level: 1 })).toHaveText(finding.title);
};
const item = (page, text) => activity(page).getByRole("listitem").filter({ hasText: text });

test("findings can be filtered and are sorted by severity", async ({ dashboard, caller }) => {
  await caller.enable();
  await dashboard.getByRole("link", { name: "Findings", exact: true }).click();
  const filters = dashboard.getByRole("search");
  await filters.getByLabel("Status").selectOption("open");
  await filters.getByLabel("Repository").selectOption("acme-appsec/nodegoat");
  await expect(dashboard).toHaveURL(/status=open&repository=acme-appsec%2Fnodegoat/);
  const rows = dashboard.locator("table.findings tbody tr");
  await expect(rows.first()).toContainText("critical");
  const shown = await rows.locator(".severity").allTextContents();
  const ranks = shown.map((word) => ["critical", "high", "medium", "low"].indexOf(word));
  expect(ranks).toEqual(ranks.toSorted((a, b) => a - b));
  for (const row of await rows.allTextContents()) expect(row).toContain("acme-appsec/nodegoat");
  await filters.getByLabel("Severity").selectOption("low");
  await filters.getByLabel("Analysis").selectOption("completed");
  await expect(dashboard.getByText("No finding matches.")).toBeVisible();
  await dashboard.goBack();
  await expect(rows.first()).toContainText("low");
});

test("every finding can be reached page by page", async ({ dashboard, caller }) => {
  await caller.enable();
  await dashboard.reload();
  const { findings } = await caller.ask("GET", "summary");
  await dashboard.getByRole("link", { name: String(findings.open) }).click();
  await expect(dashboard.locator("table.findings tbody tr")).toHaveCount(50);
  for (let pages = 1; pages < Math.ceil(findings.open / 50); pages++) {
    await dashboard.getByRole("button", { name: "Show more" }).click();
    await expect(dashboard.locator("table.findings tbody tr")).toHaveCount(Math.min(50 * (pages + 1), findings.open));
  }
  await expect(dashboard.getByRole("button", { name: "Show more" })).toBeHidden();
});

test("a dismissal is made on GitHub before it is shown", async ({ dashboard, caller, stack }) => {
  await caller.enable();
  const finding = await caller.finding("status=open&severity=low");
  await open(dashboard, finding);
  await dashboard.getByRole("button", { name: "Dismiss", exact: true }).click();
  await dashboard.getByLabel("Reason").selectOption("not_used");
  await dashboard.getByLabel(/^Comment/).fill("Only the tests use it.");
  await dashboard.getByRole("button", { name: "Dismiss on GitHub" }).click();
  await expect(item(dashboard, "Dismissal")).toHaveAttribute("data-status", "succeeded");
  await expect(dashboard.getByRole("main")).toContainText("The vulnerable code is not used, by security-agent[bot]");
  await expect(dashboard.getByRole("button", { name: "Dismiss", exact: true })).toBeHidden();
  const alerts = await stack.call("GET", `/local/github/alerts/${finding.repository}`);
  const alert = alerts.find(({ number }) => String(number) === finding.sourceId);
  expect([alert.state, alert.dismissed_comment]).toEqual(["dismissed", "Only the tests use it."]);
});

test("an ignored finding is reopened on GitHub before it is shown as open", async ({ dashboard, caller, stack }) => {
  await caller.enable();
  const finding = await caller.finding("status=ignored");
  await open(dashboard, finding);
  await dashboard.getByRole("button", { name: "Reopen" }).click();
  await expect(item(dashboard, "Reopening")).toHaveAttribute("data-status", "succeeded");
  await expect(item(dashboard, "Reopening")).toContainText("The alert is open on GitHub again, and so is the finding.");
  await expect(dashboard.getByRole("button", { name: "Dismiss", exact: true })).toBeEnabled();
  const alerts = await stack.call("GET", `/local/github/alerts/${finding.repository}`);
  const alert = alerts.find(({ number }) => String(number) === finding.sourceId);
  expect(alert.state).toBe("open");
});

test("a dismissal that GitHub refuses leaves the finding open and says so", async ({ dashboard, caller, stack }) => {
  await caller.enable();
  await stack.github({ repository: "*", operation: "update_alert", status: 422 });
  const finding = await caller.finding("status=open&severity=medium");
  await open(dashboard, finding);
  await dashboard.getByRole("button", { name: "Dismiss", exact: true }).click();
  await dashboard.getByRole("button", { name: "Dismiss on GitHub" }).click();
  await expect(item(dashboard, "Dismissal")).toHaveAttribute("data-status", "failed");
  await expect(item(dashboard, "Dismissal")).toContainText(
    "GitHub rejected the dismissal, and the alert is unchanged.",
  );
  await expect(item(dashboard, "Dismissal")).toContainText("DISMISSAL_REJECTED");
  await expect(dashboard.getByRole("button", { name: "Dismiss", exact: true })).toBeEnabled();
});

test("an analysis is shown from its launch to its result, also after a reload", async ({
  dashboard,
  caller,
  stack,
}) => {
  await caller.enable();
  await stack.agent({ operation: "callback", effect: "hold" });
  const finding = await caller.finding("status=open&severity=critical");
  await open(dashboard, finding);
  await dashboard.getByRole("button", { name: "Analyse", exact: true }).click();
  await expect(item(dashboard, "Analysis start")).toHaveAttribute("data-status", "succeeded");
  const analysis = dashboard.getByRole("region", { name: "Analysis" });
  await expect(analysis).toHaveAttribute("data-analysis", "running");
  await dashboard.reload();
  await expect(analysis).toHaveAttribute("data-analysis", "running");
  await stack.heal();
  await expect(analysis).toHaveAttribute("data-analysis", "completed");
  await expect(analysis).toContainText(/exploitable/i);
  await expect(analysis).toContainText("Simulated:");
});

test("an analysis that the agent refuses says why", async ({ dashboard, caller, stack }) => {
  await caller.enable();
  await stack.agent({ operation: "create_session", status: 402 });
  await open(dashboard, await caller.finding("status=open&severity=high"));
  await dashboard.getByRole("button", { name: "Analyse", exact: true }).click();
  await expect(item(dashboard, "Analysis start")).toHaveAttribute("data-status", "failed");
  await expect(item(dashboard, "Analysis start")).toContainText("no credits left");
});

test("the history shows each command's outcome, code, timing and attempts", async ({ dashboard, caller }) => {
  const initial = await caller.enable();
  await dashboard.getByRole("link", { name: "Commands" }).click();
  const entry = dashboard.getByRole("main").locator(`[data-command="${initial.id}"]`);
  await expect(entry).toContainText("Initial refresh");
  for (const fact of [
    "Succeeded",
    "SYNC_COMPLETED",
    "Attempts1",
    "Repositories5 of 5",
    initial.id,
    "from saving the settings",
  ]) {
    await expect(entry).toContainText(fact);
  }
});
