// https://github.com/panva/jose makes proofs.
import { createHash } from "node:crypto";
import { exportJWK, generateKeyPair, SignJWT } from "jose";
import { proves } from "./proofs.mjs";

async function newKey(alg) {
  const { privateKey, publicKey } = await generateKeyPair(alg);
  return { privateKey, header: { alg, typ: "dpop+jwt", jwk: await exportJWK(publicKey) } };
}

const proofBy = ({ privateKey, header }) => (htu, htm, nonce, token) => {
  const ath = token && createHash("sha256").update(token).digest("base64url");
  const claims = { htu, htm, nonce, ath, jti: crypto.randomUUID() };
  return new SignJWT(claims).setProtectedHeader(header).setIssuedAt().sign(privateKey);
};
await proves("jose", ["ES256", "EdDSA", "Ed25519", "RS256"], newKey, proofBy);
