"""Turns a SAM template into one that MiniStack deploys as AWS would, and keeps a note of everything it changed.

On AWS, CloudFormation runs the SAM translator itself, and API Gateway reads the routes and authorizers of the examples'
HTTP APIs from the OpenAPI document (`Body`) that the translator makes. MiniStack 1.5 ignores that document, so here it
becomes the resources that it stands for. The stack's own API has these resources already. Nothing else is touched but
what a person would have to change as well: code and nested templates are objects in a bucket (`sam package` does that).
"""

import json
import logging
import os
import re
from types import SimpleNamespace

# The translator asks for a region when it is loaded, and for nothing else of an account.
os.environ.setdefault("AWS_DEFAULT_REGION", "us-east-1")

from samtranslator.translator.transform import transform  # noqa: E402

# It tells of switches and metrics that are AWS' own.
logging.getLogger("samtranslator").setLevel(logging.CRITICAL)

ANY_METHOD = "x-amazon-apigateway-any-method"
METHODS = {"get", "put", "post", "delete", "options", "head", "patch", ANY_METHOD}
# What MiniStack 1.5 refuses a template for.
UNKNOWN = {"AWS::SecretsManager::RotationSchedule": "rotate.py rotates"}


def expand(template, parameters, package, nested, endpoint):
    """The template without SAM and without OpenAPI documents of HTTP APIs, and the notes of what was changed.

    `package` gives the S3 location of a function's code, by the name of its binary, and `nested` the URL of a nested
    template, by its path. `endpoint` is MiniStack's URL.
    """
    notes = []
    _package(template["Resources"], package)
    plain = transform(template, dict(parameters), SimpleNamespace(load=dict)) if "Transform" in template else template
    resources = plain["Resources"]
    for resource in resources.values():
        if resource["Type"] == "AWS::CloudFormation::Stack":
            resource["Properties"]["TemplateURL"] = nested(resource["Properties"]["TemplateURL"])
    for name in [name for name, resource in resources.items() if resource["Type"] == "AWS::ApiGatewayV2::Api"]:
        body = resources[name]["Properties"].pop("Body", None)
        if body is not None:
            _http_api(resources, name, body, notes)
    for name in [name for name, resource in resources.items() if resource["Type"] in UNKNOWN]:
        notes.append(f"{name}: left out, {UNKNOWN[resources.pop(name)['Type']]}")
    for name in [name for name, resource in resources.items() if _is_metric_math(resource)]:
        resources.pop(name)
        notes.append(f"{name}: left out, MiniStack has no alarms over several metrics")
    statements = [
        statement
        for resource in resources.values()
        if resource["Type"] == "AWS::IAM::Role"
        for policy in resource["Properties"].get("Policies", [])
        for statement in policy.get("PolicyDocument", {}).get("Statement", [])
    ]
    for statement in statements:
        if "ses:SendEmail" in statement.get("Action", []):
            statement["Resource"] = "*"
            notes.append("a role may send by every identity of SES: MiniStack asks for a right on * instead of identity and configuration set")
    secrets = [name for name, resource in resources.items() if resource["Type"] == "AWS::SecretsManager::Secret"]
    if secrets:
        plain = {part: _by_arn(body, secrets) for part, body in plain.items()}
        notes.append("a reference to a secret is its ARN, as on AWS (MiniStack: its name)")
    urls = [name for name, resource in resources.items() if resource["Type"] == "AWS::Lambda::Url"]
    if urls:
        plain = {part: _by_path(body, urls, endpoint) for part, body in plain.items()}
        notes.append("a function URL is a path of MiniStack: names below lambda-url do not resolve here")
    plain, count = _endpoint_by_path(plain, endpoint)
    if count:
        notes.append("the URL of the stack's API is a path of MiniStack: names below execute-api do not resolve here")
    return plain, notes


def _by_path(value, urls, endpoint):
    """The same with a path of MiniStack wherever a text names the URL of one of these functions."""
    if isinstance(value, list):
        return [_by_path(item, urls, endpoint) for item in value]
    if not isinstance(value, dict):
        return value
    match = re.fullmatch(r"\$\{(\w+)\.FunctionUrl\}(.*)", value.get("Fn::Sub", "")) if isinstance(value.get("Fn::Sub"), str) else None
    if match and match[1] in urls:
        # https://ID.lambda-url.REGION.on.aws/
        url = {"Fn::GetAtt": [match[1], "FunctionUrl"]}
        host = {"Fn::Select": [2, {"Fn::Split": ["/", url]}]}
        function = {"Fn::Select": [0, {"Fn::Split": [".", host]}]}
        return {"Fn::Join": ["", [f"{endpoint}/_aws/lambda-url/", function, f"/{match[2]}"]]}
    return {key: _by_path(item, urls, endpoint) for key, item in value.items()}


def _is_metric_math(resource):
    return resource["Type"] == "AWS::CloudWatch::Alarm" and "Metrics" in resource["Properties"]


def _by_arn(value, secrets):
    """The same with the ARN of each of these secrets where it is referred to."""
    if isinstance(value, list):
        return [_by_arn(item, secrets) for item in value]
    if not isinstance(value, dict):
        return value
    if value.get("Ref") in secrets:
        return {"Fn::GetAtt": [value["Ref"], "Id"]}
    if isinstance(value.get("Fn::Sub"), str):
        return {"Fn::Sub": re.sub(r"\$\{(\w+)\}", lambda match: f"${{{match[1]}.Id}}" if match[1] in secrets else match[0], value["Fn::Sub"])}
    return {key: _by_arn(item, secrets) for key, item in value.items()}


def _package(resources, package):
    for resource in resources.values():
        if resource["Type"] == "AWS::Serverless::Function":
            resource.setdefault("Properties", {})["CodeUri"] = package(resource["Metadata"]["BuildProperties"]["Binary"])


def _endpoint_by_path(value, endpoint):
    """The same with a path of MiniStack for each `!GetAtt API.ApiEndpoint`, and their number."""
    if isinstance(value, list):
        pairs = [_endpoint_by_path(item, endpoint) for item in value]
        return [item for item, _ in pairs], sum(count for _, count in pairs)
    if not isinstance(value, dict):
        return value, 0
    attribute = value.get("Fn::GetAtt")
    if isinstance(attribute, list) and attribute[1:] == ["ApiEndpoint"]:
        return {"Fn::Join": ["", [f"{endpoint}/_aws/execute-api/", {"Ref": attribute[0]}]]}, 1
    pairs = {key: _endpoint_by_path(item, endpoint) for key, item in value.items()}
    return {key: item for key, (item, _) in pairs.items()}, sum(count for _, count in pairs.values())


def _http_api(resources, api, body, notes):
    """Adds what the OpenAPI document of an HTTP API stands for."""
    resources[api]["Properties"].setdefault("ProtocolType", "HTTP")
    resources[api]["Properties"].setdefault("Name", api)
    schemes = body.get("components", {}).get("securitySchemes", {})
    authorizers = {}
    for scheme, definition in schemes.items():
        definition = definition["x-amazon-apigateway-authorizer"]
        authorizers[scheme] = (f"{api}{_word(scheme)}", "JWT" if definition["type"] == "jwt" else "CUSTOM")
        resources[authorizers[scheme][0]] = _authorizer(api, scheme, definition)
    routes = [
        (method, path, operation)
        for path, methods in body["paths"].items()
        for method, operation in methods.items()
        if method in METHODS
    ]
    for method, path, operation in routes:
        _route(resources, api, method, path, operation, authorizers)
    notes.append(f"{api}: its OpenAPI body became {len(authorizers)} authorizers and {len(routes)} routes")


def _authorizer(api, name, definition):
    properties = {"ApiId": {"Ref": api}, "Name": name}
    sources = definition["identitySource"]
    properties["IdentitySource"] = sources if isinstance(sources, list) else [sources]
    if definition["type"] == "jwt":
        jwt = definition["jwtConfiguration"]
        properties["AuthorizerType"] = "JWT"
        properties["JwtConfiguration"] = {"Audience": jwt["audience"], "Issuer": jwt["issuer"]}
    else:
        properties["AuthorizerType"] = "REQUEST"
        properties["AuthorizerUri"] = definition["authorizerUri"]
        properties["AuthorizerPayloadFormatVersion"] = definition["authorizerPayloadFormatVersion"]
        properties["EnableSimpleResponses"] = definition.get("enableSimpleResponses", False)
        # AWS caches nothing unless told to; MiniStack would take 300 s for the default.
        properties["AuthorizerResultTtlInSeconds"] = definition.get("authorizerResultTtlInSeconds", 0)
    return {"Type": "AWS::ApiGatewayV2::Authorizer", "Properties": properties}


def _route(resources, api, method, path, operation, authorizers):
    integration = operation["x-amazon-apigateway-integration"]
    verb = "ANY" if method == ANY_METHOD else method.upper()
    name = f"{api}{verb.title()}{_word(path)}"
    resources[f"{name}Integration"] = {
        "Type": "AWS::ApiGatewayV2::Integration",
        "Properties": {
            "ApiId": {"Ref": api},
            "IntegrationType": integration["type"].upper(),
            "IntegrationMethod": integration["httpMethod"],
            "IntegrationUri": integration["uri"],
            "PayloadFormatVersion": integration["payloadFormatVersion"],
        },
    }
    properties = {
        "ApiId": {"Ref": api},
        "RouteKey": "$default" if path == "/$default" else f"{verb} {path}",
        "Target": {"Fn::Sub": f"integrations/${{{name}Integration}}"},
    }
    for requirement in operation.get("security", []):
        for scheme, scopes in requirement.items():
            authorizer, kind = authorizers[scheme]
            properties["AuthorizationType"] = kind
            properties["AuthorizerId"] = {"Ref": authorizer}
            if scopes:
                properties["AuthorizationScopes"] = scopes
    resources[f"{name}Route"] = {"Type": "AWS::ApiGatewayV2::Route", "Properties": properties}


def _word(text):
    """The letters and digits of a text, for a logical id; what else there is becomes the start of a new word."""
    return "".join(part[:1].upper() + part[1:] for part in "".join(c if c.isalnum() else " " for c in text).split())


def dump(template):
    """The template as the JSON that CloudFormation reads."""
    return json.dumps(template, default=str)
