"""Whether API Gateway may invoke every function that an API of the account names.

MiniStack lets it invoke anything. AWS asks the policy of the function each time, and a caller gets 500 where nobody wrote
the permission; so the policies are looked at here, after the deployment.
"""

import json
import re
from fnmatch import fnmatchcase

FUNCTION = re.compile(r":function:([A-Za-z0-9_-]+)")


# invariant: Each API has the permission to invoke each function that it invokes.
def missing(aws, account, region):
    """A line for each API and function whose permission is missing, and how many were looked at."""
    policies = {}

    def allowed(function, source):
        if function not in policies:
            policy = json.loads(aws("lambda").get_policy(FunctionName=function)["Policy"])
            policies[function] = [
                statement["Condition"]["ArnLike"]["AWS:SourceArn"]
                for statement in policy["Statement"]
                if statement["Effect"] == "Allow"
                and statement["Action"] == "lambda:InvokeFunction"
                and statement["Principal"] == {"Service": "apigateway.amazonaws.com"}
            ]
        return any(fnmatchcase(source, pattern) for pattern in policies[function])

    needed = [*_http_apis(aws("apigatewayv2")), *_rest_apis(aws("apigateway"))]
    arns = [(uri, f"arn:aws:execute-api:{region}:{account}:{source}") for uri, source in needed]
    functions = [(FUNCTION.search(uri).group(1), source) for uri, source in arns if FUNCTION.search(uri)]
    return [f"{source} may not invoke {function}" for function, source in functions if not allowed(function, source)], len(functions)


def _http_apis(client):
    """What HTTP and WebSocket APIs invoke: the URI of a function, and the end of the source ARN that asks."""
    for api in client.get_apis()["Items"]:
        of = {"ApiId": api["ApiId"]}
        for authorizer in client.get_authorizers(**of)["Items"]:
            if authorizer["AuthorizerType"] == "REQUEST":
                yield authorizer["AuthorizerUri"], f"{api['ApiId']}/authorizers/{authorizer['AuthorizerId']}"
        integrations = {item["IntegrationId"]: item for item in client.get_integrations(**of)["Items"]}
        for route in client.get_routes(**of)["Items"]:
            uri = integrations[route["Target"].removeprefix("integrations/")].get("IntegrationUri", "")
            method, _, path = route["RouteKey"].partition(" ")
            # Whether the source names the route or the path at hand is not documented, so both have to match.
            for source in {path, re.sub(r"\{[^}]*\}", "x", path)}:
                yield uri, f"{api['ApiId']}/$default/{'GET' if method == 'ANY' else method}{source}"


def _rest_apis(client):
    for api in client.get_rest_apis()["items"]:
        of = {"restApiId": api["id"]}
        for authorizer in client.get_authorizers(**of)["items"]:
            yield authorizer["authorizerUri"], f"{api['id']}/authorizers/{authorizer['id']}"
        for resource in client.get_resources(**of, embed=["methods"])["items"]:
            path = re.sub(r"\{[^}]*\}", "x", resource["path"])
            for method, definition in resource.get("resourceMethods", {}).items():
                uri = definition.get("methodIntegration", {}).get("uri") or ""
                yield uri, f"{api['id']}/live/{method}{path}"
