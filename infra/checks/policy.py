"""The rights of a role that deploys Daypass, from the resource schemas that cfn-lint ships.

    policy.py SCHEMAS FILE            compares FILE with the policy
    policy.py SCHEMAS FILE --write    writes it

SCHEMAS is the folder cfnlint/data/schemas. The schema of a resource type lists the actions of its handlers.
"""

import json
import sys
from pathlib import Path

from expanded import deployed

# Resources of each service. STACK, REGION, ACCOUNT and BUCKET are replaced by the reader.
RESOURCES = {
    "apigateway": ["arn:aws:apigateway:REGION::/*"],
    "cloudformation": [
        "arn:aws:cloudformation:REGION:ACCOUNT:stack/STACK/*",
        "arn:aws:cloudformation:REGION:ACCOUNT:stack/STACK-*",
        "arn:aws:cloudformation:REGION:ACCOUNT:stack/aws-sam-cli-managed-default/*",
        "arn:aws:cloudformation:REGION:aws:transform/Serverless-2016-10-31",
    ],
    "cloudwatch": ["arn:aws:cloudwatch:REGION:ACCOUNT:alarm:STACK-*", "arn:aws:cloudwatch::ACCOUNT:dashboard/STACK*"],
    "dynamodb": ["arn:aws:dynamodb:REGION:ACCOUNT:table/STACK-*"],
    "events": ["arn:aws:events:REGION:ACCOUNT:rule/STACK-*"],
    "iam": ["arn:aws:iam::ACCOUNT:role/STACK-*", "arn:aws:iam::ACCOUNT:policy/STACK-*"],
    "lambda": ["arn:aws:lambda:REGION:ACCOUNT:function:STACK-*", "arn:aws:lambda:REGION:ACCOUNT:event-source-mapping:*"],
    "logs": [
        "arn:aws:logs:REGION:ACCOUNT:log-group:/aws/lambda/STACK*",
        "arn:aws:logs:REGION:ACCOUNT:log-group:/aws/vendedlogs/apis/STACK*",
    ],
    "pipes": ["arn:aws:pipes:REGION:ACCOUNT:pipe/*"],
    "route53": ["arn:aws:route53:::hostedzone/*", "arn:aws:route53:::change/*"],
    "s3": ["arn:aws:s3:::aws-sam-cli-managed-default-*"],
    "ses": ["arn:aws:ses:REGION:ACCOUNT:configuration-set/STACK-*"],
    "sqs": ["arn:aws:sqs:REGION:ACCOUNT:STACK-*"],
    "ssm": ["arn:aws:ssm:REGION:ACCOUNT:parameter/daypass/STACK/*"],
}
# Actions that know no resource, or act on an account.
ANYWHERE = {
    "cloudformation:GetTemplateSummary",
    "cloudwatch:DescribeAlarms",
    "logs:CreateLogDelivery",
    "logs:DeleteLogDelivery",
    "logs:DescribeLogGroups",
    "logs:DescribeResourcePolicies",
    "logs:GetLogDelivery",
    "logs:ListLogDeliveries",
    "logs:PutResourcePolicy",
    "logs:UpdateLogDelivery",
    "secretsmanager:GetRandomPassword",
}
# Actions of `sam deploy` and `aws cloudformation deploy` themselves.
COMMANDS = {
    "cloudformation": "CreateChangeSet DeleteChangeSet DescribeChangeSet DescribeStackEvents DescribeStackResources "
    "DescribeStacks ExecuteChangeSet GetTemplate GetTemplateSummary ListStackResources",
    # SAM's own bucket, and its archives.
    "s3": "CreateBucket GetBucketLocation GetObject ListBucket PutBucketPolicy PutBucketPublicAccessBlock "
    "PutBucketTagging PutBucketVersioning PutEncryptionConfiguration PutObject",
    # The rights of the access log: API Gateway's guide, "Configure logging for HTTP APIs".
    "logs": "CreateLogDelivery DeleteLogDelivery DescribeLogGroups DescribeResourcePolicies GetLogDelivery "
    "ListLogDeliveries PutResourcePolicy UpdateLogDelivery",
}
# Of the handlers, what serves features that no template uses, or data that a deployment must not read.
LEFT_OUT = {
    "cloudformation": "GetStackPolicy SetStackPolicy UpdateTerminationProtection",
    "dynamodb": "AssociateTableReplica BatchWriteItem CreateTableReplica DeleteItem DeleteResourcePolicy DescribeImport "
    "DisableKinesisStreamingDestination EnableKinesisStreamingDestination GetItem ImportTable PutItem PutResourcePolicy "
    "Query Scan UpdateContributorInsights UpdateItem UpdateKinesisStreamingDestination",
    "iam": "AttachGroupPolicy AttachUserPolicy CreateServiceLinkedRole DeleteRolePermissionsBoundary DetachGroupPolicy "
    "DetachUserPolicy PutRolePermissionsBoundary",
    "lambda": "AssociateRuntimeAlias DeleteFunctionCodeSigningConfig PassCapacityProvider PublishVersion "
    "PutFunctionCodeSigningConfig PutFunctionRecursionConfig PutFunctionScalingConfig GetLayerVersion GetCodeSigningConfig",
    "logs": "CreateLogStream DeleteDataProtectionPolicy DeleteIndexPolicy DeleteResourcePolicy DescribeIndexPolicies "
    "GetDataProtectionPolicy PutBearerTokenAuthentication PutDataProtectionPolicy PutIndexPolicy PutLogEvents "
    "PutLogGroupDeletionProtection DescribeLogStreams",
    "secretsmanager": "GetSecretValue RemoveRegionsFromReplication ReplicateSecretToRegions",
    "s3": "GetBucketPolicy GetObjectMetadata REST.PUT.OBJECT getObject",
}
# Services of such features.
NO_SERVICE = {"ec2", "elasticfilesystem", "firehose", "kinesis", "s3files", "states", "sns", "acm"}
# Its resource is in a condition: "Actions, resources, and condition keys for AWS Lambda".
MAPPING = "lambda:CreateEventSourceMapping"
# Of the bucket of a release, a deployment reads the files and writes the template.
FILES = ["s3:GetBucketLocation", "s3:GetObject", "s3:GetObjectVersion", "s3:ListBucket"]
KEYS = ["CreateGrant", "Decrypt", "DescribeKey", "Encrypt", "GenerateDataKey"]


def handlers(schemas, templates):
    """The actions of the handlers of all resource types, by service."""
    hashes = json.loads((schemas / "providers/us-east-1.json").read_text())
    types = {resource["Type"] for template in templates.values() for resource in template["Resources"].values()}
    actions = {}
    for kind in sorted(types):
        if kind.startswith("Custom::"):
            continue
        schema = json.loads((schemas / f"resources/{hashes[kind]}.json").read_text())
        for name, handler in schema["handlers"].items():
            for action in handler["permissions"] if name != "list" else []:
                service, name = action.split(":")
                actions.setdefault(service, set()).add(name)
    return actions


def policy(schemas):
    templates = deployed()
    actions = {
        service: names - set(LEFT_OUT.get(service, "").split())
        for service, names in handlers(schemas, templates).items()
        if service not in NO_SERVICE and service != "kms"
    }
    for service, names in COMMANDS.items():
        actions.setdefault(service, set()).update(names.split())
    # CloudFormation names a secret after its logical id.
    secrets = {
        name
        for template in templates.values()
        for name, resource in template["Resources"].items()
        if resource["Type"] == "AWS::SecretsManager::Secret"
    }
    secret = "arn:aws:secretsmanager:REGION:ACCOUNT:secret:"
    resources = RESOURCES | {"secretsmanager": [f"{secret}{name}-*" for name in ["STACK", *sorted(secrets)]]}
    statements = []
    anywhere = []
    for service in sorted(actions):
        if service not in resources:
            raise SystemExit(f"a template needs rights at {service}, for which RESOURCES has no entry: {sorted(actions[service])}")
        full = {f"{service}:{name}" for name in actions[service]} - {MAPPING}
        anywhere += sorted(full & ANYWHERE)
        statements.append(statement(service.title(), sorted(full - ANYWHERE), resources[service]))
    statements.append(statement("Anywhere", sorted(anywhere), ["*"]))
    keys = statement("KeysOfYourOwn", [f"kms:{name}" for name in KEYS], ["arn:aws:kms:REGION:ACCOUNT:key/*"])
    keys["Condition"] = {"StringLike": {"kms:ViaService": "*.REGION.amazonaws.com"}}
    mapping = statement("Mapping", [MAPPING], ["*"])
    mapping["Condition"] = {"ArnLike": {"lambda:FunctionArn": "arn:aws:lambda:REGION:ACCOUNT:function:STACK-*"}}
    release = [
        statement("Release", FILES, ["arn:aws:s3:::BUCKET", "arn:aws:s3:::BUCKET/*"]),
        statement("ReleaseTemplates", ["s3:PutObject"], ["arn:aws:s3:::BUCKET/daypass/templates/*"]),
    ]
    return {"Version": "2012-10-17", "Statement": [*statements, *release, mapping, keys]}


def statement(name, actions, resources):
    return {"Sid": name, "Effect": "Allow", "Action": actions, "Resource": resources}


def main():
    schemas, file = Path(sys.argv[1]), Path(sys.argv[2])
    text = json.dumps(policy(schemas), indent=2) + "\n"
    # The limit of an inline policy, without white space.
    size = len("".join(text.split()))
    if size > 10_240:
        raise SystemExit(f"the policy has {size} characters, and a role takes 10,240")
    if sys.argv[3:] == ["--write"]:
        file.write_text(text)
    elif not file.exists() or file.read_text() != text:
        raise SystemExit(f"{file} is out of date: run {' '.join(sys.argv)} --write")
    print(f"the deployment policy has {size} of 10,240 characters")


if __name__ == "__main__":
    main()
