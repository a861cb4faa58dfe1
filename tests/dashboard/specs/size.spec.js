import { expect, signIn, test } from "../support/test.js";

/** The most bytes that the first view may load, compressed. */
const LIMIT = 100 * 1024;

test("the first view is small, and a second visit loads the page alone", async ({ page, stack, caller }) => {
  const network = await page.context().newCDPSession(page);
  await network.send("Network.enable");
  const files = new Map();
  const sizes = new Map();
  network.on("Network.responseReceived", ({ requestId, response }) => files.set(requestId, response.url));
  network.on("Network.loadingFinished", ({ requestId, encodedDataLength }) => sizes.set(requestId, encodedDataLength));
  await signIn(page, stack, caller.sub);
  await expect(page.getByRole("heading", { name: "Repositories" })).toBeVisible();
  const total = [...files].reduce((sum, [id, url]) => {
    const { pathname } = new URL(url);
    return pathname === "/" || pathname.startsWith("/assets/") ? sum + (sizes.get(id) ?? 0) : sum;
  }, 0);
  console.log(`first view: ${(total / 1024).toFixed(1)} KB compressed, headers and all, in ${files.size} requests`);
  expect(total).toBeGreaterThan(10_000);
  expect(total).toBeLessThan(LIMIT);

  files.clear();
  sizes.clear();
  await page.goto("about:blank");
  await page.goto(stack.url);
  await expect(page.getByRole("heading", { name: "Repositories" })).toBeVisible();
  const own = [...files].filter(([, url]) => url.startsWith(stack.url) && !url.includes("/v1/"));
  const fetched = own.filter(([id]) => (sizes.get(id) ?? 0) > 0).map(([, url]) => new URL(url).pathname);
  // And a page that has not changed is a 304.
  expect(fetched).toEqual(["/"]);
  expect(sizes.get(own.find(([, url]) => new URL(url).pathname === "/")[0])).toBeLessThan(2_000);
});
