"""Deploys Daypass and its examples to a MiniStack that runs already, as the README deploys them to AWS.

    deploy.py ENDPOINT FUNCTIONS DAYPASS

ENDPOINT is MiniStack's URL, FUNCTIONS the folder with BINARY/bootstrap.zip, or a program BINARY, for each function, DAYPASS the command `daypass`.
What is deployed, and every place where MiniStack gets something else than AWS would, is told on standard error. On standard
output comes a list with an entry for each Daypass stack: the variables by which tests/it/suites/rehearsal finds it and its
APIs, and which modules of the suite are for it alone.
"""

import json
import sys
from pathlib import Path
from urllib.request import urlopen

import admin
import iam_matrix
from account import REGION, Aws, ask, say
from permissions import missing

AUDIENCE = "https://api.daypass.example"
# A key is used when it was published for so long: longer than functions, discovery and authorizers keep theirs here, also
# if a busy machine lets two of their fetches fail.
PUBLISHED_SECONDS = 30
USERNAME = "rider"
# Enrols a second factor, so its password alone logs it in no more.
STEP_UP_USERNAME = "conductor"
PASSWORD = "a rehearsed day pass 2026"
# Sends the mails. SES has to know its domain.
SENDER = "no-reply@rehearsal.example"
# A login asks for one or the other, and so gets a token that a route needs or one that it does not.
SCOPE = "orders:read profile"
# The table of the shared authorizer: that of apis.yaml, whose authorizers have their own.
ROUTES = "GET /orders/* needs orders:read; POST /orders needs orders:write; * /me any-token; * /sessions* any-token; * /password any-token; * /reauthenticate* any-token; * /factors* any-token; GET /orders/recent needs within 60; GET /orders/strong needs acr:2; default deny"


def daypass_stack(aws, stack, algorithm, settings, authorizer, **parameters):
    """The README's section "Deploy": the stack, which makes its own keys, and users. Returns the variables of the suite."""
    # Times as short as only a stack on this machine may have them.
    documents = {"Settings": json.dumps({"signing_algorithm": algorithm, **settings}), "AuthorizerSettings": json.dumps(authorizer)}
    outputs = aws.deploy(stack, "template.yaml", Audience=AUDIENCE, Routes=ROUTES, **documents, **parameters)
    url = outputs["Issuer"]
    made = aws.key_versions(outputs)
    aws.update(stack, "template.yaml", KeysRevision=2)
    if aws.key_versions(outputs) != made:
        raise SystemExit("the update of the stack replaced keys")
    say(f"  an update left the keys as they were: {', '.join(version[:8] for version in made.values())}")
    tables = {
        "DAYPASS_KEYS": outputs["PeppersSecretArn"],
        "DAYPASS_USERS_TABLE": outputs["UsersTableName"],
        "DAYPASS_SESSIONS_TABLE": outputs["SessionsTableName"],
        "DAYPASS_ATTEMPTS_TABLE": outputs["AttemptsTableName"],
    }
    for username in (USERNAME, STEP_UP_USERNAME):
        aws.run("user", "add", username, "--scope", SCOPE, "--password-stdin", variables=tables, text=f"{PASSWORD}\n")
    return {"DAYPASS_URL": url, "DAYPASS_USERNAME": USERNAME, "DAYPASS_PASSWORD": PASSWORD}


def machine_clients(aws, stack):
    """Two machine clients, of which one may introspect, and the command that revokes the other. Returns variables of the suite."""
    outputs = aws.outputs(stack)
    variables = {"DAYPASS_MACHINES": outputs["MachinesSecretArn"], "DAYPASS_SESSIONS_TABLE": outputs["SessionsTableName"]}

    def create(*arguments):
        created = json.loads(aws.run("client", "create", *arguments, "--json", variables=variables))
        return f"{created['client_id']}:{created['client_secret']}"

    revoke = ["env", *(f"{name}={value}" for name, value in (aws.identity | variables).items())]
    revoke += [str(aws.daypass), "client", "revoke", "client_rehearsed"]
    return {
        "DAYPASS_CLIENT": create("rehearsed", "--scope", "orders:read"),
        "DAYPASS_INTROSPECTING_CLIENT": create("introspects", "--introspect"),
        "DAYPASS_REVOKE_CLIENT": "\n".join(revoke),
    }


def guarded_apis(aws, daypass, url, caches, examples=(), follow=True):
    """Every kind of API behind the authorizer, once for each cache. Returns a line for each, for the suite."""
    with urlopen(f"{url}/.well-known/jwks.json") as answer:
        jwks = answer.read().decode()
    lines = []
    for seconds in caches:
        stack = f"{daypass}-apis-{seconds}"
        parameters = {
            "DaypassStack": daypass,
            "Jwks": jwks,
            "CacheSeconds": seconds,
            "FollowRevocations": str(follow).lower(),
        }
        lines.append(aws.deploy(stack, "infra/rehearsal/apis.yaml", **parameters)["Apis"])
    for seconds in examples:
        stack, template = f"{daypass}-guarded-{seconds}", "infra/examples/guarded-api/template.yaml"
        lines.append(aws.deploy(stack, template, DaypassStack=daypass, CacheSeconds=seconds)["Apis"])
    return "\n".join(aws.local(text).strip() for text in lines)


# invariant: An update of the stack keeps its keys.
def main():
    endpoint, functions, daypass = sys.argv[1:]
    aws = Aws(endpoint, Path(functions), Path(daypass))

    # As most will have it: ES256, tokens of five minutes, caches off and at the five minutes that REST APIs take by themselves. Its
    # keys rotate while it is asked.
    quick = {"keys_published_seconds": PUBLISHED_SECONDS, "keys_max_age_seconds": 5, "passkey_rp_id": "example.com", "passkey_origins": "https://app.example.com"}
    # People sign up at the client `web` alone.
    aws.client("sesv2").create_email_identity(EmailIdentity=SENDER.rpartition("@")[2])
    page = {"client_id": "web", "signup": "open", "account_url": "https://app.rehearsal.example/account"}
    mails = {"mail_from": f"Rehearsal <{SENDER}>", "clients": [{"client_id": "default"}, page]}
    usual = daypass_stack(aws, "daypass", "ES256", quick | mails, {"jwks_interval_seconds": 5})
    usual["DAYPASS_MAILS"] = f"{endpoint}/_ministack/ses/messages"
    usual["DAYPASS_APIS"] = guarded_apis(aws, "daypass", usual["DAYPASS_URL"], [0, 300], examples=[0, 300])
    usual["DAYPASS_REVOCATIONS_SECONDS"] = "5"
    usual["DAYPASS_PUBLISHED_SECONDS"] = str(PUBLISHED_SECONDS)
    rotate = [sys.executable, str(Path(__file__).with_name("rotate.py")), endpoint, "daypass"]
    usual["DAYPASS_ROTATE"] = "\n".join(rotate)
    usual |= machine_clients(aws, "daypass")
    usual["DAYPASS_STEP_UP_USERNAME"] = STEP_UP_USERNAME

    # For the clock, and for API Gateway's own verifier: tokens that expire while one looks on, signed with RSA. Nothing
    # calls them back, so that their own end is seen.
    # Its clients are in a secret, because they are more than a parameter holds.
    listed = [{"client_id": "default"}, *({"client_id": f"client-{number}"} for number in range(199))]
    secret = aws.client("secretsmanager").create_secret(Name="clients", SecretString=json.dumps(listed))["ARN"]
    brief = daypass_stack(aws, "daypass-brief", "RS256", {"access_token_seconds": 5}, {}, RevocationsUrl="", ClientsSecretArn=secret)
    for client, expected in (("client-198", 200), ("client-199", 400)):
        login = {"username": USERNAME, "password": PASSWORD, "client_id": client}
        status, _ = ask(f"{brief['DAYPASS_URL']}/login", login)
        if status != expected:
            raise SystemExit(f"a login of {client} got {status}")
    say(f"  {len(listed)} clients come from a secret")
    brief["DAYPASS_APIS"] = guarded_apis(aws, "daypass-brief", brief["DAYPASS_URL"], [0, 20], follow=False)

    problems, checked = missing(aws.client, aws.account(), REGION)
    for problem in problems:
        say(f"permission missing: {problem}")
    if problems:
        raise SystemExit("API Gateway may not invoke what it should: on AWS, callers would get 500")
    say(f"{checked} permissions of API Gateway to invoke a function are there")
    iam_matrix.check(aws, "daypass")
    admin.check(usual["DAYPASS_URL"])

    for variables in (usual, brief):
        variables["DAYPASS_EMULATED"] = "true"
    stacks = [(usual, ["bound", "called_back", "machines", "mails", "step_up", "rotation"]), (brief, ["window"])]
    print(json.dumps([{"variables": variables, "modules": modules} for variables, modules in stacks]))


if __name__ == "__main__":
    main()
