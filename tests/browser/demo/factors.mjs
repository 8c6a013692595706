// The second factor on the demo page, with the real functions: enrolment by a QR code, the dialog of a step-up, and a login in two steps.

import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { test } from "node:test";
import { API, until } from "../harness.mjs";
import { inBrowser, open, signedIn, text } from "../pages.mjs";

const EMAIL = "second@example.com";
const PASSWORD = "correct horse battery";
const STEP = 30;

/** The code of an app (https://www.rfc-editor.org/rfc/rfc6238) in this many steps from now. */
function codeOf(secret, steps = 0) {
  const bits = [...secret].map((letter) => "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".indexOf(letter).toString(2).padStart(5, "0")).join("");
  const key = Buffer.from(bits.match(/.{8}/g).map((byte) => parseInt(byte, 2)));
  const counter = Buffer.alloc(8);
  counter.writeBigUInt64BE(BigInt(Math.floor(Date.now() / 1000 / STEP) + steps));
  const mac = createHmac("sha1", key).update(counter).digest();
  const number = mac.readUInt32BE(mac.at(-1) & 15) & 0x7fffffff;
  return String(number % 1e6).padStart(6, "0");
}

/** Waits until a code has some seconds left. */
const early = () => until(() => (Date.now() / 1000) % STEP < STEP - 10, "the begin of a step", 25e3);

/** Signs a user up on the page, by the code of the mail. */
async function signUp(page) {
  const post = (path, body) =>
    page.evaluate(async ([path, body]) => {
      const headers = { "content-type": "application/json" };
      const response = await fetch(path, { method: "POST", headers, body: JSON.stringify({ client_id: "demo", ...body }) });
      return response.json();
    }, [path, body]);
  const { request } = await post("/signup", { email: EMAIL });
  const mail = await until(async () => {
    const { mails } = await (await fetch(`${API}/mail.json`)).json();
    return mails.find(({ to }) => to.includes(EMAIL));
  }, "the mail of the sign-up");
  const [code] = mail.text.match(/\b\d{8}\b/);
  assert.match((await post("/signup/confirm", { request, code, password: PASSWORD })).user, /^usr_/);
}

async function passwordStep(page) {
  await page.locator("#username").fill(EMAIL);
  await page.locator("#password").fill(PASSWORD);
  await page.locator("#log-in").press("Enter");
}

/** Adds an app on the page. Returns its secret. */
async function enrol(page) {
  await page.locator("#add-factor").click();
  await page.locator("#enrol").waitFor();
  const secret = await page.locator("#totp-secret").textContent();
  const [modules, box] = await Promise.all([page.locator("#qr-modules").getAttribute("d"), page.locator("#qr").getAttribute("viewBox")]);
  // A quarter of the modules at least is dark.
  assert(modules.match(/M/g).length > Number(box.split(" ")[2]) ** 2 / 4, box);
  await early();
  // That of the step before, so that the current one is left.
  await page.locator("#totp-code").fill(codeOf(secret, -1));
  await page.locator("#totp-code").press("Enter");
  await page.locator("#recovery").waitFor();
  assert.equal(await page.locator("#recovery-codes li").count(), 10);
  await text(page, "#factors-text", /^A login needs a code of your app\. You have 10 recovery codes\.$/);
  return secret;
}

test("an app is added, a step-up removes it, and a login takes two steps", { timeout: 240e3 }, () =>
  inBrowser({}, async (context, expected) => {
    expected.push([403, "/factors/totp"], [403, "/reauthenticate"], [400, "/reauthenticate"], [403, "/login"], [400, "/login/factor"]);
    const page = await open(context);
    await signUp(page);
    await passwordStep(page);
    await signedIn(page);
    await text(page, "#factors-text", /^A login needs the password alone\./);
    const secret = await enrol(page);

    // This login did not show the app. The module asks for it once, and repeats the call that was denied.
    await page.locator("#remove-factor").click();
    await page.locator("#proof").waitFor();
    await page.locator("#proof-back").click();
    await text(page, "#factors-result", /^Nothing changed: /);
    await page.locator("#remove-factor").click();
    await page.locator("#proof-password").fill("wrong");
    await page.locator("#proof-code").fill(codeOf(secret));
    await page.locator("#proof-send").click();
    await text(page, "#proof-error", /^The current password is wrong\.$/);
    await page.locator("#proof-password").fill(PASSWORD);
    await page.locator("#proof-code").fill("");
    await page.locator("#proof-send").click();
    await text(page, "#proof-error", /^The second factor is missing\.$/);
    await page.locator("#proof-code").fill(codeOf(secret));
    await page.locator("#proof-send").click();
    await text(page, "#factors-text", /^A login needs the password alone\./);
    assert.equal(await page.locator("#proof").isVisible(), false);
    assert.equal(await page.locator("#proof-password").inputValue(), "");
    await text(page, "#log", /Confirmed: the session has a recent authentication/);

    const second = await enrol(page);
    await page.locator("#log-out").click();
    await page.locator("#signed-out").waitFor();
    assert.equal(await page.locator("#recovery-codes li").count(), 0);
    await passwordStep(page);
    await page.locator("#proof").waitFor();
    assert.equal(await page.locator("#proof-password").isVisible(), false);
    await page.locator("#proof-code").fill("000000");
    await page.locator("#proof-send").click();
    await text(page, "#proof-error", /^The code is wrong, or it was used\.$/);
    await page.locator("#proof-code").fill(codeOf(second));
    await page.locator("#proof-send").click();
    await signedIn(page);
  }));
