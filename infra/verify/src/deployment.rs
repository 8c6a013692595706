//! The steps `deployment` and `examples`: documented ways to deploy, checked without an account.

#![expect(clippy::indexing_slicing, reason = "an index into JSON gives null for a missing member")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use daypass_tools::{cfn_lint, iam_simulate, ministack, node, npm_packages, run, sam, workspace_root};
use serde_json::Value;

use crate::plan::{Plan, without_aws};

/// A program of `infra/checks`.
fn check(python: &Path, name: &str) -> Command {
    let mut command = Command::new(python);
    without_aws(&mut command)
        .arg(workspace_root().join("infra/checks").join(name))
        .current_dir(workspace_root())
        // No compiled modules among the sources.
        .env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

/// Parameters by SAM's own parser, calls by the service models, regions and rights by the resource schemas and a simulator.
pub(crate) fn deployment(_: &Plan) -> Result<()> {
    let python = ministack()?;
    run("calls", &mut check(&python, "calls.py"))?;
    let schemas = schemas()?;
    run("regions", check(&python, "regions.py").arg(&schemas))?;
    let policy = workspace_root().join("infra/examples/github-actions/deploy-policy.json");
    run("policy", check(&python, "policy.py").arg(schemas).arg(policy))?;
    run("rights", check(&python, "rights.py").arg(iam_simulate()?))?;
    run("parameters", &mut check(&sam()?.with_file_name("python"), "parameters.py"))
}

/// Folder of the resource schemas that cfn-lint ships.
fn schemas() -> Result<PathBuf> {
    let python = cfn_lint()?.with_file_name("python");
    let script = "import cfnlint, pathlib; print(pathlib.Path(cfnlint.__file__).parent / 'data/schemas')";
    let output = Command::new(python).args(["-c", script]).output()?;
    Ok(String::from_utf8(output.stdout)?.trim().into())
}

/// Synthesizes the examples for other tools.
pub(crate) fn examples(_: &Plan) -> Result<()> {
    let cdk = project("cdk", &["app.ts", "cdk.json", "tsconfig.json"])?;
    let mut synth = node()?;
    without_aws(&mut synth)
        .current_dir(&cdk)
        .arg("node_modules/aws-cdk/bin/cdk")
        .args([
            "synth",
            "--quiet",
            "--no-notices",
            "--no-version-reporting",
            "--context",
            "artifactBucket=bucket",
        ])
        .env("PATH", tools_path(&cdk)?);
    run("cdk", &mut synth)?;
    guarded("cdk", &read(&cdk.join("cdk.out/orders.template.json"))?)?;

    let serverless = project("serverless", &["serverless.yml", "index.js"])?;
    let mut package = node()?;
    without_aws(&mut package)
        .current_dir(&serverless)
        .args(["node_modules/serverless/bin/serverless.js", "package"])
        .env("SLS_TELEMETRY_DISABLED", "1")
        .env("SLS_NOTIFICATIONS_MODE", "off");
    run("serverless", &mut package)?;
    let template = ".serverless/cloudformation-template-update-stack.json";
    guarded("serverless", &read(&serverless.join(template))?)
}

/// Installs the packages of an example, and copies its files beside them.
fn project(name: &str, files: &[&str]) -> Result<PathBuf> {
    let source = workspace_root().join("infra/examples").join(name);
    let folder = npm_packages(name, &source)?;
    for file in files {
        fs::copy(source.join(file), folder.join(file)).with_context(|| format!("could not copy {file}"))?;
    }
    Ok(folder)
}

/// The `PATH` with the programs of a project first, where CDK finds the compiler.
fn tools_path(project: &Path) -> Result<std::ffi::OsString> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let own = project.join("node_modules/.bin");
    Ok(std::env::join_paths(std::iter::once(own).chain(std::env::split_paths(&path)))?)
}

fn read(file: &Path) -> Result<Value> {
    let text = fs::read_to_string(file).with_context(|| format!("there is no {}", file.display()))?;
    Ok(serde_json::from_str(&text)?)
}

/// Checks that the API of an example asks the imported authorizer about each request, and may invoke it.
fn guarded(tool: &str, template: &Value) -> Result<()> {
    let resources = || template["Resources"].as_object().into_iter().flatten().map(|(_, resource)| resource);
    let of = |kind: &'static str| {
        resources().filter(move |resource| resource["Type"] == kind).map(|resource| &resource["Properties"])
    };
    let export = serde_json::json!({ "Fn::ImportValue": "daypass-AuthorizerFunctionArn" });
    let authorizer = of("AWS::ApiGatewayV2::Authorizer").next().context("there is no authorizer")?;
    let uri =
        authorizer["AuthorizerUri"]["Fn::Join"][1].as_array().is_some_and(|parts| parts.contains(&export));
    let simple = authorizer["EnableSimpleResponses"] == true
        && authorizer["AuthorizerPayloadFormatVersion"] == "2.0"
        && authorizer["AuthorizerResultTtlInSeconds"] == 0
        && authorizer["IdentitySource"] == serde_json::json!(["$request.header.Authorization"]);
    if !uri || !simple {
        bail!("{tool}: the authorizer is not that of docs/guides: {authorizer:#}");
    }
    let permitted = of("AWS::Lambda::Permission").any(|permission| {
        permission["FunctionName"] == export && permission["Principal"] == "apigateway.amazonaws.com"
    });
    if !permitted {
        bail!("{tool}: the API may not invoke the authorizer");
    }
    if !of("AWS::ApiGatewayV2::Route").all(|route| route["AuthorizationType"] == "CUSTOM") {
        bail!("{tool}: a route has no authorizer");
    }
    Ok(())
}
