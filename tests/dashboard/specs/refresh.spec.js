import { activity, expect, test } from "../support/test.js";

test("a refresh is followed from its admission to its real end", async ({ dashboard, caller }) => {
  await caller.enable();
  await dashboard.getByRole("button", { name: "Refresh", exact: true }).click();
  const item = activity(dashboard).getByRole("listitem").filter({ hasText: "Refresh of all repositories" });
  await expect(item).toHaveAttribute("data-status", "succeeded");
  await expect(item).toContainText("SYNC_COMPLETED");
  await expect(dashboard.getByRole("definition").filter({ hasText: "just now" })).toBeVisible();
});
