# Daypass from the files of a release, and an HTTP API behind its authorizer. docs/guides/terraform.md describes them.

terraform {
  required_version = ">= 1.5"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.0"
    }
  }
}

variable "artifact_bucket" {
  description = "The S3 bucket with the files of the release, in this region"
  type        = string
}

variable "artifact_prefix" {
  description = "The start of the keys of these files"
  type        = string
  default     = "daypass/0.1.0/"
}

data "aws_region" "current" {}

# The template is larger than 51,200 bytes, so CloudFormation reads it from the bucket.
resource "aws_cloudformation_stack" "daypass" {
  name         = "daypass"
  template_url = "https://${var.artifact_bucket}.s3.${data.aws_region.current.name}.amazonaws.com/${var.artifact_prefix}daypass-arm64.yaml"
  # The template uses AWS::Serverless, and Terraform makes no change set: CloudFormation counts it as a macro.
  capabilities = ["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"]

  parameters = {
    ArtifactBucket = var.artifact_bucket
    ArtifactPrefix = var.artifact_prefix
    Audience       = "https://api.example.com"
    # With the account endpoints of Daypass itself: docs/guides/scopes-and-routes.md.
    Routes = "GET /orders/* needs orders:read; * /sessions* any-token; * /password any-token; * /email any-token; * /reauthenticate* any-token; * /factors* any-token; default deny"
  }
}

resource "aws_apigatewayv2_api" "orders" {
  name          = "orders"
  protocol_type = "HTTP"
}

# --8<-- [start:authorizer]
locals {
  authorizer_arn = aws_cloudformation_stack.daypass.outputs["AuthorizerFunctionArn"]
}

resource "aws_apigatewayv2_authorizer" "daypass" {
  api_id                            = aws_apigatewayv2_api.orders.id
  name                              = "daypass"
  authorizer_type                   = "REQUEST"
  authorizer_uri                    = "arn:aws:apigateway:${data.aws_region.current.name}:lambda:path/2015-03-31/functions/${local.authorizer_arn}/invocations"
  authorizer_payload_format_version = "2.0"
  enable_simple_responses           = true
  identity_sources                  = ["$request.header.Authorization"]
  # Without a cache, a revoked token is rejected within 6 s.
  authorizer_result_ttl_in_seconds = 0
}

# Without it, each request gets 500.
resource "aws_lambda_permission" "daypass" {
  action        = "lambda:InvokeFunction"
  function_name = local.authorizer_arn
  principal     = "apigateway.amazonaws.com"
  source_arn    = "${aws_apigatewayv2_api.orders.execution_arn}/authorizers/${aws_apigatewayv2_authorizer.daypass.id}"
}
# --8<-- [end:authorizer]

variable "orders_function_arn" {
  description = "The function behind the API"
  type        = string
}

resource "aws_apigatewayv2_integration" "orders" {
  api_id                 = aws_apigatewayv2_api.orders.id
  integration_type       = "AWS_PROXY"
  integration_uri        = var.orders_function_arn
  payload_format_version = "2.0"
}

resource "aws_apigatewayv2_route" "orders" {
  api_id             = aws_apigatewayv2_api.orders.id
  route_key          = "GET /orders/{id}"
  target             = "integrations/${aws_apigatewayv2_integration.orders.id}"
  authorization_type = "CUSTOM"
  authorizer_id      = aws_apigatewayv2_authorizer.daypass.id
}

resource "aws_lambda_permission" "orders" {
  action        = "lambda:InvokeFunction"
  function_name = var.orders_function_arn
  principal     = "apigateway.amazonaws.com"
  source_arn    = "${aws_apigatewayv2_api.orders.execution_arn}/*/*/orders/{id}"
}

resource "aws_apigatewayv2_stage" "orders" {
  api_id      = aws_apigatewayv2_api.orders.id
  name        = "$default"
  auto_deploy = true
}
