// What the scenarios share:
//
// - Chromium, with a profile below target/
// - a page that imports the module, and pages of other origins
// - a proxy before the API, which counts requests, shortens lifetimes and breaks connections
// - access to the table of sessions
//
// tests/it/suites/browser.rs starts the stack, and describes it in environment variables.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, mkdirSync, openSync, readFileSync, readdirSync, rmSync, writeFileSync, writeSync } from "node:fs";
import http from "node:http";
import { createRequire } from "node:module";
import path from "node:path";
import { test } from "node:test";

const given = (name) => {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set: run \`cargo verify --only browser\``);
  return value;
};

/** The gateway, which is also the demo page's own origin, and its second origin. Without a slash at the end. */
export const API = given("DAYPASS_TEST_API");
export const SECOND = given("DAYPASS_TEST_SECOND");
/** The origin of the module's scenarios, which the client `demo` is registered for. */
export const PAGE = process.env.DAYPASS_TEST_PAGE;
/** The proxy before the API. DPoP proofs of that origin name it. */
const PROXY = process.env.DAYPASS_TEST_PROXY;
/** Where screenshots and profiles go. */
export const FOLDER = given("DAYPASS_TEST_FOLDER");
export const USER = { username: given("DAYPASS_TEST_USERNAME"), password: given("DAYPASS_TEST_PASSWORD") };
export const COOKIE = "__Host-daypass_refresh";
export const DEVICE_COOKIE = "__Host-daypass_device";
/** A host name of another site that leads to this machine. */
export const STRANGER = "stranger.example";

const { chromium } = createRequire(path.join(given("DAYPASS_TEST_PLAYWRIGHT"), "/"))("playwright-core");
/** The minified build. The demo page imports the source. */
const MODULE = given("DAYPASS_TEST_MODULE");

/** The amount of work of this depth: `cargo verify --full` does more than the gate. */
export const amount = (gate, full) => (process.env.DAYPASS_TEST_DEPTH === "full" ? full : gate);

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Waits until `look` returns something, and throws after `ms` milliseconds. */
export async function until(look, what, ms = 10e3) {
  const end = performance.now() + ms;
  for (;;) {
    const found = await look();
    if (found) return found;
    assert(performance.now() < end, `not within ${ms} ms: ${what}`);
    await sleep(20);
  }
}

/**
 * A named test with its own stage. It fails on each console error and each violation of a Content Security Policy that it did
 * not announce. `start` starts Chromium.
 */
export function scenario(name, play, start = launch) {
  test(name, { timeout: 120e3 }, async (t) => {
    const stage = new Stage(name, start);
    try {
      await stage.open();
      await play(stage, t);
      stage.checkConsoles();
    } finally {
      await stage.close();
    }
  });
}

class Stage {
  /** Whether the pages bind tokens to a key. */
  dpop = false;
  /** Patterns of the console errors that the step expects. */
  #announced = [];
  #errors = [];
  #servers = [];

  constructor(name, start) {
    this.start = start;
    this.profile = path.join(FOLDER, "profiles", name.replace(/\W+/g, "-").slice(0, 60));
    // Created once for each stage, and then changed in place: Chromium has mapped it into memory.
    mkdirSync(path.dirname(this.profile), { recursive: true });
    writeFileSync(clockFile(this.profile), new BigInt64Array(1));
  }

  async open() {
    rmSync(this.profile, { recursive: true, force: true });
    this.api = await Proxy.start();
    this.#servers.push(this.api.server);
    this.#servers.push(await servePage(Number(new URL(PAGE).port)));
    await this.launch();
  }

  /** Starts Chromium with the stage's profile: again, when it was closed. */
  async launch() {
    this.context = await this.start(this.profile);
    this.context.on("page", (page) => this.#watch(page));
    for (const page of this.context.pages()) this.#watch(page);
  }

  /** Sets the wall clock of a Chromium that `launchWithClock` started: `hours` ahead of the right time. */
  setClock(hours) {
    const file = openSync(clockFile(this.profile), "r+");
    writeSync(file, new BigInt64Array([BigInt(hours * 3600)]));
    closeSync(file);
  }

  async close() {
    await this.context?.close();
    for (const server of this.#servers) {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    }
  }

  /** Serves a page of another origin. Returns its port. */
  async stranger(html) {
    const server = await serve(0, (_, response) => {
      response.writeHead(200, { "content-type": "text/html; charset=utf-8", "cache-control": "no-store" });
      response.end(html);
    });
    this.#servers.push(server);
    return server.address().port;
  }

  /**
   * Announces the console errors of the next step, instead of those of the step before. Chromium prints them for each failed
   * request, and no option stops it.
   */
  expect(...patterns) {
    this.#announced = patterns;
  }

  #watch(page) {
    if (page.watched) return;
    page.watched = true;
    const note = (text) => {
      if (!this.#announced.some((pattern) => pattern.test(text))) this.#errors.push({ page, text });
    };
    page.on("console", (message) => {
      if (message.type() === "error") note(`${message.text()} (${message.location().url})`);
    });
    page.on("pageerror", (error) => note(String(error.stack ?? error)));
  }

  /** Fails on unannounced errors of pages that do not attack. */
  checkConsoles() {
    const loud = this.#errors.filter(({ page }) => !page.stranger);
    assert.deepEqual(loud.map(({ text }) => text), [], "console errors");
  }

  /** A tab with the page, after `start`. */
  async tab() {
    const page = await this.context.newPage();
    await page.goto(`${PAGE}/?api=${encodeURIComponent(this.api.url)}${this.dpop ? "&dpop" : ""}`);
    await page.evaluate(() => globalThis.started);
    return page;
  }

  /** As `tab`, logged in. */
  async loggedIn() {
    // Without a session the first renewal is a 400.
    this.expect(/status of 400 .*\/refresh\)$/);
    const page = await this.tab();
    this.expect();
    await page.evaluate((user) => daypass.login(user), USER);
    const { sessionId } = await session(page);
    return { page, sessionId };
  }

  /** The refresh cookie, if there is one. */
  async cookie() {
    const cookies = await this.context.cookies();
    return cookies.find(({ name }) => name === COOKIE);
  }

  /** All tokens that the proxy saw. */
  get tokens() {
    return [...this.api.tokens];
  }
}

const FLAGS = [
  // Root in a container has no sandbox. The pages are ours.
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  // Nothing leaves this machine.
  `--host-resolver-rules=MAP ${STRANGER} 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1`,
];

function launch(profile, variables = {}) {
  const executablePath = given("DAYPASS_TEST_BROWSER");
  const env = { ...process.env, ...variables };
  const options = { executablePath, headless: true, chromiumSandbox: false, args: FLAGS, env };
  return chromium.launchPersistentContext(profile, options);
}

/** The library that sets Chromium's wall clock, on Linux only: clock.c. */
export const CLOCK = process.env.DAYPASS_TEST_CLOCK_LIBRARY;
const clockFile = (profile) => `${profile}.clock`;

/** Chromium with a wall clock that `Stage.setClock` sets, for its pages and for its cookies. */
export function launchWithClock(profile) {
  return launch(profile, { LD_PRELOAD: CLOCK, DAYPASS_TEST_CLOCK: clockFile(profile) });
}

/**
 * Chromium with tabs that are hidden in the background. Playwright's own start makes every tab visible and focused, and then
 * none can be frozen. The tabs of `chromium-headless-shell` are never hidden.
 */
export async function launchPlain(profile) {
  const flags = [...FLAGS, "--headless", "--remote-debugging-port=0", `--user-data-dir=${profile}`, "about:blank"];
  const child = spawn(given("CHROMIUM"), flags, { stdio: ["ignore", "ignore", "pipe"] });
  const ended = once(child, "exit");
  let said = "";
  child.stderr.setEncoding("utf8").on("data", (text) => (said += text));
  try {
    const [, url] = await until(() => /listening on (ws:\S+)/.exec(said), "Chromium's address");
    const browser = await chromium.connectOverCDP(url, { noDefaults: true });
    const [context] = browser.contexts();
    context.close = async () => {
      const devtools = await browser.newBrowserCDPSession();
      await devtools.send("Browser.close").catch(() => {});
      await Promise.race([ended, sleep(5e3)]);
      child.kill("SIGKILL");
    };
    return context;
  } catch (error) {
    child.kill("SIGKILL");
    throw new Error(`Chromium did not start: ${said}`, { cause: error });
  }
}

function serve(port, answer) {
  const server = http.createServer(answer);
  return new Promise((resolve, reject) => {
    server.on("error", reject);
    server.listen(port, "127.0.0.1", () => resolve(server));
  });
}

const HTML = `<!doctype html><html lang="en"><title>Scenario</title><link rel="icon" href="data:,">
<script type="module" src="/page.js"></script>`;
const SCRIPT = `import { Daypass, DaypassError } from "/daypass.js";
const options = new URL(location.href).searchParams;
const url = options.get("api");
const daypass = new Daypass({ url, clientId: "demo", dpop: options.has("dpop") });
const events = [];
for (const type of ["change", "renewed"]) {
  daypass.addEventListener(type, ({ detail }) => events.push({ type, ...detail, at: performance.now() }));
}
addEventListener("securitypolicyviolation", ({ violatedDirective }) => console.error("CSP", violatedDirective));
const started = daypass.start();
// For the scenario, which calls these from outside the page.
const call = async () => {
  try {
    return (await daypass.fetch(url + "/whoami")).status;
  } catch (error) {
    return error instanceof DaypassError ? error.error : String(error);
  }
};
Object.assign(globalThis, { daypass, events, started, call });`;

/** A worker that finds the session of the pages of its origin, and calls the guarded route. */
const WORKER = `import { Daypass } from "/daypass.js";
const url = new URL(location.href).searchParams.get("api");
const daypass = new Daypass({ url, clientId: "demo" });
const state = await daypass.start();
const { status } = await daypass.fetch(url + "/whoami");
daypass.close();
postMessage({ state, status });`;

/** The examples of the documentation with the API of the test: the page of one README, and the script of the other. */
function examples() {
  const block = (file, language, content) => {
    const blocks = readFileSync(new URL(`../../${file}`, import.meta.url), "utf8").matchAll(/^```(\w+)\n([^]*?)^```$/gm);
    const found = [...blocks].filter(([, name, text]) => name === language && text.includes(content));
    assert.equal(found.length, 1, `examples in ${file}`);
    return found[0][2];
  };
  const page = block("infra/browser/README.md", "html", "new Daypass(").replaceAll("http://localhost:3000", API);
  const script = block("README.md", "js", "new Daypass(")
    .replaceAll("https://api.example.com/orders", `${API}/whoami`)
    .replaceAll("https://api.example.com", API)
    .replaceAll("https://id.example.com", API)
    .replaceAll('"web"', '"demo"');
  const credentials = `const { username, password } = ${JSON.stringify(USER)};`;
  return {
    "/example.html": ["text/html", page],
    "/example-of-script.html": ["text/html", '<!doctype html><script type="module" src="/example.js"></script>'],
    "/example.js": ["text/javascript", `${credentials}\n${script}\ndocument.title = "done";`],
  };
}

/** Serves the page of the scenarios, the examples and the module. */
function servePage(port) {
  const policy =
    "default-src 'none'; script-src 'self'; connect-src http://localhost:*; img-src data:; base-uri 'none'; " +
    "form-action 'none'; frame-ancestors 'none'";
  const files = { "/": ["text/html", HTML], "/page.js": ["text/javascript", SCRIPT], "/worker.js": ["text/javascript", WORKER], ...examples() };
  return serve(port, (request, response) => {
    const { pathname } = new URL(request.url, PAGE);
    const [type, text] = pathname === "/daypass.js" ? ["text/javascript", readFileSync(MODULE)] : files[pathname] ?? [];
    response.writeHead(type ? 200 : 404, {
      "content-type": `${type ?? "text/plain"}; charset=utf-8`,
      // The page of the example has its script inline.
      ...(pathname !== "/example.html" && { "content-security-policy": policy }),
      "cache-control": "no-store",
    });
    response.end(text);
  });
}

/** The API as the pages see it. Cookies belong to a host, whatever its port: both have the same. */
class Proxy {
  /** The `expires_in` of access tokens in seconds, or null for the server's. */
  lifetime = null;
  /** Access tokens that expired while the machine slept and the clock of the pages stopped. */
  ended = new Set();
  /** Maps the log entry of a request to `lose`, `cut`, a response to send instead, or undefined. */
  fault = () => undefined;
  /** Every request: { path, method, origin, site, type, cookie, key, authorization, proof, status, at }. */
  log = [];
  tokens = new Set();

  static async start() {
    const proxy = new Proxy();
    proxy.server = await serve(Number(new URL(PROXY).port), (request, response) => {
      proxy.#pass(request, response).catch(() => response.destroy());
    });
    proxy.url = PROXY;
    return proxy;
  }

  sent(path) {
    return this.log.filter((entry) => entry.path === path && entry.method === "POST");
  }

  async #pass(request, response) {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const { headers } = request;
    const entry = {
      path: new URL(request.url, API).pathname,
      method: request.method,
      origin: headers.origin,
      site: headers["sec-fetch-site"],
      type: headers["content-type"],
      cookie: (headers.cookie ?? "").includes(`${COOKIE}=`),
      key: headers["idempotency-key"],
      authorization: headers.authorization,
      proof: headers.dpop,
      at: performance.now(),
    };
    this.log.push(entry);
    if (this.ended.has(headers.authorization?.replace("Bearer ", ""))) headers.authorization = "Bearer ended";
    const answer = await forward(request, Buffer.concat(chunks));
    entry.status = answer.status;
    let body = answer.body;
    for (const text of answer.headers["set-cookie"] ?? []) this.#note(/=([^;]+);/.exec(text)?.[1]);
    if (/^\/(login|refresh)$/.test(entry.path) && answer.status === 200) {
      const parsed = JSON.parse(body);
      this.#note(parsed.access_token);
      if (this.lifetime) body = Buffer.from(JSON.stringify({ ...parsed, expires_in: this.lifetime }));
    }
    // Each request has its own connection: on a reused one, Chromium itself repeats a lost request.
    const sent = { ...answer.headers, "content-length": body.length, connection: "close" };
    const fault = this.fault(entry);
    if (fault === "lose") return response.destroy();
    if (fault === "cut") {
      response.writeHead(answer.status, sent);
      response.write(body.subarray(0, 20));
      return setTimeout(() => response.destroy(), 50);
    }
    if (fault) {
      const cors = Object.entries(answer.headers).filter(([name]) => /^(access-control-|vary)/.test(name));
      response.writeHead(fault.status, { ...Object.fromEntries(cors), ...fault.headers, connection: "close" });
      return response.end("{}");
    }
    response.writeHead(answer.status, sent);
    response.end(body);
  }

  #note(token) {
    if (token) this.tokens.add(token);
  }
}

function forward({ method, url, headers }, body) {
  return new Promise((resolve, reject) => {
    const to = http.request(new URL(url, API), { method, headers: { ...headers, connection: "close" } }, (answer) => {
      const chunks = [];
      answer.on("data", (chunk) => chunks.push(chunk));
      answer.on("error", reject);
      answer.on("end", () => {
        const headers = { ...answer.headers };
        for (const name of ["connection", "keep-alive", "transfer-encoding"]) delete headers[name];
        resolve({ status: answer.statusCode, headers, body: Buffer.concat(chunks) });
      });
    });
    to.on("error", reject);
    to.end(body);
  });
}

/** The table of sessions, sorted, as text. */
export async function table() {
  const operation = { TableName: given("DAYPASS_TEST_SESSIONS"), ConsistentRead: true };
  const signature = "AWS4-HMAC-SHA256 Credential=local/20260101/us-east-1/dynamodb/aws4_request, SignedHeaders=host, Signature=0";
  const answer = await fetch(given("DAYPASS_TEST_DYNAMODB"), {
    method: "POST",
    headers: {
      authorization: signature,
      "content-type": "application/x-amz-json-1.0",
      "x-amz-date": "20260101T000000Z",
      "x-amz-target": "DynamoDB_20120810.Scan",
    },
    body: JSON.stringify(operation),
  });
  const { Items: items, LastEvaluatedKey: more } = await answer.json();
  assert(items && !more, "the whole table");
  const sorted = (value) =>
    value && typeof value === "object" && !Array.isArray(value)
      ? Object.fromEntries(Object.keys(value).sort().map((key) => [key, sorted(value[key])]))
      : value;
  return items.map((item) => JSON.stringify(sorted(item))).sort();
}

/** How often the refresh token of the session was rotated, according to the table. */
export async function generation(sessionId) {
  const items = (await table()).map((line) => JSON.parse(line));
  const found = items.filter((item) => Object.values(item).some(({ S }) => S === sessionId));
  assert.equal(found.length, 1, `${sessionId} is in the table`);
  return Number(found[0].generation.N);
}

/** Ends all sessions of the user, from a client without a browser. */
export async function endElsewhere() {
  const post = async (path, body) => {
    const headers = { "content-type": "application/json" };
    const answer = await fetch(API + path, { method: "POST", headers, body: JSON.stringify(body) });
    assert.equal(answer.status, 200, path);
    return answer.json();
  };
  const { refresh_token: token } = await post("/login", USER);
  await post("/revoke", { token, all: true });
}

export const state = (page) => page.evaluate(() => daypass.state);
export const session = (page) => page.evaluate(() => daypass.session);
export const events = (page) => page.evaluate(() => globalThis.events);
/** Calls the guarded route. Returns the status, or the code of the error. */
export const call = (page) => page.evaluate(() => globalThis.call());

/** All files below a folder. */
export function* files(folder) {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const name = path.join(folder, entry.name);
    if (entry.isDirectory()) yield* files(name);
    else if (entry.isFile()) yield name;
  }
}
