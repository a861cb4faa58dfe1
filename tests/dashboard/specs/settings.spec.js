import { activity, expect, test } from "../support/test.js";

const settings = (page) => page.getByRole("link", { name: "Settings", exact: true }).first().click();
const save = (page) => page.getByRole("button", { name: "Save" }).click();
const outcome = (page) => page.locator("[data-outcome]");

test("enabling and the refresh that it starts are separate outcomes", async ({ dashboard, caller }) => {
  await settings(dashboard);
  await dashboard.getByLabel("Only selected repositories").check();
  await dashboard.getByLabel("acme-appsec/nodegoat").check();
  await dashboard.getByLabel("Enabled").check();
  await save(dashboard);
  await expect(outcome(dashboard)).toHaveText(/The settings are saved, and a refresh has started/);
  const item = activity(dashboard).getByRole("listitem").filter({ hasText: "Initial refresh" });
  await expect(item).toHaveAttribute("data-status", "succeeded");
  const config = await caller.ask("GET", "config");
  expect([config.enabled, config.selectedRepositoryIds.length]).toEqual([true, 1]);
});

test("settings stay saved if the initial refresh cannot be queued, and both are shown", async ({
  dashboard,
  caller,
  stack,
}) => {
  await stack.aws({ service: "sqs", operation: "SendMessage", function: "api", effect: "error", status: 500 });
  await settings(dashboard);
  await dashboard.getByLabel("Only selected repositories").check();
  await dashboard.getByLabel("acme-appsec/nodegoat").check();
  await dashboard.getByLabel("Enabled").check();
  await save(dashboard);
  await expect(outcome(dashboard)).toContainText(
    "The settings are saved, but the refresh could not be queued",
  );
  expect((await caller.ask("GET", "config")).enabled).toBe(true);
  await stack.heal();
  await dashboard.getByRole("button", { name: "Start the refresh" }).click();
  const item = activity(dashboard).getByRole("listitem").filter({ hasText: "Refresh of all repositories" });
  await expect(item).toHaveAttribute("data-status", "succeeded");
});

test("every setting is saved as shown", async ({ dashboard, caller }) => {
  await settings(dashboard);
  await dashboard.getByLabel("Refresh every few hours").uncheck();
  await dashboard.getByLabel("Only selected repositories").check();
  await dashboard.getByLabel("acme-appsec/pygoat").check();
  await dashboard.getByLabel("Depth").selectOption("deep");
  await dashboard.getByLabel("Model for triage").fill("small");
  await dashboard.getByLabel("Model for analyses").fill("large");
  await dashboard.getByLabel("Analyse new findings").check();
  await dashboard.getByLabel("Minimum severity").selectOption("critical");
  await dashboard.getByLabel("Also analyse existing findings").check();
  await dashboard.getByLabel("Dismiss findings when an analysis recommends it").check();
  await dashboard.getByLabel("Minimum confidence").selectOption("medium");
  await dashboard.getByLabel("Low", { exact: true }).fill("120");
  await save(dashboard);
  await expect(outcome(dashboard)).toHaveText("The settings are saved.");
  const { selectedRepositoryIds, ...config } = await caller.ask("GET", "config");
  expect(selectedRepositoryIds).toHaveLength(1);
  expect(config).toEqual({
    enabled: false,
    repositorySelection: "selected",
    autoSync: false,
    analysisMode: "deep",
    triageModel: "small",
    analysisModel: "large",
    autoAnalysis: { enabled: true, minSeverity: "critical", includeExisting: true },
    autoDismiss: { enabled: true, minConfidence: "medium" },
    slaDays: { critical: 15, high: 30, medium: 45, low: 120 },
    version: 1,
  });
  await dashboard.reload();
  await expect(dashboard.getByLabel("Model for triage")).toHaveValue("small");
  await expect(dashboard.getByLabel("Low", { exact: true })).toHaveValue("120");
});

test("a concurrent change by somebody else is not overwritten", async ({ dashboard, caller }) => {
  await settings(dashboard);
  await dashboard.getByLabel("Model for triage").fill("mine");
  await caller.ask("PUT", "config", { analysisMode: "deep" }, { "if-match": "*" });
  await save(dashboard);
  await expect(outcome(dashboard)).toContainText("Somebody else saved in the meantime, so your changes are not saved");
  expect((await caller.ask("GET", "config")).triageModel).toBe("auto");
  await dashboard.getByRole("button", { name: "Show theirs" }).click();
  await expect(dashboard.getByLabel("Depth")).toHaveValue("deep");
  await expect(dashboard.getByLabel("Model for triage")).toHaveValue("auto");
});

test("if the answer to a save is lost, the page reads the saved settings", async ({ dashboard, caller }) => {
  await settings(dashboard);
  await dashboard.getByLabel("Model for triage").fill("kept");
  await dashboard.route("**/config", async (route) => {
    if (route.request().method() !== "PUT") return route.fallback();
    await route.fetch();
    await route.abort();
  });
  await save(dashboard);
  await expect(outcome(dashboard)).toContainText("The answer was lost, but the settings are saved.");
  expect((await caller.ask("GET", "config")).triageModel).toBe("kept");
  await dashboard.unroute("**/config");
  await dashboard.getByLabel("Model for triage").fill("never sent");
  await dashboard.route("**/config", (route) =>
    route.request().method() === "PUT" ? route.abort() : route.fallback(),
  );
  await save(dashboard);
  await expect(outcome(dashboard)).toContainText("Nothing was saved.");
  await expect(dashboard.getByLabel("Model for triage")).toHaveValue("never sent");
});

test("an owner without a connection sees what enabling requires", async ({ page, stack }) => {
  const { token } = await stack.call("POST", "/local/tokens", { sub: `alone|${Date.now()}`, orgs: [], connect: false });
  await page.goto(stack.url);
  await page.evaluate((token) => sessionStorage.setItem("token", JSON.stringify(token)), token);
  await page.goto(`${stack.url}/#/settings`);
  await page.reload();
  await page.getByLabel("Enabled").check();
  await save(page);
  await expect(outcome(page)).toContainText(
    "Nothing was saved. Connect the owner to an installation of the GitHub App first.",
  );
});
