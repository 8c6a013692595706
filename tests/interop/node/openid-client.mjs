// https://github.com/panva/openid-client, an OAuth client for Node.js, as a public client: it has no secret.
import assert from "node:assert/strict";
import * as client from "openid-client";
import { covered, input } from "./case.mjs";

const discover = (algorithm) =>
  client.discovery(new URL(input.issuer), input.client_id, undefined, client.None(), { algorithm });
const config = await discover("oauth2");
assert.deepEqual(config.serverMetadata(), (await discover("oidc")).serverMetadata());

const refused = (error) => ({ name: "ResponseBodyError", status: 400, error });

const first = await client.refreshTokenGrant(config, input.refresh_token);
assert.equal(first.token_type, "bearer");
assert.equal(first.scope, input.scope);
const second = await client.refreshTokenGrant(config, first.refresh_token);
assert.notEqual(second.refresh_token, first.refresh_token);
assert.notEqual(second.access_token, first.access_token);

const narrowed = await client.refreshTokenGrant(config, second.refresh_token, { scope: input.narrower_scope });
assert.equal(narrowed.scope, input.narrower_scope);
const wider = client.refreshTokenGrant(config, narrowed.refresh_token, { scope: input.wider_scope });
await assert.rejects(wider, refused("invalid_scope"));
await assert.rejects(client.refreshTokenGrant(config, "unknown"), refused("invalid_grant"));

await client.tokenRevocation(config, narrowed.refresh_token);
await client.tokenRevocation(config, narrowed.refresh_token, { token_type_hint: "refresh_token" });
await assert.rejects(client.refreshTokenGrant(config, narrowed.refresh_token), refused("invalid_grant"));

covered("openid-client", ["discovery", "refresh", "rotation", "narrower_scope", "wider_scope", "unknown", "revoke"]);
