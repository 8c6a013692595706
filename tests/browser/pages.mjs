// What the scenarios of the demo page share: a browser profile, the page, a login with the demo user, and waiting for a text.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import path from "node:path";
import { after, before } from "node:test";
import { API } from "./harness.mjs";

const { chromium } = createRequire(path.join(process.env.DAYPASS_TEST_PLAYWRIGHT, "/"))("playwright-core");

/** Status and path of responses that Chromium reports in the console. Tests add those that they cause. */
const EXPECTED = [
  [400, "/refresh"], // the first renewal, without a session
];

let browser;

export const launch = (...more) =>
  chromium.launch({
    executablePath: process.env.DAYPASS_TEST_BROWSER,
    args: [
      "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
      "--disable-component-update", "--disable-sync", ...more,
    ],
  });

before(async () => {
  browser = await launch();
});
after(() => browser?.close());

/** Runs `scenario` in its own browser profile. Fails on unexpected errors and warnings in the console. */
export async function inBrowser(options, scenario, from = browser) {
  const context = await from.newContext({ viewport: { width: 960, height: 800 }, locale: "en-GB", ...options });
  const complaints = [];
  const expected = [...EXPECTED];
  context.setDefaultTimeout(15_000);
  await context.addInitScript(() => {
    document.addEventListener("securitypolicyviolation", ({ violatedDirective, blockedURI }) =>
      console.error(`policy: ${violatedDirective} ${blockedURI}`),
    );
  });
  context.on("console", (message) => {
    if (message.type() !== "error" && message.type() !== "warning") return;
    const { url } = message.location();
    const known = (entry) => (entry instanceof RegExp ? entry.test(message.text()) : isAnswer(entry));
    const isAnswer = ([status, where]) =>
      message.text().startsWith(`Failed to load resource: the server responded with a status of ${status}`) &&
      (where instanceof RegExp ? where.test(new URL(url).pathname) : new URL(url).pathname === where);
    if (!expected.some(known)) complaints.push(`${message.text()} (${url})`);
  });
  context.on("weberror", (error) => complaints.push(String(error.error())));
  try {
    await scenario(context, expected);
    assert.deepEqual(complaints, [], "the console of the pages");
  } finally {
    await context.close();
  }
}

export async function open(context, url = API) {
  const page = await context.newPage();
  await page.goto(`${url}/`);
  await page.locator("#signed-out, #signed-in").and(page.locator(":visible")).waitFor();
  return page;
}

export async function logIn(page) {
  await page.locator("#fill-in").click();
  await page.locator("#log-in").press("Enter");
  await signedIn(page);
}

export async function signedIn(page) {
  await page.locator("#signed-in").waitFor();
  // The page has loaded its content. A request that a test interrupts by a logout would be an error in the console.
  await text(page, "#call-result", /^GET \/whoami: 200 in \d+ ms/);
  await page.locator("#sessions li").first().waitFor();
  await text(page, "#factors-text", /^A login needs /);
}

/** Waits until the text of an element matches, and returns it. */
export async function text(page, selector, pattern) {
  const element = page.locator(selector);
  const until = Date.now() + 15_000;
  for (;;) {
    const found = (await element.textContent()).trim();
    if (pattern.test(found)) return found;
    assert.ok(Date.now() < until, `${selector} is "${found}", and not ${pattern}`);
    await page.waitForTimeout(50);
  }
}
