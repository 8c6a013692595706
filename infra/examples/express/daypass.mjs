// Middleware for Express: verifies access tokens of Daypass, and rejects those of revoked sessions.
import { createHash } from "node:crypto";
import { createRemoteJWKSet, errors, jwtVerify } from "jose";

/** Follows the revocation feed in the background. */
class RevocationFeed {
  #ended = new Map();
  #after = "";
  #tag;
  #goodAt = -Infinity;

  constructor({ issuer, revocationsUrl = `${issuer}/revocations`, interval = 5, whenStale = "open", staleSeconds = 60 }) {
    if (!["open", "closed"].includes(whenStale)) throw new Error(`whenStale is ${whenStale}, not open or closed`);
    if (!(interval > 0 && staleSeconds > 0)) throw new Error("interval and staleSeconds are not positive numbers");
    Object.assign(this, { issuer, revocationsUrl, interval, whenStale, staleSeconds });
  }

  /** Polls now, and after each interval. A failed poll leaves the known revocations in place. */
  async follow() {
    const startedAt = performance.now();
    try {
      await this.#poll();
      this.#goodAt = startedAt;
    } catch (error) {
      console.error(`the revocation feed fails: ${error.message}`);
    }
    setTimeout(() => this.follow(), this.interval * 1000).unref();
  }

  async #poll() {
    for (let more = true, page = 0; more; page++) {
      if (page === 22) throw new Error("the list has no end");
      const query = this.#after && `?after=${this.#after}`;
      const headers = this.#tag ? { "if-none-match": this.#tag } : {};
      const options = { headers, redirect: "error", signal: AbortSignal.timeout(2000) };
      const answer = await fetch(this.revocationsUrl + query, options);
      if (answer.status !== 200 && answer.status !== 304) {
        // The feed may reject the cursor: fetch the whole list next time.
        if (answer.status === 400) this.#after = this.#tag = "";
        throw new Error(`status ${answer.status}`);
      }
      const age = Date.now() - Number(answer.headers.get("daypass-as-of"));
      if (!(age > -30_000 && age < 35_000)) throw new Error("an old response, or a wrong clock");
      more = answer.status === 200 && this.#add(await answer.json(), answer.headers.get("etag"));
    }
    const now = performance.now();
    for (const [digest, until] of this.#ended) if (until < now) this.#ended.delete(digest);
  }

  #add({ v, iss, sessions, keep, cursor, more }, tag) {
    if (v !== 1 || iss !== this.issuer) throw new Error("the response is of another feed");
    const digests = Buffer.from(sessions, "base64url");
    const until = performance.now() + keep * 1000;
    for (let at = 0; at < digests.length; at += 8) this.#ended.set(digests.toString("hex", at, at + 8), until);
    // A tag belongs to a URL, so to a cursor that stayed the same.
    this.#tag = cursor === this.#after ? tag : "";
    this.#after = cursor;
    return more;
  }

  /** Whether the session has ended; undefined if the list is stale and `whenStale` is `closed`. */
  hasEnded(sid) {
    const isStale = performance.now() - this.#goodAt >= this.staleSeconds * 1000;
    if (isStale && this.whenStale === "closed") return undefined;
    return this.#ended.has(createHash("sha256").update(sid).digest("hex").slice(0, 16));
  }
}

/** A function that makes the middleware of a route: `guard("orders:read")`. The claims of the caller are `request.auth`. */
export async function daypass({ issuer, audience, algorithms, ...feedOptions }) {
  // jose checks no audience and no algorithm that is undefined.
  for (const [name, value] of Object.entries({ issuer, audience, algorithms })) {
    if (!value?.length) throw new Error(`${name} is not set`);
  }
  const keys = createRemoteJWKSet(new URL(`${issuer}/.well-known/jwks.json`), { timeoutDuration: 2000 });
  const requiredClaims = ["sub", "client_id", "sid", "iat", "exp"];
  const checks = { issuer, audience, algorithms, typ: "at+jwt", requiredClaims, clockTolerance: 30 };
  const feed = new RevocationFeed({ issuer, ...feedOptions });
  await feed.follow();

  return (scope) => async (request, response, next) => {
    // RFC 6750 §3.1. Without a token, the challenge names no error.
    const reject = (status, challenge) => response.status(status).set("www-authenticate", challenge).end();
    const [, token] = /^Bearer +([\w.~+/=-]+)$/i.exec(request.headers.authorization ?? "") ?? [];
    if (!token) return reject(401, "Bearer");
    try {
      const { payload } = await jwtVerify(token, keys, checks);
      const hasEnded = feed.hasEnded(payload.sid);
      if (hasEnded === undefined) return response.status(503).end();
      if (hasEnded) return reject(401, 'Bearer error="invalid_token"');
      if (!(payload.scope ?? "").split(" ").includes(scope)) {
        return reject(403, `Bearer error="insufficient_scope", scope="${scope}"`);
      }
      request.auth = payload;
    } catch (error) {
      // The fetch of the keys fails with another error: the token may be valid.
      const isRejected = error instanceof errors.JOSEError && !UNAVAILABLE.includes(error.code);
      return isRejected ? reject(401, 'Bearer error="invalid_token"') : response.status(503).end();
    }
    next();
  };
}

/** No keys: a timeout, a status other than 200, or a body that is no JWKS. */
const UNAVAILABLE = ["ERR_JWKS_TIMEOUT", "ERR_JOSE_GENERIC", "ERR_JWKS_INVALID"];
