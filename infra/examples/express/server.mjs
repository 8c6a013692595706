// A resource server: orders that users and machine clients read and write.
import express from "express";
import { daypass } from "./daypass.mjs";

const env = process.env;
const guard = await daypass({
  issuer: env.DAYPASS_ISSUER,
  audience: env.DAYPASS_AUDIENCE,
  // The `signing_algorithm` of the stack.
  algorithms: ["ES256"],
  // Base URLs of this server, as clients with bound tokens call it.
  dpopOrigins: env.DAYPASS_DPOP_ORIGINS?.split(" "),
  revocationsUrl: env.DAYPASS_REVOCATIONS_URL,
  interval: Number(env.DAYPASS_REVOCATIONS_INTERVAL_SECONDS ?? 5),
  whenStale: env.DAYPASS_REVOCATIONS_WHEN_STALE,
  staleSeconds: Number(env.DAYPASS_REVOCATIONS_STALE_SECONDS ?? 60),
});

const app = express();
app.get("/orders", guard("orders:read"), (request, response) => response.json({ caller: request.auth.sub }));
app.post("/orders", guard("orders:write"), (request, response) => response.json({ caller: request.auth.sub }));
app.listen(Number(env.PORT), "127.0.0.1");
