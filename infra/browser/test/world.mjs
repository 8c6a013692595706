// A simulated browser with a clock that the test moves: timers, locks, channels and storage. Its server rotates refresh tokens
// by the rules of the real one. Each Daypass object stands for a tab.

import { setImmediate as turnOfTheLoop } from "node:timers/promises";

export const API = "https://api.example.com";
const GRACE = 30e3;

/** Replaces the globals that the module uses. The wall clock throws: the module must not read it. */
export class World {
  now = 1e6;
  hidden = false;
  online = true;
  /** Milliseconds that a message between tabs takes. */
  latency = 1;
  /** Milliseconds that the server takes. */
  serverTime = 20;
  /** Faults of the next responses: functions of the server's response, or null for none. */
  faults = [];
  lifetime = 300;
  /** The status of an authorizer's rejection: 403 of an HTTP API, 401 of a REST API. */
  refusal = 401;
  /** Whether the revocation feed of the authorizer has the ended sessions. */
  feedIsCurrent = false;
  /** Whether rejections have CORS headers. Without them the page gets an error instead of the response. */
  cors = true;
  requests = [];
  /** The states of replaced history entries. */
  replaced = [];
  /** Tokens and codes of mails. Each works once. */
  mails = new Set();
  /** Whether a reset is of a user without a session here. */
  resetsAnother = false;
  storage = {};
  cookie = null;
  sessions = new Map();
  #timers = new Map();
  #ids = 0;
  #channels = new Set();
  #listeners = new Map();
  #held = new Map();
  /** From access token to expiry. */
  #tokens = new Map();
  /** Access tokens after a reauthentication by two factors. */
  #strong = new Set();

  constructor() {
    const world = this;
    const define = (name, value) =>
      Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
    define("performance", { now: () => world.now });
    define("setTimeout", (work, ms = 0, ...rest) => {
      const delay = Number.isFinite(ms) && ms > 0 ? ms : 0;
      world.#timers.set(++world.#ids, { at: world.now + delay, work: () => work(...rest) });
      return world.#ids;
    });
    define("clearTimeout", (id) => void world.#timers.delete(id));
    define("Date", class {
      static now() {
        throw new Error("the module read the wall clock");
      }
      constructor() {
        Date.now();
      }
    });
    define("isSecureContext", true);
    const url = new URL("https://app.example.com/");
    define("location", url);
    define("history", {
      state: null,
      replaceState: (state, _, target) => {
        world.replaced.push(state);
        url.href = new URL(target, url).href;
      },
    });
    define("document", Object.defineProperty({}, "hidden", { get: () => world.hidden }));
    define("navigator", { locks: { request: world.#lock.bind(world) } });
    define("localStorage", world.storage);
    define("addEventListener", (type, listener) => world.#of(type).add(listener));
    define("removeEventListener", (type, listener) => world.#of(type).delete(listener));
    define("fetch", (request, init) => world.#answer(request, init));
    define("BroadcastChannel", class {
      constructor(name) {
        this.name = name;
        world.#channels.add(this);
      }
      postMessage(message) {
        if (!world.#channels.has(this)) throw new Error("the channel is closed");
        const text = structuredClone(message);
        for (const other of world.#channels) {
          if (other === this || other.name !== this.name) continue;
          setTimeout(() => world.#channels.has(other) && other.onmessage?.({ data: structuredClone(text) }), world.latency);
        }
      }
      close() {
        world.#channels.delete(this);
      }
    });
    AbortSignal.timeout = (ms) => {
      const controller = new AbortController();
      setTimeout(() => controller.abort(new Error("too late")), ms);
      return controller.signal;
    };
  }

  #of(type) {
    if (!this.#listeners.has(type)) this.#listeners.set(type, new Set());
    return this.#listeners.get(type);
  }

  dispatch(type, fields = {}) {
    for (const listener of this.#of(type)) listener({ type, ...fields });
  }

  listeners() {
    return [...this.#listeners.values()].reduce((sum, set) => sum + set.size, 0);
  }

  timers() {
    return this.#timers.size;
  }

  /** Runs all promises, and the bodies of requests and responses. */
  async settle() {
    for (let i = 0; i < 4; i++) await turnOfTheLoop();
  }

  /** Serves a request of the module to a path. */
  async respond(request, serve) {
    return serve();
  }

  /** Expires all access tokens, as after a sleep in which the clock of the page stopped. */
  age() {
    this.#tokens.clear();
  }

  /** Moves the clock by that many milliseconds. */
  async pass(ms) {
    const end = this.now + ms;
    for (;;) {
      await this.settle();
      const [id, next] = [...this.#timers].sort(([, a], [, b]) => a.at - b.at)[0] ?? [];
      if (!next || next.at > end) break;
      this.#timers.delete(id);
      this.now = Math.max(this.now, next.at);
      next.work();
    }
    this.now = end;
  }

  /** Moves the clock until the promise is settled. Throws after a minute. */
  async settled(promise) {
    let done = false;
    const outcome = promise.then(
      (value) => ((done = true), { value }),
      (error) => ((done = true), { error }),
    );
    for (let spent = 0; !done; spent += 10) {
      if (spent > 60e3) throw new Error("not settled within a minute");
      await this.pass(10);
    }
    return outcome;
  }

  /** As `settled`, and returns the value. */
  async get(promise) {
    const { value, error } = await this.settled(promise);
    if (error) throw error;
    return value;
  }

  async #lock(name, { signal }, work) {
    const turns = this.#held.get(name) ?? [];
    this.#held.set(name, turns);
    const aborted = new Promise((_, reject) => {
      if (signal.aborted) reject(signal.reason);
      signal.addEventListener("abort", () => reject(signal.reason));
    });
    aborted.catch(() => {});
    let release;
    const own = new Promise((resolve) => (release = resolve));
    const before = turns.at(-1);
    turns.push(own);
    try {
      await Promise.race([before, aborted]);
    } catch (error) {
      Promise.resolve(before).then(release);
      throw error;
    }
    try {
      return await work({ name });
    } finally {
      turns.splice(turns.indexOf(own), 1);
      release();
    }
  }

  /** Takes the lock and never releases it, as a frozen tab does. */
  holdLock(name) {
    void this.#lock(name, { signal: new AbortController().signal }, () => new Promise(() => {}));
  }

  /** Requests to one path. */
  sent(path) {
    return this.requests.filter((request) => request.path === path);
  }

  async #answer(input, init) {
    const request = new Request(input, init);
    const path = new URL(request.url).pathname;
    const bearer = request.headers.get("authorization")?.replace(/^(Bearer|DPoP) /, "");
    const text = await request.text();
    const key = request.headers.get("idempotency-key");
    this.requests.push({ path, bearer, key, text, at: this.now, request });
    request.signal.throwIfAborted();
    if (!this.online) throw new TypeError("offline");
    await new Promise((resolve, reject) => {
      setTimeout(resolve, this.serverTime);
      request.signal.addEventListener("abort", () => reject(request.signal.reason));
    });
    if (this.faultOfApi && bearer) throw this.faultOfApi;
    const cookie = this.cookie;
    const answer = await this.respond(request, () => this.#serve(path, text, key, bearer));
    if (bearer && !answer.ok && !this.cors && !request.url.startsWith(location.origin)) throw new TypeError("no CORS");
    const fault = path === "/guarded" ? null : this.faults.shift();
    if (!fault) return answer;
    // The connection broke before the browser read the cookie.
    if (fault.losesCookie) this.cookie = cookie;
    return fault(answer);
  }

  #serve(path, text, key, bearer) {
    const json = (status, body, headers) => Response.json(body, { status, headers });
    const refuse = (status, error) => json(status, { error, error_description: `text of ${error}` });
    // API Gateway's own form: https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-lambda-authorizer.html
    const reject = () => json(this.refusal, { message: this.refusal === 403 ? "Forbidden" : "Unauthorized" });
    const isLive = this.now < this.#tokens.get(bearer);
    const noCookie = () => json(400, { error: "invalid_request", error_description: "no cookie", missing: "token" });
    if (path === "/forbidden") return refuse(403, "forbidden");
    if (path === "/guarded") return isLive ? json(200, { echo: text }) : reject();
    if (path === "/sensitive") {
      if (!isLive) return reject();
      const challenge = 'Bearer error="insufficient_user_authentication", acr_values="2", max_age="300"';
      const isStrong = this.#strong.has(bearer);
      return isStrong ? json(200, { echo: text }) : json(403, { message: "Forbidden" }, { "www-authenticate": challenge });
    }
    const body = JSON.parse(text);
    if (body.client_id !== "web") return refuse(400, "invalid_client");
    const mail = () => {
      const code = String(10000000 + this.requests.length);
      this.mails.add(code);
      return json(202, { request: `daypass_request_${code}`, expires_in: 3600 });
    };
    if (path === "/signup" || path === "/recover") return body.email ? mail() : refuse(400, "invalid_request");
    if (path === "/email") {
      if (!isLive) return reject();
      return body.current_password === "right" ? mail() : refuse(400, "wrong_password");
    }
    if (path.endsWith("/confirm")) {
      const { token, request, code } = body;
      if (!(token ? this.mails.delete(token) : request.endsWith(code) && this.mails.delete(code))) return refuse(400, "invalid_token");
      if (path === "/signup/confirm") return json(201, { user: "usr_1" });
      if (path === "/recover/confirm" && !this.resetsAnother) for (const session of this.sessions.values()) session.ended = true;
      return new Response(null, { status: 204 });
    }
    if (path === "/login/factor") {
      if (body.mfa_token !== "daypass_mfa_1") return refuse(400, "invalid_grant");
      if (body.code !== "123456") return refuse(400, "wrong_code");
      const session = { id: `ses_${this.sessions.size + 1}`, generation: 0, scope: "all" };
      this.sessions.set(session.id, session);
      return this.#issue(session);
    }
    if (path === "/login") {
      if (body.password !== "right") return refuse(401, "invalid_grant");
      if (body.username === "carol") return json(403, { error: "mfa_required", error_description: "a code", mfa_token: "daypass_mfa_1" });
      const session = { id: `ses_${this.sessions.size + 1}`, generation: 0, scope: body.scope ?? "all" };
      this.sessions.set(session.id, session);
      return this.#issue(session);
    }
    if (path.startsWith("/reauthenticate")) {
      const own = [...this.sessions.values()].find((session) => session.token === bearer);
      if (!isLive || !own || own.ended) return refuse(401, "invalid_token");
      if (path === "/reauthenticate/passkey/options") return json(200, { challenge: own.id });
      if (!body.passkey && body.current_password !== "right") return refuse(400, "wrong_password");
      if (!body.passkey && !body.code) return refuse(403, "insufficient_user_authentication");
      const { cookie } = this;
      const answer = this.#issue(own);
      this.cookie = cookie;
      this.#strong.add(own.token);
      return answer;
    }
    if (path === "/password") {
      const old = [...this.sessions.values()].find((session) => session.token === bearer);
      if (!isLive || (this.feedIsCurrent && old?.ended)) return reject();
      if (!old || (old.ended && old.successor?.generation !== 0)) return refuse(401, "invalid_token");
      if (body.current_password !== "right") return refuse(400, "wrong_password");
      for (const other of this.sessions.values()) other.ended ||= other !== old.successor;
      if (!old.successor) {
        old.successor = { id: `ses_${this.sessions.size + 1}`, generation: 0, scope: old.scope };
        this.sessions.set(old.successor.id, old.successor);
      }
      return this.#issue(old.successor);
    }
    const session = this.cookie && this.sessions.get(this.cookie.id);
    if (path === "/revoke" && this.deadRevocation && (!session || session.ended)) {
      this.cookie = null;
      if (this.deadRevocation === 200) return json(200, {});
      return session ? refuse(400, "invalid_grant") : noCookie();
    }
    if (!this.cookie) return noCookie();
    if (path === "/revoke") {
      session.ended = true;
      if (body.all) for (const other of this.sessions.values()) other.ended = true;
      this.cookie = null;
      return json(200, {});
    }
    const behind = session.generation - this.cookie.generation;
    const retry = behind === 1 && (session.attempt === key || this.now - session.rotated < GRACE);
    if (session.ended || (behind !== 0 && !retry)) {
      session.ended = true;
      this.cookie = null;
      return refuse(400, "invalid_grant");
    }
    if (behind === 0) Object.assign(session, { generation: session.generation + 1, attempt: key, rotated: this.now });
    return this.#issue(session);
  }

  #issue(session) {
    session.token = `token-${session.id}-${session.generation}-${this.requests.length}`;
    session.end = this.now + this.lifetime * 1e3;
    this.#tokens.set(session.token, session.end);
    this.cookie = { id: session.id, generation: session.generation };
    return Response.json({
      access_token: session.token,
      token_type: "Bearer",
      expires_in: this.lifetime,
      scope: session.scope,
      session_id: session.id,
    });
  }
}

/** The connection breaks before the response: the browser gets neither body nor cookie. */
export const lost = Object.assign(
  () => {
    throw new TypeError("connection reset");
  },
  { losesCookie: true },
);

/** The connection breaks within the body: the browser has the cookie. */
export const cut = () => new Response('{"access_tok', { status: 200 });

/** The response of a server that is busy, and has perhaps rotated the token. */
export const status = (code, headers = {}) =>
  Object.assign(() => Response.json({ error: "temporarily_unavailable" }, { status: code, headers }), {
    losesCookie: true,
  });
