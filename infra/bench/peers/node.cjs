// An authorizer in Node.js with aws-jwt-verify, and the least of a Lambda runtime around it.

const http = require("node:http");
const { JwtVerifier } = require("aws-jwt-verify");

const [host, port] = process.env.AWS_LAMBDA_RUNTIME_API.split(":");
const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });

const verifier = JwtVerifier.create({ issuer: process.env.DAYPASS_ISSUER, audience: process.env.DAYPASS_AUDIENCE });
verifier.cacheJwks(JSON.parse(process.env.DAYPASS_JWKS));

function authorize(event) {
  try {
    const [, token] = event.headers.authorization.split(" ");
    const { sub, sid, client_id, scope } = verifier.verifySync(token);
    return { isAuthorized: true, context: { sub, sid, client_id, scope } };
  } catch {
    return { isAuthorized: false };
  }
}

function call(method, path, body) {
  return new Promise((resolve, reject) => {
    const headers = body === undefined ? {} : { "content-length": Buffer.byteLength(body) };
    const request = http.request({ agent, host, port, method, path: `/2018-06-01/runtime/invocation/${path}`, headers });
    request.on("error", reject);
    request.on("response", (response) => {
      const chunks = [];
      response.on("data", (chunk) => chunks.push(chunk));
      response.on("end", () => resolve({ headers: response.headers, body: Buffer.concat(chunks) }));
    });
    request.end(body);
  });
}

(async () => {
  for (;;) {
    const { headers, body } = await call("GET", "next");
    const answer = JSON.stringify(authorize(JSON.parse(body)));
    await call("POST", `${headers["lambda-runtime-aws-request-id"]}/response`, answer);
  }
})();
