import { createServer } from "node:http";
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

test("no text becomes markup, and no foreign script runs", async ({ page, stack }) => {
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

test("the token is in no address and no persistent storage", async ({ page, stack, caller }) => {
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

test("a page of another origin gives the local stack no order", async ({ page, stack }) => {
  const foreign = createServer((_, answer) => answer.writeHead(200, { "content-type": "text/html" }).end("<p>x</p>"));
  await new Promise((listening) => foreign.listen(0, "127.0.0.1", listening));
  const before = await stack.call("GET", "/local/functions");
  try {
    await page.goto(`http://127.0.0.1:${foreign.address().port}/`);
    const statuses = [];
    page.on("response", (answer) => answer.url().startsWith(stack.url) && statuses.push(answer.status()));
    await page.evaluate(async (url) => {
      const body = JSON.stringify({ sub: "mallory" });
      const simple = { method: "POST", mode: "no-cors", headers: { "content-type": "text/plain" }, body };
      await fetch(`${url}/2015-03-31/functions/erase/invocations`, simple);
      await fetch(`${url}/local/tokens`, simple);
      await fetch(`${url}/local/schedules/reconcile`, { method: "POST", mode: "no-cors" });
      await fetch(`${url}/local/queues`, { mode: "no-cors" });
    }, stack.url);
    await expect.poll(() => statuses).toEqual([403, 403, 403, 403]);
  } finally {
    foreign.close();
  }
  const erase = (functions) => functions.find(({ name }) => name === "erase").invocations;
  expect(erase(await stack.call("GET", "/local/functions"))).toBe(erase(before));
});

test("marks of direction in a text do not reorder what stands beside it", async ({ dashboard, caller }) => {
  await caller.enable();
  const finding = await caller.finding("status=open");
  const hostile = "\u202e\u2067\u05d0 desrever";
  const changed = { ...finding, title: `${hostile} title`, package: { ...finding.package, name: `${hostile} name` } };
  await dashboard.route(`**/findings/${finding.id}`, (route) => route.fulfill({ json: { ...changed, description: "" } }));
  await dashboard.evaluate((id) => (location.hash = `#/findings/${id}`), finding.id);
  const lead = dashboard.locator(".lead span").filter({ hasText: finding.repository }).last();
  await expect(lead).toBeVisible();
  // Where each part begins on the line: the name, then its ecosystem, then "in", then the repository.
  const places = await lead.evaluate((element) => {
    const left = (node) => {
      const range = document.createRange();
      range.selectNodeContents(node);
      return range.getBoundingClientRect().left;
    };
    const parts = [...element.querySelectorAll("bdi")];
    const texts = [...element.childNodes].filter((node) => node.nodeType === Node.TEXT_NODE && node.textContent.trim());
    return [left(parts[0]), left(texts[0]), left(parts[1])];
  });
  expect(places).toEqual([...places].sort((a, b) => a - b));
});
