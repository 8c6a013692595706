// Logs in and calls a guarded API with proofs that a library makes (RFC 9449). The rest of each request is made by hand.
import assert from "node:assert/strict";
import { covered, input } from "./case.mjs";

const { issuer } = input;

/** A login with a proof. `proof` makes it for a nonce. The first request gets one. */
export async function login(proof) {
  const url = `${issuer}/login`;
  const body = JSON.stringify(input.login);
  const send = async (nonce) =>
    fetch(url, { method: "POST", body, headers: { "content-type": "application/json", dpop: await proof(url, "POST", nonce) } });
  const first = await send();
  assert.equal((await first.json()).error, "use_dpop_nonce");
  const second = await send(first.headers.get("dpop-nonce"));
  const tokens = await second.json();
  assert.equal(tokens.token_type, "DPoP", JSON.stringify(tokens));
  return tokens;
}

/** Status of a call of a guarded API. */
export async function call(authorization, dpop) {
  const response = await fetch(`${issuer}/whoami`, { headers: { authorization, ...(dpop && { dpop }) } });
  return response.status;
}

/** Each algorithm is a case. `newKey` makes a key, and `proofBy(key)` makes proofs: `(url, method, nonce, accessToken)`. */
export async function proves(library, algorithms, newKey, proofBy) {
  for (const algorithm of algorithms) {
    const [proof, other] = [proofBy(await newKey(algorithm)), proofBy(await newKey(algorithm))];
    const { access_token: token } = await login(proof);
    const url = `${issuer}/whoami`;
    assert.equal(await call(`DPoP ${token}`, await proof(url, "GET", undefined, token)), 200, algorithm);
    assert.equal(await call(`Bearer ${token}`), 403);
    assert.equal(await call(`DPoP ${token}`), 403);
    assert.equal(await call(`DPoP ${token}`, await other(url, "GET", undefined, token)), 403);
    assert.equal(await call(`DPoP ${token}`, await proof(url, "POST", undefined, token)), 403);
    assert.equal(await call(`DPoP ${token}`, await proof(`${issuer}/other`, "GET", undefined, token)), 403);
    assert.equal(await call(`DPoP ${token}`, await proof(url, "GET")), 403);
  }
  covered(library, algorithms);
}
