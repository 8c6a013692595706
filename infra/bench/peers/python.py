"""An authorizer in Python with PyJWT, and the least of a Lambda runtime around it."""

import http.client
import json
import os

import jwt

ISSUER = os.environ["DAYPASS_ISSUER"]
AUDIENCE = os.environ["DAYPASS_AUDIENCE"]
KEYS = {key.key_id: key for key in jwt.PyJWKSet.from_json(os.environ["DAYPASS_JWKS"]).keys}


def authorize(event):
    try:
        _, token = event["headers"]["authorization"].split(" ")
        key = KEYS[jwt.get_unverified_header(token)["kid"]]
        claims = jwt.decode(token, key, algorithms=[key.algorithm_name], issuer=ISSUER, audience=AUDIENCE)
    except (KeyError, ValueError, jwt.InvalidTokenError):
        return {"isAuthorized": False}
    context = {name: claims.get(name, "") for name in ("sub", "sid", "client_id", "scope")}
    return {"isAuthorized": True, "context": context}


def main():
    connection = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
    while True:
        connection.request("GET", "/2018-06-01/runtime/invocation/next")
        response = connection.getresponse()
        request_id = response.headers["lambda-runtime-aws-request-id"]
        answer = json.dumps(authorize(json.loads(response.read())), separators=(",", ":"))
        connection.request("POST", f"/2018-06-01/runtime/invocation/{request_id}/response", answer)
        connection.getresponse().read()


main()
