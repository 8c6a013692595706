"""Deploys Daypass and its examples to a MiniStack that runs already, as the README deploys them to AWS.

    deploy.py ENDPOINT ARCHIVES DAYPASS

ENDPOINT is MiniStack's URL, ARCHIVES the folder with BINARY/bootstrap.zip for each function, DAYPASS the command `daypass`.
What is deployed, and every place where MiniStack gets something else than AWS would, is told on standard error. On standard
output comes a list with an entry for each Daypass stack: the variables by which tests/tests/rehearsal finds it and its
APIs, and which module measures how long a revoked token works there.
"""

import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import boto3
from samtranslator.yaml_helper import yaml_parse

from expand import dump, expand
from permissions import missing

ROOT = Path(__file__).resolve().parents[2]
REGION = "us-east-1"
BUCKET = "daypass-packages"
AUDIENCE = "https://api.daypass.example"
PLACEHOLDER = "https://daypass.example"
USERNAME = "rider"
PASSWORD = "a rehearsed day pass 2026"
# A login asks for one or the other, and so gets a token that a route needs or one that it does not.
SCOPE = "orders:read profile"
# The table of the shared authorizer: that of apis.yaml, whose authorizers have their own.
ROUTES = "GET /orders/* needs orders:read; POST /orders needs orders:write; * /me any-token; * /sessions* any-token; default deny"


def say(line):
    print(line, file=sys.stderr, flush=True)


class Aws:
    """An AWS account that is a MiniStack."""

    def __init__(self, endpoint, archives, daypass):
        self.endpoint = endpoint
        self.archives = archives
        self.daypass = daypass
        # MiniStack takes this pair for the account's root, and checks its signatures like those of the functions' roles.
        self.identity = {
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_REGION": REGION,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
        }
        session = boto3.Session("test", "test", region_name=REGION)
        self.client = lambda service: session.client(service, endpoint_url=endpoint)
        self.s3, self.stacks = self.client("s3"), self.client("cloudformation")
        self.packages = {}
        self.s3.create_bucket(Bucket=BUCKET)

    def package(self, binary):
        """Puts the code of a function into the bucket, once, and returns where it is."""
        if binary not in self.packages:
            key = f"{binary}.zip"
            self.s3.upload_file(str(self.archives / binary / "bootstrap.zip"), BUCKET, key)
            self.packages[binary] = {"Bucket": BUCKET, "Key": key}
        return self.packages[binary]

    def deploy(self, stack, template, **parameters):
        """Creates or updates a stack, and returns its outputs."""
        started = time.monotonic()
        parameters = {name: str(value) for name, value in parameters.items()}
        body, notes = expand(yaml_parse((ROOT / template).read_text()), parameters, self.package)
        key = f"{stack}.json"
        self.s3.put_object(Bucket=BUCKET, Key=key, Body=dump(body).encode())
        known = any(summary["StackName"] == stack for summary in self.stacks.describe_stacks()["Stacks"])
        run, kind = (self.stacks.update_stack, "update") if known else (self.stacks.create_stack, "create")
        run(
            StackName=stack,
            TemplateURL=f"{self.endpoint}/{BUCKET}/{key}",
            Parameters=[{"ParameterKey": name, "ParameterValue": value} for name, value in parameters.items()],
            Capabilities=["CAPABILITY_IAM"],
        )
        try:
            waiter = self.stacks.get_waiter(f"stack_{kind}_complete")
            waiter.wait(StackName=stack, WaiterConfig={"Delay": 1, "MaxAttempts": 60})
        except Exception:
            for event in self.stacks.describe_stack_events(StackName=stack)["StackEvents"]:
                if event["ResourceStatus"].endswith("FAILED"):
                    say(f"  {event['LogicalResourceId']}: {event.get('ResourceStatusReason')}")
            raise
        say(f"{kind}d {stack} from {template} ({len(body['Resources'])} resources, {time.monotonic() - started:.1f} s)")
        for note in notes if kind == "create" else []:
            say(f"  expanded: {note}")
        outputs = self.stacks.describe_stacks(StackName=stack)["Stacks"][0].get("Outputs", [])
        return {output["OutputKey"]: output["OutputValue"] for output in outputs}

    def run(self, *arguments, variables=None, text=None):
        """Runs the command `daypass`."""
        say(f"  daypass {' '.join(map(str, arguments))}")
        command = [str(self.daypass), *map(str, arguments)]
        done = subprocess.run(command, env=self.identity | (variables or {}), input=text, text=True, capture_output=True)
        if done.returncode != 0:
            raise SystemExit(f"`daypass {' '.join(map(str, arguments))}` failed: {done.stderr}")
        return done.stdout

    def local(self, urls):
        """URLs of API Gateway, as this machine reaches them: names below `localhost` do not resolve everywhere."""
        return re.sub(r"https?://([a-z0-9]+)\.execute-api\.[^/\s]+", rf"{self.endpoint}/_aws/execute-api/\1", urls)


def daypass_stack(aws, stack, algorithm, **parameters):
    """The README's section "Deploy": keys, secrets, the stack, a user. Returns the variables of the suite, and the public keys."""
    secrets = aws.client("secretsmanager")
    with tempfile.TemporaryDirectory() as folder:
        files = {part: Path(folder) / f"{part}.json" for part in ("signing", "refresh", "peppers")}
        arns = {}
        for part, file in files.items():
            with_algorithm = ["--algorithm", algorithm] if part == "signing" else []
            aws.run("key", "generate", "--section", part, *with_algorithm, "--out", file)
            made = secrets.create_secret(Name=f"{stack}/{part}", SecretString=file.read_text())
            arns[part] = made["ARN"]
        parameters |= {
            "Audience": AUDIENCE,
            "Jwks": aws.run("key", "show", files["signing"], "--jwks").strip(),
            "SigningKeysSecretArn": arns["signing"],
            "RefreshKeysSecretArn": arns["refresh"],
            "PeppersSecretArn": arns["peppers"],
        }
        # Twice, as the template says: without a domain of one's own, the issuer is known only afterwards.
        outputs = aws.deploy(stack, "template.yaml", Issuer=PLACEHOLDER, **parameters)
        url = aws.local(outputs["ApiUrl"])
        outputs = aws.deploy(stack, "template.yaml", Issuer=url, **parameters)
        tables = {
            "DAYPASS_KEYS": str(files["peppers"]),
            "DAYPASS_USERS_TABLE": outputs["UsersTableName"],
            "DAYPASS_SESSIONS_TABLE": outputs["SessionsTableName"],
            "DAYPASS_ATTEMPTS_TABLE": outputs["AttemptsTableName"],
        }
        aws.run("user", "add", USERNAME, "--scope", SCOPE, "--password-stdin", variables=tables, text=f"{PASSWORD}\n")
    return {"DAYPASS_URL": url, "DAYPASS_USERNAME": USERNAME, "DAYPASS_PASSWORD": PASSWORD}, parameters["Jwks"]


def guarded_apis(aws, daypass, jwks, caches, examples=(), follow=True):
    """Every kind of API behind the authorizer, once for each cache. Returns a line for each, for the suite."""
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


def main():
    endpoint, archives, daypass = sys.argv[1:]
    aws = Aws(endpoint, Path(archives), Path(daypass))

    # As most will have it: ES256, tokens of five minutes, caches off and at the five minutes that REST APIs take by themselves.
    usual, jwks = daypass_stack(aws, "daypass", "ES256", Routes=ROUTES)
    usual["DAYPASS_APIS"] = guarded_apis(aws, "daypass", jwks, [0, 300], examples=[0, 300])

    # For the clock, and for API Gateway's own verifier: tokens that expire while one looks on, signed with RSA. Nothing
    # calls them back, so that their own end is seen.
    brief, jwks = daypass_stack(aws, "daypass-brief", "RS256", Routes=ROUTES, AccessTokenSeconds=5, RevocationsUrl="")
    brief["DAYPASS_APIS"] = guarded_apis(aws, "daypass-brief", jwks, [0, 45], follow=False)
    usual["DAYPASS_REVOCATIONS_SECONDS"] = "5"

    account = aws.client("sts").get_caller_identity()["Account"]
    problems, checked = missing(aws.client, account, REGION)
    for problem in problems:
        say(f"permission missing: {problem}")
    if problems:
        raise SystemExit("API Gateway may not invoke what it should: on AWS, callers would get 500")
    say(f"{checked} permissions of API Gateway to invoke a function are there")

    for variables in (usual, brief):
        variables["DAYPASS_EMULATED"] = "true"
    stacks = [(usual, "called_back"), (brief, "window")]
    print(json.dumps([{"variables": variables, "windows": windows} for variables, windows in stacks]))


if __name__ == "__main__":
    main()
