// DPoP proofs (RFC 9449): a request with a bound token shows that its sender has the key of the token.
import { createHash } from "node:crypto";
import { calculateJwkThumbprint, EmbeddedJWK, jwtVerify } from "jose";

/** Greatest difference between the clock and the `iat` of a proof, in seconds. */
const WINDOW = 10;
const CHECKS = {
  algorithms: ["ES256", "EdDSA", "Ed25519", "RS256"],
  typ: "dpop+jwt",
  requiredClaims: ["jti", "htm", "htu", "iat"],
};

/** Checks proofs for requests to `origins`, the base URLs of this server as clients call it. */
export class Proofs {
  #used = new Map();

  constructor(origins) {
    this.origins = origins;
  }

  /** Whether the request has a new proof for this access token, by the key with this thumbprint. */
  async accepts(request, token, thumbprint) {
    try {
      // Node.js joins two headers with a comma, which is no proof. `EmbeddedJWK` rejects private keys.
      const { protectedHeader, payload } = await jwtVerify(request.headers.dpop, EmbeddedJWK, CHECKS);
      // Never from `Host`, which the client chooses.
      const urls = this.origins.map((origin) => comparable(origin + request.originalUrl));
      return (
        Math.abs(Date.now() / 1000 - payload.iat) <= WINDOW &&
        payload.htm === request.method &&
        urls.includes(comparable(payload.htu)) &&
        payload.ath === digest(token) &&
        (await calculateJwkThumbprint(protectedHeader.jwk)) === thumbprint &&
        this.#isNew(digest(JSON.stringify([thumbprint, payload.jti])))
      );
    } catch {
      return false;
    }
  }

  /** Each process remembers the proofs of its own requests. */
  #isNew(id) {
    const now = performance.now();
    // A map has the order of insertion.
    for (const [old, until] of this.#used) {
      if (until > now) break;
      this.#used.delete(old);
    }
    if (this.#used.has(id)) return false;
    this.#used.set(id, now + 2 * WINDOW * 1000 + 1000);
    return true;
  }
}

const digest = (text) => createHash("sha256").update(text).digest("base64url");

/** A URL without query and fragment, in the form in which equal URLs are equal. */
function comparable(text) {
  const { origin, pathname } = new URL(text);
  return origin + pathname;
}
