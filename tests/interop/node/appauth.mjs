// https://github.com/openid/AppAuth-JS, an OAuth client for Node.js and Electron, as a public client.
import assert from "node:assert/strict";
import {
  AuthorizationServiceConfiguration,
  BaseTokenRequestHandler,
  GRANT_TYPE_REFRESH_TOKEN,
  RevokeTokenRequest,
  TokenRequest,
} from "@openid/appauth";
import { setFlag } from "@openid/appauth/built/flags.js";
import { NodeRequestor } from "@openid/appauth/built/node_support/node_requestor.js";
import { covered, input } from "./case.mjs";

// Its log would go to the standard output, which is for the cases.
setFlag("IS_LOG", false);
const requestor = new NodeRequestor();
const config = await AuthorizationServiceConfiguration.fetchFromIssuer(input.issuer, requestor);
const handler = new BaseTokenRequestHandler(requestor);
// AppAuth sends a redirect URI with every token request.
const refresh = (refresh_token, extras) =>
  handler.performTokenRequest(config, new TokenRequest({
    client_id: input.client_id,
    redirect_uri: "com.example.app:/callback",
    grant_type: GRANT_TYPE_REFRESH_TOKEN,
    refresh_token,
    extras,
  }));
const revoke = (token, token_type_hint) =>
  handler.performRevokeTokenRequest(config, new RevokeTokenRequest({ token, token_type_hint, client_id: input.client_id }));
// In Node.js, AppAuth keeps the status text of an error and not its body.
const refused = { message: "Bad Request" };

const first = await refresh(input.refresh_token);
assert.equal(first.tokenType, "Bearer");
assert.equal(first.scope, input.scope);
// Its default margin of ten minutes is longer than the lifetime of an access token.
assert(first.isValid(0) && !first.isValid());
const second = await refresh(first.refreshToken);
assert.notEqual(second.refreshToken, first.refreshToken);
assert.notEqual(second.accessToken, first.accessToken);

const narrowed = await refresh(second.refreshToken, { scope: input.narrower_scope });
assert.equal(narrowed.scope, input.narrower_scope);
await assert.rejects(refresh(narrowed.refreshToken, { scope: input.wider_scope }), refused);
await assert.rejects(refresh("unknown"), refused);

await revoke(narrowed.refreshToken);
await revoke(narrowed.refreshToken, "refresh_token");
await assert.rejects(refresh(narrowed.refreshToken), refused);

covered("@openid/appauth", ["discovery", "refresh", "rotation", "narrower_scope", "wider_scope", "unknown", "revoke"]);
