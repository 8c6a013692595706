// Verdicts of @simplewebauthn/server on responses of an authenticator.
//
// Standard input: {"origin", "rp_id", "cases": [{"challenge", "response", "credential"}]}; a login has the credential {"id", "public_key",
// "counter"}, and a registration has null. Standard output: {"library", "version", "verdicts"}, with a boolean for each case.
import { verifyAuthenticationResponse, verifyRegistrationResponse } from "@simplewebauthn/server";
import { readFileSync } from "node:fs";

const library = "@simplewebauthn/server";
const manifest = new URL(`node_modules/${library}/package.json`, import.meta.url);
const { version } = JSON.parse(readFileSync(manifest, "utf8"));
const { origin, rp_id: expectedRPID, cases } = JSON.parse(readFileSync(0, "utf8"));
const verdicts = [];
for (const { challenge: expectedChallenge, response, credential } of cases) {
  const expected = { response, expectedChallenge, expectedOrigin: origin, expectedRPID };
  try {
    const verdict = credential
      ? await verifyAuthenticationResponse({
          ...expected,
          requireUserVerification: true,
          credential: {
            id: credential.id,
            publicKey: new Uint8Array(Buffer.from(credential.public_key, "base64url")),
            counter: credential.counter,
          },
        })
      : await verifyRegistrationResponse({ ...expected, requireUserVerification: false });
    verdicts.push(verdict.verified);
  } catch {
    verdicts.push(false);
  }
}
console.log(JSON.stringify({ library, version, verdicts }));
