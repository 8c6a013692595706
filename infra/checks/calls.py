"""Whether the AWS services accept the calls that CloudFormation makes of the templates, by the service models of botocore.

Each resource becomes the call of its handler. The models check members, types, enumerations, lengths and patterns, which the schemas of
resource types state in part only. A resource type without a call is an error.
"""

import json
import re
import sys

import botocore.session
from botocore.validate import ParamValidator

from expanded import deployed

ARN = "arn:aws:iam::123456789012:role/daypass-Role-1A2B3C4D5E6F"
PSEUDO = {
    "AWS::AccountId": "123456789012",
    "AWS::Partition": "aws",
    "AWS::Region": "eu-west-1",
    "AWS::StackName": "daypass",
    "AWS::URLSuffix": "amazonaws.com",
    "AWS::NoValue": None,
}
ATTRIBUTES = {
    "FunctionUrl": "https://abcdefghijklmnopqrstuvwxyz012345.lambda-url.eu-west-1.on.aws/",
    "ApiEndpoint": "https://abc123def4.execute-api.eu-west-1.amazonaws.com",
    "Jwks": '{"keys":[]}',
    "RegionalDomainName": "d-abc123def4.execute-api.eu-west-1.amazonaws.com",
    "RegionalHostedZoneId": "Z1UJRXOUMOOFQ8",
    "StreamArn": "arn:aws:dynamodb:eu-west-1:123456789012:table/t/stream/2026-01-01T00:00:00.000",
}
# Values of parameters that have no default, or an empty one.
EXAMPLES = {
    "Issuer": "https://id.example.com",
    "Audience": "https://api.example.com",
    "ArtifactBucket": "bucket",
    "DomainName": "id.example.com",
    "CertificateArn": "arn:aws:acm:eu-west-1:123456789012:certificate/11111111-2222-3333-4444-555555555555",
    "HostedZoneId": "Z1UJRXOUMOOFQ8",
    "AlarmTopicArn": "arn:aws:sns:eu-west-1:123456789012:alarms",
    "BusArn": "arn:aws:events:eu-west-1:123456789012:event-bus/default",
    "ClientsSecretArn": "arn:aws:secretsmanager:eu-west-1:123456789012:secret:clients-AbCdEf",
    "KmsKeyArn": "arn:aws:kms:eu-west-1:123456789012:key/11111111-2222-3333-4444-555555555555",
    "LoginReservedConcurrency": "100",
    "Tracing": "Active",
}


class Resolver:
    """Replaces intrinsic functions by values, with all conditions true or all false."""

    def __init__(self, template, full):
        self.parameters = {
            name: EXAMPLES[name] if name in EXAMPLES and (full or body.get("Default") is None) else body.get("Default", "text")
            for name, body in template.get("Parameters", {}).items()
        }
        self.template, self.full = template, full

    def condition(self, value):
        if isinstance(value, str):
            return self.condition(self.template["Conditions"][value])
        ((name, of),) = value.items()
        if name == "Condition":
            return self.condition(of)
        if name == "Fn::Equals":
            one, other = map(self.value, of)
            return str(one) == str(other)
        outcomes = [self.condition(one) for one in of]
        return {"Fn::Not": lambda: not outcomes[0], "Fn::And": lambda: all(outcomes), "Fn::Or": lambda: any(outcomes)}[name]()

    def exists(self, resource):
        return "Condition" not in resource or self.condition(resource["Condition"])

    def reference(self, name):
        if name in PSEUDO:
            return PSEUDO[name]
        if name in self.parameters:
            return self.parameters[name]
        kind = self.template["Resources"][name]["Type"]
        if kind == "AWS::SecretsManager::Secret":
            return f"arn:aws:secretsmanager:eu-west-1:123456789012:secret:{name}-1A2B3C4D5E6F-AbCdEf"
        if kind == "AWS::IAM::ManagedPolicy":
            return f"arn:aws:iam::123456789012:policy/daypass-{name}"
        if kind == "AWS::Logs::LogGroup":
            return self.value(self.template["Resources"][name]["Properties"]["LogGroupName"])
        return "abc123def4" if kind.startswith("AWS::ApiGatewayV2") else f"daypass-{name}-1A2B3C4D5E6F"

    def attribute(self, of):
        name, attribute = of.split(".", 1) if isinstance(of, str) else of
        if attribute in ATTRIBUTES:
            return ATTRIBUTES[attribute]
        kind = self.template["Resources"][name]["Type"].split("::")[1:]
        arns = {"Role": ARN, "Function": f"arn:aws:lambda:eu-west-1:123456789012:function:daypass-{name}-1A2B3C4D5E6F", "Table": f"arn:aws:dynamodb:eu-west-1:123456789012:table/daypass-{name}-1A2B3C4D5E6F"}
        other = f"arn:aws:{kind[0].lower()}:eu-west-1:123456789012:{name}"
        return arns.get(kind[-1], other) if attribute.endswith("Arn") else f"daypass-{name}"

    def value(self, value):
        if isinstance(value, list):
            return [one for one in map(self.value, value) if one is not None]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            ((name, of),) = value.items()
            if name == "Ref":
                return self.reference(of)
            if name == "Fn::GetAtt":
                return self.attribute(of)
            if name == "Fn::If":
                return self.value(of[1 if self.condition(of[0]) else 2])
            if name == "Fn::Sub":
                text, given = (of, {}) if isinstance(of, str) else of
                given = {key: self.value(one) for key, one in given.items()}
                one = lambda match: str(given.get(match[1]) or (self.attribute(match[1]) if "." in match[1] else self.reference(match[1])))  # noqa: E731
                return re.sub(r"\$\{([^!}]+)\}", one, text)
            if name == "Fn::Join":
                return of[0].join(map(str, self.value(of[1])))
            if name.startswith("Fn::"):
                return "text"
        members = {key: self.value(one) for key, one in value.items()}
        return {key: one for key, one in members.items() if one is not None}


def renamed(properties, change):
    if isinstance(properties, list):
        return [renamed(one, change) for one in properties]
    if not isinstance(properties, dict):
        return properties
    return {change(key): renamed(one, change) for key, one in properties.items()}


def camel(name):
    return name[:1].lower() + name[1:]


def without(properties, *names):
    return {name: value for name, value in properties.items() if name not in names}


def function(properties):
    code = properties.pop("Code")
    extra = without(properties, "Tags", "ReservedConcurrentExecutions", "LoggingConfig")
    yield "lambda", "CreateFunction", extra | {
        "FunctionName": "daypass-f",
        "Code": {key: code[key] for key in ("S3Bucket", "S3Key") if key in code},
        "LoggingConfig": properties["LoggingConfig"],
        "Tags": {tag["Key"]: tag["Value"] for tag in properties.get("Tags", [])},
    }
    if "ReservedConcurrentExecutions" in properties:
        count = int(properties["ReservedConcurrentExecutions"])
        yield "lambda", "PutFunctionConcurrency", {"FunctionName": "daypass-f", "ReservedConcurrentExecutions": count}


def api(properties):
    if "Body" in properties:
        yield "apigatewayv2", "ImportApi", {"Body": json.dumps(properties["Body"])}
    else:
        yield "apigatewayv2", "CreateApi", properties


def role(properties):
    document = json.dumps(properties["AssumeRolePolicyDocument"])
    yield "iam", "CreateRole", {"RoleName": "daypass-r", "AssumeRolePolicyDocument": document, "Tags": properties.get("Tags", [])}
    for policy in properties.get("Policies", []):
        document = json.dumps(policy["PolicyDocument"])
        yield "iam", "PutRolePolicy", {"RoleName": "daypass-r", "PolicyName": policy["PolicyName"], "PolicyDocument": document}
    for arn in properties.get("ManagedPolicyArns", []):
        yield "iam", "AttachRolePolicy", {"RoleName": "daypass-r", "PolicyArn": arn}


def table(properties):
    names = ("PointInTimeRecoverySpecification", "TimeToLiveSpecification", "SSESpecification", "StreamSpecification")
    create = without(properties, *names) | {"TableName": "daypass-t"}
    if "SSESpecification" in properties:
        sse = properties["SSESpecification"]
        create["SSESpecification"] = {"Enabled": sse["SSEEnabled"]} | without(sse, "SSEEnabled")
    if "StreamSpecification" in properties:
        create["StreamSpecification"] = {"StreamEnabled": True} | properties["StreamSpecification"]
    yield "dynamodb", "CreateTable", create
    for name, operation in zip(names, ("UpdateContinuousBackups", "UpdateTimeToLive")):
        if name in properties:
            yield "dynamodb", operation, {"TableName": "daypass-t", name: properties[name]}


def rotation(properties):
    yield "secretsmanager", "RotateSecret", {
        "SecretId": properties["SecretId"],
        "RotationLambdaARN": properties["RotationLambdaARN"],
        "RotationRules": properties["RotationRules"],
        "RotateImmediately": properties.get("RotateImmediatelyOnUpdate", True),
    }


def record(properties):
    fields = without(properties, "HostedZoneId")
    fields["AliasTarget"] = {"EvaluateTargetHealth": False} | fields["AliasTarget"]
    changes = [{"Action": "UPSERT", "ResourceRecordSet": fields}]
    yield "route53", "ChangeResourceRecordSets", {"HostedZoneId": properties["HostedZoneId"], "ChangeBatch": {"Changes": changes}}


def rule(properties):
    fields = without(properties, "Targets", "EventPattern") | {"Name": "daypass-r"}
    yield "events", "PutRule", fields | {"EventPattern": json.dumps(properties["EventPattern"])}
    yield "events", "PutTargets", {"Rule": "daypass-r", "Targets": properties["Targets"]}


def destination(properties):
    fields = without(properties["EventDestination"], "Name")
    fields["MatchingEventTypes"] = [name.upper() for name in fields["MatchingEventTypes"]]
    yield "sesv2", "CreateConfigurationSetEventDestination", {
        "ConfigurationSetName": properties["ConfigurationSetName"],
        "EventDestinationName": properties["EventDestination"]["Name"],
        "EventDestination": fields,
    }


def queue(properties):
    attributes = {name: str(value).lower() for name, value in without(properties, "QueueName", "Tags").items()}
    tags = {tag["Key"]: tag["Value"] for tag in properties.get("Tags", [])}
    yield "sqs", "CreateQueue", {"QueueName": properties["QueueName"], "Attributes": attributes, "tags": tags}


def same(service, operation, *left_out, **extra):
    return lambda properties: iter([(service, operation, without(properties, *left_out) | extra)])


def logs(operation, *left_out, **extra):
    return lambda properties: iter([("logs", operation, renamed(without(properties, *left_out), camel) | extra)])


def tagged(service, operation, *left_out, **extra):
    """For services whose tags are a mapping here and a list there, or the other way."""

    def call(properties):
        tags = properties.get("Tags", {})
        tags = [{"Key": key, "Value": value} for key, value in tags.items()] if isinstance(tags, dict) else tags
        yield service, operation, without(properties, "Tags", *left_out) | {"Tags": tags} | extra

    return call


CALLS = {
    "AWS::ApiGatewayV2::Api": api,
    "AWS::ApiGatewayV2::ApiMapping": same("apigatewayv2", "CreateApiMapping"),
    "AWS::ApiGatewayV2::Authorizer": same("apigatewayv2", "CreateAuthorizer"),
    "AWS::ApiGatewayV2::DomainName": same("apigatewayv2", "CreateDomainName"),
    "AWS::ApiGatewayV2::Integration": same("apigatewayv2", "CreateIntegration"),
    "AWS::ApiGatewayV2::Route": same("apigatewayv2", "CreateRoute"),
    "AWS::ApiGatewayV2::Stage": same("apigatewayv2", "CreateStage"),
    "AWS::CloudFormation::Stack": lambda properties: iter(()),
    "AWS::CloudWatch::Alarm": same("cloudwatch", "PutMetricAlarm", AlarmName="daypass-a"),
    "AWS::CloudWatch::Dashboard": same("cloudwatch", "PutDashboard"),
    "AWS::DynamoDB::Table": table,
    "AWS::Events::Rule": rule,
    "AWS::IAM::ManagedPolicy": lambda properties: iter(
        [("iam", "CreatePolicy", {"PolicyName": "daypass-p", "PolicyDocument": json.dumps(properties["PolicyDocument"])})]
    ),
    "AWS::IAM::Role": role,
    "AWS::Lambda::EventSourceMapping": same("lambda", "CreateEventSourceMapping"),
    "AWS::Lambda::Function": function,
    "AWS::Lambda::Permission": same("lambda", "AddPermission", StatementId="daypass-s"),
    "AWS::Lambda::Url": lambda properties: iter(
        [("lambda", "CreateFunctionUrlConfig", without(properties, "TargetFunctionArn") | {"FunctionName": properties["TargetFunctionArn"]})]
    ),
    "AWS::Logs::LogGroup": logs("CreateLogGroup", "RetentionInDays", "Tags"),
    "AWS::Logs::MetricFilter": logs("PutMetricFilter", filterName="daypass-m"),
    "AWS::Pipes::Pipe": same("pipes", "CreatePipe", Name="daypass-p"),
    "AWS::Route53::RecordSet": record,
    "AWS::SES::ConfigurationSet": lambda properties: iter(
        [("sesv2", "CreateConfigurationSet", without(properties, "Name") | {"ConfigurationSetName": properties["Name"]})]
    ),
    "AWS::SES::ConfigurationSetEventDestination": destination,
    "AWS::SQS::Queue": queue,
    "AWS::SSM::Parameter": tagged("ssm", "PutParameter"),
    "AWS::SecretsManager::RotationSchedule": rotation,
    "AWS::SecretsManager::Secret": tagged("secretsmanager", "CreateSecret", Name="daypass-s"),
}


def typed(value, shape):
    """CloudFormation turns text into the type of the member."""
    if shape.type_name == "structure" and isinstance(value, dict):
        return {key: typed(one, shape.members[key]) if key in shape.members else one for key, one in value.items()}
    if shape.type_name == "list" and isinstance(value, list):
        return [typed(one, shape.member) for one in value]
    if shape.type_name == "map" and isinstance(value, dict):
        return {key: typed(one, shape.value) for key, one in value.items()}
    # What the resolver does not compute, such as Fn::FindInMap, is valid text. As a number it is 1.
    if value == "text" and shape.type_name in ("integer", "long", "float", "double"):
        value = "1"
    if shape.type_name in ("integer", "long") and isinstance(value, str) and value.isdigit():
        return int(value)
    if shape.type_name in ("float", "double") and isinstance(value, (int, str)) and not isinstance(value, bool):
        return float(value)
    if shape.type_name == "boolean" and value in ("true", "false"):
        return value == "true"
    return str(value) if shape.type_name == "string" and isinstance(value, (int, float)) else value


def limits(value, shape, place):
    """What botocore's own validator leaves out: enumerations, patterns and upper limits."""
    meta = shape.metadata
    if value == "text":
        return
    if shape.type_name == "structure":
        for key, one in value.items():
            yield from limits(one, shape.members[key], f"{place}.{key}")
    elif shape.type_name == "list":
        for one in value:
            yield from limits(one, shape.member, place)
    elif shape.type_name == "map":
        for one in value.values():
            yield from limits(one, shape.value, place)
    elif shape.type_name == "string":
        if shape.enum and value not in shape.enum:
            yield f"{place} may not be {value!r}"
        if "max" in meta and len(value) > meta["max"]:
            yield f"{place} has {len(value)} characters of {meta['max']}"
        pattern = meta.get("pattern")
        if pattern and "\\p{" not in pattern and not re.search(pattern, value):
            yield f"{place}: {value!r} does not match {pattern}"
    elif shape.type_name in ("integer", "long", "double", "float") and not meta.get("min", value) <= value <= meta.get("max", value):
        yield f"{place} may not be {value}"


def main():
    session, validator = botocore.session.get_session(), ParamValidator()
    count, wrong = 0, []
    for file, template in deployed().items():
        for full in (False, True):
            resolver = Resolver(template, full)
            for name, resource in template["Resources"].items():
                kind = resource["Type"]
                if kind.startswith("Custom::") or not resolver.exists(resource):
                    continue
                if kind not in CALLS:
                    raise SystemExit(f"{file}: {name} is of the type {kind}, which has no entry in CALLS")
                properties = resolver.value(resource.get("Properties", {}))
                for service, operation, call in CALLS[kind](properties):
                    shape = session.get_service_model(service).operation_model(operation).input_shape
                    call = typed(call, shape)
                    place = f"{file}: {name}: {service}:{operation}"
                    report = validator.validate(call, shape)
                    wrong += [f"{place}: {report.generate_report()}"] if report.has_errors() else limits(call, shape, place)
                    unknown = set(call) - set(shape.members)
                    wrong += [f"{place} has no member {sorted(unknown)}"] if unknown else []
                    count += 1
    if wrong:
        raise SystemExit("\n".join(wrong))
    print(f"the service models accept {count} calls")


if __name__ == "__main__":
    sys.exit(main())
