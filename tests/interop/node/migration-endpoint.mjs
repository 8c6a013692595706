// A migration endpoint in Node.js, with https://github.com/panva/jose: docs/guides/migration.md.
import { createServer } from "node:http";
import { text } from "node:stream/consumers";
import { createRemoteJWKSet, jwtVerify } from "jose";

const { ISSUER: issuer, ENDPOINT: audience, PORT: port } = process.env;
const keys = createRemoteJWKSet(new URL(`${issuer}/.well-known/jwks.json`));
const expected = { issuer, audience, typ: "daypass-migration+jwt", requiredClaims: ["exp"] };

// Replace this by a check against your own users.
const check = async (username, password) => username === "ada" && password === "old password";

const server = createServer(async (request, response) => {
  try {
    const { payload } = await jwtVerify(await text(request), keys, expected);
    const ok = await check(payload.username, payload.password);
    response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify({ ok }));
  } catch {
    response.writeHead(401).end();
  }
});
server.listen(port, "127.0.0.1");
