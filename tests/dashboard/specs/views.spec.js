// Checks every page with axe, in light, dark and on a phone, and takes its picture. PICTURES names the folder for the
// pictures.
import AxeBuilder from "@axe-core/playwright";
import { activity, expect, signIn, test } from "../support/test.js";

const FOLDER = process.env.PICTURES ?? "results/pictures";
const LOOKS = {
  light: { colorScheme: "light", viewport: { width: 1280, height: 900 } },
  dark: { colorScheme: "dark", viewport: { width: 1280, height: 900 } },
  phone: { colorScheme: "light", viewport: { width: 390, height: 844 } },
};
const PAGES = ["sign-in", "dashboard", "findings", "finding", "commands", "settings"];

test("every page is accessible and fits, in light, dark and on a phone", async ({ browser, stack }) => {
  test.slow();
  const caller = await stack.caller("jo");
  await caller.enable();
  const worst = await caller.finding("status=open&severity=critical");
  const lesser = await caller.finding("status=open&severity=low");
  const { id } = await caller.ask("POST", "commands", { type: "start_analysis", findingId: worst.id });
  await caller.end(id);
  await expect.poll(async () => (await caller.ask("GET", `findings/${worst.id}`)).analysis.status).toBe("completed");
  await stack.github({ repository: "*", operation: "update_alert", status: 422 });
  for (const [look, options] of Object.entries(LOOKS)) {
    const context = await browser.newContext({
      ...options,
      locale: "en-GB",
      timezoneId: "UTC",
      reducedMotion: "reduce",
    });
    const page = await context.newPage();
    const seen = async (name) => {
      expect(PAGES).toContain(name);
      await page.screenshot({ path: `${FOLDER}/${name}-${look}.png` });
      const { violations } = await new AxeBuilder({ page }).analyze();
      expect(
        violations.map(({ id, impact, nodes }) => [name, look, id, impact, nodes.map((node) => node.html)]),
      ).toEqual([]);
      const [wide, seen] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
      expect(wide, `${name} is not wider than the window`).toBeLessThanOrEqual(seen);
    };
    await page.goto(stack.url);
    await expect(page.getByLabel("User")).toBeVisible();
    await seen("sign-in");
    await signIn(page, stack, "jo");
    if (look === "light") {
      await page.goto(`${stack.url}/#/findings/${lesser.id}`);
      await page.getByRole("button", { name: "Dismiss", exact: true }).click();
      await page.getByRole("button", { name: "Dismiss on GitHub" }).click();
      await expect(activity(page).getByRole("listitem").first()).toHaveAttribute("data-status", "failed");
    }
    await page.goto(`${stack.url}/#/`);
    await expect(page.getByRole("row")).toHaveCount(12);
    await expect(page.getByRole("meter").first()).toBeVisible();
    await stack.github({ repository: "acme-appsec/zeppelin", operation: "list_alerts", delayMs: 9000, times: 1 });
    await page.getByRole("button", { name: "Refresh", exact: true }).first().click();
    const refresh = activity(page).getByRole("listitem").filter({ hasText: "Refresh of all repositories" });
    await expect(refresh).toContainText("4 of 5 repositories");
    await seen("dashboard");
    await expect(refresh).toHaveAttribute("data-status", "succeeded");
    await page.goto(`${stack.url}/#/findings?status=open`);
    await expect(page.locator("table.findings")).toBeVisible();
    await expect(page.getByLabel("Repository").getByRole("option")).toHaveCount(12);
    await seen("findings");
    await page.goto(`${stack.url}/#/findings/${worst.id}`);
    await expect(page.getByRole("region", { name: "Analysis" })).toHaveAttribute("data-analysis", "completed");
    await expect(page.locator(".advisory p").first()).not.toHaveText("Loading …");
    await seen("finding");
    await page.goto(`${stack.url}/#/commands`);
    await expect(page.locator(".history li").first()).toContainText("SYNC_COMPLETED");
    await seen("commands");
    await page.goto(`${stack.url}/#/settings`);
    await expect(page.getByText("acme-appsec/zeppelin")).toBeVisible();
    await seen("settings");
    await context.close();
  }
  await stack.heal();
});
