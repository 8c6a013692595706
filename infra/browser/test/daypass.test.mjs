// The module in a simulated browser: see world.mjs. `DAYPASS_TEST_MODULE` names a build to test instead of the source.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import { API, World, cut, lost, status } from "./world.mjs";

const { DAYPASS_TEST_MODULE: build } = process.env;
const { Daypass, DaypassError, takeMailToken } = await import(build ? pathToFileURL(build) : "../daypass.js");
const RIGHT = { username: "alice", password: "right" };

/** A world with tabs. `log` has their events. */
function open(tabs = 1, options = {}) {
  const world = new World();
  const log = [];
  const tab = (name = log.length) => {
    const daypass = new Daypass({ url: API, clientId: "web", ...options });
    daypass.addEventListener("change", ({ detail }) => log.push(`${name} ${detail.state} ${detail.reason}`));
    daypass.addEventListener("renewed", ({ detail }) => log.push(`${name} renewed ${detail.by}`));
    return daypass;
  };
  return { world, log, tab, tabs: Array.from({ length: tabs }, (_, number) => tab(number)) };
}

/** As `open`, with a session in all tabs. */
async function opened(tabs = 1, options = {}) {
  const all = open(tabs, options);
  await all.world.get(all.tabs[0].login(RIGHT));
  await all.world.pass(10);
  for (const daypass of all.tabs) assert.equal(daypass.state, "signed-in");
  all.log.length = 0;
  return all;
}

/** The latest request of a path, as JSON. */
const latest = (world, path) => JSON.parse(world.sent(path).at(-1).text);

/** What a tab sends to the others after a login or a renewal. */
const sessionMessage = (value, sessionId) => ({
  type: "session",
  accessToken: { value, sessionId, scope: "all", lifetime: 300 },
  timeLeft: 300,
});

async function failure(world, promise, fields) {
  const { error } = await world.settled(promise);
  assert(error instanceof DaypassError, String(error));
  const { status, error: code, retryAfter } = error;
  assert.deepEqual({ status, error: code, retryAfter }, { retryAfter: undefined, ...fields });
  return error;
}

test("an account is made by a code or by a link, and neither signs in", async () => {
  const { world, tabs: [daypass] } = open();
  const asked = await world.get(daypass.signup({ email: "a@example.com", language: "de" }));
  assert.deepEqual(asked, { request: "daypass_request_10000001", expiresIn: 3600 });
  assert.deepEqual(latest(world, "/signup"), { client_id: "web", email: "a@example.com", language: "de" });
  const { request } = asked;
  const confirm = (confirmation) => daypass.confirmSignup({ ...confirmation, password: "new" });
  await failure(world, confirm({ request, code: "1" }), { status: 400, error: "invalid_token", retryAfter: 0 });
  assert.deepEqual(await world.get(confirm({ request, code: "10000001" })), { user: "usr_1" });
  assert.deepEqual(latest(world, "/signup/confirm"), { client_id: "web", request, code: "10000001", password: "new" });
  await failure(world, confirm({ request, code: "10000001" }), { status: 400, error: "invalid_token", retryAfter: 0 });
  world.mails.add("daypass_verify_x");
  await world.get(confirm({ token: "daypass_verify_x" }));
  assert.deepEqual(latest(world, "/signup/confirm"), { client_id: "web", token: "daypass_verify_x", password: "new" });
  assert.equal(daypass.state, "starting");
  assert.equal(world.sent("/refresh").length, 0);
});

test("requests for mails report the server's limits and a lost network", async () => {
  const { world, tabs: [daypass] } = open();
  for (const call of [() => daypass.signup({ email: "a@example.com" }), () => daypass.recover({ email: "a@example.com" })]) {
    world.faults.push(status(429, { "retry-after": "1800" }), lost, cut);
    await failure(world, call(), { status: 429, error: "temporarily_unavailable", retryAfter: 1800 });
    await failure(world, call(), { status: 0, error: "unreachable", retryAfter: 0 });
    await failure(world, call(), { status: 200, error: "unreachable", retryAfter: 0 });
  }
  await failure(world, daypass.signup({}), { status: 400, error: "invalid_request", retryAfter: 0 });
});

test("a reset ends the session of all tabs at once, and no session begins", async () => {
  const { world, log, tabs } = await opened(2);
  const { request } = await world.get(tabs[0].recover({ email: "a@example.com" }));
  assert.deepEqual(latest(world, "/recover"), { client_id: "web", email: "a@example.com" });
  const code = request.slice(-8);
  const wrong = tabs[0].reset({ request, code: "1", password: "new" });
  await failure(world, wrong, { status: 400, error: "invalid_token", retryAfter: 0 });
  assert.deepEqual(log, []);
  assert.equal(await world.get(tabs[0].reset({ request, code, password: "new" })), undefined);
  await world.pass(10);
  assert.deepEqual(log, ["0 signed-out ended", "1 signed-out ended"]);
  assert.deepEqual(latest(world, "/recover/confirm"), { client_id: "web", request, code, password: "new" });
  // Without a session there is nothing to find out.
  world.mails.add("daypass_reset_x");
  await world.get(tabs[0].reset({ token: "daypass_reset_x", password: "new" }));
  assert.equal(world.sent("/refresh").length, 1);
});

test("a reset for another user keeps the session", async () => {
  const { world, log, tabs: [daypass] } = await opened();
  world.mails.add("daypass_reset_x");
  world.resetsAnother = true;
  await world.get(daypass.reset({ token: "daypass_reset_x", password: "new" }));
  assert.equal(daypass.session.sessionId, "ses_1");
  assert.deepEqual(log, ["0 renewed this-tab"]);
});

test("a change of the address is sent with a valid token, and confirmed without one", async () => {
  const { world, tabs: [daypass] } = await opened();
  const change = (currentPassword = "right") => daypass.changeEmail({ currentPassword, email: "b@example.com", language: "en" });
  const wrong = await failure(world, change("wrong"), { status: 400, error: "wrong_password", retryAfter: 0 });
  assert.equal(wrong.message, "text of wrong_password");
  const { request, expiresIn } = await world.get(change());
  assert.equal(expiresIn, 3600);
  const body = { client_id: "web", current_password: "right", email: "b@example.com", language: "en" };
  assert.deepEqual(latest(world, "/email"), body);
  // The server rejects a token that expired during sleep: the request is sent again with a new one.
  for (const cors of [true, false]) {
    world.age();
    world.cors = cors;
    if (cors) await world.get(change());
    else await failure(world, change(), { status: 0, error: "unreachable", retryAfter: 0 });
    await world.get(change());
  }
  await world.get(daypass.logout());
  await world.get(daypass.confirmEmail({ request, code: request.slice(-8) }));
  assert.deepEqual(latest(world, "/email/confirm"), { client_id: "web", request, code: request.slice(-8) });
  await failure(world, change(), { status: 401, error: "signed_out" });
});

test("a change of the address from an ended session is `signed_out`", async () => {
  const { world, log, tabs: [daypass] } = await opened();
  world.sessions.get("ses_1").ended = true;
  world.age();
  const change = daypass.changeEmail({ currentPassword: "right", email: "b@example.com" });
  await failure(world, change, { status: 401, error: "signed_out" });
  assert.deepEqual(log, ["0 signed-out ended"]);
});

test("the token of a mail leaves the address bar, and other fragments stay", () => {
  const { world } = open();
  history.state = { of: "the page" };
  const bytes = (purpose) => Buffer.from([1, 9, 8, 7, 255, purpose, ...Array(56).fill(250)]).toString("base64url");
  const purposes = { 1: "reset", 2: "signup", 3: "email", 4: "invitation" };
  for (const [byte, purpose] of Object.entries(purposes)) {
    const token = `daypass_${purpose === "reset" ? "reset" : "verify"}_${bytes(Number(byte))}`;
    location.href = `https://app.example.com/account?lang=de#${token}`;
    assert.deepEqual(takeMailToken(), { purpose, token });
    assert.equal(String(location), "https://app.example.com/account?lang=de");
    assert.equal(takeMailToken(), null);
  }
  assert.deepEqual(world.replaced, Array(4).fill({ of: "the page" }));
  const other = ["top", "daypass_verify_", `daypass_rt_${bytes(2)}`, `daypass_request_${bytes(2)}`, `daypass_verify_${bytes(9)}`];
  for (const fragment of [...other, `daypass_verify_${bytes(2)}/y`, `x#daypass_verify_${bytes(2)}`]) {
    location.hash = `#${fragment}`;
    assert.equal(takeMailToken(), null, fragment);
    assert.equal(location.hash, `#${fragment}`);
  }
  assert.equal(world.replaced.length, 4);
  // Where a page is rendered on a server, there is no address bar.
  delete globalThis.location;
  assert.equal(takeMailToken(), null);
});

test("log in, call, log out", async () => {
  const { world, log, tabs: [daypass] } = open();
  assert.equal(daypass.state, "starting");
  assert.equal(daypass.session, null);
  assert.equal(await world.get(daypass.start()), "signed-out");
  await failure(world, daypass.fetch(`${API}/guarded`), { status: 401, error: "signed_out" });
  await world.get(daypass.login(RIGHT));
  assert.deepEqual(daypass.session, { sessionId: "ses_1", scope: "all", expiresIn: 299 });
  const answer = await world.get(daypass.fetch(`${API}/guarded`, { method: "POST", body: "hello" }));
  assert.deepEqual(await answer.json(), { echo: "hello" });
  await world.pass(100e3);
  assert.equal(daypass.session.expiresIn, 199);
  await world.get(daypass.logout());
  assert.equal(daypass.session, null);
  assert.equal(world.cookie, null);
  assert.deepEqual(log, ["0 signed-out start", "0 signed-in login", "0 signed-out logout"]);
});

test("a login requests the scope, and every request of the module sends the cookie and JSON", async () => {
  const { world } = await opened(1, { scope: "orders:read" });
  await world.pass(300e3);
  const [{ text, request }] = world.sent("/login");
  assert.deepEqual(JSON.parse(text), { client_id: "web", ...RIGHT, scope: "orders:read" });
  for (const { request } of world.requests) {
    assert.equal(request.credentials, "include");
    assert.equal(request.redirect, "error");
    assert.equal(request.headers.get("content-type"), "application/json");
  }
  assert.equal(request.headers.get("idempotency-key"), null);
  assert.deepEqual(JSON.parse(world.sent("/refresh")[0].text), { client_id: "web", grant_type: "refresh_token" });
});

test("a failed login rejects with the server's error and changes nothing", async () => {
  const { world, log, tabs: [daypass] } = await opened();
  const wrong = daypass.login({ username: "alice", password: "wrong" });
  const error = await failure(world, wrong, { status: 401, error: "invalid_grant", retryAfter: 0 });
  assert.equal(error.message, "text of invalid_grant");
  world.faults.push(status(429, { "retry-after": "77" }));
  await failure(world, daypass.login(RIGHT), { status: 429, error: "temporarily_unavailable", retryAfter: 77 });
  world.online = false;
  await failure(world, daypass.login(RIGHT), { status: 0, error: "unreachable", retryAfter: 0 });
  assert.equal(daypass.session.sessionId, "ses_1");
  assert.deepEqual(log, []);
});

test("a change of the password gives all tabs the new session", async () => {
  const { world, log, tabs } = await opened(3);
  const change = (currentPassword) => tabs[1].changePassword({ currentPassword, newPassword: "new" });
  await failure(world, change("wrong"), { status: 400, error: "wrong_password", retryAfter: 0 });
  assert.deepEqual(log, []);
  await world.get(change("right"));
  await world.pass(10);
  for (const daypass of tabs) assert.equal(daypass.session.sessionId, "ses_2");
  assert.deepEqual(log, ["1 signed-in password", "0 signed-in other-tab", "2 signed-in other-tab"]);
  const [, { text, request }] = world.sent("/password");
  assert.deepEqual(JSON.parse(text), { client_id: "web", current_password: "right", new_password: "new" });
  assert.equal(request.credentials, "include");
  // The cookie is of the new session: renewals go on.
  await world.pass(600e3);
  for (const daypass of tabs) assert.equal(daypass.state, "signed-in");
  assert.equal(world.cookie.id, "ses_2");
});

test("a change of the password whose response is lost is repeated", async () => {
  const { world, log, tabs: [daypass] } = await opened();
  const change = () => daypass.changePassword({ currentPassword: "right", newPassword: "new" });
  world.faults.push(lost);
  await failure(world, change(), { status: 0, error: "unreachable", retryAfter: 0 });
  assert.equal(daypass.session.sessionId, "ses_1");
  await world.get(change());
  assert.equal(daypass.session.sessionId, "ses_2");
  await world.get(daypass.logout());
  await failure(world, change(), { status: 401, error: "signed_out" });
  assert.deepEqual(log, ["0 signed-in password", "0 signed-out logout"]);
});

const CHANGE = { currentPassword: "right", newPassword: "new" };
const SIGNED_OUT = { status: 401, error: "signed_out" };

for (const refusal of [401, 403]) {
  test(`a change whose repeat the authorizer rejects with ${refusal} is \`signed_out\`: the session has ended`, async () => {
    const { world, log, tabs } = await opened(2);
    Object.assign(world, { refusal, feedIsCurrent: true });
    world.faults.push(lost);
    await failure(world, tabs[0].changePassword(CHANGE), { status: 0, error: "unreachable", retryAfter: 0 });
    assert.equal(world.sent("/refresh").length, 0, "a repeat could still finish the change");
    await failure(world, tabs[0].changePassword(CHANGE), SIGNED_OUT);
    await world.pass(10);
    assert.deepEqual(log, ["0 signed-out ended", "1 signed-out ended"]);
    await failure(world, tabs[0].changePassword(CHANGE), SIGNED_OUT);
    assert.equal(world.sent("/refresh").length, 1);
  });
}

for (const [fault, name] of [[lost, "lost"], [status(500), "a 500"]]) {
  test(`a change whose response is ${name} and whose repeat is rejected without CORS headers is \`signed_out\``, async () => {
    const { world, log, tabs: [daypass] } = await opened();
    world.feedIsCurrent = true;
    world.faults.push(fault);
    await world.settled(daypass.changePassword(CHANGE));
    world.cors = false;
    await failure(world, daypass.changePassword(CHANGE), SIGNED_OUT);
    assert.deepEqual(log, ["0 signed-out ended"]);
  });
}

test("a change whose response brought the cookie alone is `signed_out`, in the new session", async () => {
  const { world, tabs: [daypass] } = await opened();
  world.feedIsCurrent = true;
  world.faults.push(cut);
  await failure(world, daypass.changePassword(CHANGE), { status: 200, error: "unreachable", retryAfter: 0 });
  await failure(world, daypass.changePassword(CHANGE), SIGNED_OUT);
  assert.equal(daypass.session.sessionId, "ses_2");
});

test("a change from a session that another device ended is `signed_out`, also before the authorizer knows", async () => {
  const { world, log, tabs: [daypass] } = await opened();
  world.sessions.get("ses_1").ended = true;
  await failure(world, daypass.changePassword(CHANGE), SIGNED_OUT);
  assert.deepEqual(log, ["0 signed-out ended"]);
});

test("a change without network can be repeated until it succeeds", async () => {
  const { world, tabs: [daypass] } = await opened();
  world.online = false;
  const unreachable = { status: 0, error: "unreachable", retryAfter: 0 };
  for (const renewals of [0, 1, 2]) {
    await failure(world, daypass.changePassword(CHANGE), unreachable);
    assert.equal(world.sent("/refresh").length, renewals);
  }
  world.online = true;
  await world.get(daypass.changePassword(CHANGE));
  assert.equal(daypass.session.sessionId, "ses_2");
  // In the new session, and after an answer of the server, an error is the first one again.
  const { length } = world.sent("/refresh");
  world.faults.push(lost, status(429), lost);
  for (const expected of [unreachable, { status: 429, error: "temporarily_unavailable", retryAfter: 0 }, unreachable]) {
    await failure(world, daypass.changePassword(CHANGE), expected);
  }
  assert.equal(world.sent("/refresh").length, length);
});

test("a change with a token that expired during sleep is rejected, and its repeat has a new token", async () => {
  const { world, tabs: [daypass] } = await opened();
  world.refusal = 403;
  world.age();
  await failure(world, daypass.changePassword(CHANGE), { status: 403, error: "unreachable", retryAfter: 0 });
  assert.equal(world.sent("/refresh").length, 1);
  await world.get(daypass.changePassword(CHANGE));
  assert.equal(daypass.session.sessionId, "ses_2");
});

test("a change that Daypass itself denies causes no renewal", async () => {
  const { world, tabs: [daypass] } = await opened();
  world.faults.push(() => Response.json({ error: "insufficient_scope" }, { status: 403 }));
  const denied = { status: 403, error: "insufficient_scope", retryAfter: 0 };
  await failure(world, daypass.changePassword(CHANGE), denied);
  assert.equal(world.sent("/refresh").length, 0);
});

for (const [name, act] of [
  ["login", (daypass) => daypass.login({ username: "bob", password: "right" })],
  ["logout", (daypass) => daypass.logout()],
]) {
  test(`a change that waits for the ${name} of another tab is not sent, also when messages are slow`, async () => {
    for (const latency of [1, 80]) {
      const { world, tabs } = await opened(2);
      Object.assign(world, { latency, serverTime: 500 });
      const other = act(tabs[1]);
      await failure(world, tabs[0].changePassword(CHANGE), SIGNED_OUT);
      await world.get(other);
      assert.equal(world.sent("/password").length, 0, `latency ${latency}`);
      assert.equal(tabs[0].session?.sessionId, tabs[1].session?.sessionId);
    }
  });
}

test("a change whose token expires while it waits for another tab is sent with a new one", async () => {
  for (const isBusy of [false, true]) {
    const { world, tabs } = await opened(2);
    world.hidden = true; // no timer renews
    world.lifetime = 5;
    await world.get(tabs[0].login(RIGHT));
    await world.pass(10);
    const { token } = world.sessions.get("ses_2");
    world.faults.push((answer) => new Promise((resolve) => setTimeout(resolve, 6e3, answer)));
    if (isBusy) world.faults.push(status(503));
    const slow = world.settled(tabs[1].login({ username: "alice", password: "wrong" }));
    const change = tabs[0].changePassword(CHANGE);
    if (isBusy) await failure(world, change, { status: 503, error: "temporarily_unavailable", retryAfter: 0 });
    else await world.get(change);
    await slow;
    assert.equal(world.sent("/refresh").length, 1);
    const bearers = world.sent("/password").map(({ bearer }) => bearer);
    assert.equal(bearers.length, isBusy ? 0 : 1);
    assert(!bearers.includes(token));
    assert.equal(tabs[0].session.sessionId, isBusy ? "ses_2" : "ses_3");
  }
});

test("a tab renews before the expiry, once in each lifetime", async () => {
  const { world, log, tabs: [daypass] } = await opened();
  for (let lifetime = 1; lifetime <= 10; lifetime++) {
    const { end } = world.sessions.get("ses_1");
    await world.pass(end - world.now);
    assert.equal(world.sent("/refresh").length, lifetime);
    assert(world.sent("/refresh").at(-1).at <= end - 30e3 + 1e3);
    assert(world.sent("/refresh").at(-1).at >= end - 60e3 - 1e3);
  }
  assert.equal(new Set(world.sent("/refresh").map(({ key }) => key)).size, 10, "each with its own idempotency key");
  assert.deepEqual(log, Array(10).fill("0 renewed this-tab"));
  assert.equal(daypass.session.sessionId, "ses_1");
});

// invariant: All tabs of a page renew once per lifetime.
test("eight tabs renew once in each lifetime, and all get the token", async () => {
  const { world, log, tabs } = await opened(8);
  for (let lifetime = 1; lifetime <= 10; lifetime++) {
    await world.pass(world.sessions.get("ses_1").end - world.now);
    assert.equal(world.sent("/refresh").length, lifetime);
    assert.equal(log.filter((line) => line.endsWith("renewed this-tab")).length, lifetime);
    assert.equal(log.filter((line) => line.endsWith("renewed other-tab")).length, 7 * lifetime);
  }
  for (const daypass of tabs) {
    assert.equal((await world.get(daypass.fetch(`${API}/guarded`))).status, 200);
    assert(daypass.session.expiresIn > 200);
  }
});

test("tabs that need a token at once get it from one renewal, also when messages are slow", async () => {
  for (const latency of [1, 80]) {
    const { world, tabs } = await opened(8);
    world.latency = latency;
    world.hidden = true; // no tab renews before the page calls
    await world.pass(400e3);
    assert.equal(world.sent("/refresh").length, 0);
    const answers = await world.get(Promise.all(tabs.map((daypass) => daypass.fetch(`${API}/guarded`))));
    for (const answer of answers) assert.equal(answer.status, 200);
    assert.equal(world.sent("/refresh").length, 1, `latency ${latency}`);
  }
});

test("a new tab gets the token from another tab, and renews without one", async () => {
  const { world, log, tab, tabs } = await opened();
  await world.pass(100e3);
  const second = tab("second");
  assert.equal(await world.get(second.start()), "signed-in");
  assert.equal(world.sent("/refresh").length, 0);
  assert(tabs[0].session.expiresIn <= 200);
  assert.equal(second.session.expiresIn, tabs[0].session.expiresIn);
  for (const daypass of [tabs[0], second]) daypass.close();
  const third = tab("third");
  assert.equal(await world.get(third.start()), "signed-in");
  assert.equal(world.sent("/refresh").length, 1);
  assert.deepEqual(log, ["second signed-in other-tab", "third signed-in start", "third renewed this-tab"]);
});

test("eight tabs that start at once make one renewal", async () => {
  const { world, tab, tabs } = await opened();
  tabs[0].close();
  const restored = Array.from({ length: 8 }, (_, number) => tab(number));
  const states = await world.get(Promise.all(restored.map((daypass) => daypass.start())));
  assert.deepEqual(new Set(states), new Set(["signed-in"]));
  assert.equal(world.sent("/refresh").length, 1);
});

test("a hidden tab renews when it is shown or when the page calls `fetch`", async () => {
  const { world, tabs: [daypass] } = await opened();
  world.hidden = true;
  await world.pass(1e6);
  assert.equal(world.sent("/refresh").length, 0);
  assert.equal((await world.get(daypass.fetch(`${API}/guarded`))).status, 200);
  assert.equal(world.sent("/refresh").length, 1);
  await world.pass(1e6);
  world.hidden = false;
  world.dispatch("visibilitychange");
  await world.pass(1e3);
  assert.equal(world.sent("/refresh").length, 2);
});

for (const refusal of [401, 403]) {
  test(`a ${refusal} causes one renewal, and the same request is repeated`, async () => {
    const { world, tabs: [daypass] } = await opened();
    world.refusal = refusal;
    // The machine slept, and the clock of the tab stopped.
    world.age();
    const answer = await world.get(daypass.fetch(`${API}/guarded`, { method: "PUT", body: "hello" }));
    assert.deepEqual([answer.status, await answer.json()], [200, { echo: "hello" }]);
    assert.equal(world.sent("/refresh").length, 1);
    assert.equal(world.sent("/guarded").length, 2);
  });
}

test("a route that is always denied costs at most one renewal a minute, and none on other routes", async () => {
  const { world, tabs: [daypass] } = await opened();
  for (let call = 0; call < 5; call++) {
    assert.equal((await world.get(daypass.fetch(`${API}/forbidden`))).status, 403);
  }
  assert.equal(world.sent("/refresh").length, 1);
  assert.equal(world.sent("/forbidden").length, 6);
  await world.pass(61e3);
  world.age();
  assert.equal((await world.get(daypass.fetch(`${API}/guarded`))).status, 200);
  assert.equal(world.sent("/refresh").length, 2);
  // That renewal helped: the next rejection causes one again.
  world.age();
  assert.equal((await world.get(daypass.fetch(`${API}/guarded`))).status, 200);
  assert.equal(world.sent("/refresh").length, 3);
});

test("after sleep, cross-origin calls work at once, even if rejections have no CORS headers", async () => {
  const { world, tabs: [daypass] } = await opened();
  world.cors = false;
  for (let sleep = 1; sleep <= 3; sleep++) {
    world.age();
    const calls = ["GET", "GET", "HEAD", "GET"].map((method) => daypass.fetch(`${API}/guarded`, { method }));
    for (const answer of await world.get(Promise.all(calls))) assert.equal(answer.status, 200);
    assert.equal(world.sent("/refresh").length, sleep);
  }
});

test("a POST is not repeated after an error, and the next one has a new token", async () => {
  const { world, tabs: [daypass] } = await opened();
  world.cors = false;
  world.age();
  const { error } = await world.settled(daypass.fetch(`${API}/guarded`, { method: "POST", body: "once" }));
  assert(error instanceof TypeError);
  assert.equal(world.sent("/guarded").length, 1);
  const answer = await world.get(daypass.fetch(`${API}/guarded`, { method: "POST", body: "again" }));
  assert.deepEqual(await answer.json(), { echo: "again" });
  assert.equal(world.sent("/refresh").length, 1);
});

test("a cross-origin API that is down costs at most one renewal a minute", async () => {
  const { world, tabs: [daypass] } = await opened();
  world.cors = false;
  for (let call = 0; call < 20; call++) {
    const { error } = await world.settled(daypass.fetch(`${API}/forbidden`, { method: call % 2 ? "GET" : "POST" }));
    assert(error instanceof TypeError);
    await world.pass(10e3);
  }
  assert.equal(world.sent("/refresh").length, 4);
});

test("an error on the page's origin or an abort by the page causes no renewal", async () => {
  const { world, tabs: [daypass] } = await opened();
  world.faultOfApi = new TypeError("connection reset");
  const { error } = await world.settled(daypass.fetch("https://app.example.com/guarded"));
  assert.equal(error, world.faultOfApi);
  world.faultOfApi = undefined;
  const gate = new AbortController();
  const call = world.settled(daypass.fetch(`${API}/guarded`, { signal: gate.signal }));
  gate.abort(new TypeError("enough"));
  assert.equal((await call).error.message, "enough");
  await world.pass(5e3);
  assert.equal(world.sent("/refresh").length, 0);
});

test("a rejection while renewals fail is the error of the renewal: for the page, 401 means signed out", async () => {
  const { world, tabs: [daypass] } = await opened();
  world.age();
  world.faults.push(status(503, { "retry-after": "20" }));
  const busy = { status: 503, error: "temporarily_unavailable", retryAfter: 20 };
  for (let call = 0; call < 2; call++) await failure(world, daypass.fetch(`${API}/guarded`), busy);
  assert.equal(daypass.state, "signed-in");
  assert.equal(world.sent("/refresh").length, 1);
  await world.pass(45e3);
  assert.equal((await world.get(daypass.fetch(`${API}/guarded`))).status, 200);
  // If the renewal finds that the session has ended, the page gets the 401.
  world.age();
  world.sessions.get("ses_1").ended = true;
  assert.equal((await world.get(daypass.fetch(`${API}/guarded`))).status, 401);
  assert.equal(daypass.state, "signed-out");
});

test("a tab renews after a freeze, because messages that waited are older than they look", async () => {
  const { world, tabs: [daypass, signedOut] } = await opened(2);
  await world.get(daypass.logout());
  await world.get(daypass.login(RIGHT));
  signedOut.close();
  const late = new BroadcastChannel(`daypass ${API} web`);
  late.postMessage(sessionMessage("old", "ses_2"));
  await world.pass(10);
  world.dispatch("resume");
  await world.pass(1e3);
  assert.equal(world.sent("/refresh").length, 1);
  assert.equal((await world.get(daypass.fetch(`${API}/guarded`))).status, 200);
  assert.equal(world.sent("/guarded").length, 1);
  // Not before `Retry-After`, and not without a session.
  world.faults.push(status(503, { "retry-after": "40" }));
  world.dispatch("resume");
  await world.pass(1e3);
  world.dispatch("resume");
  await world.pass(1e3);
  assert.equal(world.sent("/refresh").length, 2);
  await world.get(daypass.logout());
  world.dispatch("resume");
  await world.pass(1e3);
  assert.equal(world.sent("/refresh").length, 2);
});

test("a request whose token another tab has replaced is repeated without a renewal", async () => {
  const { world, tabs: [daypass, other] } = await opened(2);
  world.age();
  await world.get(other.fetch(`${API}/guarded`));
  assert.equal((await world.get(daypass.fetch(`${API}/guarded`))).status, 200);
  assert.equal(world.sent("/refresh").length, 1);
});

for (const [fault, name] of [[lost, "lost"], [cut, "cut off"]]) {
  test(`the session survives a response that was ${name}: the retry has the same idempotency key`, async () => {
    const { world, tabs: [daypass] } = await opened();
    world.faults.push(fault);
    await world.pass(300e3);
    const [first, second] = world.sent("/refresh");
    assert.equal(first.key, second.key);
    assert.equal(daypass.session.sessionId, "ses_1");
    assert.deepEqual(world.storage, {}, "the key is deleted after the response");
    await world.pass(300e3);
    assert.notEqual(world.sent("/refresh").at(-1).key, first.key);
  });
}

test("a retry has the same idempotency key a day later, in another tab or after a reload", async () => {
  const { world, tab, tabs: [daypass] } = await opened();
  world.hidden = true;
  await world.pass(400e3);
  world.faults.push(lost);
  const call = daypass.fetch(`${API}/guarded`);
  call.catch(() => {});
  await world.pass(200);
  world.online = false;
  daypass.close();
  await world.pass(24 * 3600e3);
  world.online = true;
  const reloaded = tab("reloaded");
  assert.equal(await world.get(reloaded.start()), "signed-in");
  assert.equal(reloaded.session.sessionId, "ses_1");
  const keys = world.sent("/refresh").map(({ key }) => key);
  assert.equal(keys[0], keys.at(-1));
});

test("eight tabs stay signed in for ten lifetimes while one response in five is lost", async () => {
  const { world, log, tabs } = await opened(8);
  for (let lifetime = 1; lifetime <= 10; lifetime++) {
    if (lifetime % 5 === 0) world.faults.push(lost);
    await world.pass(world.sessions.get("ses_1").end - world.now);
    assert.equal(world.sessions.get("ses_1").generation, lifetime, "one rotation each");
  }
  assert.equal(world.sent("/refresh").length, 12);
  assert(tabs.every((daypass) => daypass.state === "signed-in"));
  assert(!log.some((line) => line.includes("signed-out")));
});

test("all tabs wait as long as `Retry-After` says, and stay signed in", async () => {
  const { world, tabs } = await opened(4);
  world.faults.push(status(503, { "retry-after": "40" }));
  await world.pass(300e3 - 70e3);
  while (!world.sent("/refresh").length) await world.pass(100);
  const [{ at }] = world.sent("/refresh");
  // The token has not expired: calls work.
  assert.equal((await world.get(tabs[1].fetch(`${API}/guarded`))).status, 200);
  await world.pass(at + 39e3 - world.now);
  assert.equal(world.sent("/refresh").length, 1);
  await world.pass(5e3);
  assert.equal(world.sent("/refresh").length, 2);
  for (const daypass of tabs) assert.equal(daypass.state, "signed-in");
});

test("a call gets a response or an error within 30 s", async () => {
  const { world, tabs: [daypass] } = await opened();
  world.hidden = true;
  await world.pass(400e3);
  world.faults.push(status(503, { "retry-after": "2" }));
  let before = world.now;
  assert.equal((await world.get(daypass.fetch(`${API}/guarded`))).status, 200, "it waits two seconds");
  assert(world.now - before < 3e3);

  await world.pass(400e3);
  world.faults.push(status(503, { "retry-after": "60" }));
  before = world.now;
  const busy = { status: 503, error: "temporarily_unavailable", retryAfter: 60 };
  await failure(world, daypass.fetch(`${API}/guarded`), busy);
  assert(world.now - before < 1e3, "a minute is too long: it rejects at once");
  await failure(world, daypass.fetch(`${API}/guarded`), busy);

  await world.pass(400e3);
  world.serverTime = 1e9;
  before = world.now;
  await failure(world, daypass.fetch(`${API}/guarded`), { status: 0, error: "unreachable", retryAfter: 0 });
  assert(world.now - before < 30e3, `${world.now - before}`);
  assert.equal(daypass.state, "signed-in");
});

test("renewals of an unreachable server back off, and start at once when the network is back", async () => {
  const { world, tabs: [daypass] } = await opened();
  world.online = false;
  await world.pass(3600e3);
  const attempts = world.sent("/refresh");
  const gaps = attempts.slice(1).map(({ at }, index) => at - attempts[index].at);
  assert(gaps.length > 50 && gaps.length < 200, `${gaps.length}`);
  assert(gaps.slice(0, 4).every((gap) => gap < 10e3) && gaps.slice(8).every((gap) => gap >= 30e3 && gap < 61e3));
  assert.equal(new Set(attempts.map(({ key }) => key)).size, 1);
  assert.equal(daypass.state, "signed-in");
  world.online = true;
  world.dispatch("online");
  await world.pass(500);
  assert.equal(daypass.session.sessionId, "ses_1");
  assert(daypass.session.expiresIn > 290);
  // The next failure starts with short delays again.
  const before = world.sent("/refresh").length;
  world.faults = [lost, lost];
  await world.pass(300e3);
  const [first, second] = world.sent("/refresh").slice(before);
  assert(second.at - first.at < 2e3);
});

test("a start without network stays in `starting` and continues by itself", async () => {
  const { world, log, tab, tabs } = await opened();
  tabs[0].close();
  world.online = false;
  const daypass = tab("new");
  assert.equal(await world.get(daypass.start()), "starting");
  world.online = true;
  await world.pass(3e3);
  assert.equal(daypass.state, "signed-in");
  assert.deepEqual(log, ["new signed-in start", "new renewed this-tab"]);
});

test("a session that another device ended ends in all tabs with the next renewal", async () => {
  const { world, log } = await opened(3);
  world.sessions.get("ses_1").ended = true;
  await world.pass(300e3);
  assert.deepEqual(log.sort(), [0, 1, 2].map((tab) => `${tab} signed-out ended`));
  assert.equal(world.sent("/refresh").length, 1);
  await world.pass(3600e3);
  assert.equal(world.sent("/refresh").length, 1, "and no tab renews again");
});

test("a missing cookie ends the session, and `invalid_client` does not", async () => {
  const { world, tabs: [daypass] } = await opened();
  const misconfigured = () => Response.json({ error: "invalid_client" }, { status: 400 });
  world.faults.push(misconfigured);
  while (!world.sent("/refresh").length) await world.pass(1e3);
  await world.pass(1e3);
  assert.equal(daypass.state, "signed-in");
  world.cookie = null;
  await world.pass(300e3);
  assert.equal(daypass.state, "signed-out");
});

test("when a new tab finds the session ended, the other tabs check their own", async () => {
  for (const hidden of [false, true]) {
    const { world, log, tab } = await opened(3);
    world.hidden = hidden;
    world.latency = 300; // their responses come too late
    world.sessions.get("ses_1").ended = true;
    await world.get(tab("new").start());
    await world.pass(3e3);
    assert.deepEqual(log.sort(), ["0 signed-out ended", "1 signed-out ended", "2 signed-out ended", "new signed-out start"]);
    assert(world.sent("/refresh").length <= 3, "not one by each tab");
  }
});

test("a new tab without the cookie does not end a live session", async () => {
  const { world, log, tabs: [daypass] } = await opened();
  const other = new BroadcastChannel(`daypass ${API} web`);
  other.postMessage({ type: "session", accessToken: null, reason: "start" });
  await world.pass(3e3);
  assert.equal(daypass.state, "signed-in");
  assert.equal(world.sent("/refresh").length, 1);
  assert.deepEqual(log, ["0 renewed this-tab"]);
});

test("a response for another tab and a failure of another tab change nothing", async () => {
  const { world, log, tabs: [daypass] } = await opened();
  const other = new BroadcastChannel(`daypass ${API} web`);
  other.postMessage({ ...sessionMessage("older", "ses_1"), type: "response" }); // to another tab
  other.postMessage({ type: "failure", error: { status: 503, error: "temporarily_unavailable", retryAfter: 0 } });
  await world.pass(5e3);
  assert.equal(world.sent("/refresh").length, 0, "a failure elsewhere is no reason to renew");
  assert.equal((await world.get(daypass.fetch(`${API}/guarded`))).status, 200);
  assert.deepEqual(log, []);
});

test("login and logout reach all tabs, and a late message does not bring the session back", async () => {
  const { world, log, tabs } = open(3);
  await world.get(Promise.all(tabs.map((daypass) => daypass.start())));
  log.length = 0;
  await world.get(tabs[1].login(RIGHT));
  await world.pass(10);
  assert.deepEqual(log.splice(0).sort(), ["0 signed-in other-tab", "1 signed-in login", "2 signed-in other-tab"]);
  const late = new BroadcastChannel(`daypass ${API} web`);
  const { token } = world.sessions.get("ses_1");
  await world.get(tabs[2].logout());
  await world.pass(10);
  assert.deepEqual(log.splice(0).sort(), ["0 signed-out other-tab", "1 signed-out other-tab", "2 signed-out logout"]);
  late.postMessage(sessionMessage(`${token}x`, "ses_1"));
  await world.pass(10);
  assert(tabs.every((daypass) => daypass.state === "signed-out"));

  // A second login: another session is a change, even in the same state.
  await world.get(tabs[0].login(RIGHT));
  await world.get(tabs[0].login(RIGHT));
  await world.pass(10);
  assert.deepEqual(log.filter((line) => line.startsWith("1")), Array(2).fill("1 signed-in other-tab"));
  assert.equal(tabs[1].session.sessionId, "ses_3");
});

test("a logout that the server did not confirm rejects, and the session continues", async () => {
  const { world, log, tabs } = await opened(2);
  world.online = false;
  await failure(world, tabs[0].logout(), { status: 0, error: "unreachable", retryAfter: 0 });
  world.online = true;
  world.faults.push(status(503));
  await failure(world, tabs[0].logout(), { status: 503, error: "temporarily_unavailable", retryAfter: 0 });
  assert.deepEqual(log, []);
  await world.get(tabs[0].login(RIGHT));
  await world.get(tabs[0].logout({ everywhere: true }));
  assert.deepEqual(JSON.parse(world.sent("/revoke").at(-1).text), { client_id: "web", all: true });
  await world.pass(10);
  assert.equal(tabs[1].state, "signed-out");
});

test("a tab without the cookie can log out", async () => {
  const { world, tabs: [daypass] } = await opened();
  world.cookie = null;
  await world.get(daypass.logout());
  assert.equal(daypass.state, "signed-out");
});

const endings = {
  "had no cookie": (world) => void (world.cookie = null),
  "had ended": (world) => void (world.sessions.get("ses_1").ended = true),
  "ended meanwhile, as the server answers": (world) =>
    world.faults.push((answer) => answer, () => Response.json({ error: "invalid_grant" }, { status: 400 })),
};
for (const [how, end] of Object.entries(endings)) {
  test(`a logout everywhere from a session that ${how} signs out here, and rejects because the others continue`, async () => {
    for (const answer of [400, 200]) {
      const { world, tabs } = await opened(2);
      // A server may answer 200 to the revocation of an ended session.
      world.deadRevocation = answer;
      end(world);
      const everywhere = tabs[0].logout({ everywhere: true });
      await failure(world, everywhere, { status: 401, error: "signed_out" });
      await world.pass(10);
      for (const daypass of tabs) assert.equal(daypass.state, "signed-out");
    }
  });
}

test("a logout everywhere rejects while the server is busy, and ends nothing", async () => {
  const { world, log, tabs: [daypass] } = await opened();
  world.faults.push(status(503));
  await failure(world, daypass.logout({ everywhere: true }), { status: 503, error: "temporarily_unavailable", retryAfter: 0 });
  assert.equal(world.sent("/revoke").length, 0);
  await world.pass(5e3);
  assert.deepEqual(log, ["0 renewed this-tab"]);
});

test("a logout waits for the renewal that is under way, and no session follows it", async () => {
  const { world, tabs } = await opened(2);
  world.serverTime = 500;
  world.hidden = true;
  await world.pass(400e3);
  const call = tabs[0].fetch(`${API}/guarded`);
  await world.pass(200); // the renewal is at the server
  const logout = tabs[1].logout();
  await world.settled(call);
  await world.get(logout);
  await world.pass(5e3);
  assert.equal(world.cookie, null);
  assert(tabs.every((daypass) => daypass.state === "signed-out"));
});

test("a logout keeps waiting for the lock when messages arrive", async () => {
  const { world, tabs } = await opened(2);
  world.serverTime = 5e3;
  world.dispatch("resume");
  await world.pass(200); // the renewal is at the server
  const logout = tabs[1].logout();
  const other = new BroadcastChannel(`daypass ${API} web`);
  other.postMessage(sessionMessage("news", "ses_1"));
  await world.pass(4e3);
  assert.equal(world.sent("/revoke").length, 0);
  await world.get(logout);
  await world.pass(10);
  assert.equal(world.cookie, null);
  assert(tabs.every((daypass) => daypass.state === "signed-out"));
});

test("the late response to a renewal does not bring an ended session back", async () => {
  const { world, tabs } = await opened(2);
  world.hidden = true;
  await world.pass(400e3);
  // The connection is slow after the server has answered.
  world.faults.push((answer) => new Promise((resolve) => setTimeout(resolve, 9.97e3, answer)));
  const call = daypassCall(tabs[0]);
  await world.pass(1);
  await world.get(tabs[1].logout());
  await world.pass(5e3);
  await call;
  assert.deepEqual(tabs.map(({ state }) => state), ["signed-out", "signed-out"]);
});

/** A call whose outcome does not matter. */
const daypassCall = (daypass) => daypass.fetch(`${API}/guarded`).catch(() => {});

test("`fetch` sends the token to trusted origins only", async () => {
  const { world, tabs: [daypass] } = await opened(1, { origins: ["https://orders.example.com"] });
  for (const url of ["https://evil.example", "http://api.example.com", "https://api.example.com.evil.example"]) {
    await failure(world, daypass.fetch(`${url}/guarded`), { status: 0, error: "foreign_origin" });
  }
  for (const url of [API, "https://app.example.com", "https://orders.example.com"]) {
    assert.equal((await world.get(daypass.fetch(`${url}/guarded`))).status, 200);
  }
  assert.equal(world.sent("/guarded").length, 3);
});

test("storage holds an idempotency key and nothing else", async () => {
  const { world } = await opened();
  const seen = new Set();
  for (let step = 0; step < 400; step++) {
    if (step % 50 === 0) world.faults.push(lost);
    await world.pass(1e3);
    for (const [name, value] of Object.entries(world.storage)) seen.add(`${name}=${value}`);
  }
  assert(seen.size > 0);
  for (const entry of seen) assert.match(entry, /^daypass https:\/\/api\.example\.com web=[0-9a-f-]{36}$/);
});

const blocked = { get: () => { throw new Error("blocked"); } };
const full = { value: Object.freeze({}) };
for (const [storage, name] of [[blocked, "blocked"], [full, "full"]]) {
  test(`while storage is ${name}, a tab keeps the idempotency key in memory`, async () => {
    const { world, tabs: [daypass] } = await opened();
    Object.defineProperty(globalThis, "localStorage", { ...storage, configurable: true });
    world.faults.push(lost);
    await world.pass(300e3);
    assert.equal(daypass.state, "signed-in");
    await world.pass(300e3);
    const [first, second, third] = world.sent("/refresh").map(({ key }) => key);
    assert.equal(first, second);
    assert.notEqual(second, third);
  });
}

test("the constructor throws on a page that is not a secure context", () => {
  new World();
  globalThis.isSecureContext = false;
  assert.throws(() => new Daypass({ url: API, clientId: "web" }), { name: "Error", error: "insecure_context", status: 0 });
});

test("where a page is rendered on a server, the object is inert", async () => {
  new World();
  // As in Node.js. `navigator` and `fetch` are there.
  const globals = ["isSecureContext", "location", "document", "localStorage", "addEventListener", "removeEventListener"];
  for (const name of globals) delete globalThis[name];
  const daypass = new Daypass({ url: API, clientId: "web" });
  assert.equal(daypass.state, "starting");
  assert.equal(daypass.session, null);
  assert.equal(await daypass.start(), "starting");
  const names = ["signup", "confirmSignup", "recover", "reset", "changeEmail", "confirmEmail"];
  const account = names.map((name) => daypass[name]({}));
  for (const call of [daypass.login(RIGHT), daypass.logout(), daypass.fetch(`${API}/guarded`), ...account]) {
    await assert.rejects(call, (error) => error instanceof DaypassError && error.error === "no_browser");
  }
  daypass.close();
});

test("Node.js itself makes an object, and no error", () => {
  const module = build ? pathToFileURL(build) : new URL("../daypass.js", import.meta.url);
  const script = `const { Daypass } = await import(${JSON.stringify(String(module))});
    const daypass = new Daypass({ url: "https://api.example.com", clientId: "web" });
    console.log(await daypass.start(), await daypass.login({}).catch(({ error }) => error));`;
  const printed = execFileSync(process.execPath, ["--input-type=module", "-e", script], { encoding: "utf8" });
  assert.equal(printed, "starting no_browser\n");
});

test("a worker has no document", async () => {
  const { world, log, tabs: [daypass] } = await opened();
  delete globalThis.document;
  await world.pass(300e3);
  assert.deepEqual(log, ["0 renewed this-tab"]);
  daypass.close();
});

for (const [path, act] of [
  ["/revoke", (daypass) => daypass.logout()],
  ["/refresh", (daypass) => daypass.logout({ everywhere: true })],
]) {
  test(`a request to ${path} that the server does not understand ends no session`, async () => {
    const { world, tabs: [daypass] } = await opened();
    const error = "invalid_request";
    world.faults.push(() => Response.json({ error, error_description: "x" }, { status: 400 }));
    await failure(world, act(daypass), { status: 400, error, retryAfter: 0 });
    assert.equal(daypass.state, "signed-in");
    await world.get(daypass.logout());
    assert.equal(daypass.state, "signed-out");
  });
}

test("a frozen tab that holds the lock does not block the others", async () => {
  const { world, tabs: [daypass] } = await opened();
  world.hidden = true;
  await world.pass(400e3);
  world.holdLock(`daypass ${API} web`);
  const before = world.now;
  assert.equal((await world.get(daypass.fetch(`${API}/guarded`))).status, 200);
  assert(world.now - before < 12e3);
  await world.get(daypass.logout());
});

test("a closed object sends nothing and has no timers and listeners", async () => {
  const { world, tabs: [daypass] } = await opened();
  world.hidden = true;
  await world.pass(400e3);
  const call = daypass.fetch(`${API}/guarded`);
  await world.pass(50);
  daypass.close();
  const { value } = await world.settled(call);
  assert.equal(value.status, 200);
  await world.pass(20e3);
  assert.equal(world.listeners(), 0);
  assert.equal(world.timers(), 0);
  const { length } = world.requests;
  await world.pass(1e6);
  assert.equal(world.requests.length, length);
});

/** A page that asks its user: the hook answers with these proofs, one for each call. Without one the user gives up. */
function asking(proofs) {
  const calls = [];
  const onStepUp = async (needed) => {
    calls.push(needed);
    const proof = proofs.shift();
    if (proof) await all.tabs[0].stepUp(proof);
    return Boolean(proof);
  };
  const all = { calls, onStepUp };
  return all;
}

const STRONG = { currentPassword: "right", code: "123456" };

test("a request that needs another authentication is repeated once after the hook, with its body", async () => {
  const page = asking([STRONG]);
  const { world, log, tabs } = await opened(2, page);
  page.tabs = tabs;
  const post = { method: "POST", body: "transfer" };
  const response = await world.get(tabs[0].fetch(`${API}/sensitive`, post));
  assert.deepEqual([response.status, await response.json()], [200, { echo: "transfer" }]);
  assert.deepEqual(page.calls, [{ twoFactors: true, maxAge: 300 }]);
  assert.deepEqual(latest(world, "/reauthenticate"), { client_id: "web", current_password: "right", code: "123456" });
  assert.equal(world.sent("/sensitive").length, 2);
  assert.equal(world.sent("/refresh").length, 0, "a new token does not help");
  // The session is the same in all tabs, and the other one needs no step-up.
  await world.pass(10);
  assert.deepEqual(log, ["0 renewed this-tab", "1 renewed other-tab"]);
  assert.equal((await world.get(tabs[1].fetch(`${API}/sensitive`))).status, 200);
  assert.equal(page.calls.length, 1);
});

test("a user who gives up, and a page without a hook, get the denial", async () => {
  const page = asking([]);
  const { world, tabs: [daypass] } = await opened(1, page);
  assert.equal((await world.get(daypass.fetch(`${API}/sensitive`))).status, 403);
  assert.equal(page.calls.length, 1);
  assert.equal((await world.get(daypass.fetch(`${API}/sensitive`))).status, 403, "the next request asks again");
  assert.equal(page.calls.length, 2);
  const { world: other, tabs: [plain] } = await opened();
  assert.equal((await other.get(plain.fetch(`${API}/sensitive`))).status, 403);
  assert.equal(other.sent("/sensitive").length, 1);
  assert.equal(other.sent("/refresh").length, 0);
});

test("requests that are denied at the same time ask the user once", async () => {
  const page = asking([STRONG]);
  const { world, tabs: [daypass] } = await opened(1, page);
  page.tabs = [daypass];
  const both = Promise.all([daypass.fetch(`${API}/sensitive`), daypass.fetch(`${API}/sensitive`)]);
  assert.deepEqual((await world.get(both)).map(({ status }) => status), [200, 200]);
  assert.equal(page.calls.length, 1);
});

test("a step-up reports what the user has to correct, and the end of the session", async () => {
  const { world, tabs: [daypass] } = await opened();
  await failure(world, daypass.stepUp({ ...STRONG, currentPassword: "x" }), { status: 400, error: "wrong_password", retryAfter: 0 });
  const weak = daypass.stepUp({ currentPassword: "right" });
  await failure(world, weak, { status: 403, error: "insufficient_user_authentication", retryAfter: 0 });
  assert.equal(daypass.state, "signed-in");
  for (const session of world.sessions.values()) session.ended = true;
  await failure(world, daypass.stepUp(STRONG), { status: 401, error: "signed_out" });
  assert.equal(daypass.state, "signed-out");
});

test("a passkey is a step-up without a password", async (t) => {
  // The hook is called within a request, and its own requests must not wait for that.
  const page = asking([{ passkey: true }]);
  const { world, tabs: [daypass] } = await opened(1, page);
  page.tabs = [daypass];
  globalThis.PublicKeyCredential = { parseRequestOptionsFromJSON: (question) => question };
  t.after(() => delete globalThis.PublicKeyCredential);
  navigator.credentials = { get: async ({ publicKey }) => ({ answers: publicKey.challenge }) };
  assert.equal((await world.get(daypass.fetch(`${API}/sensitive`))).status, 200);
  assert.deepEqual(latest(world, "/reauthenticate"), { client_id: "web", passkey: { answers: "ses_1" } });
  for (const session of world.sessions.values()) session.ended = true;
  await failure(world, daypass.stepUp({ passkey: true }), { status: 401, error: "signed_out" });
  assert.equal(daypass.state, "signed-out");
});

test("a login by two factors takes two steps", async () => {
  const { world, log, tabs: [daypass] } = open();
  const { error } = await world.settled(daypass.login({ username: "carol", password: "right" }));
  assert.deepEqual([error.status, error.error, error.mfaToken], [403, "mfa_required", "daypass_mfa_1"]);
  const { mfaToken } = error;
  await failure(world, daypass.loginFactor({ mfaToken, code: "0" }), { status: 400, error: "wrong_code", retryAfter: 0 });
  assert.equal(daypass.state, "starting");
  await world.get(daypass.loginFactor({ mfaToken, code: "123456" }));
  assert.deepEqual(latest(world, "/login/factor"), { client_id: "web", mfa_token: mfaToken, code: "123456" });
  assert.deepEqual(log, ["0 signed-in login"]);
});
