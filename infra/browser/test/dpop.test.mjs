// The option `dpop` of the module in a simulated browser: see dpop-world.mjs. `DAYPASS_TEST_MODULE` names a build to test instead
// of the source.

import assert from "node:assert/strict";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import { DpopWorld } from "./dpop-world.mjs";
import { API, lost } from "./world.mjs";

const { DAYPASS_TEST_MODULE: build } = process.env;
const { Daypass } = await import(build ? pathToFileURL(build) : "../daypass.js");
const RIGHT = { username: "alice", password: "right" };
const NAME = `daypass ${API} web`;
const LIFETIME_MS = 300e3;

const open = (options) => new Daypass({ url: API, clientId: "web", dpop: true, ...options });

async function opened(tabs = 1) {
  const world = new DpopWorld();
  const all = Array.from({ length: tabs }, () => open());
  await world.get(all[0].login(RIGHT));
  await world.pass(10);
  for (const daypass of all) assert.equal(daypass.state, "signed-in");
  return { world, tabs: all };
}

/** The code and the text of the error. */
async function failure(world, promise) {
  const { error } = await world.settled(promise);
  assert(error, "it rejects");
  return [error.error, error.message];
}

const guarded = async (world, daypass, init) => (await world.get(daypass.fetch(`${API}/guarded?b=1#c`, init))).status;

test("a login, calls, renewals and a new password have a new proof each, by one key, and a logout deletes it", async () => {
  const { world, tabs: [daypass] } = await opened();
  assert.equal(world.sent("/login").length, 2, "the first proof had no nonce");
  assert.equal(await guarded(world, daypass), 200);
  assert.equal(await guarded(world, daypass, { method: "POST", body: "{}" }), 200);
  await world.pass(2 * LIFETIME_MS);
  assert.equal(world.sent("/refresh").length, 2, "further proofs have the nonce");
  await world.get(daypass.changePassword({ currentPassword: "right", newPassword: "new" }));
  assert.equal(await guarded(world, daypass), 200);
  await world.pass(LIFETIME_MS);
  assert.equal(await guarded(world, daypass), 200, "the new session has the same key");
  const proofs = world.requests.map(({ request }) => request.headers.get("dpop"));
  assert.equal(new Set(proofs).size, proofs.length);
  assert.equal(new Set(world.keys).size, 1);

  assert.deepEqual([...world.databases.keys()], [NAME]);
  const [{ privateKey }] = world.databases.get(NAME).values();
  assert(!privateKey.extractable);
  await world.get(daypass.logout());
  await world.pass(10);
  assert.equal(world.databases.size, 0);
  assert(!world.sent("/revoke")[0].request.headers.has("dpop"));
  await world.get(daypass.login(RIGHT));
  assert.equal(await guarded(world, daypass), 200);
  assert.equal(new Set(world.keys).size, 2);
});

test("tabs have one key and one nonce, also a tab that opens when the others are closed", async () => {
  const { world, tabs } = await opened(8);
  for (let lifetime = 0; lifetime < 10; lifetime++) {
    await world.pass(LIFETIME_MS);
    for (const daypass of tabs) assert.equal(await guarded(world, daypass), 200);
  }
  for (const daypass of tabs) daypass.close();
  const sent = world.sent("/refresh").length;
  const late = open();
  assert.equal(await world.get(late.start()), "signed-in");
  assert.equal(await guarded(world, late), 200);
  assert.equal(world.sent("/refresh").length, sent + 1);
  assert.equal(new Set(world.keys).size, 1);
  assert.deepEqual(Object.entries(world.storage), [[`${NAME} nonce`, "nonce-1"]]);
});

test("a login in each of eight tabs at once makes one key", async () => {
  const world = new DpopWorld();
  const tabs = Array.from({ length: 8 }, () => open());
  await world.get(Promise.all(tabs.map((daypass) => daypass.login(RIGHT))));
  assert.equal(new Set(world.keys).size, 1);
});

test("a nonce that has expired costs one more request, with the same idempotency key", async () => {
  const { world, tabs: [daypass] } = await opened();
  world.nonce = "nonce-2";
  await world.pass(LIFETIME_MS);
  const [first, second, ...more] = world.sent("/refresh");
  assert.deepEqual(more, []);
  assert.equal(first.key, second.key);
  assert.equal(await guarded(world, daypass), 200);
});

test("a server that is never content with the nonce gets two requests, and the page its error", async () => {
  const world = new DpopWorld();
  const daypass = open();
  Object.defineProperty(world, "nonce", { get: () => String(Math.random()) });
  assert.deepEqual(await failure(world, daypass.login(RIGHT)), ["use_dpop_nonce", "text of the nonce"]);
  assert.equal(world.sent("/login").length, 2);
});

for (const [name, storage] of [
  ["blocked", { get: () => { throw new Error("blocked"); } }],
  ["full", { value: Object.freeze({}) }],
]) {
  test(`while storage is ${name}, a tab keeps the nonce in memory`, async () => {
    const world = new DpopWorld();
    Object.defineProperty(globalThis, "localStorage", { ...storage, configurable: true });
    const daypass = open();
    await world.get(daypass.login(RIGHT));
    await world.pass(LIFETIME_MS);
    assert.equal(daypass.state, "signed-in");
    assert.deepEqual([world.sent("/login").length, world.sent("/refresh").length], [2, 1]);
  });
}

test("a rejected call is repeated with a new token and a new proof", async () => {
  const { world, tabs: [daypass] } = await opened();
  world.age();
  assert.equal(await guarded(world, daypass), 200);
  const [first, second] = world.sent("/guarded").map(({ request }) => request.headers);
  for (const name of ["dpop", "authorization"]) assert.notEqual(first.get(name), second.get(name));
});

test("a session whose key was deleted is over for new tabs, without a loop", async () => {
  const { world, tabs: [daypass] } = await opened();
  daypass.close();
  world.databases.clear();
  const late = open();
  assert.equal(await world.get(late.start()), "signed-out");
  await world.pass(10 * LIFETIME_MS);
  assert.equal(world.sent("/refresh").length, 1);
  assert(world.cookie, "the server keeps the session of the other key");
  await world.get(late.login(RIGHT));
  assert.equal(await guarded(world, late), 200);
});

test("without IndexedDB nothing is sent, and a login rejects as `no_key`", async () => {
  const world = new DpopWorld();
  world.databases = null;
  const daypass = open();
  assert.equal(await world.get(daypass.start()), "signed-out");
  assert.deepEqual(await failure(world, daypass.login(RIGHT)), ["no_key", "no_key"]);
  delete globalThis.indexedDB;
  assert.deepEqual(await failure(world, daypass.login(RIGHT)), ["no_key", "no_key"]);
  assert.equal(world.requests.length, 0);
});

test("a session outlives a failure of IndexedDB", async () => {
  const { world, tabs: [daypass] } = await opened();
  const { databases } = world;
  world.databases = null;
  await world.pass(LIFETIME_MS);
  assert.equal(daypass.state, "signed-in");
  world.databases = databases;
  await world.pass(60e3);
  assert.equal(await guarded(world, daypass), 200);
});

for (const ahead of [-60, 60]) {
  test(`a clock that is ${ahead} s ahead: the page gets the server's text, or the module learns the time`, async () => {
    const world = new DpopWorld();
    world.ahead = ahead;
    const daypass = open();
    const expected = ["invalid_dpop_proof", "text of the clock"];
    assert.deepEqual(await failure(world, daypass.login(RIGHT)), expected);
    assert.equal(world.sent("/login").length, 1);
    assert.equal(await world.get(daypass.start()), "starting");
    assert.deepEqual(await failure(world, daypass.fetch(`${API}/guarded`)), expected);

    world.tellsTime = true;
    await world.get(daypass.login(RIGHT));
    assert.equal(world.sent("/login").length, 3);
    assert.equal(await guarded(world, daypass), 200);
    world.ahead = 0;
    await world.pass(2 * LIFETIME_MS);
    assert.equal(await guarded(world, daypass), 200, "after the clock was set");
  });
}

test("a renewal whose response was lost has the same idempotency key and another proof", async () => {
  const { world, tabs: [daypass] } = await opened();
  world.faults.push(lost);
  await world.pass(LIFETIME_MS);
  const [first, second, ...more] = world.sent("/refresh");
  assert.deepEqual(more, []);
  assert.equal(first.key, second.key);
  assert.equal(await guarded(world, daypass), 200);
});

test("a page without the option sends no proofs, and cannot continue a session that needs them", async () => {
  const { world, tabs: [daypass] } = await opened();
  daypass.close();
  const proofs = world.keys.length;
  const plain = open({ dpop: false });
  assert.equal(await world.get(plain.start()), "signed-out");
  await world.pass(LIFETIME_MS);
  assert.equal(world.sent("/refresh").length, 1);
  await world.get(plain.login(RIGHT));
  assert.equal((await world.get(plain.fetch(`${API}/guarded`))).status, 200);
  assert.equal(world.keys.length, proofs);
});
