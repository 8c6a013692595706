// Pages of other origins, in the browser of a user who is logged in or not.

import assert from "node:assert/strict";
import { COOKIE, STRANGER, USER, call, generation, scenario, session, sleep, table, until } from "../harness.mjs";

const PATHS = ["/login", "/refresh", "/revoke"];
const ENCODINGS = ["application/x-www-form-urlencoded", "multipart/form-data", "text/plain"];

/** Sends every request that a page can send, with and without a preflight. Returns the outcome of each. */
async function attack({ api, paths, encodings, user }) {
  const results = {};
  const fields = {
    "/login": { ...user, client_id: "demo" },
    "/refresh": { grant_type: "refresh_token", client_id: "demo" },
    "/revoke": { all: "true", client_id: "demo" },
  };
  const attempt = async (name, work) => {
    try {
      results[name] = await Promise.race([work(), new Promise((resolve) => setTimeout(resolve, 5000, "nothing"))]);
    } catch (error) {
      results[name] = String(error);
    }
  };
  const read = async (answer) => `${answer.type} ${answer.status} ${await answer.text()}`;
  let frames = 0;
  const frame = (name = `frame${frames++}`) => {
    const frame = document.createElement("iframe");
    frame.name = name;
    document.body.append(frame);
    return frame;
  };
  const loaded = (element) => new Promise((resolve) => (element.onload = () => resolve("loaded")));
  for (const path of paths) {
    const url = api + path;
    const json = JSON.stringify(fields[path]);
    for (const mode of ["cors", "no-cors"]) {
      for (const type of [...encodings, "application/json"]) {
        await attempt(`${path} fetch ${mode} ${type}`, async () => {
          const body = type.endsWith("urlencoded") ? new URLSearchParams(fields[path]).toString() : json;
          const init = { method: "POST", mode, credentials: "include", headers: { "content-type": type }, body };
          return read(await fetch(url, init));
        });
      }
    }
    await attempt(`${path} fetch with a header`, async () => {
      const headers = { "content-type": "application/json", "idempotency-key": "0123456789abcdef0123", "x-daypass": "1" };
      return read(await fetch(url, { method: "POST", credentials: "include", headers, body: json }));
    });
    await attempt(`${path} beacon`, async () => navigator.sendBeacon(url, new Blob([json], { type: "text/plain" })));
    for (const encoding of encodings) {
      await attempt(`${path} form ${encoding}`, async () => {
        const target = frame();
        const form = Object.assign(document.createElement("form"), { method: "post", action: url, enctype: encoding });
        form.target = target.name;
        // As text/plain, name and value around the "=" make one JSON document.
        const pairs =
          encoding === "text/plain" ? [[json.slice(0, -1) + ',"x":"', '"}']] : Object.entries(fields[path]);
        for (const [name, value] of pairs) {
          form.append(Object.assign(document.createElement("input"), { type: "hidden", name, value }));
        }
        document.body.append(form);
        const done = loaded(target);
        form.submit();
        return done;
      });
    }
    await attempt(`${path} image`, () => {
      const image = new Image();
      const done = new Promise((resolve) => (image.onload = image.onerror = ({ type }) => resolve(type)));
      image.src = url;
      return done;
    });
    await attempt(`${path} frame`, async () => {
      const target = frame();
      const done = loaded(target);
      target.src = url;
      await done;
      try {
        return target.contentDocument?.body?.textContent ?? "closed";
      } catch {
        return "closed";
      }
    });
  }
  return results;
}

const HTML = `<!doctype html><html lang="en"><title>Stranger</title><link rel="icon" href="data:,"><body></body>`;

/** A stranger's page that tries everything. Gives what reached the server. */
async function tryAll(stage, origin) {
  const page = await stage.context.newPage();
  page.stranger = true;
  await page.goto(origin);
  const from = stage.api.log.length;
  const given = { api: stage.api.url, paths: PATHS, encodings: ENCODINGS, user: USER };
  const results = await page.evaluate(attack, given);
  await sleep(300); // the beacons
  assert(Object.keys(results).length >= 3 * 15, "everything was tried");
  for (const [name, result] of Object.entries(results)) {
    // Nothing that a script gets of an answer: an opaque one has neither status nor text.
    if (name.includes("fetch")) assert.match(String(result), /^(TypeError: Failed to fetch|opaque 0 )$/, name);
    if (name.includes("image")) assert.equal(result, "error", name);
    if (name.includes(" frame")) assert.match(result, /^(closed|)$/, name);
    assert.notEqual(result, "nothing", name);
  }
  await page.close();
  const log = stage.api.log.slice(from);
  for (const path of PATHS) {
    for (const method of ["GET", "POST", "OPTIONS"]) {
      const of = log.filter((entry) => entry.path === path && entry.method === method);
      assert(of.length > 0, `${method} ${path} was tried`);
      for (const entry of of) {
        assert(entry.status >= 400 && entry.status < 500, `${method} ${path} ${entry.type}: ${entry.status}`);
      }
    }
    const types = new Set(log.filter((entry) => entry.path === path).map(({ type }) => type?.split(";")[0]));
    for (const type of ENCODINGS) assert(types.has(type), `${path} ${type}`);
  }
  const json = log.filter(({ method, type }) => method === "POST" && type?.startsWith("application/json"));
  assert.deepEqual(json, [], "what no form can send asks first, and is told no");
  return log;
}

scenario("a stranger's page at another port or on another site changes nothing for who is logged in", async (stage) => {
  const { page, sessionId } = await stage.loggedIn();
  const port = await stage.stranger(HTML);
  const { value } = await stage.cookie();
  const before = await table();
  // Another port is the same site: there the cookie goes along, and the origin is what the server goes by.
  const near = await tryAll(stage, `http://localhost:${port}/`);
  assert(near.some(({ method, cookie, path }) => method === "POST" && cookie && path === "/revoke"), "with the cookie");
  assert(near.every(({ site }) => site === "same-site" || site === undefined));
  // Another host that leads to this machine is another site, as a name and as an address.
  for (const host of [STRANGER, "127.0.0.1"]) {
    const far = await tryAll(stage, `http://${host}:${port}/`);
    assert(far.every(({ cookie }) => !cookie), "SameSite keeps the cookie away");
    assert(far.some(({ method }) => method === "POST"));
  }
  assert.deepEqual(await table(), before, "the table is bit for bit what it was");
  assert.equal((await stage.cookie()).value, value);
  assert.equal(await call(page), 200);
  // And the session is alive, which a table that is only compared does not show.
  await page.reload();
  assert.equal(await page.evaluate(() => globalThis.started), "signed-in");
  assert.equal((await session(page)).sessionId, sessionId);
  await until(async () => (await generation(sessionId)) === 1, "the renewal of the reload");
});

scenario("a stranger's page logs nobody in", async (stage) => {
  const port = await stage.stranger(HTML);
  const before = await table();
  for (const host of ["localhost", STRANGER, "127.0.0.1"]) {
    const log = await tryAll(stage, `http://${host}:${port}/`);
    assert(log.every(({ cookie }) => !cookie));
    const cookies = await stage.context.cookies();
    assert.deepEqual(cookies.filter(({ name }) => name === COOKIE), []);
  }
  assert.deepEqual(await table(), before);
});
