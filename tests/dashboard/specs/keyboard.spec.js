import { activity, expect, test } from "../support/test.js";

/** Presses Tab until this element has the focus. Fails if Tab never reaches it. */
async function reach(page, role, name) {
  const wanted = page.getByRole(role, { name, exact: true });
  for (let presses = 0; presses < 120; presses++) {
    if (await wanted.evaluateAll((elements) => elements.includes(document.activeElement))) return;
    await page.keyboard.press("Tab");
  }
  throw new Error(`Tab does not reach ${role} ${name}`);
}

test("everything can be done with the keyboard alone", async ({ page, caller, stack }) => {
  await caller.enable();
  const finding = await caller.finding("status=open&severity=low");
  await page.goto(stack.url);
  await reach(page, "textbox", "User");
  await page.keyboard.press("ControlOrMeta+A");
  await page.keyboard.type(caller.sub);
  await page.keyboard.press("Enter");
  await expect(page.getByRole("heading", { level: 1 })).toHaveText("Dashboard");

  // The first stop is the link that skips the navigation.
  await page.keyboard.press("Tab");
  await expect(page.getByRole("link", { name: "Skip to content" })).toBeFocused();
  await page.keyboard.press("Enter");
  await expect(page.getByRole("main")).toBeFocused();

  await reach(page, "button", "Refresh");
  await page.keyboard.press("Enter");
  await expect(activity(page).getByRole("listitem").first()).toHaveAttribute("data-status", "succeeded");

  await reach(page, "link", "Findings");
  await page.keyboard.press("Enter");
  // A page change is announced to screen readers.
  await expect(page.getByRole("heading", { level: 1, name: "Findings" })).toBeFocused();
  await reach(page, "combobox", "Severity");
  await page.keyboard.press("l");
  await expect(page).toHaveURL(/severity=low/);
  await reach(page, "combobox", "Status");
  await page.keyboard.press("o");
  await expect(page.locator("table.findings tbody tr").first()).toContainText(finding.title);
  await reach(page, "link", finding.title);
  await page.keyboard.press("Enter");
  await expect(page.getByRole("heading", { level: 1, name: finding.title })).toBeFocused();

  await reach(page, "button", "Dismiss");
  await page.keyboard.press("Space");
  await reach(page, "combobox", "Reason");
  await page.keyboard.press("ArrowDown");
  await reach(page, "button", "Dismiss on GitHub");
  await page.keyboard.press("Enter");
  await expect(page.getByRole("main")).toContainText("The alert is inaccurate, by security-agent[bot]");
});
