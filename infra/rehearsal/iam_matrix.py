"""Whether each function may do what it does and nothing else, tried with the credentials of its role.

Each operation below is tried with every role. What a role may do is listed once more here, by hand: template.yaml grants it, and
this is what it should grant.
"""

import boto3
from botocore.exceptions import ClientError

from account import REGION, say

USER = {"username": {"S": "nobody"}}
SESSION = {"user": {"S": "nobody"}, "session": {"S": "none"}}
ATTEMPT = {"key": {"S": "none"}}
MAIL = {"id": {"S": "none"}}


def operations(outputs, public):
    """Each with a name; those that write are for items that are not there, or change nothing."""
    users, sessions, attempts, outbox = (outputs[f"{name}TableName"] for name in ("Users", "Sessions", "Attempts", "Outbox"))

    def change(table, key):
        return lambda aws: aws("dynamodb").update_item(
            TableName=table,
            Key=key,
            UpdateExpression="SET #a = :a",
            ConditionExpression="attribute_exists(#a)",
            ExpressionAttributeNames={"#a": "nothing"},
            ExpressionAttributeValues={":a": {"S": "nothing"}},
        )

    def put(table, item):
        (key,) = item
        return lambda aws: aws("dynamodb").put_item(
            TableName=table,
            Item=item,
            ConditionExpression="attribute_exists(#k)",
            ExpressionAttributeNames={"#k": key},
        )

    secrets = {
        "signing keys": outputs["SigningKeysSecretArn"],
        "refresh keys": outputs["RefreshKeysSecretArn"],
        "peppers": outputs["PeppersSecretArn"],
        "machine clients": outputs["MachinesSecretArn"],
    }
    table = {
        "read a user": lambda aws: aws("dynamodb").get_item(TableName=users, Key=USER),
        "change a user": change(users, USER),
        "delete a user": lambda aws: aws("dynamodb").delete_item(TableName=users, Key=USER),
        "read all users": lambda aws: aws("dynamodb").scan(TableName=users),
        "read a session": lambda aws: aws("dynamodb").get_item(TableName=sessions, Key=SESSION),
        "find sessions": lambda aws: aws("dynamodb").query(
            TableName=sessions,
            KeyConditionExpression="#u = :u",
            ExpressionAttributeNames={"#u": "user"},
            ExpressionAttributeValues={":u": {"S": "nobody"}},
        ),
        "change a session": change(sessions, SESSION),
        "open a session": lambda aws: aws("dynamodb").put_item(
            TableName=sessions,
            Item=SESSION,
            ConditionExpression="attribute_exists(#u)",
            ExpressionAttributeNames={"#u": "user"},
        ),
        "delete a session": lambda aws: aws("dynamodb").delete_item(TableName=sessions, Key=SESSION),
        "read all sessions": lambda aws: aws("dynamodb").scan(TableName=sessions),
        "read what ended": lambda aws: aws("dynamodb").query(
            TableName=sessions,
            IndexName="ended",
            KeyConditionExpression="ended_bucket = :b",
            ExpressionAttributeValues={":b": {"S": "0"}},
        ),
        "count an attempt": change(attempts, ATTEMPT),
        "forget attempts": lambda aws: aws("dynamodb").delete_item(TableName=attempts, Key=ATTEMPT),
        "read attempts": lambda aws: aws("dynamodb").scan(TableName=attempts),
        "ask for a mail": put(outbox, MAIL),
        "read what a mail permits": lambda aws: aws("dynamodb").get_item(TableName=outbox, Key=MAIL),
        "write what a mail permits": change(outbox, MAIL),
        "use a mail up": lambda aws: aws("dynamodb").delete_item(TableName=outbox, Key=MAIL),
        "read all mails": lambda aws: aws("dynamodb").scan(TableName=outbox),
        "add a user": put(users, USER),
        "send a mail": lambda aws: aws("sesv2").send_email(
            FromEmailAddress="nobody@unknown.example",
            Destination={"ToAddresses": ["nobody@unknown.example"]},
            Content={"Simple": {"Subject": {"Data": "-"}, "Body": {"Text": {"Data": "-"}}}},
        ),
        "delete a table": lambda aws: aws("dynamodb").delete_table(TableName=attempts),
        # An event that the function refuses.
        "cut keys": lambda aws: aws("lambda").invoke(FunctionName=outputs["RotateKeysFunctionName"], Payload=b'{"cut":"nothing"}'),
        "list roles": lambda aws: aws("iam").list_roles(),
        "list functions": lambda aws: aws("lambda").list_functions(),
        "list secrets": lambda aws: aws("secretsmanager").list_secrets(),
        "list buckets": lambda aws: aws("s3").list_buckets(),
    }
    secrets["public keys"] = public
    for name, arn in secrets.items():
        table[f"read the {name}"] = lambda aws, arn=arn: aws("secretsmanager").get_secret_value(SecretId=arn)
        table[f"delete the {name}"] = lambda aws, arn=arn: aws("secretsmanager").delete_secret(SecretId=arn)
        table[f"write the {name}"] = lambda aws, arn=arn: aws("secretsmanager").put_secret_value(
            SecretId=arn, SecretString="{}", VersionStages=["REHEARSAL"]
        )
        table[f"move a label of the {name}"] = lambda aws, arn=arn: aws("secretsmanager").update_secret_version_stage(
            SecretId=arn, VersionStage="NOBODYS", RemoveFromVersionId="0" * 32
        )
        table[f"look at the {name}"] = lambda aws, arn=arn: aws("secretsmanager").describe_secret(SecretId=arn)
    return table


KEYS = ["signing keys", "refresh keys", "peppers"]
MAY = {
    "Login": [
        "read a user",
        "change a user",
        "open a session",
        "find sessions",
        "change a session",
        "count an attempt",
        "forget attempts",
        *(f"read the {key}" for key in KEYS),
    ],
    "Refresh": ["change a session", "read the signing keys", "read the refresh keys", "read the machine clients"],
    "Introspect": ["read a session", "read the machine clients", "read the public keys"],
    "Revoke": ["find sessions", "change a session", "read the refresh keys", "read the public keys"],
    "Sessions": ["read a session", "find sessions", "change a session"],
    "Password": [
        "read a user",
        "change a user",
        "delete a user",
        "open a session",
        "read a session",
        "find sessions",
        "change a session",
        "count an attempt",
        "forget attempts",
        "ask for a mail",
        *(f"read the {key}" for key in KEYS),
    ],
    "Account": [
        "add a user",
        "change a user",
        "delete a user",
        "find sessions",
        "change a session",
        "count an attempt",
        "ask for a mail",
        "read what a mail permits",
        "use a mail up",
        "read the refresh keys",
        "read the peppers",
    ],
    "Mailer": ["read a user", "change a user", "write what a mail permits", "send a mail", "read the refresh keys"],
    "Admin": [
        "add a user",
        "read a user",
        "change a user",
        "delete a user",
        "read all users",
        "read a session",
        "find sessions",
        "change a session",
        "ask for a mail",
        "read the peppers",
        "read the machine clients",
        "write the machine clients",
        "move a label of the machine clients",
    ],
    "Authorizer": [],
    "Revocations": ["read what ended"],
    "Discovery": ["read the public keys"],
    "RotateKeys": [
        *(f"{verb} the {key}" for key in KEYS for verb in ("read", "look at", "write", "move a label of")),
        "read the public keys",
        "write the public keys",
    ],
}


def allowed(operation, aws):
    try:
        operation(aws)
    except ClientError as error:
        # Anything else was let through, and met an item that is not there.
        return error.response["Error"]["Code"] not in ("AccessDenied", "AccessDeniedException")
    return True


# invariant: Each role has the rights that its function needs and no others.
def check(root, stack):
    """Ends the program when a role may do more or less than it should."""
    resources = root.stacks.describe_stack_resources(StackName=stack)["StackResources"]
    (public,) = (entry["PhysicalResourceId"] for entry in resources if entry["LogicalResourceId"] == "JwksSecret")
    table = operations(root.outputs(stack), public)
    roles = {entry["LogicalResourceId"]: entry["PhysicalResourceId"] for entry in resources if entry["ResourceType"] == "AWS::IAM::Role"}
    if sorted(roles) != sorted(f"{function}Role" for function in MAY):
        raise SystemExit(f"the roles are {sorted(roles)}")
    wrong = []
    for function, may in MAY.items():
        # On AWS only Lambda gets these credentials; MiniStack gives them to the account's root, and holds them to the role.
        role = root.client("iam").get_role(RoleName=roles[f"{function}Role"])["Role"]["Arn"]
        given = root.client("sts").assume_role(RoleArn=role, RoleSessionName="rehearsal")["Credentials"]
        session = boto3.Session(given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"], region_name=REGION)
        aws = lambda service: session.client(service, endpoint_url=root.endpoint)  # noqa: E731
        for name, operation in table.items():
            if allowed(operation, aws) != (name in may):
                wrong.append(f"{function} {'may not' if name in may else 'may'} {name}")
    if wrong:
        raise SystemExit("\n".join(["roles that do not fit:", *wrong]))
    say(f"{len(MAY)} roles were tried with {len(table)} operations: {sum(map(len, MAY.values()))} are allowed, the others denied")

