// https://github.com/aws-amplify/amplify-js: its REST API calls, with tokens of a custom token provider.
import assert from "node:assert/strict";
import { Amplify, decodeJWT, fetchAuthSession } from "@aws-amplify/core";
import { get } from "@aws-amplify/api-rest";
import { covered, input } from "./case.mjs";

let { refresh_token } = input;
let pair;

async function renew() {
  const body = new URLSearchParams({ grant_type: "refresh_token", refresh_token, client_id: input.client_id });
  const response = await fetch(`${input.issuer}/refresh`, { method: "POST", body });
  if (!response.ok) throw new Error("sign in again");
  pair = await response.json();
  refresh_token = pair.refresh_token;
}

const tokenProvider = {
  async getTokens({ forceRefresh } = {}) {
    const expires = pair && decodeJWT(pair.access_token).payload.exp;
    if (forceRefresh || !pair || expires * 1000 < Date.now() + 30_000) await renew();
    return { accessToken: decodeJWT(pair.access_token) };
  },
};
const headers = async () => {
  const { tokens } = await fetchAuthSession();
  return { Authorization: `Bearer ${tokens.accessToken}` };
};
const endpoint = input.issuer;
Amplify.configure({ API: { REST: { orders: { endpoint } } } }, { Auth: { tokenProvider }, API: { REST: { headers } } });

const call = async (options) => (await get({ apiName: "orders", path: "/whoami", options }).response).body.json();

assert.equal((await call()).sub, input.subject);
const before = (await fetchAuthSession()).tokens;
assert.equal(before.accessToken.payload.iss, input.issuer);
const after = (await fetchAuthSession({ forceRefresh: true })).tokens;
assert.notEqual(after.accessToken.toString(), before.accessToken.toString());
assert.equal((await call()).sub, input.subject);

const changed = { headers: { Authorization: `Bearer ${input.refused.changed_signature}` } };
await assert.rejects(call(changed), (error) => error.response.statusCode === 403);

const body = new URLSearchParams({ token: refresh_token, client_id: input.client_id });
assert.equal((await fetch(`${input.issuer}/revoke`, { method: "POST", body })).status, 200);
await assert.rejects(fetchAuthSession({ forceRefresh: true }), { message: "sign in again" });

covered("@aws-amplify/api-rest", ["token_provider", "api_call", "forced_refresh", "changed_signature", "revoke"]);
