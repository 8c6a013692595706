// The demo page as a user meets it: with the keyboard, on both origins, in two tabs, on a phone, in the dark scheme. The
// scenarios also write the screenshots.
//
// tests/it/suites/browser.rs runs them, and describes the stack in environment variables.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync, statSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";
import tls from "node:tls";
import { API, COOKIE, DEVICE_COOKIE, FOLDER, SECOND, USER } from "../harness.mjs";
import { inBrowser, launch, logIn, open, signedIn, text } from "../pages.mjs";

/** Largest picture for the README, in bytes. */
const PICTURE_LIMIT = 150_000;

const focused = (page) => page.evaluate(() => document.activeElement.id);

/** Presses the tab key until the element with that id has the focus. */
async function tabTo(page, id) {
  for (let pressed = 0; pressed < 30; pressed++) {
    if ((await focused(page)) === id) return;
    await page.keyboard.press("Tab");
  }
  assert.fail(`the tab key does not reach ${id}`);
}

const allCookies = async (context) => (await context.cookies(API)).map(({ name }) => name);
/** Without the device cookie, which outlives a session. */
const cookies = async (context) => (await allCookies(context)).filter((name) => name !== DEVICE_COOKIE);

const file = (name) => path.join(FOLDER, `${name}.png`);
const picture = (page, name) => page.screenshot({ path: file(name), fullPage: true });

/** Takes the picture for the README. docs/images/demo.png is a copy of it. */
async function pictureForReadme(page) {
  await page.mouse.move(0, 0);
  // Down to the end of the two cards.
  await page.screenshot({ path: file("demo"), fullPage: true, clip: { x: 0, y: 0, width: 960, height: 948 } });
}

/** Another device of the same user, a client without cookies. */
async function otherDevice() {
  const post = (where, body) =>
    fetch(API + where, {
      method: "POST",
      headers: { "content-type": "application/json", "user-agent": "another device" },
      body: JSON.stringify(body),
    });
  const answer = await post("/login", USER);
  assert.equal(answer.status, 200);
  let { access_token, refresh_token } = await answer.json();
  return {
    async end(session) {
      const headers = { authorization: `Bearer ${access_token}` };
      const answer = await fetch(`${API}/sessions/${session}`, { method: "DELETE", headers });
      assert.equal(answer.status, 200);
    },
    async isSignedIn() {
      const answer = await post("/refresh", { grant_type: "refresh_token", refresh_token });
      if (answer.status !== 200) return false;
      ({ access_token, refresh_token } = await answer.json());
      return true;
    },
    async endAll() {
      assert.equal((await post("/revoke", { token: refresh_token, all: true })).status, 200);
    },
  };
}

// ---- Scenarios

test("login and logout with the keyboard alone, and the focus follows", () =>
  inBrowser({}, async (context) => {
    const page = await open(context);
    assert.equal(await page.locator("#state").textContent(), "Signed out");
    assert.deepEqual(await cookies(context), []);
    await picture(page, "demo-signed-out");

    await page.keyboard.press("Tab");
    assert.equal(await focused(page), "username", "the first stop");
    assert.equal(await page.locator("#username").inputValue(), USER.username);
    await page.keyboard.press("Tab");
    await page.keyboard.type(USER.password);
    await page.keyboard.press("Enter");
    await signedIn(page);
    assert.equal(await focused(page), "who-title");
    assert.equal(await page.locator("#password").inputValue(), "", "the password does not stay in the page");
    assert.equal(await page.locator("#who-client_id").textContent(), "demo");
    assert.match(await page.locator("#who-sub").textContent(), /^usr_/);
    assert.match(await page.locator("#log").textContent(), /Logged in: a day pass/);
    assert.deepEqual((await allCookies(context)).sort(), [DEVICE_COOKIE, COOKIE]);
    assert.equal(await page.locator("#cookies").textContent(), '""');
    const bar = await page.locator("#time-left").evaluate(({ value, max }) => ({ value, max }));
    assert.ok(bar.value > 0 && bar.value <= bar.max, JSON.stringify(bar));
    await page.waitForFunction((before) => document.getElementById("time-left").value < before, bar.value);
    assert.match(await page.locator("#ticket").textContent(), /^Valid for .*\.$/);
    await picture(page, "demo-signed-in");

    await tabTo(page, "call");
    await page.locator("#call-result").evaluate((result) => result.replaceChildren());
    await page.keyboard.press("Space");
    await text(page, "#call-result", /^GET \/whoami: 200/);
    assert.equal(await focused(page), "call", "the button keeps the focus");
    await tabTo(page, "log-out");
    await page.keyboard.press("Enter");
    await page.locator("#signed-out").waitFor();
    assert.equal(await focused(page), "login-title");
    assert.deepEqual(await cookies(context), []);
    assert.match(await page.locator("#log").textContent(), /Logged out/);
    assert.equal(await page.locator("#who-sub").isVisible(), false);
    await tabTo(page, "username");
  }));

test("errors are sentences", () =>
  inBrowser({}, async (context, expected) => {
    const page = await open(context);
    const attempt = async (password) => {
      await page.locator("#password").fill(password);
      await page.keyboard.press("Enter");
    };
    await attempt("");
    await text(page, "#login-error", /^The password is missing\.$/);
    expected.push([401, "/login"]);
    await attempt("not the password of demo");
    await text(page, "#login-error", /^Wrong user name or password\.$/);
    assert.equal(await focused(page), "password");
    assert.equal(await page.locator("#password").getAttribute("aria-invalid"), "true");
    assert.deepEqual(await cookies(context), []);

    // Responses of a busy server.
    const answers = { 429: "slow_down", 503: "temporarily_unavailable", 500: "server_error" };
    const refuse = (status, headers = {}) => {
      expected.push([status, "/login"]);
      return page.route(`${API}/login`, (route) =>
        route.fulfill({ status, headers, json: { error: answers[status], error_description: "" } }), { times: 1 });
    };
    await refuse(429, { "retry-after": "2" });
    await attempt(USER.password);
    await text(page, "#login-error", /^Too many attempts\. Try again in 2 seconds\.$/);
    await text(page, "#login-error", /^You can try again now\.$/);
    await refuse(503, { "retry-after": "1" });
    await attempt(USER.password);
    await text(page, "#login-error", /^The server is busy\. Try again in 1 second\.$/);
    await refuse(500);
    await attempt(USER.password);
    await text(page, "#login-error", /^The server answered with an error \(500\)\./);

    await context.setOffline(true);
    await text(page, "#notice", /^You are offline\./);
    await context.setOffline(false);
    await page.locator("#notice").waitFor({ state: "hidden" });
    await attempt(USER.password);
    await signedIn(page);
    assert.equal(await page.locator("#login-error").textContent(), "");
    await page.locator("#log-out").click();
    await page.locator("#signed-out").waitFor();
  }));

test("error responses to a call with the access token are sentences", () =>
  inBrowser({}, async (context, expected) => {
    const page = await open(context);
    await logIn(page);
    const answers = [
      [503, { "retry-after": "7" }, /^The server is busy\. Try again in 7 seconds\.$/],
      [403, {}, /^The API rejected the ticket \(403\)\.$/],
      [404, {}, /^This server has no list of sessions\.$/],
      [500, {}, /^The server answered with an error \(500\)\./],
    ];
    for (const [status, headers, sentence] of answers) {
      expected.push([status, "/sessions"]);
      await page.route(`${API}/sessions`, (route) => route.fulfill({ status, headers, json: {} }));
      await page.locator("#reload-sessions").click();
      await text(page, "#sessions-result", sentence);
      await page.unroute(`${API}/sessions`);
    }
    await page.locator("#reload-sessions").click();
    await text(page, "#sessions-result", /^$/);
    // An error while a session is ended shows the same text, after the list was reloaded.
    const device = await otherDevice();
    await page.locator("#reload-sessions").click();
    const other = page.locator("#sessions li").filter({ hasText: "another device" }).first();
    await other.waitFor();
    await page.route(`${API}/sessions/*`, (route) => route.fulfill({ status: 503, headers: { "retry-after": "3" }, json: {} }));
    expected.push([503, /^\/sessions\/./]);
    await other.getByRole("button").click();
    await text(page, "#sessions-result", /^The server is busy\. Try again in 3 seconds\.$/);
    await device.endAll();
  }));

test("a reload and a second tab need no password", () =>
  inBrowser({}, async (context) => {
    const first = await open(context);
    await logIn(first);
    const session = await first.locator("#who-sid").textContent();
    await first.reload();
    await signedIn(first);
    await text(first, "#log", /Welcome back/);
    await text(first, "#log", /New ticket, bought by this tab/);
    const second = await open(context);
    await signedIn(second);
    await text(second, "#log", /another tab shared its ticket/);
    for (const page of [first, second]) assert.equal(await page.locator("#who-sid").textContent(), session);
    await second.locator("#log-out").click();
    for (const page of [first, second]) await page.locator("#signed-out").waitFor();
    await text(first, "#notice", /^Logged out in another tab\.$/);
  }));

test("all tabs show each renewal, and the end of the session by another device", () =>
  inBrowser({}, async (context, expected) => {
    // A tab reloads the list after a renewal: perhaps after the end of the session.
    expected.push([401, "/sessions"]);
    // Access tokens of six seconds: the server's minimum is five minutes.
    await context.route(/\/(login|refresh)$/, async (route) => {
      const response = await route.fetch();
      const answer = await response.json();
      if (answer.expires_in) answer.expires_in = 6;
      await route.fulfill({ response, json: answer });
    });
    const first = await open(context);
    await logIn(first);
    const second = await open(context);
    await signedIn(second);
    const tabs = [first, second];
    const logs = async () => (await Promise.all(tabs.map((page) => page.locator("#log").textContent()))).join("\n");
    const until = Date.now() + 20_000;
    // One tab renews, the other gets the token from it.
    while (!/bought by this tab/.test(await logs()) || !/bought by another tab/.test(await logs())) {
      assert.ok(Date.now() < until, await logs());
      await first.waitForTimeout(100);
    }
    const device = await otherDevice();
    await device.endAll();
    for (const page of tabs) {
      await page.locator("#signed-out").waitFor();
      await text(page, "#notice", /The session was ended elsewhere\.$/);
    }
    assert.deepEqual(await cookies(context), []);
  }));

test("a logout everywhere signs out every tab and every other device", () =>
  inBrowser({}, async (context, expected) => {
    // The logout starts with a renewal, and each tab then reloads the list: perhaps after the end of the session.
    expected.push([401, "/sessions"]);
    const device = await otherDevice();
    assert.equal(await device.isSignedIn(), true);
    const first = await open(context);
    await logIn(first);
    const second = await open(context);
    await signedIn(second);
    await first.locator("#log-out-everywhere").click();
    for (const page of [first, second]) await page.locator("#signed-out").waitFor();
    assert.equal(await focused(first), "login-title");
    assert.equal(await device.isSignedIn(), false);
    await second.reload();
    await second.locator("#signed-out").waitFor();
    assert.deepEqual(await cookies(context), []);
  }));

test("a logout everywhere from an ended session says that the other sessions continue", () =>
  inBrowser({}, async (context, expected) => {
    const device = await otherDevice();
    const page = await open(context);
    for (const answer of ["the server's own", 200, 400]) {
      await logIn(page);
      await device.end(await page.locator("#who-sid").textContent());
      // Servers may answer either.
      expected.push([400, "/revoke"]);
      const json = answer === 200 ? {} : { error: "invalid_grant", error_description: "" };
      if (answer > 0) await page.route(`${API}/revoke`, (route) => route.fulfill({ status: answer, json }), { times: 1 });
      await page.locator("#log-out-everywhere").click();
      await page.locator("#signed-out").waitFor();
      await text(page, "#notice", /^You are signed out here\. .* your other sessions were not ended: log in again to end them\.$/);
      assert.equal(await focused(page), "login-title");
      assert.equal(await device.isSignedIn(), true, "and that is true");
      assert.deepEqual(await cookies(context), []);
    }
    await device.endAll();
  }));

test("the page on an origin of its own", () =>
  inBrowser({}, async (context) => {
    const page = await open(context, SECOND);
    await text(page, "#place", new RegExp(`^This page is on ${SECOND} and calls the API at ${API}, across origins\\.$`));
    await logIn(page);
    assert.equal(await page.locator("#who-client_id").textContent(), "demo");
    const session = await page.locator("#who-sid").textContent();
    await page.reload();
    await signedIn(page);
    // The cookie belongs to the host: the other origin has it too.
    const own = await open(context, API);
    await signedIn(own);
    assert.equal(await own.locator("#who-sid").textContent(), session);
    await page.locator("#log-out").click();
    await page.locator("#signed-out").waitFor();
    assert.deepEqual(await cookies(context), []);
    await own.reload();
    await own.locator("#signed-out").waitFor();

    const astray = await context.newPage();
    await astray.goto(`${API.replace("localhost", "127.0.0.1")}/`);
    await text(astray, "#notice", new RegExp(`not registered for this address\\. Open it here: ${API}/$`));
    assert.equal(await astray.locator("#signed-out").isVisible(), false);
  }));

/** Hash of the public key of a server whose certificate OpenSSL accepts from the authority and for the host. */
function verifiedKey(host, port) {
  return new Promise((resolve, reject) => {
    const socket = tls.connect({ host, port, ca: readFileSync(process.env.DAYPASS_TEST_AUTHORITY) }, () => {
      const key = socket.getPeerX509Certificate().publicKey.export({ type: "spki", format: "der" });
      socket.destroy();
      resolve(createHash("sha256").update(key).digest("base64"));
    });
    socket.on("error", reject);
  });
}

test("over HTTPS, in a browser that trusts the certificate", async () => {
  const { DAYPASS_TEST_HTTPS: own, DAYPASS_TEST_HTTPS_SECOND: second } = process.env;
  await assert.rejects(
    inBrowser({}, (context) => open(context, own)),
    /ERR_CERT_AUTHORITY_INVALID/,
  );
  const port = new URL(own).port;
  const key = await verifiedKey("localhost", port);
  assert.equal(await verifiedKey("127.0.0.1", port), key);
  // The browser trusts this key alone: its store of authorities belongs to the system.
  const trusting = await launch(`--ignore-certificate-errors-spki-list=${key}`);
  try {
    await inBrowser({}, async (context) => {
      const page = await open(context, own);
      await logIn(page);
      assert.equal(await page.evaluate(() => isSecureContext), true);
      const metadata = await page.evaluate(async () => (await fetch("/.well-known/openid-configuration")).json());
      assert.equal(metadata.issuer, own);
      assert.equal(metadata.token_endpoint, `${own}/token`);
      const session = await page.locator("#who-sid").textContent();
      for (const url of [own, second]) {
        const again = await open(context, url);
        await signedIn(again);
        assert.equal(await again.locator("#who-sid").textContent(), session);
        // Another tab could ask for the list of sessions after the end of this one.
        await again.close();
      }
      const kept = await context.cookies(own);
      assert.deepEqual(kept.map(({ name }) => name).sort(), [DEVICE_COOKIE, COOKIE]);
      for (const { name, secure, sameSite, httpOnly } of kept)
        assert.deepEqual({ secure, sameSite, httpOnly }, { secure: true, sameSite: "Strict", httpOnly: true }, name);
      await page.locator("#log-out").click();
      await page.locator("#signed-out").waitFor();
    }, trusting);
  } finally {
    await trusting.close();
  }
});

// The scale makes the README's picture as wide as GitHub shows it.
test("the list of sessions, and the end of another one", () =>
  inBrowser({ deviceScaleFactor: 0.85 }, async (context) => {
    const device = await otherDevice();
    const page = await open(context);
    await logIn(page);
    const items = page.locator("#sessions li");
    const current = items.filter({ hasText: "this one" });
    assert.equal(await current.count(), 1);
    assert.match(await current.locator(".name").textContent(), /Chromium on /);
    await text(page, "#pass", /^In this browser, valid until .*\.$/);
    await pictureForReadme(page);
    const before = await items.count();
    await picture(page, "demo-sessions");
    const other = items.filter({ hasText: "another device" }).first();
    const name = await other.getByRole("button").getAttribute("aria-label");
    assert.match(name, /^End the session of another device since /);
    await other.getByRole("button").focus();
    await page.keyboard.press("Enter");
    await text(page, "#sessions-result", /^Ended: another device\./);
    assert.equal(await items.count(), before - 1);
    assert.equal(await focused(page), "sessions-title", "the button is gone, and the focus did not fall off the page");
    assert.equal(await device.isSignedIn(), false);
    await page.locator("#call").click();
    await text(page, "#call-result", /^GET \/whoami: 200/);
    // Ending the current session logs out.
    await current.getByRole("button").click();
    await page.locator("#signed-out").waitFor();
    assert.deepEqual(await cookies(context), []);
  }));

/** A token as a mail has it, for the purpose with this number: shared/core/src/token/mail.rs. */
const mailToken = (form, purpose) =>
  `daypass_${form}_${Buffer.from([1, 0, 0, 0, 0, purpose, ...Array(56).fill(7)]).toString("base64url")}`;

/** Answers the calls of accounts in place of the stack, which counts mails and gives no error to order. Returns the bodies of the
 * requests. accounts.mjs has the real ones. */
async function accounts(context, answers = {}) {
  const asked = [];
  const request = mailToken("request", 2);
  const usual = {
    "/signup": [202, { request, expires_in: 86400 }],
    "/signup/confirm": [201, { user: "usr_1" }],
    "/recover": [202, { request, expires_in: 3600 }],
    "/recover/confirm": [204],
    "/email": [202, { request, expires_in: 86400 }],
    "/email/confirm": [204],
  };
  await context.route(/\/(signup|recover|email)(\/confirm)?$/, (route) => {
    const path = new URL(route.request().url()).pathname;
    asked.push([path, route.request().postDataJSON()]);
    const [status, json] = answers[path]?.shift() ?? usual[path];
    return route.fulfill(json ? { status, json } : { status });
  });
  return asked;
}

test("sign-up with the keyboard, and the code of the mail after a reload", () =>
  inBrowser({}, async (context, expected) => {
    const wrong = [400, { error: "invalid_token", error_description: "" }];
    const asked = await accounts(context, { "/signup/confirm": [wrong] });
    const page = await open(context);
    await tabTo(page, "sign-up");
    await page.keyboard.press("Enter");
    assert.equal(await focused(page), "ask-title");
    assert.equal(await page.locator("#current-password").isVisible(), false);
    await tabTo(page, "ask-send");
    await page.keyboard.press("Enter");
    await text(page, "#ask-error", /^This field is missing: E-mail address\.$/);
    assert.equal(await focused(page), "email");
    await page.keyboard.type("new@example.com");
    await page.keyboard.press("Enter");
    await text(page, "#confirm-text", /^If new@example\.com can get a mail, it is on its way\./);
    assert.equal(await focused(page), "confirm-title");
    assert.deepEqual(asked[0], ["/signup", { client_id: "demo", email: "new@example.com", language: "en-GB" }]);
    // A phone reloads the page while the user reads the mail.
    await page.reload();
    await text(page, "#state", /^Signed out$/);
    await page.locator("#code").fill("1234 5678");
    await page.locator("#new-password").fill("correct horse battery");
    expected.push([400, "/signup/confirm"]);
    await page.keyboard.press("Enter");
    await text(page, "#confirm-error", /^This link or code is not valid/);
    assert.equal(await focused(page), "code");
    await page.locator("#new-password").press("Enter");
    await text(page, "#notice", /^Your account is ready\./);
    assert.equal(await focused(page), "login-title");
    const [, , [, body]] = asked;
    assert.deepEqual(body, { client_id: "demo", request: mailToken("request", 2), code: "12345678", password: "correct horse battery" });
    await page.reload();
    await page.locator("#signed-out").waitFor();
    assert.equal(await page.locator("#confirm").isVisible(), false);
  }));

test("a link of a mail opens its form, leaves the address bar, and confirms nothing by itself", () =>
  inBrowser({}, async (context) => {
    const asked = await accounts(context);
    const page = await context.newPage();
    const links = [["reset", 1, "/recover/confirm"], ["verify", 2, "/signup/confirm"], ["verify", 3, "/email/confirm"], ["verify", 4, "/signup/confirm"]];
    for (const [form, purpose, path] of links) {
      const token = mailToken(form, purpose);
      // The first one loads the page, and the others change its fragment.
      await page.goto(`${API}/#${token}`);
      await page.locator("#confirm").waitFor();
      assert.equal(page.url(), `${API}/`);
      assert.equal(asked.length, 0, "a scanner that runs scripts confirms nothing");
      assert.equal(await page.locator("#code").isVisible(), false);
      if (path !== "/email/confirm") await page.locator("#new-password").fill("correct horse battery");
      await page.locator("#confirm-send").click();
      await page.locator("#signed-out").waitFor();
      const [[called, body]] = asked.splice(0);
      assert.deepEqual([called, body.token], [path, token]);
    }
  }));

test("a change of the address, and its errors", () =>
  inBrowser({}, async (context, expected) => {
    const [wrong, slow, off] = [[400, { error: "wrong_password" }], [429, { error: "slow_down" }], [404, { error: "not_found" }]];
    const asked = await accounts(context, { "/email": [wrong, slow, off] });
    expected.push([400, "/email"], [429, "/email"], [404, "/email"]);
    const page = await open(context);
    await logIn(page);
    await page.locator("#change-email").click();
    await page.locator("#email").fill("other@example.com");
    await page.locator("#current-password").fill("wrong");
    for (const sentence of [/^The current password is wrong\.$/, /^Too many attempts\. Try again in 60 seconds\.$/, /^This server sends no mails\.$/]) {
      await page.locator("#current-password").press("Enter");
      await text(page, "#ask-error", sentence);
    }
    await page.locator("#current-password").press("Enter");
    await page.locator("#code").fill("12345678");
    await page.locator("#code").press("Enter");
    await text(page, "#notice", /^Your e-mail address is changed\./);
    assert.equal(await focused(page), "who-title");
    assert.deepEqual(asked.map(([path]) => path), ["/email", "/email", "/email", "/email", "/email/confirm"]);
    await page.locator("#log-out").click();
    await page.locator("#signed-out").waitFor();
  }));

/** Sends a mail as the function `mailer` does. */
async function sendMail(subject, body, html) {
  const content = { Subject: { Data: subject }, Body: { Text: { Data: body }, Html: { Data: html } } };
  const mail = { FromEmailAddress: "Daypass <no-reply@example.com>", Destination: { ToAddresses: ["new@example.com"] }, Content: { Simple: content } };
  const url = `${process.env.DAYPASS_TEST_SES}/v2/email/outbound-emails`;
  assert.equal((await fetch(url, { method: "POST", body: JSON.stringify(mail) })).status, 200);
}

for (const scheme of ["light", "dark"]) {
  test(`the inbox shows each mail, and a mail runs no script: ${scheme} scheme`, () =>
    inBrowser({ colorScheme: scheme }, async (context, expected) => {
      const blocked = /^Blocked script execution in .*sandboxed/;
      expected.push(blocked);
      const page = await context.newPage();
      const isBlocked = page.waitForEvent("console", (message) => blocked.test(message.text()));
      await page.goto(`${API}/mail`);
      const link = `${API}/#${mailToken("verify", 2)}`;
      const subject = `<i>Confirm</i> ${scheme}`;
      await sendMail(subject, `Open ${link} to confirm.\n<b>Code</b>: 1234 5678`, `<!doctype html><head></head><a style="font-size:3rem" href="${link}">The link</a><script>alert(1)</script>`);
      const newest = page.locator("#mails details").first();
      await newest.locator(".name").getByText(subject, { exact: true }).waitFor();
      await newest.locator("summary").press("Enter");
      await isBlocked;
      assert.match(await newest.locator(".text").textContent(), /<b>Code<\/b>: 1234 5678/);
      // Another mail arrives, and the open one stays open.
      await sendMail("Another", "Hello", "<p>Hello");
      await text(page, "#mails li:first-child .name", /^Another$/);
      assert.equal(await page.locator("#mails details[open]").count(), 1);
      assert.match(await page.locator("#news").textContent(), /^New: Another$/);
      for (const width of [320, 960]) {
        await page.setViewportSize({ width, height: 700 });
        const wide = await page.evaluate(() => document.documentElement.scrollWidth);
        assert.ok(wide <= width, `${wide} pixels wide on a screen of ${width}`);
      }
      assert.deepEqual(await page.evaluate(barriers, 8), []);
      const frame = page.locator("#mails details[open] iframe");
      assert.doesNotMatch(await frame.getAttribute("sandbox"), /scripts|same-origin/);
      // By its place, because Playwright needs scripts to find an element in a frame.
      const inFrame = () => frame.click({ position: { x: 60, y: 40 } });
      for (const click of [inFrame, () => page.locator("#mails details[open] .text a").click()]) {
        const [opened] = await Promise.all([context.waitForEvent("page"), click()]);
        await opened.locator("#confirm-title").getByText("Confirm your account").waitFor();
        assert.equal(opened.url(), `${API}/`);
        await opened.close();
      }
      await picture(page, `mail-${scheme}`);
    }));
}

for (const scheme of ["light", "dark"]) {
  test(`the page is accessible: ${scheme} scheme, from 320 pixels`, () =>
    inBrowser({ colorScheme: scheme, reducedMotion: "reduce" }, async (context) => {
      const page = await open(context);
      for (const state of ["signed out", "sign-up", "link", "signed in", "change of the address"]) {
        if (state === "sign-up") await page.locator("#sign-up").click();
        if (state === "link") await page.goto(`${API}/#${mailToken("reset", 1)}`);
        if (state === "link") await page.locator("#confirm").waitFor();
        if (state === "signed in") {
          await page.locator("#confirm-back").click();
          await logIn(page);
        }
        if (state === "change of the address") await page.locator("#change-email").click();
        for (const width of [320, 390, 736, 960, 1440]) {
          await page.setViewportSize({ width, height: 700 });
          const wide = await page.evaluate(() => document.documentElement.scrollWidth);
          assert.ok(wide <= width, `${state}: ${wide} pixels wide on a screen of ${width}`);
        }
        await page.setViewportSize({ width: 960, height: 800 });
        assert.deepEqual(await page.evaluate(barriers), [], state);
      }
      await page.locator("#ask-back").click();
      if (scheme === "dark") {
        await picture(page, "demo-dark");
        return;
      }
      await page.setViewportSize({ width: 360, height: 740 });
      await picture(page, "demo-phone");
    }));
}

test("the picture in the README is there and small", () => {
  for (const picture of [file("demo"), "docs/images/demo.png"]) {
    const { size } = statSync(picture);
    assert.ok(size > 10_000 && size < PICTURE_LIMIT, `${picture} has ${size} bytes`);
  }
});

/** Runs in the page. Returns its accessibility problems as sentences. */
function barriers(fewestTexts = 20) {
  const found = [];
  const visible = (element) => element.checkVisibility({ visibilityProperty: true, opacityProperty: true });
  const all = (selector) => [...document.querySelectorAll(selector)].filter(visible);
  if (!document.documentElement.lang) found.push("the page names no language");
  if (!document.title) found.push("the page has no title");
  if (all("main").length !== 1) found.push("the page needs one main");
  const ids = [...document.querySelectorAll("[id]")].map(({ id }) => id);
  for (const id of ids) if (ids.filter((other) => other === id).length > 1) found.push(`the id ${id} is there twice`);
  for (const element of document.querySelectorAll("[aria-labelledby], [aria-describedby]"))
    for (const attribute of ["aria-labelledby", "aria-describedby"])
      for (const id of (element.getAttribute(attribute) ?? "").split(" ").filter(Boolean))
        if (!document.getElementById(id)) found.push(`${attribute} names ${id}, which is not there`);

  const levels = all("h1, h2, h3, h4, h5, h6").map((heading) => Number(heading.tagName[1]));
  if (levels.filter((level) => level === 1).length !== 1) found.push("the page needs one h1");
  levels.forEach((level, index) => {
    if (level > (levels[index - 1] ?? 0) + 1) found.push(`a heading of level ${level} follows ${levels[index - 1] ?? "none"}`);
  });
  const named = (element) => (element.getAttribute("aria-label") ?? element.textContent).trim() !== "";
  for (const input of all("input, select, textarea"))
    if (![...input.labels].some(named)) found.push(`the input ${input.id} has no label`);
  for (const element of all("button, a, progress")) if (!named(element)) found.push(`${element.id} has no name`);
  for (const image of document.querySelectorAll("img")) if (!image.hasAttribute("alt")) found.push("an image has no alt");
  for (const element of all("button, input")) {
    const { width, height } = element.getBoundingClientRect();
    if (width < 24 || height < 24) found.push(`${element.id} is ${width} x ${height}, too small to hit`);
  }
  if (document.querySelector("[style], style, script:not([src])")) found.push("there is inline style or script");
  if (document.querySelector("[tabindex]:not([tabindex='-1'])")) found.push("a tabindex changes the order");

  // Contrast (WCAG 2.2, 1.4.3): 4.5 to 1, 3 to 1 for large text.
  const canvas = Object.assign(document.createElement("canvas"), { width: 1, height: 1 });
  const brush = canvas.getContext("2d", { willReadFrequently: true });
  const rgba = (color) => {
    brush.clearRect(0, 0, 1, 1);
    brush.fillStyle = color;
    brush.fillRect(0, 0, 1, 1);
    return [...brush.getImageData(0, 0, 1, 1).data];
  };
  const luminance = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map((c) => c / 255).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const ground = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const color = rgba(getComputedStyle(at).backgroundColor);
      if (color[3] === 255) return color;
    }
    return [255, 255, 255, 255];
  };
  let texts = 0;
  for (const element of all("body *")) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    if (!own) continue;
    texts++;
    const style = getComputedStyle(element);
    const [one, two] = [luminance(rgba(style.color)), luminance(ground(element))].sort((a, b) => b - a);
    const ratio = (one + 0.05) / (two + 0.05);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    if (ratio < (large ? 3 : 4.5)) found.push(`"${element.textContent.trim()}" has a contrast of ${ratio.toFixed(2)}`);
  }
  if (texts < fewestTexts) found.push(`only ${texts} texts were looked at`);
  return found;
}
