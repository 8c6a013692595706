"""The Admin API as a program of an operator calls it: with the credentials of a role, and signed with Signature Version 4."""

import json
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from account import REGION, say

NAME = "rehearsal@example.com"


def signed(url, method, path, body=None):
    """The status and the JSON of an answer to the account's root."""
    data = None if body is None else json.dumps(body)
    request = AWSRequest(method, f"{url}{path}", {"content-type": "application/json"}, data)
    SigV4Auth(Credentials("test", "test"), "execute-api", REGION).add_auth(request)
    sent = Request(request.url, data and data.encode(), dict(request.headers), method=method)
    try:
        with urlopen(sent) as answer:
            return answer.status, json.loads(answer.read())
    except HTTPError as refused:
        return refused.code, json.loads(refused.read() or b"{}")


# invariant: API Gateway serves the Admin API to signed requests, and to no others.
def check(url):
    """Ends the program when an operation does something else."""
    try:
        urlopen(f"{url}/admin/users")
        raise SystemExit("the Admin API answers a request without a signature")
    except HTTPError as refused:
        if refused.code != 403:
            raise SystemExit(f"a request without a signature got {refused.code}") from refused
    user = f"/admin/user?username={NAME.replace('@', '%40')}"
    client = "client_id=client_provisioned"
    steps = [
        ("POST", "/admin/users", {"username": NAME, "scope": "a b"}, 200),
        ("POST", "/admin/users", {"username": NAME}, 409),
        ("GET", user, None, 200),
        ("PATCH", user, {"status": "disabled", "claims": {"tenant": "acme"}, "email": NAME}, 200),
        ("PUT", user.replace("user?", "user/password?"), {"password": "correct horse battery staple"}, 200),
        ("DELETE", user.replace("user?", "sessions?"), None, 200),
        ("GET", "/admin/users?limit=1000", None, 200),
        ("DELETE", user, None, 200),
        ("GET", user, None, 404),
        ("POST", "/admin/clients", {"name": "provisioned"}, 200),
        ("POST", f"/admin/client/keys?{client}", {}, 200),
        ("POST", f"/admin/client/keys?{client}", {}, 409),
        ("GET", "/admin/clients", None, 200),
        ("DELETE", f"/admin/client?{client}", None, 200),
    ]
    for method, path, body, expected in steps:
        status, answer = signed(url, method, path, body)
        if status != expected:
            raise SystemExit(f"{method} {path} got {status}: {answer}")
    say(f"{len(steps)} signed requests to the Admin API were answered as they should be")
