// Two stacks: Daypass from the files of a release, and an HTTP API behind its authorizer. docs/guides/cdk.md describes them.
import { App, Aws, CfnOutput, CfnStack, Duration, Fn, Stack } from "aws-cdk-lib";
import { HttpApi, HttpMethod } from "aws-cdk-lib/aws-apigatewayv2";
import { HttpLambdaAuthorizer, HttpLambdaResponseType } from "aws-cdk-lib/aws-apigatewayv2-authorizers";
import { HttpLambdaIntegration } from "aws-cdk-lib/aws-apigatewayv2-integrations";
import { Code, Function, Runtime } from "aws-cdk-lib/aws-lambda";

const app = new App();

// The template of the release, from the bucket with its other files: docs/guides/release.md.
const daypass = new Stack(app, "daypass");
const bucket = app.node.getContext("artifactBucket");
const release = new CfnStack(daypass, "Daypass", {
  templateUrl: `https://${bucket}.s3.${Aws.REGION}.${Aws.URL_SUFFIX}/daypass/0.1.0/daypass-arm64.yaml`,
  parameters: {
    ArtifactBucket: bucket,
    Audience: "https://api.example.com",
    // With the account endpoints of Daypass itself: docs/guides/scopes-and-routes.md.
    Routes:
      "GET /orders/* needs orders:read; * /sessions* any-token; * /password any-token; * /email any-token; " +
      "* /reauthenticate* any-token; * /factors* any-token; default deny",
  },
});
new CfnOutput(daypass, "AuthorizerFunctionArn", {
  value: release.getAtt("Outputs.AuthorizerFunctionArn").toString(),
  exportName: "daypass-AuthorizerFunctionArn",
});

const orders = new Stack(app, "orders");
// --8<-- [start:authorizer]
const authorizer = Function.fromFunctionAttributes(orders, "Authorizer", {
  functionArn: Fn.importValue("daypass-AuthorizerFunctionArn"),
  // Without it, CDK grants no permission to a function whose ARN it does not know yet, and each request gets 500.
  sameEnvironment: true,
});
const api = new HttpApi(orders, "Api", {
  defaultAuthorizer: new HttpLambdaAuthorizer("Daypass", authorizer, {
    responseTypes: [HttpLambdaResponseType.SIMPLE],
    // CDK caches for 5 minutes by default. Without a cache, a revoked token is rejected within 6 s.
    resultsCacheTtl: Duration.seconds(0),
  }),
});
// --8<-- [end:authorizer]
const handler = new Function(orders, "Orders", {
  runtime: Runtime.NODEJS_22_X,
  handler: "index.handler",
  code: Code.fromInline("exports.handler = async (event) => event.requestContext.authorizer.lambda;"),
});
const integration = new HttpLambdaIntegration("Orders", handler);
api.addRoutes({ path: "/orders/{id}", methods: [HttpMethod.GET], integration });
new CfnOutput(orders, "Url", { value: api.apiEndpoint });
