// https://github.com/panva/jose as a resource server uses it.
import { createRemoteJWKSet, jwtVerify } from "jose";
import { input, verifies } from "./case.mjs";

const { issuer, audience } = input;
const algorithms = [input.algorithm];

const metadata = await (await fetch(`${issuer}/.well-known/openid-configuration`)).json();
const keys = createRemoteJWKSet(new URL(metadata.jwks_uri));

async function verify(token) {
  const { payload } = await jwtVerify(token, keys, { issuer, audience, typ: "at+jwt", algorithms });
  return payload;
}

const claim = (name) => `ERR_JWT_CLAIM_VALIDATION_FAILED ${name}`;
const reasons = {
  expired: "ERR_JWT_EXPIRED exp",
  another_audience: claim("aud"),
  another_issuer: claim("iss"),
  another_type: claim("typ"),
  changed_claims: "ERR_JWS_SIGNATURE_VERIFICATION_FAILED",
  changed_signature: "ERR_JWS_SIGNATURE_VERIFICATION_FAILED",
  another_key: "ERR_JWS_SIGNATURE_VERIFICATION_FAILED",
  unsigned: "ERR_JOSE_ALG_NOT_ALLOWED",
  unsigned_with_a_signature: "ERR_JOSE_ALG_NOT_ALLOWED",
  hmac_with_the_public_key: "ERR_JOSE_ALG_NOT_ALLOWED",
  unknown_kid: "ERR_JWKS_NO_MATCHING_KEY",
};
await verifies("jose", verify, reasons, ({ code, claim }) => [code, claim].filter(Boolean).join(" "));
