// The client module in Chromium, against the real functions.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import path from "node:path";
import {
  CLOCK, DEVICE_COOKIE, PAGE, amount, call, endElsewhere, events, files, generation, launchPlain, launchWithClock, scenario, session, sleep,
  state, until,
} from "../harness.mjs";

/** What looks like a token, whichever it is: ours by its prefix, and any JWT. */
const TOKEN = /daypass_rt_|eyJ[\w-]{8,}\.[\w-]+\.[\w-]+/;

/** All that a script of the page can read of what the browser keeps. */
const kept = (page) =>
  page.evaluate(async () => {
    const stores = [localStorage, sessionStorage].map((store) => JSON.stringify({ ...store }));
    return {
      texts: [document.cookie, ...stores, location.href, JSON.stringify(history.state)],
      databases: await indexedDB.databases(),
      caches: await caches.keys(),
    };
  });

// invariant: No token is in `document.cookie` or in any storage of a page.
scenario("logged in after a reload and after the browser was closed, with no token in reach of a script", async (stage) => {
  const { page, sessionId } = await stage.loggedIn();
  const looks = [await kept(page)];
  await page.reload();
  assert.equal(await page.evaluate(() => globalThis.started), "signed-in");
  assert.equal((await session(page)).sessionId, sessionId);
  assert.equal(await call(page), 200);
  looks.push(await kept(page));
  const { value, expires, ...cookie } = await stage.cookie();
  assert.deepEqual(
    { httpOnly: cookie.httpOnly, secure: cookie.secure, sameSite: cookie.sameSite, path: cookie.path },
    { httpOnly: true, secure: true, sameSite: "Strict", path: "/" },
  );
  assert(expires * 1e3 > Date.now() + 170 * 24 * 3600e3, "half a year");
  assert(value.startsWith("daypass_rt_"));

  await stage.context.close();
  await stage.launch();
  const reopened = await stage.tab();
  assert.equal(await state(reopened), "signed-in");
  assert.equal((await session(reopened)).sessionId, sessionId);
  assert.equal(await call(reopened), 200);
  looks.push(await kept(reopened));

  // While an attempt is under way, its name is stored: that, and nothing else.
  stage.expect(/ERR_EMPTY_RESPONSE .*\/refresh\)$/);
  stage.api.fault = ({ path }) => (path === "/refresh" ? "lose" : undefined);
  await reopened.reload();
  assert.equal(await reopened.evaluate(() => globalThis.started), "starting");
  looks.push(await kept(reopened));
  assert.match(looks.at(-1).texts[1], /^\{"daypass http:[^"]+ demo":"[0-9a-f-]{36}"\}$/);
  stage.api.fault = () => undefined;
  await until(async () => (await state(reopened)) === "signed-in", "the retry");
  stage.expect();

  assert(stage.tokens.length >= 6, "the scan knows what to look for");
  for (const { texts, databases, caches } of looks) {
    assert.equal(texts[0], "", "document.cookie is empty");
    assert.deepEqual([databases, caches], [[], []], "and there is neither a database nor a cache");
    for (const text of texts) {
      assert.doesNotMatch(text, TOKEN);
      for (const token of stage.tokens) assert(!text.includes(token));
    }
  }
  await stage.context.close();
  let scanned = 0;
  for (const file of files(stage.profile)) {
    if (/^Cookies/.test(path.basename(file))) continue;
    const content = readFileSync(file, "latin1");
    scanned++;
    for (const token of stage.tokens) assert(!content.includes(token), `${file} has a token`);
  }
  assert(scanned > 20, "the profile was scanned");
});

scenario("the examples in the documentation run as written", async (stage) => {
  // The first renewal finds no session, and the pages have no icon.
  stage.expect(/status of 400 .*\/refresh\)$/, /favicon\.ico/, /Content Security Policy/);
  const page = await stage.context.newPage();
  for (const visit of ["login", "reload"]) {
    await page.goto(`${PAGE}/example.html`);
    await until(() => page.evaluate(() => document.body?.textContent.includes('"sub":"usr_')), `the response after the ${visit}`);
  }
  await page.goto(`${PAGE}/example-of-script.html`);
  await until(async () => (await page.title()) === "done", "the end of the script");
});

/** Seconds. The server allows no fewer than 300; the proxy before it says so instead. */
const LIFETIME = 2;
const TABS = 8;
const LIFETIMES = amount(6, 10);

for (const lossy of [false, true]) {
  const loss = lossy ? ", with one answer in five lost on the wire" : "";
  scenario(`eight tabs, ${LIFETIMES} lifetimes, one rotation each${loss}`, async (stage) => {
    stage.api.lifetime = LIFETIME;
    const { page, sessionId } = await stage.loggedIn();
    const pages = [page];
    while (pages.length < TABS) pages.push(await stage.tab());
    const forget = () => Promise.all(pages.map((tab) => tab.evaluate(() => void globalThis.events.splice(0))));
    await forget();
    // When all have heard of a renewal, the next one is most of a lifetime away.
    for (const tab of pages) {
      await until(async () => (await events(tab)).some(({ type }) => type === "renewed"), "a first renewal");
    }
    await forget();
    let answers = 0;
    const lost = [];
    stage.api.fault = (entry) => {
      if (!lossy || entry.path !== "/refresh" || entry.method !== "POST" || ++answers % 5 !== 2) return undefined;
      lost.push(entry);
      return "lose";
    };
    if (lossy) stage.expect(/ERR_EMPTY_RESPONSE .*\/refresh\)$/);
    const start = { at: performance.now(), generation: await generation(sessionId), sent: stage.api.sent("/refresh").length };

    const renewals = async (tab) => (await events(tab)).filter(({ type }) => type === "renewed");
    await until(async () => (await renewals(page)).length >= LIFETIMES, "all renewals", 60e3);
    const took = performance.now() - start.at;
    await sleep(300); // the last message
    // Before the calls below: on a busy machine they take until the next renewal.
    const seen = await Promise.all(pages.map(events));
    const sent = stage.api.sent("/refresh").slice(start.sent);
    const rotations = (await generation(sessionId)) - start.generation;
    assert.equal(rotations, LIFETIMES, "rotations in the table");
    assert.equal(sent.length, LIFETIMES + lost.length, "requests at the server");
    assert(took > LIFETIMES * LIFETIME * 1e3 * 0.8 - LIFETIME * 1e3, `no lifetime was cut short: ${took} ms`);
    for (const [number, tab] of pages.entries()) {
      assert.deepEqual(new Set(seen[number].map(({ type }) => type)), new Set(["renewed"]), `tab ${number}`);
      assert.equal(seen[number].length, LIFETIMES, `tab ${number}`);
      assert.equal((await session(tab)).sessionId, sessionId);
      assert.equal(await call(tab), 200);
    }
    const own = seen.flat().filter(({ by }) => by === "this-tab");
    assert.equal(own.length, LIFETIMES, "each by one of the tabs");
    for (const entry of lost) {
      const retry = sent[sent.indexOf(entry) + 1];
      assert.equal(retry.key, entry.key, "a lost answer is asked for under the same name");
    }
    if (lossy) assert(lost.length >= 2);
    const keys = new Set(sent.map(({ key }) => key));
    assert.equal(keys.size, LIFETIMES);
    console.log(`  ${TABS} tabs, ${rotations} rotations, ${sent.length} requests, ${lost.length} answers lost, ${(took / 1e3).toFixed(1)} s`);
  });
}

if (CLOCK) {
  scenario(
    "the clock of the machine two hours wrong, either way, and set while pages are open",
    async (stage) => {
      const wrong = async (page) => {
        const ms = (await page.evaluate(() => Date.now())) - Date.now();
        return Math.round(ms / 3600e3) + 0; // no -0
      };
      stage.setClock(2);
      stage.api.lifetime = LIFETIME;
      const { page, sessionId } = await stage.loggedIn();
      let tabs = [page, await stage.tab()];
      const start = { at: performance.now(), generation: await generation(sessionId) };
      for (const hours of [2, -2, 2, 0]) {
        stage.setClock(hours);
        const before = await generation(sessionId);
        await sleep(1.5 * LIFETIME * 1e3);
        assert((await generation(sessionId)) > before, "renewals go on");
        for (const tab of tabs) {
          assert.equal(await wrong(tab), hours, "hours that the clock is wrong");
          assert.equal(await call(tab), 200);
          const { expiresIn, ...rest } = await session(tab);
          assert.equal(rest.sessionId, sessionId);
          assert(expiresIn >= 0 && expiresIn <= LIFETIME, `${expiresIn} s`);
        }
      }
      const lifetimes = (performance.now() - start.at) / 1e3 / LIFETIME;
      const rotations = (await generation(sessionId)) - start.generation;
      assert(rotations <= Math.ceil(lifetimes / 0.75), `${rotations} rotations in ${lifetimes} lifetimes`);

      // The cookie's end is by the browser's clock: it is there, and the session with it, when the clock is another.
      const ends = [];
      for (const hours of [-2, 2]) {
        await stage.context.close();
        stage.setClock(hours);
        await stage.launch();
        tabs = [await stage.tab()];
        assert.equal(await wrong(tabs[0]), hours);
        assert.equal(await state(tabs[0]), "signed-in");
        assert.equal((await session(tabs[0])).sessionId, sessionId);
        ends.push((await stage.cookie()).expires);
      }
      assert.equal(Math.round((ends[1] - ends[0]) / 3600), 4, "hours between the ends of the two cookies");
    },
    launchWithClock,
  );
} else {
  console.log("not on this system: the clock of the machine two hours wrong (it is set on Linux)");
}

scenario("after sleep, calls across origins work at once, where refusals have no CORS headers", async (stage) => {
  const { page, sessionId } = await stage.loggedIn();
  // The authorizer before it refuses a token, and API Gateway says nothing of origins then.
  const sessions = (...methods) =>
    page.evaluate(
      (methods) =>
        Promise.all(
          methods.map((method) =>
            daypass.fetch(`${new URL(location.href).searchParams.get("api")}/sessions${method === "DELETE" ? "/none" : ""}`, { method })
              .then(({ status }) => status, String),
          ),
        ),
      methods,
    );
  const blocked = [/blocked by CORS policy/, /ERR_FAILED .*\/sessions(\/none)?\)$/];
  assert.deepEqual(await sessions("GET"), [200]);
  const before = await generation(sessionId);
  for (const [slept, methods, statuses] of [
    [1, ["GET", "GET", "GET"], [200, 200, 200]],
    // What may have been done is not done twice; the call after it has a token that is good.
    [2, ["DELETE"], ["TypeError: Failed to fetch"]],
  ]) {
    stage.expect(...blocked);
    stage.api.ended = new Set(stage.tokens);
    assert.deepEqual(await sessions(...methods), statuses);
    stage.expect();
    assert.equal(await generation(sessionId), before + slept);
  }
  stage.expect(/status of 404 .*\/sessions\/none\)$/);
  assert.deepEqual(await sessions("DELETE", "GET"), [404, 200]);
  assert.equal(await generation(sessionId), before + 2);
});

scenario(
  "a tab that was frozen past the end of its token works at the next call, and so does a hidden one",
  async (stage) => {
    stage.api.lifetime = LIFETIME;
    const { page, sessionId } = await stage.loggedIn();
    const devtools = await stage.context.newCDPSession(page);
    const freeze = (state) => devtools.send("Page.setWebLifecycleState", { state });
    // A beat that stops when the tab is frozen.
    await page.evaluate(() => {
      globalThis.beats = 0;
      setInterval(() => beats++, 100);
    });
    await freeze("frozen");
    const [sent, beats] = [stage.api.sent("/refresh").length, 10];
    await sleep(2 * LIFETIME * 1e3);
    assert.equal(stage.api.sent("/refresh").length, sent);
    await freeze("active");
    assert((await page.evaluate(() => beats)) < beats, "it was frozen");
    assert.equal(await call(page), 200);
    assert.equal(stage.api.sent("/refresh").length, sent + 1, "and renewed once");

    // Another tab goes on meanwhile: its messages are late, and not wrong.
    const other = await stage.tab();
    await other.bringToFront();
    await freeze("frozen");
    await sleep(2 * LIFETIME * 1e3);
    assert.equal(await call(other), 200);
    const rotations = await generation(sessionId);
    await freeze("active");
    assert.equal(await call(page), 200);
    assert((await generation(sessionId)) <= rotations + 1);
    for (const tab of [page, other]) assert.equal((await session(tab)).sessionId, sessionId);

    // A hidden tab alone lets its token end, and renews when it is called or seen.
    await other.close();
    const blank = await stage.context.newPage();
    await blank.bringToFront();
    await until(() => page.evaluate(() => document.hidden), "it is hidden");
    await sleep(2 * LIFETIME * 1e3);
    const asleep = await generation(sessionId);
    await sleep(1.5 * LIFETIME * 1e3);
    assert.equal(await generation(sessionId), asleep, "it costs nothing");
    assert.equal(await call(page), 200);
    assert.equal(await generation(sessionId), asleep + 1);
    await sleep(1.5 * LIFETIME * 1e3);
    await page.bringToFront();
    await until(async () => (await generation(sessionId)) > asleep + 1, "the renewal when it is seen again");

    // With a token that may have ended meanwhile it does not wait for the end: it was frozen, and is seen again.
    stage.api.lifetime = null;
    await until(async () => (await call(page)) === 200 && (await session(page)).expiresIn > 10, "a token of minutes");
    const thawed = await generation(sessionId);
    await freeze("frozen");
    await sleep(100);
    await freeze("active");
    await blank.bringToFront();
    await page.bringToFront();
    await until(async () => (await generation(sessionId)) === thawed + 1, "the renewal after the thaw");
  },
  launchPlain,
);

scenario("a session that was ended from another device: every tab shows it at its next renewal", async (stage) => {
  stage.api.lifetime = LIFETIME;
  const { page } = await stage.loggedIn();
  const pages = [page, await stage.tab(), await stage.tab()];
  stage.expect(/status of 400 .*\/refresh\)$/);
  const before = performance.now();
  await endElsewhere();
  for (const tab of pages) {
    await until(async () => (await state(tab)) === "signed-out", "signed out", (LIFETIME + 2) * 1e3);
    assert.equal((await events(tab)).at(-1).reason, "ended");
    assert.equal(await call(tab), "signed_out");
  }
  const sent = stage.api.sent("/refresh").length;
  assert(performance.now() - before < (LIFETIME + 2) * 1e3);
  assert.equal(await stage.cookie(), undefined, "and the cookie is gone");
  await sleep(2 * LIFETIME * 1e3);
  assert.equal(stage.api.sent("/refresh").length, sent, "nobody asks again");
});

scenario("login and logout show in every tab, and no token of a session stays", async (stage) => {
  const refused = /status of 400 .*\/refresh\)$/;
  stage.expect(refused);
  const early = await stage.tab();
  const { page, sessionId } = await stage.loggedIn();
  stage.expect(refused);
  await until(async () => (await state(early)) === "signed-in", "the login in the other tab");
  assert.equal((await session(early)).sessionId, sessionId);
  assert(await stage.cookie());
  for (const everywhere of [false, true]) {
    await page.evaluate((everywhere) => daypass.logout({ everywhere }), everywhere);
    await until(async () => (await state(early)) === "signed-out", "the logout in the other tab");
    const devtools = await stage.context.newCDPSession(page);
    const { cookies } = await devtools.send("Storage.getCookies");
    assert.deepEqual(cookies.map(({ name }) => name), [DEVICE_COOKIE]);
    assert.equal(await call(early), "signed_out");
    await early.reload();
    assert.equal(await early.evaluate(() => globalThis.started), "signed-out");
    if (everywhere) return;
    await early.evaluate((user) => daypass.login(user), {
      username: process.env.DAYPASS_TEST_USERNAME,
      password: process.env.DAYPASS_TEST_PASSWORD,
    });
    await until(async () => (await state(page)) === "signed-in", "the second login");
  }
});

scenario("a rejected logout leaves the session, and one without a cookie ends it", async (stage) => {
  const { page } = await stage.loggedIn();
  // Such as after a mistake in a proxy: the server did not read the request.
  const rejection = {
    status: 400,
    headers: { "access-control-allow-origin": PAGE, "access-control-allow-credentials": "true" },
    json: { error: "invalid_request", error_description: "The body is not one JSON object with distinct members." },
  };
  await page.route("**/revoke", (route) => route.fulfill(rejection));
  stage.expect(/status of 400 .*\/revoke\)$/);
  const logout = () => page.evaluate(() => daypass.logout().then(() => "done", ({ error }) => error));
  assert.equal(await logout(), "invalid_request");
  assert.equal(await state(page), "signed-in");
  assert.equal(await call(page), 200);

  await page.unroute("**/revoke");
  await stage.context.clearCookies();
  assert.equal(await logout(), "done");
  assert.equal(await state(page), "signed-out");
  stage.expect();
});

scenario("a worker has the session of the pages", async (stage) => {
  const { page } = await stage.loggedIn();
  const answer = await page.evaluate((api) => {
    const worker = new Worker(`/worker.js?api=${encodeURIComponent(api)}`, { type: "module" });
    return new Promise((resolve, reject) => {
      worker.onmessage = ({ data }) => resolve(data);
      worker.onerror = ({ message }) => reject(new Error(message));
    });
  }, stage.api.url);
  assert.deepEqual(answer, { state: "signed-in", status: 200 });
  assert.equal(stage.api.sent("/refresh").length, 1, "the token came from the page");
});

scenario("offline, a busy server, a lost answer: the same session afterwards", async (stage) => {
  stage.api.lifetime = LIFETIME;
  const { page, sessionId } = await stage.loggedIn();
  const same = async () => {
    assert.equal(await call(page), 200);
    assert.equal((await session(page)).sessionId, sessionId);
    const changes = (await events(page)).filter(({ type }) => type === "change");
    assert.deepEqual(changes.map(({ reason }) => reason), ["start", "login"], "nobody was signed out");
  };

  stage.expect(/ERR_INTERNET_DISCONNECTED/);
  await stage.context.setOffline(true);
  await sleep(2 * LIFETIME * 1e3);
  assert.equal(await state(page), "signed-in");
  const before = performance.now();
  assert.equal(await call(page), "unreachable");
  assert(performance.now() - before < 15e3, "a clear error in bounded time");
  await stage.context.setOffline(false);
  await same();
  stage.expect();

  stage.expect(/status of 503 .*\/refresh\)$/);
  let busy = 1;
  stage.api.fault = ({ path, method }) =>
    path === "/refresh" && method === "POST" && busy-- > 0
      ? { status: 503, headers: { "retry-after": "2", "content-type": "application/json" } }
      : undefined;
  await until(() => busy <= 0, "a busy answer");
  await same();
  const [refused, retry] = stage.api.sent("/refresh").slice(-2);
  assert(retry.at - refused.at >= 2e3, `it waited ${retry.at - refused.at} ms`);
  assert.equal(refused.key, retry.key);
  stage.expect();

  // The server has rotated, and neither token nor cookie has come; then there is no network until the grace is over.
  for (const fault of ["lose", "cut"]) {
    stage.expect(
      /ERR_INTERNET_DISCONNECTED/, /ERR_EMPTY_RESPONSE .*\/refresh\)$/, /ERR_(INCOMPLETE_CHUNKED|CONTENT_LENGTH_MISMATCH)/,
    );
    let broken;
    stage.api.fault = (entry) => {
      if (broken || entry.path !== "/refresh" || entry.method !== "POST") return undefined;
      broken = entry;
      void stage.context.setOffline(true);
      return fault;
    };
    await until(() => broken, "a broken answer");
    await sleep(3.5e3);
    const sent = stage.api.sent("/refresh").length;
    await stage.context.setOffline(false);
    await same();
    const entry = stage.api.sent("/refresh")[sent];
    assert.equal(entry.key, broken.key, "under the same name");
    assert(entry.at - broken.at > 3e3, "after the grace window");
    stage.expect();
  }
});
