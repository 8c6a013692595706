"""What comes at a stack's end: a leak, and then its deletion.

    teardown.py ENDPOINT FUNCTIONS

First the procedure of docs/operations/keys.md for a signing key that has leaked. Then a flood that leaves nothing of the public routes
of feed and keys. Then all stacks are deleted, and what must outlive them is
looked for: the users, their sessions, and the keys without which both are worth nothing.
"""

import base64
import json
import re
import sys
import time
from pathlib import Path

from botocore.exceptions import WaiterError

from account import Aws, ask, say
from deploy import PASSWORD, STEP_UP_USERNAME, USERNAME
from rotate import invoke


def kid(token):
    header = token.split(".")[0]
    return json.loads(base64.urlsafe_b64decode(header + "=" * (-len(header) % 4)))["kid"]


def check(holds, what):
    if not holds:
        raise SystemExit(f"does not hold: {what}")
    say(f"  {what}")


# invariant: A deployment with wrong settings changes no function.
def mistake(aws, stack):
    """Deploys a setting with a wrong name. CloudFormation has to take everything back."""
    say(f"{stack} gets a setting that does not exist")
    before = aws.stacks.describe_stacks(StackName=stack)["Stacks"][0]["Parameters"]
    right = next(one["ParameterValue"] for one in before if one["ParameterKey"] == "Settings")
    try:
        aws.update(stack, "template.yaml", Settings='{"grace": 10}')
    except WaiterError:
        pass
    else:
        raise SystemExit("a wrong setting was deployed")
    events = aws.stacks.describe_stack_events(StackName=stack)["StackEvents"]
    check(any("`grace`" in event.get("ResourceStatusReason", "") for event in events), "CloudFormation names it")
    functions = aws.client("lambda").list_functions()["Functions"]
    variables = [function.get("Environment", {}).get("Variables", {}) for function in functions]
    check(any(one.get("DAYPASS_SETTINGS") == right for one in variables), "the settings are as before")
    check(all("grace\"" not in one.get("DAYPASS_SETTINGS", "") for one in variables), "no function has the wrong ones")
    url = aws.local(aws.outputs(stack)["ApiUrl"])
    check(ask(f"{url}/login", {"username": USERNAME, "password": PASSWORD})[0] == 200, "a user can log in")


def leak(aws, stack):
    """A signing key has leaked: cut it, and start all functions anew."""
    say(f"a signing key of {stack} has leaked")
    outputs = aws.outputs(stack)
    url = aws.local(outputs["ApiUrl"])
    status, tokens = ask(f"{url}/login", {"username": USERNAME, "password": PASSWORD})
    check(status == 200, "a user is logged in")
    done = invoke(aws, outputs["RotateKeysFunctionName"], {"cut": "signing"})
    aws.update(stack, "template.yaml", KeysRevision=3)
    _, jwks = ask(f"{url}/.well-known/jwks.json")
    published = {key["kid"] for key in jwks["keys"]}
    check(kid(tokens["access_token"]) not in published, "the leaked key is not published any more")
    check(set(done["Published"]) == published, "the answer of the replacement lists the published keys")
    check(ask(f"{url}/sessions", token=tokens["access_token"])[0] in (401, 403), "a token of the leaked key is refused")
    refresh = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
    status, renewed = ask(f"{url}/refresh", refresh)
    check(status == 200 and kid(renewed["access_token"]) in published, "its session lives, and gets a token of a new key")
    check(ask(f"{url}/sessions", token=renewed["access_token"])[0] == 200, "which the authorizer takes")


# invariant: Authorizers reject a revoked token while the public routes of feed and keys are starved.
def flood(aws, stack):
    """Takes away the public routes that a flood would starve. A session ends; the authorizer must notice."""
    say(f"the public routes of feed and keys of {stack} are flooded")
    outputs = aws.outputs(stack)
    url, guarded = aws.local(outputs["ApiUrl"]), aws.local(aws.outputs(f"{stack}-guarded-0")["HttpApiUrl"])
    http, api = aws.client("apigatewayv2"), re.search("execute-api/([a-z0-9]+)", url)[1]
    for route in http.get_routes(ApiId=api)["Items"]:
        if route["RouteKey"] in ("ANY /revocations", "ANY /.well-known/{document+}"):
            http.delete_route(ApiId=api, RouteId=route["RouteId"])
    for path in ("/revocations", "/.well-known/jwks.json"):
        check(ask(url + path)[0] != 200, f"nobody gets an answer from {path}")
    status, tokens = ask(f"{url}/login", {"username": USERNAME, "password": PASSWORD})
    check(status == 200, "a user is logged in")
    # New processes of the authorizer, which have to fetch list and keys.
    aws.update(stack, "template.yaml", KeysRevision=4)
    check(ask(f"{guarded}/me", token=tokens["access_token"])[0] == 200, "a guarded API takes the token")
    check(ask(f"{url}/revoke", {"token": tokens["refresh_token"]})[0] == 200, "the session is revoked")
    deadline = time.monotonic() + 10
    while ask(f"{guarded}/me", token=tokens["access_token"])[0] == 200 and time.monotonic() < deadline:
        time.sleep(0.5)
    check(ask(f"{guarded}/me", token=tokens["access_token"])[0] == 403, "the guarded API rejects it within seconds")


# invariant: The deletion of a stack keeps users, sessions, peppers and the keys of refresh tokens.
def delete(aws):
    """Deletes all stacks, those first that import from others."""
    names = [stack["StackName"] for stack in aws.stacks.describe_stacks()["Stacks"]]
    kept = {name: aws.outputs(name) for name in names if "UsersTableName" in aws.outputs(name)}
    for name in sorted(names, key=lambda name: name in kept):
        aws.stacks.delete_stack(StackName=name)
        aws.stacks.get_waiter("stack_delete_complete").wait(StackName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 60})
        say(f"deleted {name}")
    dynamodb, secrets = aws.client("dynamodb"), aws.client("secretsmanager")
    for name, outputs in kept.items():
        users = dynamodb.scan(TableName=outputs["UsersTableName"])["Items"]
        # Others signed up by mail.
        check({USERNAME, STEP_UP_USERNAME} <= {user["username"]["S"] for user in users}, f"{name}: the users are there")
        sessions = dynamodb.scan(TableName=outputs["SessionsTableName"], Select="COUNT")["Count"]
        check(sessions > 0, f"{name}: {sessions} sessions are there")
        for secret in ("RefreshKeysSecretArn", "PeppersSecretArn"):
            value = secrets.get_secret_value(SecretId=outputs[secret])["SecretString"]
            check('"active"' in value, f"{name}: {secret} has its keys")
        gone = [table for table in dynamodb.list_tables()["TableNames"] if table == outputs["AttemptsTableName"]]
        check(not gone, f"{name}: the attempts are not")
    functions = aws.client("lambda").list_functions()["Functions"]
    check(not functions, "no function is left")


def main():
    endpoint, functions = sys.argv[1:]
    aws = Aws(endpoint, Path(functions))
    mistake(aws, "daypass")
    leak(aws, "daypass")
    flood(aws, "daypass")
    delete(aws)


if __name__ == "__main__":
    main()
