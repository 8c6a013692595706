// https://github.com/panva/dpop makes proofs.
import { generateKeyPair, generateProof } from "dpop";
import { proves } from "./proofs.mjs";

const proofBy = (key) => (url, method, nonce, token) => generateProof(key, url, method, nonce, token);
await proves("dpop", ["ES256", "Ed25519", "RS256"], (algorithm) => generateKeyPair(algorithm), proofBy);
