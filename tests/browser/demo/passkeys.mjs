// Passkeys in Chromium, with its virtual authenticators: registration, login without a name, the list of the name field, second
// factor, a copy, and removal.
//
// https://chromedevtools.github.io/devtools-protocol/tot/WebAuthn/

import assert from "node:assert/strict";
import { test } from "node:test";
import { API, USER, until } from "../harness.mjs";
import { inBrowser, logIn, open, signedIn, text } from "../pages.mjs";

/** An authenticator that answers without a person. With `uv` it verifies one. */
async function authenticator(page, { uv = true } = {}) {
  const devtools = await page.context().newCDPSession(page);
  await devtools.send("WebAuthn.enable", { enableUI: false });
  const options = {
    protocol: "ctap2",
    ctap2Version: "ctap2_1",
    // A security key, or a device with a PIN or biometrics.
    transport: uv ? "internal" : "usb",
    hasResidentKey: uv,
    hasUserVerification: uv,
    isUserVerified: uv,
    automaticPresenceSimulation: true,
  };
  const { authenticatorId } = await devtools.send("WebAuthn.addVirtualAuthenticator", { options });
  const credentials = async () =>
    (await devtools.send("WebAuthn.getCredentials", { authenticatorId })).credentials;
  return {
    credentials,
    /** Sets the counter back, as that of a copy is. */
    async copy() {
      const [credential] = await credentials();
      await devtools.send("WebAuthn.removeCredential", { authenticatorId, credentialId: credential.credentialId });
      const copied = { ...credential, signCount: 0 };
      await devtools.send("WebAuthn.addCredential", { authenticatorId, credential: copied });
    },
    /** Whether the person touches it when it asks. */
    answers: (enabled) => devtools.send("WebAuthn.setAutomaticPresenceSimulation", { authenticatorId, enabled }),
    remove: () => devtools.send("WebAuthn.removeVirtualAuthenticator", { authenticatorId }),
  };
}

/** Runs in the page: calls the API as the user, with the access token of an own login, and answers questions for a passkey. */
async function asUser(page, method, path, body) {
  const run = async ([api, method, path, body]) => {
    const { Daypass } = await import("/daypass.js");
    const settings = await (await fetch("/demo.json")).json();
    const daypass = new Daypass({ url: api, clientId: settings.client_id });
    await daypass.start();
    const headers = { "content-type": "application/json" };
    const response = await daypass.fetch(api + path, { method, headers, body: body && JSON.stringify(body) });
    daypass.close();
    return { status: response.status, body: response.status === 204 ? null : await response.json() };
  };
  return page.evaluate(run, [API, method, path, body]);
}

const passkeys = async (page) => (await asUser(page, "GET", "/factors")).body.passkeys;

async function logOut(page) {
  await page.locator("#log-out").click();
  await text(page, "#log", /Logged out/);
}

/** The two steps of a login in the page: the password, and then the passkey. */
async function inTwoSteps(page) {
  const run = async ([api, user]) => {
    const post = async (path, body) => {
      const headers = { "content-type": "application/json" };
      const init = { method: "POST", credentials: "include", headers, body: JSON.stringify({ client_id: "demo", ...body }) };
      const response = await fetch(api + path, init);
      return { status: response.status, body: await response.json() };
    };
    const first = await post("/login", user);
    if (first.status === 200) return { first, second: null };
    const publicKey = PublicKeyCredential.parseRequestOptionsFromJSON(first.body.passkey);
    const passkey = await navigator.credentials.get({ publicKey });
    const second = await post("/login/factor", { mfa_token: first.body.mfa_token, passkey });
    return { first, second };
  };
  return page.evaluate(run, [API, USER]);
}

/** Removes what is left, so that the demo user logs in with the password alone again. */
async function removeAll(page) {
  for (const { passkey_id: id } of await passkeys(page)) {
    assert.equal((await asUser(page, "DELETE", `/factors/passkeys/${id}`)).status, 204);
  }
}

test("a passkey is registered, logs in without a name, is the second factor, and is removed", { timeout: 120e3 }, () =>
  inBrowser({}, async (context, expected) => {
    const page = await open(context);
    const own = await authenticator(page);
    await logIn(page);
    await page.locator("#add-passkey").click();
    await text(page, "#log", /Added a passkey/);
    const [stored] = await own.credentials();
    assert.ok(stored.isResidentCredential && stored.rpId === "localhost");

    // The session has shown the password alone. A passkey renews it without the password, and the device has one of this user.
    // After a step-up the page requests the list of sessions, which a logout may interrupt.
    expected.push([403, "/factors/passkeys/options"], [401, "/sessions"]);
    await page.locator("#add-passkey").click();
    await page.locator("#proof-passkey").click();
    await text(page, "#log", /Confirmed: the session has a recent authentication/);
    await text(page, "#log-out-error", /has a passkey/);

    // The list of the name field: the authenticator has one passkey, and answers at once.
    await logOut(page);
    await signedIn(page);
    const [passkey] = await passkeys(page);
    assert.ok(passkey.verifies_user && passkey.last_used_at >= passkey.created_at);
    const renamed = await asUser(page, "PATCH", `/factors/passkeys/${passkey.passkey_id}`, { name: "Laptop" });
    assert.equal(renamed.status, 204);
    assert.equal((await passkeys(page))[0].name, "Laptop");

    // The password alone is not enough.
    expected.push([403, "/login"]);
    const { first, second } = await inTwoSteps(page);
    assert.equal(first.body.error, "mfa_required");
    assert.deepEqual(first.body.factors, ["passkey"]);
    assert.equal(second.status, 200);

    // A copy of the passkey, whose counter is behind.
    await own.copy();
    expected.push([400, "/login/factor"]);
    assert.equal((await inTwoSteps(page)).second.body.error, "wrong_passkey");

    await removeAll(page);
    assert.equal((await inTwoSteps(page)).first.status, 200);
    await own.remove();
  }),
);

test("a security key without a PIN is a second factor", { timeout: 120e3 }, () =>
  inBrowser({}, async (context, expected) => {
    const page = await open(context);
    const key = await authenticator(page, { uv: false });
    await logIn(page);
    await page.locator("#add-passkey").click();
    await text(page, "#log", /Added a passkey/);
    const [passkey] = await passkeys(page);
    assert.equal(passkey.verifies_user, false);
    // The session has shown the password alone.
    expected.push([403, `/factors/passkeys/${passkey.passkey_id}`]);
    const denied = await asUser(page, "DELETE", `/factors/passkeys/${passkey.passkey_id}`);
    assert.equal(denied.body.acr_values, "2");
    // The key alone is one factor, so it needs the password. It has a credential of this user already.
    expected.push([403, "/factors/passkeys/options"], [400, "/reauthenticate"], [401, "/sessions"]);
    await page.locator("#add-passkey").click();
    await page.locator("#proof-passkey").click();
    await text(page, "#proof-error", /passkey/);
    await page.locator("#proof-password").fill(USER.password);
    await page.locator("#proof-passkey").click();
    await text(page, "#log", /Confirmed: the session has a recent authentication/);
    await text(page, "#log-out-error", /has a passkey/);
    // The module shows the key in the second step.
    await logOut(page);
    expected.push([403, "/login"]);
    await logIn(page);
    await removeAll(page);
    await key.remove();
  }),
);

test("the button takes the place of the list of the name field", { timeout: 120e3 }, () =>
  inBrowser({}, async (context) => {
    const page = await open(context);
    const own = await authenticator(page);
    await logIn(page);
    await page.locator("#add-passkey").click();
    await text(page, "#log", /Added a passkey/);
    // The person does not touch the authenticator, so the list waits. A question that has begun never sees the touch, so it comes
    // before that of the button.
    await own.answers(false);
    let asked = 0;
    await page.route("**/login/passkey/options", async (route) => {
      asked += 1;
      if (asked === 2) await own.answers(true);
      await route.continue();
    });
    await logOut(page);
    await until(() => asked === 1, "the list asks for a challenge");
    await page.locator("#passkey-log-in").click();
    await signedIn(page);
    assert.equal(asked, 2);
    await removeAll(page);
    await own.remove();
  }),
);
