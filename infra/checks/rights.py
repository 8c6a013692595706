"""Whether roles and permissions allow what they should and nothing else, by the evaluation rules of AWS.

    rights.py NODE_MODULES

@cloud-copilot/iam-simulate is a second opinion to MiniStack, which enforces the roles in the rehearsal. It decides about these requests:
each role with each operation of infra/rehearsal/iam_matrix.py, with all conditions false and with all true; API Gateway with each function;
and the deployment's own role with each call of calls.py.
"""

import json
import subprocess
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "rehearsal"))

from calls import CALLS, EXAMPLES, Resolver  # noqa: E402
from expanded import ROOT, deployed  # noqa: E402
from iam_matrix import MAY, operations  # noqa: E402

ACCOUNT, REGION, OTHER = "123456789012", "eu-west-1", "999999999999"
SECRETS = {"signing keys": "SigningKeys", "refresh keys": "RefreshKeys", "peppers": "Peppers", "public keys": "Jwks", "machine clients": "Machines"}
SECRET_ACTIONS = {
    "read": "GetSecretValue",
    "delete": "DeleteSecret",
    "write": "PutSecretValue",
    "move a label of": "UpdateSecretVersionStage",
    "look at": "DescribeSecret",
}
# Action and resource of each operation of the matrix.
OPERATIONS = {
    "read a user": ("dynamodb:GetItem", "UsersTable"),
    "change a user": ("dynamodb:UpdateItem", "UsersTable"),
    "delete a user": ("dynamodb:DeleteItem", "UsersTable"),
    "read all users": ("dynamodb:Scan", "UsersTable"),
    "read a session": ("dynamodb:GetItem", "SessionsTable"),
    "find sessions": ("dynamodb:Query", "SessionsTable"),
    "change a session": ("dynamodb:UpdateItem", "SessionsTable"),
    "open a session": ("dynamodb:PutItem", "SessionsTable"),
    "delete a session": ("dynamodb:DeleteItem", "SessionsTable"),
    "read all sessions": ("dynamodb:Scan", "SessionsTable"),
    "read what ended": ("dynamodb:Query", "SessionsTable/index/ended"),
    "count an attempt": ("dynamodb:UpdateItem", "AttemptsTable"),
    "forget attempts": ("dynamodb:DeleteItem", "AttemptsTable"),
    "read attempts": ("dynamodb:Scan", "AttemptsTable"),
    "ask for a mail": ("dynamodb:PutItem", "OutboxTable"),
    "read what a mail permits": ("dynamodb:GetItem", "OutboxTable"),
    "write what a mail permits": ("dynamodb:UpdateItem", "OutboxTable"),
    "use a mail up": ("dynamodb:DeleteItem", "OutboxTable"),
    "read all mails": ("dynamodb:Scan", "OutboxTable"),
    "send a mail": ("ses:SendEmail", f"arn:aws:ses:{REGION}:{ACCOUNT}:identity/acme.example"),
    "add a user": ("dynamodb:PutItem", "UsersTable"),
    "delete a table": ("dynamodb:DeleteTable", "AttemptsTable"),
    "cut keys": ("lambda:InvokeFunction", "RotateKeysFunction"),
    "list roles": ("iam:ListRoles", "*"),
    "list functions": ("lambda:ListFunctions", "*"),
    "list secrets": ("secretsmanager:ListSecrets", "*"),
    "list buckets": ("s3:ListAllMyBuckets", "*"),
}
# Functions that may write items of the table of attempts whose keys begin with a prefix alone.
NOTES = {"Authorizer": ("dynamodb:PutItem", "proof#"), "Refresh": ("dynamodb:UpdateItem", "assertion#"), "Introspect": ("dynamodb:UpdateItem", "assertion#")}
# Functions that read the clients from a secret, if there is one.
READ_CLIENTS = {"Login", "Refresh", "Revoke", "Sessions", "Password", "Account", "Mailer"}
# Resources of the calls of the deployment's role.
DEPLOYED = {
    "cloudwatch": f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:daypass-a-1A2B",
    "events": f"arn:aws:events:{REGION}:{ACCOUNT}:rule/daypass-Mail-r-1A2B",
    "dynamodb": f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/daypass-t-1A2B",
    "iam": f"arn:aws:iam::{ACCOUNT}:role/daypass-r-1A2B",
    "lambda": f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:daypass-f-1A2B",
    "logs": f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:/aws/lambda/daypass/login",
    "pipes": f"arn:aws:pipes:{REGION}:{ACCOUNT}:pipe/SecurityEvents-1A2B",
    "route53": "arn:aws:route53:::hostedzone/Z1UJRXOUMOOFQ8",
    "secretsmanager": f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:PeppersSecret-1A2B-AbCdEf",
    "sesv2": f"arn:aws:ses:{REGION}:{ACCOUNT}:configuration-set/daypass-mail",
    "sqs": f"arn:aws:sqs:{REGION}:{ACCOUNT}:daypass-undelivered",
    "ssm": f"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter/daypass/daypass/issuer",
}


def case(name, allowed, principal, action, resource, identity=None, resource_policy=None, **context):
    return locals()


def arn_of(resolver, name):
    """The ARN that the resolver gives a resource of the template. Others are named by their ARN."""
    if name == "*" or name.startswith("arn:"):
        return name
    name, _, path = name.partition("/")
    kind = resolver.template["Resources"][name]["Type"]
    arn = resolver.reference(name) if kind == "AWS::SecretsManager::Secret" else resolver.attribute(f"{name}.Arn")
    return f"{arn}/{path}" if path else arn


def documents(role):
    return [policy["PolicyDocument"] for policy in role.get("Policies", [])]


def roles(resolver):
    operated = dict(OPERATIONS)
    for words, name in SECRETS.items():
        operated |= {f"{verb} the {words}": (f"secretsmanager:{action}", f"{name}Secret") for verb, action in SECRET_ACTIONS.items()}
    names = set(operations({f"{name}TableName": "" for name in ("Users", "Sessions", "Attempts", "Outbox")} | {f"{name}SecretArn": "" for name in ("SigningKeys", "RefreshKeys", "Peppers", "Machines")} | {"RotateKeysFunctionName": ""}, ""))
    if names != set(operated):
        raise SystemExit(f"rights.py does not know {sorted(names ^ set(operated))}")
    for function, may in MAY.items():
        role = resolver.value(resolver.template["Resources"][f"{function}Role"]["Properties"])
        principal = f"arn:aws:iam::{ACCOUNT}:role/daypass-{function}Role"
        for name, (action, resource) in operated.items():
            yield case(f"{function}: {name}", name in may, principal, action, arn_of(resolver, resource), documents(role))
        may_read = resolver.full and function in READ_CLIENTS
        for action, prefix in sorted(set(NOTES.values())):
            for key in (f"{prefix}x", "x"):
                allowed = key != "x" and NOTES.get(function) == (action, prefix)
                allowed |= action == "dynamodb:UpdateItem" and "count an attempt" in may
                context = {"dynamodb:LeadingKeys": [key]}
                yield case(f"{function}: {action} of {key}", allowed, principal, action, arn_of(resolver, "AttemptsTable"), documents(role), context=context)
        yield case(f"{function}: read the clients", may_read, principal, "secretsmanager:GetSecretValue", EXAMPLES["ClientsSecretArn"], documents(role))


def invocations(file, template, resolver):
    """API Gateway invokes a function for its own API, and for no API of another account."""
    for name, resource in template["Resources"].items():
        if resource["Type"] != "AWS::Lambda::Permission" or not resolver.exists(resource):
            continue
        permission = resolver.value(resource["Properties"])
        source = permission.get("SourceArn")
        if permission["Principal"] != "apigateway.amazonaws.com":
            continue
        if not source:
            raise SystemExit(f"{file}: {name} lets every API invoke {permission['FunctionName']}")
        function = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:f"
        statement = {"Effect": "Allow", "Principal": {"Service": permission["Principal"]}, "Action": permission["Action"], "Resource": function}
        policy = {"Version": "2012-10-17", "Statement": [statement | {"Condition": {"ArnLike": {"aws:SourceArn": source}}}]}
        own = source.replace("*", "x")
        for place, asking, account, allowed in (
            ("its own API", own, ACCOUNT, True),
            ("an API of another account", own.replace(ACCOUNT, OTHER), OTHER, False),
        ):
            context = {"aws:SourceArn": asking, "aws:SourceAccount": account}
            yield case(f"{file}: {name}: {place}", allowed, permission["Principal"], permission["Action"], function, None, policy, context=context)


def deployment(templates):
    text = (ROOT / "infra/examples/github-actions/deploy-policy.json").read_text()
    for name, value in {"STACK": "daypass", "REGION": REGION, "ACCOUNT": ACCOUNT, "BUCKET": "releases"}.items():
        text = text.replace(name, value)
    policy, principal = json.loads(text), f"arn:aws:iam::{ACCOUNT}:role/deploy-daypass"
    seen = set()
    for template in templates.values():
        resolver = Resolver(template, True)
        for resource in template["Resources"].values():
            if resource["Type"] in CALLS:
                seen |= {(service, operation) for service, operation, _ in CALLS[resource["Type"]](resolver.value(resource.get("Properties", {})))}
    # The simulator knows no resource of apigateway:POST.
    for service, operation in sorted(one for one in seen if one[0] != "apigatewayv2"):
        action = f"{'ses' if service == 'sesv2' else service}:{operation}"
        resource = DEPLOYED[service]
        if operation == "CreateEventSourceMapping":
            for function, allowed in (("daypass-f-1A2B", True), ("payroll", False)):
                context = {"lambda:FunctionArn": f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{function}"}
                yield case(f"deployment: {action} for {function}", allowed, principal, action, "*", [policy], context=context)
            continue
        if operation == "CreatePolicy":
            resource = f"arn:aws:iam::{ACCOUNT}:policy/daypass-p-1A2B"
        if operation == "PutDashboard":
            resource = f"arn:aws:cloudwatch::{ACCOUNT}:dashboard/daypass-overview-{REGION}"
        yield case(f"deployment: {action}", True, principal, action, resource, [policy])
    # The files of a release.
    for allowed, action, resource in (
        (True, "s3:GetObject", "releases/daypass/0.1.0/login-arm64.zip"),
        (True, "s3:PutObject", "releases/daypass/templates/1a2b.template"),
        (False, "s3:PutObject", "releases/daypass/0.1.0/login-arm64.zip"),
        (False, "s3:PutBucketPolicy", "releases"),
        (False, "s3:GetObject", "payroll/key"),
    ):
        yield case(f"deployment: {action} of {resource}", allowed, principal, action, f"arn:aws:s3:::{resource}", [policy])
    for action, resource in (
        ("dynamodb:GetItem", DEPLOYED["dynamodb"]),
        ("secretsmanager:GetSecretValue", DEPLOYED["secretsmanager"]),
        ("lambda:UpdateFunctionCode", f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:payroll"),
        ("iam:PassRole", f"arn:aws:iam::{ACCOUNT}:role/admin"),
        ("dynamodb:DeleteTable", f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/payroll"),
        ("iam:UpdateAssumeRolePolicy", f"arn:aws:iam::{ACCOUNT}:role/deploy-daypass"),
    ):
        yield case(f"deployment: {action} elsewhere", False, principal, action, resource, [policy])


def main():
    templates = deployed()
    cases = [*deployment(templates)]
    for full in (False, True):
        cases += roles(Resolver(templates["template.yaml"], full))
    for file, template in templates.items():
        cases += invocations(file, template, Resolver(template, True))
    simulate = Path(__file__).with_name("simulate.mjs")
    done = subprocess.run(["node", simulate, sys.argv[1]], input=json.dumps(cases), text=True, capture_output=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    results = json.loads(done.stdout)
    meant = {True: ["Allowed"], False: ["ImplicitlyDenied", "ExplicitlyDenied"]}
    wrong = [f"{one['name']} is {result}" for one, result in zip(cases, results, strict=True) if result not in meant[one["allowed"]]]
    if wrong:
        raise SystemExit("\n".join(wrong))
    print(f"{len(cases)} requests are decided as intended: {results.count('Allowed')} allowed, the others denied")


if __name__ == "__main__":
    main()
