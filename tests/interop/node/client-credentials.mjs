// https://github.com/panva/openid-client as a machine client, and as a resource server that introspects.
import assert from "node:assert/strict";
import { importPKCS8 } from "jose";
import * as client from "openid-client";
import { covered, input } from "./case.mjs";

const importKey = async ({ kid, pkcs8 }) => ({ kid, key: await importPKCS8(pkcs8, input.algorithm) });
const bySecret = (secret) => [input.secret_client, client.ClientSecretBasic(secret)];
const byKey = async (key) => [input.key_client, client.PrivateKeyJwt(await importKey(key))];
const discover = ([id, authentication]) =>
  client.discovery(new URL(input.issuer), id, undefined, authentication, { algorithm: "oauth2" });

const methods = {
  basic: { all: input.secrets.map(bySecret), revoked: bySecret(input.revoked_secret) },
  private_key: { all: await Promise.all(input.keys.map(byKey)), revoked: await byKey(input.revoked_key) },
};
const cases = [];
for (const [name, { all, revoked }] of Object.entries(methods)) {
  const [config, rotated] = await Promise.all(all.map(discover));
  const refused = { name: "ResponseBodyError", error: "invalid_scope" };
  const tokens = await client.clientCredentialsGrant(config);
  assert.equal(tokens.token_type, "bearer");
  assert.equal(tokens.scope, input.scope);
  assert.equal(tokens.refresh_token, undefined);
  const narrowed = await client.clientCredentialsGrant(rotated, { scope: input.narrower_scope });
  assert.equal(narrowed.scope, input.narrower_scope);
  await assert.rejects(client.clientCredentialsGrant(config, { scope: input.wider_scope }), refused);
  cases.push(name, `${name}_rotated`);

  // 401 with a challenge, because the client used `Authorization`, or without.
  await assert.rejects(client.clientCredentialsGrant(await discover(revoked)), ({ status }) => status === 401);
  cases.push(`${name}_revoked`);

  const { active, sub, scope } = await client.tokenIntrospection(config, narrowed.access_token);
  assert.deepEqual({ active, sub, scope }, { active: true, sub: all[0][0], scope: input.narrower_scope });
  assert.equal((await client.tokenIntrospection(config, input.user_token)).sub, input.user);
  assert.deepEqual(await client.tokenIntrospection(config, input.forged_token), { active: false });
  cases.push(`${name}_introspection`);
}
covered("openid-client", cases);
