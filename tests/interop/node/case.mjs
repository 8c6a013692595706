// What the programs of this folder share: the case on standard input, the line about it on standard output.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";

/** The issuer, its audience, a good token, tokens to refuse and a refresh token: see ../README.md. */
export const input = JSON.parse(readFileSync(0, "utf8"));

/** Fails unless `verify` takes the good token, and refuses each of the others for the reason that `reasons` gives. */
export async function verifies(library, verify, reasons, reasonOf) {
  const claims = await verify(input.good);
  assert.equal(claims.sub, input.subject);
  assert.equal(claims.scope, input.scope);
  for (const [name, reason] of Object.entries(reasons)) {
    await assert.rejects(
      async () => verify(input.refused[name]),
      (error) => reasonOf(error) === reason || assert.fail(`${library}: ${name} is refused for ${error.stack}`),
    );
  }
  covered(library, ["good", ...Object.keys(reasons)]);
}

/** Tells the test which cases have passed. */
export function covered(library, cases) {
  const manifest = new URL(`node_modules/${library}/package.json`, import.meta.url);
  const { version } = JSON.parse(readFileSync(manifest, "utf8"));
  console.log(JSON.stringify({ library, version, cases }));
}
