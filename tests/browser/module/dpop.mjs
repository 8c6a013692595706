// Tokens that are bound to a key of the browser: the option `dpop` of the module, in Chromium, against the real functions.

import assert from "node:assert/strict";
import { webcrypto } from "node:crypto";
import {
  API, CLOCK, USER, call, events, generation, launchWithClock, scenario, session, sleep, state, until,
} from "../harness.mjs";

const { subtle } = webcrypto;
const TABS = 8;
const RENEWALS = 10;
/** Seconds. A token is not sent in its last second, so each needs a renewal after 0.3 s. */
const LIFETIME = 1.3;
const REFUSED = /status of 400 .*\/refresh\)$/;

const part = (proof, index) => JSON.parse(Buffer.from(proof.split(".")[index], "base64url"));

/** The database of the module as a script of the page reads it. */
const database = (page) =>
  page.evaluate(async () => {
    const [{ name }] = await indexedDB.databases();
    const opened = await new Promise((resolve, reject) => {
      const opening = indexedDB.open(name);
      opening.onsuccess = () => resolve(opening.result);
      opening.onerror = reject;
    });
    const reading = opened.transaction("key").objectStore("key").getAll();
    await new Promise((resolve) => (reading.onsuccess = resolve));
    opened.close();
    globalThis.stored = reading.result;
    return { records: JSON.stringify(reading.result), type: Object.prototype.toString.call(reading.result[0].privateKey) };
  });

scenario("eight tabs, one key, ten renewals", async (stage) => {
  stage.dpop = true;
  stage.api.lifetime = LIFETIME;
  // Each tab finds no session, and the first of them no nonce.
  stage.expect(REFUSED);
  const pages = await Promise.all(Array.from({ length: TABS }, () => stage.tab()));
  const [page] = pages;
  await page.evaluate((user) => daypass.login(user), USER);
  for (const tab of pages) await until(async () => (await state(tab)) === "signed-in", "the login in each tab");
  stage.expect();
  const { sessionId } = await session(page);
  const before = { generation: await generation(sessionId), sent: stage.api.sent("/refresh").length };

  for (let round = 0; round < RENEWALS; round++) {
    await sleep((LIFETIME - 1) * 1e3 + 50);
    assert.deepEqual(await Promise.all(pages.map(call)), Array(TABS).fill(200));
  }
  const renewals = stage.api.sent("/refresh").slice(before.sent);
  assert(renewals.length >= RENEWALS, `${renewals.length} renewals`);
  for (const { status } of renewals) assert.equal(status, 200, "each with one request");
  assert.equal(await generation(sessionId), before.generation + renewals.length);
  for (const tab of pages) assert((await events(tab)).filter(({ type }) => type === "renewed").length >= RENEWALS);

  const bound = stage.api.log.filter(({ method, path }) => method !== "OPTIONS" && /^\/(login|refresh|whoami)$/.test(path));
  const [keys, ids] = [new Set(), new Set()];
  for (const { proof, path, authorization } of bound) {
    const { x, y } = part(proof, 0).jwk;
    keys.add(`${x} ${y}`);
    ids.add(part(proof, 1).jti);
    assert.equal(authorization?.startsWith("DPoP "), path === "/whoami" || undefined);
  }
  assert.equal(keys.size, 1);
  assert.equal(ids.size, bound.length, "each proof is new");
  console.log(`  ${TABS} tabs, ${renewals.length} renewals, ${bound.length} proofs`);
});

// invariant: No script can read the private key of bound tokens.
scenario("the key cannot be read, and copies of tokens, cookies and storage open nothing", async (stage) => {
  stage.dpop = true;
  const { page, sessionId } = await stage.loggedIn();
  assert.equal(await call(page), 200);

  assert.deepEqual(await database(page), { records: '[{"privateKey":{},"publicKey":{}}]', type: "[object CryptoKey]" });
  const exports = await page.evaluate(async () => {
    const [{ privateKey }] = globalThis.stored;
    const wrapping = await crypto.subtle.generateKey({ name: "AES-GCM", length: 256 }, true, ["wrapKey"]);
    const algorithm = { name: "AES-GCM", iv: new Uint8Array(12) };
    const attempts = ["jwk", "pkcs8"].flatMap((format) => [
      crypto.subtle.exportKey(format, privateKey),
      crypto.subtle.wrapKey(format, privateKey, wrapping, algorithm),
    ]);
    return (await Promise.allSettled(attempts)).map(({ status, reason }) => `${status} ${reason?.name}`);
  });
  assert.deepEqual(exports, Array(4).fill("rejected InvalidAccessError"));

  // A thief with everything that goes over the wire.
  const seen = stage.api.log.findLast(({ path, method }) => path === "/whoami" && method === "GET");
  const token = seen.authorization.replace("DPoP ", "");
  const own = await subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, true, ["sign"]);
  const forged = async (path) => {
    const { kty, crv, x, y } = await subtle.exportKey("jwk", own.publicKey);
    const claims = { ...part(seen.proof, 1), htu: API + path, jti: crypto.randomUUID() };
    const parts = [{ ...part(seen.proof, 0), jwk: { kty, crv, x, y } }, claims];
    const signed = parts.map((value) => Buffer.from(JSON.stringify(value)).toString("base64url")).join(".");
    const signature = await subtle.sign({ name: "ECDSA", hash: "SHA-256" }, own.privateKey, Buffer.from(signed));
    return `${signed}.${Buffer.from(signature).toString("base64url")}`;
  };
  const status = async (path, scheme, proof) => {
    const headers = { authorization: `${scheme} ${token}`, ...(proof && { dpop: proof }) };
    return (await fetch(API + path, { headers })).status;
  };
  for (const [scheme, proof, path, how] of [
    ["Bearer", undefined, "/whoami", "as bearer token"],
    ["Bearer", seen.proof, "/whoami", "as bearer token with a proof"],
    ["DPoP", undefined, "/whoami", "without a proof"],
    ["DPoP", await forged("/whoami"), "/whoami", "with the proof of another key"],
    ["DPoP", seen.proof, "/sessions", "with a stolen proof, at another URL"],
  ]) {
    assert.equal(await status(path, scheme, proof), 403, how);
  }

  // A copy of all that can be copied, in another profile.
  const before = await generation(sessionId);
  const cookies = await stage.context.cookies();
  const entries = await page.evaluate(() => Object.entries(localStorage));
  const profile = `${stage.profile}-of-the-thief`;
  const thief = await stage.start(profile);
  try {
    await thief.addCookies(cookies.map(({ domain, path, ...cookie }) => ({ ...cookie, url: "https://localhost/" })));
    const copy = await thief.newPage();
    for (const option of ["&dpop", ""]) {
      const from = stage.api.sent("/refresh").length;
      const url = new URL(page.url());
      await copy.goto(`${url.origin}/?api=${encodeURIComponent(stage.api.url)}${option}`);
      await copy.evaluate((entries) => entries.forEach(([name, value]) => localStorage.setItem(name, value)), entries);
      await copy.reload();
      assert.equal(await copy.evaluate(() => globalThis.started), "signed-out");
      assert.equal(await call(copy), "signed_out");
      const attempts = stage.api.sent("/refresh").slice(from);
      assert(attempts.length >= 1 && attempts.every(({ status, cookie }) => status === 400 && cookie), "with the stolen cookie");
    }
  } finally {
    await thief.close();
  }
  assert.equal(await generation(sessionId), before, "nothing rotates");

  // The owner notices nothing.
  assert.equal(await call(page), 200);
  await page.reload();
  assert.equal(await page.evaluate(() => globalThis.started), "signed-in");
  assert.equal((await session(page)).sessionId, sessionId);
  assert.equal(await call(page), 200);
});

scenario("an old nonce costs one request, a lost key the session, and a logout deletes the key", async (stage) => {
  stage.dpop = true;
  const { page, sessionId } = await stage.loggedIn();
  const databases = () => page.evaluate(async () => (await indexedDB.databases()).length);
  const reloaded = async () => {
    const from = stage.api.sent("/refresh").length;
    await page.reload();
    const found = await page.evaluate(() => globalThis.started);
    return [found, stage.api.sent("/refresh").slice(from).map(({ status }) => status)];
  };
  assert.deepEqual(await reloaded(), ["signed-in", [200]]);
  stage.expect(REFUSED);
  await page.evaluate(() => {
    for (const name of Object.keys(localStorage)) localStorage.setItem(name, "old");
  });
  assert.deepEqual(await reloaded(), ["signed-in", [400, 200]]);
  assert.equal((await session(page)).sessionId, sessionId);
  assert.deepEqual(await reloaded(), ["signed-in", [200]]);

  await page.evaluate(async () => {
    for (const { name } of await indexedDB.databases()) indexedDB.deleteDatabase(name);
  });
  assert.deepEqual(await reloaded(), ["signed-out", [400]]);
  await sleep(1e3);
  assert.deepEqual(await reloaded(), ["signed-out", [400]], "no loop");
  await page.evaluate((user) => daypass.login(user), USER);
  assert.equal(await call(page), 200);
  assert.equal(await databases(), 1);
  await page.evaluate(() => daypass.logout());
  assert.equal(await databases(), 0);

  const attempt = (page) => page.evaluate((user) => daypass.login(user).then(() => "done", ({ error }) => error), USER);
  await page.addInitScript(() => Object.defineProperty(globalThis, "indexedDB", { value: undefined }));
  assert.deepEqual(await reloaded(), ["signed-out", []]);
  assert.equal(await attempt(page), "no_key");
  stage.expect();
});

if (CLOCK) {
  scenario(
    "a clock that is wrong by two hours",
    async (stage) => {
      stage.dpop = true;
      stage.setClock(2);
      stage.expect(/status of 400 /);
      const page = await stage.tab();
      assert.equal(await state(page), "signed-out");
      await page.evaluate((user) => daypass.login(user), USER);
      assert.equal(await call(page), 200);
      await page.close();

      // The demo page on the origin of the API.
      await stage.context.clearCookies();
      stage.setClock(2);
      const demo = await stage.context.newPage();
      await demo.goto(`${API}/?dpop`);
      await demo.locator("#signed-out").waitFor();
      await demo.locator("#fill-in").click();
      await demo.locator("#log-in").press("Enter");
      await demo.locator("#call-result", { hasText: "GET /whoami: 200" }).waitFor();
      await demo.locator("#sessions li").first().waitFor();
      await demo.locator("#place", { hasText: "DPoP" }).waitFor();
      stage.expect();
    },
    launchWithClock,
  );
}
