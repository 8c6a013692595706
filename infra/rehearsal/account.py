"""An AWS account that is a MiniStack, and what is done with one: deploying, running the command `daypass`, looking at keys."""

import json
import re
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import boto3
from samtranslator.yaml_helper import yaml_parse

from expand import dump, expand

ROOT = Path(__file__).resolve().parents[2]
REGION = "us-east-1"
BUCKET = "daypass-packages"


def say(line):
    print(line, file=sys.stderr, flush=True)


def zipped(program):
    """The archive of a development build, without its symbols: MiniStack unpacks it once for each function."""
    with tempfile.TemporaryDirectory() as folder:
        stripped = Path(folder) / "bootstrap"
        subprocess.run(["strip", "-o", stripped, program], check=True)
        archive = Path(folder) / "bootstrap.zip"
        with zipfile.ZipFile(archive, "w") as packed:
            packed.write(stripped, "bootstrap")
        return archive.read_bytes()


def ask(url, body=None, token=None):
    """The status and the JSON of an answer."""
    request = Request(url, data=None if body is None else json.dumps(body).encode(), headers={"content-type": "application/json"})
    if token:
        request.add_header("authorization", f"Bearer {token}")
    try:
        with urlopen(request) as answer:
            return answer.status, json.loads(answer.read())
    except HTTPError as refused:
        return refused.code, json.loads(refused.read() or b"{}")


class Aws:
    """An AWS account that is a MiniStack."""

    def __init__(self, endpoint, functions=None, daypass=None):
        self.endpoint = endpoint
        self.functions = functions
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
        if functions:
            self.s3.create_bucket(Bucket=BUCKET)

    def package(self, binary):
        """Puts the code of a function into the bucket, once, and returns where it is."""
        if binary not in self.packages:
            key = f"{binary}.zip"
            archive = self.functions / binary / "bootstrap.zip"
            if archive.exists():
                self.s3.upload_file(str(archive), BUCKET, key)
            else:
                self.s3.put_object(Bucket=BUCKET, Key=key, Body=zipped(self.functions / binary))
            self.packages[binary] = {"Bucket": BUCKET, "Key": key}
        return self.packages[binary]

    def deploy(self, stack, template, **parameters):
        """Creates or updates a stack, and returns its outputs."""
        started = time.monotonic()
        parameters = {name: str(value) for name, value in parameters.items()}
        notes, resources = [], 0

        def stored(path):
            """Expands a template, puts it into the bucket and returns its URL."""
            nonlocal resources
            body, changed = expand(
                yaml_parse((ROOT / path).read_text()),
                parameters,
                self.package,
                lambda nested: stored((ROOT / path).parent.joinpath(nested).relative_to(ROOT)),
                self.endpoint,
            )
            notes.extend(changed)
            resources += len(body["Resources"])
            key = f"{stack}/{path}.json"
            self.s3.put_object(Bucket=BUCKET, Key=key, Body=dump(body).encode())
            return f"{self.endpoint}/{BUCKET}/{key}"

        url = stored(template)
        known = any(summary["StackName"] == stack for summary in self.stacks.describe_stacks()["Stacks"])
        run, kind = (self.stacks.update_stack, "update") if known else (self.stacks.create_stack, "create")
        run(
            StackName=stack,
            TemplateURL=url,
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
        say(f"{kind}d {stack} from {template} ({resources} resources, {time.monotonic() - started:.1f} s)")
        for note in notes if kind == "create" else []:
            say(f"  expanded: {note}")
        return self.outputs(stack)

    def update(self, stack, template, **changes):
        """Updates a stack with these parameters, and leaves the others as they are."""
        stacks = self.stacks.describe_stacks(StackName=stack)["Stacks"]
        # CloudFormation masks the value of a NoEcho parameter. The rehearsal sets none, so its default stays.
        masked = "****"
        parameters = {entry["ParameterKey"]: entry["ParameterValue"] for entry in stacks[0]["Parameters"]}
        parameters = {name: value for name, value in parameters.items() if value != masked}
        return self.deploy(stack, template, **parameters | changes)

    def run(self, *arguments, variables=None, text=None):
        """Runs the command `daypass`."""
        say(f"  daypass {' '.join(map(str, arguments))}")
        command = [str(self.daypass), *map(str, arguments)]
        done = subprocess.run(command, env=self.identity | (variables or {}), input=text, text=True, capture_output=True)
        if done.returncode != 0:
            raise SystemExit(f"`daypass {' '.join(map(str, arguments))}` failed: {done.stderr}")
        return done.stdout

    def account(self):
        return self.client("sts").get_caller_identity()["Account"]

    def outputs(self, stack):
        """What a stack says of itself."""
        outputs = self.stacks.describe_stacks(StackName=stack)["Stacks"][0].get("Outputs", [])
        return {output["OutputKey"]: output["OutputValue"] for output in outputs}

    def key_versions(self, outputs):
        """Which version of its secrets a stack uses."""
        secrets = self.client("secretsmanager")
        names = ["SigningKeysSecretArn", "RefreshKeysSecretArn", "PeppersSecretArn"]
        return {name: secrets.get_secret_value(SecretId=outputs[name])["VersionId"] for name in names}

    def local(self, urls):
        """URLs of API Gateway, as this machine reaches them: names below `localhost` do not resolve everywhere."""
        return re.sub(r"https?://([a-z0-9]+)\.execute-api\.[^/\s]+", rf"{self.endpoint}/_aws/execute-api/\1", urls)
