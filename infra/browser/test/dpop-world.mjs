// The simulated browser and its server, with DPoP: the browser also has IndexedDB and a wall clock, and the server checks the
// proofs as the real one does.

import { createHash, webcrypto } from "node:crypto";
import { setImmediate as turnOfTheLoop } from "node:timers/promises";
import { World } from "./world.mjs";

const RealDate = Date;
const { subtle } = webcrypto;

/** Paths with a nonce in the proof. Other proofs are for an access token. */
const ISSUING = ["/login", "/refresh"];
/** Seconds that the clock of a proof may be wrong. */
const WINDOW = 10;
const EPOCH_MS = 1.8e12;

const digest = (text) => createHash("sha256").update(text).digest("base64url");

export class DpopWorld extends World {
  nonce = "nonce-1";
  /** Seconds that the clock of the browser is ahead of the server's. */
  ahead = 0;
  /** Whether pages can read the header `Date`, as those on the origin of the API. */
  tellsTime = false;
  /** The values of IndexedDB, by the names of databases. Null where the browser has no database. */
  databases = new Map();
  /** The thumbprints of proofs, in order. */
  keys = [];
  /** From the ids of sessions and from access tokens to thumbprints. */
  #bound = new Map();
  #proofs = new Set();
  /** Operations that end without the clock: cryptography and databases. */
  #busy = 0;

  constructor() {
    super();
    const world = this;
    const define = (object, name, value) => Object.defineProperty(object, name, { value, configurable: true, writable: true });
    define(globalThis, "Date", { now: () => EPOCH_MS + world.now + world.ahead * 1e3, parse: RealDate.parse });
    const counted = (name) => (...args) => world.#during(subtle[name](...args));
    const names = ["generateKey", "exportKey", "sign", "digest"];
    define(globalThis.crypto, "subtle", Object.fromEntries(names.map((name) => [name, counted(name)])));
    define(globalThis, "indexedDB", {
      open: (name) => world.#later((opening) => world.#open(opening, name)),
      deleteDatabase: (name) => world.#later(() => world.databases.delete(name)),
    });
  }

  async settle() {
    do await super.settle();
    while (this.#busy > 0);
  }

  async #during(promise) {
    this.#busy++;
    return promise.finally(() => this.#busy--);
  }

  #later(work) {
    const request = {};
    this.#during(turnOfTheLoop().then(() => work(request)));
    return request;
  }

  #open(opening, name) {
    if (!this.databases) return opening.onerror();
    const created = !this.databases.has(name);
    if (created) this.databases.set(name, new Map());
    const values = this.databases.get(name);
    const request = (result) => {
      const made = { result };
      queueMicrotask(() => made.onsuccess?.());
      return made;
    };
    opening.result = {
      createObjectStore: () => {},
      close: () => {},
      transaction: () => {
        const transaction = {
          objectStore: () => ({
            get: (key) => request(values.get(key)),
            put: (value, key) => request(values.set(key, structuredClone(value))),
          }),
        };
        this.#later(() => transaction.oncomplete());
        return transaction;
      },
    };
    if (created) opening.onupgradeneeded();
    opening.onsuccess();
  }

  /** Checks the proof, and answers 400 as Daypass or 401 as an authorizer. */
  async respond(request, serve) {
    return this.#during(this.#respond(request, serve));
  }

  async #respond(request, serve) {
    const { pathname } = new URL(request.url);
    const issues = ISSUING.includes(pathname);
    const [scheme, token] = (request.headers.get("authorization") ?? "").split(" ");
    if (!issues && !token) return serve();
    const refuse = (error, text) =>
      issues ? Response.json({ error, error_description: text }, { status: 400 }) : Response.json({ message: "Unauthorized" }, { status: 401 });
    const answer = await this.#checked(request, issues, { scheme, token }, refuse, serve);
    if (issues && request.headers.has("dpop")) answer.headers.set("dpop-nonce", this.nonce);
    if (this.tellsTime) answer.headers.set("date", new RealDate(EPOCH_MS + this.now).toUTCString());
    return answer;
  }

  async #checked(request, issues, { scheme, token }, refuse, serve) {
    const proof = request.headers.get("dpop");
    const owner = issues ? this.cookie?.id : token;
    const bound = request.url.endsWith("/login") ? undefined : this.#bound.get(owner);
    if (!proof) return bound ? refuse("invalid_dpop_proof", "text of a missing proof") : serve();
    const [header, claims] = proof.split(".", 2).map((part) => JSON.parse(Buffer.from(part, "base64url")));
    const { kty, crv, x, y, ...rest } = header.jwk;
    const key = await subtle.importKey("jwk", header.jwk, { name: "ECDSA", namedCurve: crv }, true, ["verify"]);
    const [signed, signature] = [proof.slice(0, proof.lastIndexOf(".")), proof.slice(proof.lastIndexOf(".") + 1)];
    const valid = await subtle.verify(
      { name: "ECDSA", hash: "SHA-256" }, key, Buffer.from(signature, "base64url"), Buffer.from(signed),
    );
    const wrong = (fault) => refuse("invalid_dpop_proof", `text of ${fault}`);
    if (!valid || header.typ !== "dpop+jwt" || header.alg !== "ES256" || Object.keys(rest).length > 0) return wrong("the form");
    if (claims.htm !== request.method || claims.htu !== request.url.split(/[?#]/)[0]) return wrong("the URL");
    if (Math.abs(claims.iat - (EPOCH_MS + this.now) / 1e3) > WINDOW) return wrong("the clock");
    if (!Number.isInteger(claims.iat) || this.#proofs.has(claims.jti)) return wrong("the id");
    this.#proofs.add(claims.jti);
    const thumbprint = digest(JSON.stringify({ crv, kty, x, y }));
    this.keys.push(thumbprint);
    if (!issues) {
      const fits = scheme === "DPoP" && claims.ath === digest(token) && bound === thumbprint && claims.nonce === undefined;
      if (!fits) return wrong("the token");
    } else {
      if (claims.nonce !== this.nonce) return refuse("use_dpop_nonce", "text of the nonce");
      if (claims.ath !== undefined) return wrong("the hash");
      if (bound && bound !== thumbprint) return refuse("invalid_grant", "text of another key");
    }
    const answer = await serve();
    const { access_token, session_id } = await answer.clone().json();
    if (access_token) for (const name of [access_token, session_id]) this.#bound.set(name, thumbprint);
    return answer;
  }
}
