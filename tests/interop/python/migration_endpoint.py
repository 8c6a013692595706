"""A migration endpoint in Python, with https://github.com/jpadilla/pyjwt: docs/guides/migration.md."""

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from os import environ

import jwt

ISSUER, ENDPOINT = environ["ISSUER"], environ["ENDPOINT"]
KEYS = jwt.PyJWKClient(f"{ISSUER}/.well-known/jwks.json")


# Replace this by a check against your own users.
def check(username, password):
    return username == "ada" and password == "old password"


def verified(token):
    key = KEYS.get_signing_key_from_jwt(token)
    decoded = jwt.decode_complete(
        token,
        key,
        algorithms=["ES256", "EdDSA", "RS256"],
        issuer=ISSUER,
        audience=ENDPOINT,
        options={"require": ["exp", "iss", "aud"]},
    )
    if decoded["header"].get("typ") != "daypass-migration+jwt":
        raise jwt.InvalidTokenError("another type of token")
    return decoded["payload"]


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        token = self.rfile.read(int(self.headers.get("content-length", 0))).decode()
        try:
            request = verified(token)
        except jwt.PyJWTError:
            return self.answer(401, {})
        self.answer(200, {"ok": check(request["username"], request["password"])})

    def answer(self, status, body):
        body = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


ThreadingHTTPServer(("127.0.0.1", int(environ["PORT"])), Handler).serve_forever()
