// Places in which public bug reports found other modules: browsers without a part of the platform, pages that come back, tests.

import assert from "node:assert/strict";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import { API, World } from "./world.mjs";

const { DAYPASS_TEST_MODULE: build } = process.env;
const { Daypass } = await import(build ? pathToFileURL(build) : "../daypass.js");
const RIGHT = { username: "alice", password: "right" };

/** A world, changed before the module looks at it. */
function changed(change) {
  const world = new World();
  change(world);
  return { world, tab: () => new Daypass({ url: API, clientId: "web" }) };
}

/** Logs in, calls an API, stays signed in for a lifetime and after a reload, and logs out. */
async function works({ world, tab }) {
  const daypass = tab();
  assert.equal(await world.get(daypass.start()), "signed-out");
  await world.get(daypass.login(RIGHT));
  assert.equal((await world.get(daypass.fetch(`${API}/guarded`))).status, 200);
  await world.pass(300e3);
  assert.equal(daypass.state, "signed-in");
  daypass.close();
  const reloaded = tab();
  assert.equal(await world.get(reloaded.start()), "signed-in");
  await world.get(reloaded.logout());
  assert.equal(reloaded.state, "signed-out");
  reloaded.close();
  assert.equal(world.listeners(), 0);
}

const throws = (name) => Object.defineProperty(globalThis, name, {
  get: () => { throw new DOMException("The operation is insecure.", "SecurityError"); },
  configurable: true,
});

for (const [place, change] of [
  ["without Web Locks", () => { navigator.locks = undefined; }],
  ["whose document may not lock", () => {
    navigator.locks.request = () => Promise.reject(new DOMException("denied", "SecurityError"));
  }],
  ["without channels", () => { delete globalThis.BroadcastChannel; }],
  ["that blocks channels", () => {
    globalThis.BroadcastChannel = class {
      constructor() {
        throw new DOMException("The operation is insecure.", "SecurityError");
      }
    };
  }],
  ["that blocks storage", () => throws("localStorage")],
  ["that blocks storage and channels, and has no locks", () => {
    throws("localStorage");
    throws("BroadcastChannel");
    navigator.locks = undefined;
  }],
]) {
  test(`a session works in a browser ${place}`, () => works(changed(change)));
}

test("without Web Locks, a login waits for the renewal of its own tab", async () => {
  const { world, tab } = changed(() => { navigator.locks = undefined; });
  const daypass = tab();
  await world.get(daypass.login(RIGHT));
  daypass.close();
  const order = [];
  const { fetch } = globalThis;
  globalThis.fetch = async (input, init) => {
    const { pathname } = new URL(input.url ?? input);
    order.push(`${pathname} sent`);
    const response = await fetch(input, init);
    order.push(`${pathname} answered`);
    return response;
  };
  const other = new Daypass({ url: API, clientId: "web" });
  const renewal = other.start();
  const login = other.login(RIGHT);
  await world.get(Promise.all([renewal, login]));
  globalThis.fetch = fetch;
  assert.deepEqual(order, ["/refresh sent", "/refresh answered", "/login sent", "/login answered"]);
});

test("a page that comes back from the back/forward cache learns that its session has ended", async () => {
  const { world, tab } = changed(() => {});
  const daypass = tab();
  await world.get(daypass.login(RIGHT));
  // The next page of this tab logs out. No message reaches the cached page.
  world.cookie = null;
  world.sessions.get("ses_1").ended = true;
  world.dispatch("pageshow", { persisted: true });
  await world.pass(1e3);
  assert.equal(daypass.state, "signed-out");
});

test("a page that is shown for the first time renews nothing", async () => {
  const { world, tab } = changed(() => {});
  const daypass = tab();
  await world.get(daypass.login(RIGHT));
  world.dispatch("pageshow", { persisted: false });
  await world.pass(1e3);
  assert.equal(world.sent("/refresh").length, 0);
});

test("a service worker that answers with its page for offline is no response of the server", async () => {
  const { world, tab } = changed(() => {});
  const daypass = tab();
  await world.get(daypass.login(RIGHT));
  world.faults.push(() => new Response("<!doctype html><title>You are offline</title>", { status: 200 }));
  await world.pass(300e3);
  assert.equal(daypass.state, "signed-in");
  assert.equal((await world.get(daypass.fetch(`${API}/guarded`))).status, 200);
});
