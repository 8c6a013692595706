// https://github.com/panva/openid-client with DPoP, as a public client and as a machine client.
import assert from "node:assert/strict";
import { decodeJwt } from "jose";
import { generateProof } from "dpop";
import * as client from "openid-client";
import { covered, input } from "./case.mjs";
import { login } from "./proofs.mjs";

const whoami = new URL(`${input.issuer}/whoami`);
const discover = (...authentication) =>
  client.discovery(new URL(input.issuer), ...authentication, { algorithm: "oauth2" });
const refused = (error) => ({ name: "ResponseBodyError", status: 400, error });

/** Runs `use`. Returns its result and the number of its requests. */
async function counted(config, use) {
  let requests = 0;
  config[client.customFetch] = (...request) => {
    requests += 1;
    return fetch(...request);
  };
  return [await use(), requests];
}

/** Calls a guarded API with a token, with a proof or as a bearer token. Returns the status. */
async function call(config, tokens, options) {
  const { access_token: token } = tokens;
  return (await client.fetchProtectedResource(config, token, whoami, "GET", undefined, undefined, options)).status;
}

for (const algorithm of ["ES256", "Ed25519", "RS256"]) {
  // A session that the key has opened.
  const config = await discover(input.login.client_id, undefined, client.None());
  const [keys, others] = [await client.randomDPoPKeyPair(algorithm), await client.randomDPoPKeyPair(algorithm)];
  const { refresh_token: token } = await login((url, method, nonce) => generateProof(keys, url, method, nonce));
  const [DPoP, other] = [client.getDPoPHandle(config, keys), client.getDPoPHandle(config, others)];
  const refresh = (token, options) => client.refreshTokenGrant(config, token, {}, options);
  const [first, requests] = await counted(config, () => refresh(token, { DPoP }));
  assert.equal(requests, 2, "use_dpop_nonce repeats the request");
  assert.equal(first.token_type, "dpop");
  assert.equal(decodeJwt(first.access_token).cnf.jkt, await DPoP.calculateThumbprint());
  const [second, more] = await counted(config, () => refresh(first.refresh_token, { DPoP }));
  assert.equal(more, 1, "the nonce is known");

  assert.equal(await call(config, second, { DPoP }), 200);
  assert.equal(await call(config, second, { DPoP }), 200, "each call has a proof of its own");
  assert.equal(await call(config, second), 403);
  assert.equal(await call(config, second, { DPoP: other }), 403);
  await assert.rejects(refresh(second.refresh_token), refused("invalid_dpop_proof"));
  await assert.rejects(refresh(second.refresh_token, { DPoP: other }), refused("invalid_grant"));
  const third = await refresh(second.refresh_token, { DPoP });
  assert.equal(await call(config, third, { DPoP }), 200, "the owner does not notice");

  // A machine client that must prove.
  const machine = await discover(input.bound_client, undefined, client.ClientSecretBasic(input.bound_secret));
  const own = client.getDPoPHandle(machine, keys);
  await assert.rejects(client.clientCredentialsGrant(machine), refused("invalid_dpop_proof"));
  const [tokens, sent] = await counted(machine, () => client.clientCredentialsGrant(machine, {}, { DPoP: own }));
  assert.equal(sent, 2);
  assert.equal(tokens.token_type, "dpop");
  assert.equal(await call(machine, tokens, { DPoP: own }), 200);
  assert.equal(await call(machine, tokens), 403);
  assert.equal(await call(machine, tokens, { DPoP: other }), 403);
}

covered("openid-client", ["refresh", "client_credentials", "nonce", "guarded_call", "without_proof", "another_key"]);
