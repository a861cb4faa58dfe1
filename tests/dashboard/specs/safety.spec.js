import { expect, test } from "../support/test.js";

test("an advisory's content is shown and never executed", async ({ dashboard, caller }) => {
  await caller.enable();
  const finding = await caller.finding("status=open");
  const description = [
    "# Heading",
    '<script>window.done = "script"</script><img src=x onerror="window.done = 1">',
    "[script](javascript:window.done=2) [data](data:text/html,<script>1</script>) [web](https://web.example/a)",
    "![picture](https://tracker.example/pixel.png)",
    "<https://auto.example/> **bold** `code` &lt;tag&gt;",
    "- one\n- two",
    "| a | b |\n| - | - |\n| 1 | 2 |",
    "```\n<b>fenced</b>\n```",
  ].join("\n\n");
  await dashboard.route(`**/findings/${finding.id}`, (route) =>
    route.fulfill({ json: { ...finding, description, url: "javascript:1" } }),
  );
  const outside = [];
  dashboard.on("request", (request) => request.url().includes(".example") && outside.push(request.url()));
  await dashboard.evaluate((id) => (location.hash = `#/findings/${id}`), finding.id);
  const advisory = dashboard.locator(".advisory");
  await expect(advisory.getByRole("heading", { name: "Heading" })).toBeVisible();
  await expect(advisory).toContainText('<script>window.done = "script"</script><img src=x onerror="window.done = 1">');
  await expect(advisory).toContainText("<tag>");
  await expect(advisory.locator("pre")).toContainText("<b>fenced</b>");
  await expect(advisory.getByRole("listitem")).toHaveText(["one", "two"]);
  await expect(advisory.getByRole("cell")).toHaveText(["1", "2"]);
  const links = await advisory
    .locator("a[href]")
    .evaluateAll((found) => found.map((link) => link.getAttribute("href")));
  expect(links).toEqual(["https://web.example/a", "https://tracker.example/pixel.png", "https://auto.example/"]);
  expect(await dashboard.locator("img, script:not([type=module])").count()).toBe(0);
  expect(await dashboard.evaluate(() => window.done)).toBeUndefined();
  expect(await dashboard.locator('a[href^="javascript"]').count()).toBe(0);
  expect(outside).toEqual([]);
});

test("no text can become markup, and no foreign script runs", async ({ page, stack }) => {
  const answer = await page.goto(stack.url);
  expect(answer.headers()["content-security-policy"]).toContain(
    "require-trusted-types-for 'script'; trusted-types 'none'",
  );
  const refused = await page.evaluate(async () => {
    const attempts = {
      markup: () => (document.body.innerHTML = "<b>x</b>"),
      policy: () => trustedTypes.createPolicy("any", { createHTML: (text) => text }),
      script: () =>
        document.body.append(Object.assign(document.createElement("script"), { textContent: "window.done = 1" })),
    };
    return Object.entries(attempts)
      .filter(([, attempt]) => {
        try {
          attempt();
          return false;
        } catch {
          return true;
        }
      })
      .map(([name]) => name);
  });
  expect(refused).toEqual(["markup", "policy", "script"]);
});

test("the token is in no URL and in no lasting storage", async ({ page, stack, caller }) => {
  const addresses = [];
  page.on("request", (request) => addresses.push(request.url()));
  await page.goto(stack.url);
  await page.getByLabel("User").fill(caller.sub);
  await page.getByRole("button", { name: "Sign in" }).click();
  await expect(page.getByRole("heading", { name: "Repositories" })).toBeVisible();
  const token = await page.evaluate(() => JSON.parse(sessionStorage.getItem("token")));
  expect(token.split(".")).toHaveLength(3);
  expect(addresses.filter((address) => address.includes(token))).toEqual([]);
  expect(await page.evaluate(() => [localStorage.length, document.cookie])).toEqual([0, ""]);
  await page.getByRole("button", { name: "Sign out" }).click();
  await expect(page.getByLabel("User")).toBeVisible();
  expect(await page.evaluate(() => sessionStorage.length)).toBe(0);
});
