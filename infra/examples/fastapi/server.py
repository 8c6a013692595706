"""A resource server: orders that users and machine clients read and write."""

import os

import uvicorn
from daypass import Daypass
from fastapi import FastAPI, Security

env = os.environ
daypass = Daypass(
    issuer=env["DAYPASS_ISSUER"],
    audience=env["DAYPASS_AUDIENCE"],
    algorithms=["ES256"],  # The `signing_algorithm` of the stack.
    # Base URLs of this server, as clients with bound tokens call it.
    dpop_origins=env.get("DAYPASS_DPOP_ORIGINS", "").split(),
    revocations_url=env.get("DAYPASS_REVOCATIONS_URL"),
    interval=int(env.get("DAYPASS_REVOCATIONS_INTERVAL_SECONDS", 5)),
    when_stale=env.get("DAYPASS_REVOCATIONS_WHEN_STALE", "open"),
    stale_seconds=int(env.get("DAYPASS_REVOCATIONS_STALE_SECONDS", 60)),
)
app = FastAPI()


@app.get("/orders")
def read_orders(token: dict = Security(daypass, scopes=["orders:read"])):
    return {"caller": token["sub"]}


@app.post("/orders")
def write_orders(token: dict = Security(daypass, scopes=["orders:write"])):
    return {"caller": token["sub"]}


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(env["PORT"]), log_level="warning")
