// https://github.com/awslabs/aws-jwt-verify with its verifier for issuers other than Cognito.
import { JwtVerifier } from "aws-jwt-verify";
import { input, verifies } from "./case.mjs";

const { issuer, audience } = input;

const metadata = await (await fetch(`${issuer}/.well-known/openid-configuration`)).json();
const verifier = JwtVerifier.create({
  issuer,
  audience,
  jwksUri: metadata.jwks_uri,
  // The library leaves `typ` to its caller.
  customJwtCheck: ({ header }) => {
    if (header.typ !== "at+jwt") throw new Error("not an access token");
  },
});

async function verify(token) {
  const payload = await verifier.verify(token);
  return payload;
}

// It takes the algorithm from the key and has no option to narrow it.
const reasons = {
  expired: "JwtExpiredError",
  another_audience: "JwtInvalidAudienceError",
  another_issuer: "JwtInvalidIssuerError",
  another_type: "Error",
  changed_claims: "JwtInvalidSignatureError",
  changed_signature: "JwtInvalidSignatureError",
  another_key: "JwtInvalidSignatureError",
  unsigned: "JwtParseError",
  unsigned_with_a_signature: "JwtInvalidSignatureAlgorithmError",
  hmac_with_the_public_key: "JwtInvalidSignatureAlgorithmError",
  unknown_kid: "KidNotFoundInJwksError",
};
await verifies("aws-jwt-verify", verify, reasons, (error) => error.constructor.name);
