//! The templates and examples around the stack agree with the code and with `template.yaml`.

#![expect(clippy::panic, clippy::unwrap_used, reason = "the helpers of a test fail as the test does")]

use daypass_core::config;
use daypass_gateway::template::parse;
use daypass_verifier::config::{Setting, Table};
use daypass_verifier::jose::jwk::{Jwk, Jwks};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

fn read(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join(file);
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{file}: {error}"))
}

fn template(file: &str) -> Value {
    parse(&read(file)).unwrap()
}

fn settings() -> &'static Table {
    config::all_tables().find(|table| table.function == "authorizer").unwrap()
}

/// The parameter behind a variable: `!Ref X`, or the X of `!If [CONDITION, DEFAULT, !Ref X]`.
fn parameter(value: &Value) -> &str {
    let value = value.pointer("/Fn::If/2").unwrap_or(value);
    value["Ref"].as_str().unwrap_or_else(|| panic!("{value} is no parameter"))
}

/// invariant: The authorizer's own template sets each of its variables, with the ranges and defaults of the code.
#[test]
fn the_authorizer_template_sets_every_variable() {
    let template = template("infra/authorizer.yaml");
    let function = &template["Resources"]["Authorizer"]["Properties"];
    let variables = function["Environment"]["Variables"].as_object().unwrap();
    let read: BTreeSet<&str> = settings().settings.iter().map(|setting| setting.name()).collect();
    assert_eq!(variables.keys().map(String::as_str).collect::<BTreeSet<_>>(), read);
    for setting in settings().settings {
        let parameter = &template["Parameters"][parameter(&variables[setting.name()])];
        if let Setting::Number(number) = setting {
            assert_eq!(parameter["Default"], number.default, "{}", number.name);
            assert_eq!(parameter["MinValue"], *number.range.start(), "{}", number.name);
            assert_eq!(parameter["MaxValue"], *number.range.end(), "{}", number.name);
        }
    }
}

/// The function starts with the defaults, and with every URL and key set.
#[test]
fn the_authorizer_template_is_a_configuration() {
    let template = template("infra/authorizer.yaml");
    let variables = &template["Resources"]["Authorizer"]["Properties"]["Environment"]["Variables"];
    let jwks = Jwks::new(vec![Jwk::ed25519(&[1; 32])]).to_json().unwrap();
    let given = [
        ("Issuer", "https://id.example.com"),
        ("Audience", "https://api.example.com"),
        ("Jwks", jwks.as_str()),
        ("JwksUrl", "https://abc.lambda-url.eu-west-1.on.aws/.well-known/jwks.json"),
        ("RevocationsUrl", "https://abc.lambda-url.eu-west-1.on.aws/revocations"),
        ("Routes", "GET /orders/* needs orders:read; default deny"),
    ];
    for given in [&given[..2], &given] {
        let value_of = |name: &str| {
            let given = given.iter().find(|(given, _)| *given == name).map(|(_, value)| (*value).to_owned());
            let default = &template["Parameters"][name]["Default"];
            given.unwrap_or_else(|| default.as_str().map_or_else(|| default.to_string(), str::to_owned))
        };
        let lookup = |name: &str| {
            let value = variables.get(name)?;
            let chosen = value_of(parameter(value));
            Some(match value.pointer("/Fn::If/1/Fn::Sub") {
                // Both conditions ask for this word.
                Some(text) if chosen == "issuer" => text.as_str().unwrap().replace("${Issuer}", given[0].1),
                _ => chosen,
            })
        };
        assert_eq!((settings().check)(&lookup), Ok(()));
    }
}

/// Lambda takes 4 KB of environment for a function and measures it as JSON.
#[test]
fn the_longest_parameters_of_the_authorizer_fit() {
    let template = template("infra/authorizer.yaml");
    let variables =
        template["Resources"]["Authorizer"]["Properties"]["Environment"]["Variables"].as_object().unwrap();
    let length = |(name, value): (&String, &Value)| {
        let parameter = &template["Parameters"][parameter(value)];
        let longest = match (parameter["MaxLength"].as_u64(), parameter["MaxValue"].as_u64()) {
            // Three keys of RSA. Quotes of the JSON are escaped.
            (Some(_), _) if name == "DAYPASS_JWKS" => {
                let keys = [1, 2, 3].map(|byte| Jwk::rs256(&[byte; 256], &[1, 0, 1]));
                u64::try_from(json!(Jwks::new(keys.to_vec()).to_json().unwrap()).to_string().len()).unwrap()
            }
            // A line break is two characters.
            (Some(most), _) if name == "DAYPASS_ROUTES" => most * 9 / 8,
            (Some(most), _) => most,
            (None, Some(most)) => u64::try_from(most.to_string().len()).unwrap(),
            (None, None) => {
                let words = parameter["AllowedValues"].as_array().unwrap().iter();
                u64::try_from(words.map(|word| word.as_str().unwrap().len()).max().unwrap()).unwrap()
            }
        };
        // Four quotes, a colon and a comma.
        u64::try_from(name.len()).unwrap() + longest + 6
    };
    let bytes: u64 = variables.iter().map(length).sum();
    assert!(bytes <= 4096, "{bytes} bytes");
}

/// The stack and the authorizer's own template run the same binary in the same way.
#[test]
fn the_authorizer_runs_as_in_the_stack() {
    let (stack, alone) = (template("template.yaml"), template("infra/authorizer.yaml"));
    let function = &alone["Resources"]["Authorizer"]["Properties"];
    let (globals, own) =
        (&stack["Globals"]["Function"], &stack["Resources"]["AuthorizerFunction"]["Properties"]);
    for name in ["Runtime", "Handler", "MemorySize", "Timeout"] {
        let value = own.get(name).unwrap_or(&globals[name]);
        assert_eq!(&function[name], value, "{name}");
    }
    assert_eq!(function["LoggingConfig"]["LogFormat"], globals["LoggingConfig"]["LogFormat"]);
    let key = json!({ "Fn::Sub": "${ArtifactPrefix}authorizer-${Architecture}.zip" });
    assert_eq!(function["Code"]["S3Key"], key, "the name that `cargo package-release` gives it");
    let role = |template: &Value, id: &str| {
        template["Resources"][id]["Properties"]["Policies"][0]["PolicyDocument"]["Statement"][0]["Action"]
            .clone()
    };
    assert_eq!(role(&alone, "Role"), role(&stack, "AuthorizerRole"));
}

/// invariant: The release workflow publishes the files of `cargo package-release` for both processors, from a job that runs no code of the repository.
#[test]
fn the_release_workflow_publishes_both_processors() {
    let workflow = template(".github/workflows/release.yml");
    let steps = |job: &str| workflow["jobs"][job]["steps"].as_array().unwrap().clone();
    let has = |job: &str, command: &str| steps(job).iter().any(|step| step["run"] == command);
    for (job, processor) in [("full", "x86_64"), ("arm64", "arm64")] {
        assert!(has(job, "cargo package-release"), "{job}");
        let uploads =
            steps(job).iter().any(|step| step["with"]["path"] == format!("target/package/{processor}"));
        assert!(uploads, "{job}");
        assert!(has("publish", &format!("cd release/{processor} && sha256sum --check SHA256SUMS")));
    }
    assert_eq!(workflow["jobs"]["publish"]["needs"], json!(["full", "arm64"]));
    let writes: Vec<&String> = workflow["jobs"]
        .as_object()
        .unwrap()
        .iter()
        .filter(|(_, job)| job["permissions"]["contents"] == "write")
        .map(|(name, _)| name)
        .collect();
    assert_eq!(writes, ["publish"]);
    let runs = |step: &Value| {
        step["run"]
            .as_str()
            .is_some_and(|run| run.contains("cargo") || run.contains("release/x86_64/daypass"))
    };
    assert!(
        !steps("publish")
            .iter()
            .any(|step| runs(step) || step["uses"].as_str().is_some_and(|uses| uses.contains("checkout")))
    );
}

/// invariant: A release has each file of both processors once, and a tag that is the version.
#[test]
fn the_release_workflow_joins_the_files_of_both_processors() {
    let workflow = template(".github/workflows/release.yml");
    let lines = |job: &str| -> Vec<String> {
        let steps = workflow["jobs"][job]["steps"].as_array().unwrap().iter();
        steps.filter_map(|step| step["run"].as_str().map(str::to_owned)).collect()
    };
    let succeeds = |line: &str, folder: &Path, tag: &str| {
        let mut bash = Command::new("bash");
        bash.args(["-e", "-c", line])
            .current_dir(folder)
            .env("GITHUB_REF_NAME", tag)
            .status()
            .unwrap()
            .success()
    };
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let version = env!("CARGO_PKG_VERSION");
    for job in ["full", "arm64"] {
        let first = &lines(job)[0];
        assert!(succeeds(first, root, &format!("v{version}")), "{first}");
        for tag in [format!("v{version}0"), "v9.0.0".to_owned(), "v".to_owned()] {
            assert!(!succeeds(first, root, &tag), "{tag}: {first}");
        }
    }

    // Lines that succeed, and the joined files.
    let published = |of_arm: &str| {
        let folder = tempfile::tempdir().unwrap();
        for (processor, shared) in [("x86_64", "nested"), ("arm64", of_arm)] {
            let release = folder.path().join("release").join(processor);
            fs::create_dir_all(&release).unwrap();
            fs::write(release.join("api.yaml"), shared).unwrap();
            fs::write(release.join(format!("login-{processor}.zip")), processor).unwrap();
            assert!(succeeds("sha256sum * > SUMS && mv SUMS SHA256SUMS", &release, ""));
        }
        let lines: Vec<String> =
            lines("publish").into_iter().filter(|line| !line.starts_with("gh ")).collect();
        let done = lines.iter().take_while(|line| succeeds(line, folder.path(), "")).count();
        (done == lines.len(), folder)
    };
    let (done, folder) = published("nested");
    assert!(done);
    let files = folder.path().join("files");
    let mut names: Vec<_> = fs::read_dir(&files)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["SHA256SUMS", "api.yaml", "login-arm64.zip", "login-x86_64.zip"]);
    assert!(succeeds("sha256sum --check --strict SHA256SUMS", &files, ""));
    assert_eq!(fs::read_to_string(files.join("SHA256SUMS")).unwrap().lines().count(), 3);
    assert!(!published("another").0, "two versions of a nested template");
}

/// invariant: The workflows pin their actions by digest.
#[test]
fn the_workflows_pin_their_actions() {
    for name in ["changes", "nightly", "release"] {
        let text = read(&format!(".github/workflows/{name}.yml"));
        let used =
            text.lines().filter_map(|line| line.trim_start().split_once("uses: ").map(|(_, used)| used));
        let mut seen = 0;
        for used in used {
            let digest =
                used.split_once('@').and_then(|(_, rest)| rest.split_once(" # v")).map(|(digest, _)| digest);
            let pinned = digest
                .is_some_and(|digest| digest.len() == 40 && digest.chars().all(|c| c.is_ascii_hexdigit()));
            assert!(pinned, "{name}: {used}");
            seen += 1;
        }
        assert!(seen > 0, "{name}");
    }
}

/// A resource without what is for linters.
fn plain(resource: &Value) -> Value {
    let mut resource = resource.clone();
    resource.as_object_mut().unwrap().remove("Metadata");
    resource
}

/// invariant: What a deleted stack leaves can be imported: the import template has these resources as the stack has them.
#[test]
fn the_import_template_has_what_the_stack_keeps() {
    let (stack, import) = (template("template.yaml"), template("infra/recovery/kept.yaml"));
    let kept = |(id, resource): (&String, &Value)| (id.clone(), plain(resource));
    let of_stack = stack["Resources"].as_object().unwrap().iter();
    let of_stack = of_stack
        .filter(|(_, one)| one["DeletionPolicy"].as_str().is_some_and(|policy| policy.starts_with("Retain")));
    let mut expected: serde_json::Map<String, Value> = of_stack.map(kept).collect();
    // A deletion keeps what has this policy, too. An import needs a policy that CloudFormation knows everywhere.
    for resource in expected.values_mut() {
        resource["DeletionPolicy"] = json!("Retain");
    }
    let imported: serde_json::Map<String, Value> =
        import["Resources"].as_object().unwrap().iter().map(kept).collect();
    assert_eq!(imported, expected);
    for (name, condition) in import["Conditions"].as_object().unwrap() {
        assert_eq!(condition, &stack["Conditions"][name], "{name}");
    }
    let page = read("docs/operations/recovery.md");
    for id in imported.keys() {
        assert!(page.contains(&format!("\"LogicalResourceId\": \"{id}\"")), "{id}");
    }
}

/// The examples for other tools name parameters, outputs and files that exist, and follow the authorizer's contract.
#[test]
fn the_examples_name_what_the_release_has() {
    let stack = template("template.yaml");
    let (cdk, terraform) = (read("infra/examples/cdk/app.ts"), read("infra/examples/terraform/main.tf"));
    let serverless = template("infra/examples/serverless/serverless.yml");
    // Parameters in the block that begins with this text.
    let named = |text: &str, start: &str, separator: char| -> BTreeSet<String> {
        let block = text.split_once(start).unwrap().1.split_once('}').unwrap().0;
        let names = block.lines().filter_map(|line| line.trim().split_once(separator));
        names
            .map(|(name, _)| name.trim().to_owned())
            .filter(|name| name.starts_with(char::is_uppercase))
            .collect()
    };
    for names in [named(&cdk, "parameters: {", ':'), named(&terraform, "parameters = {", '=')] {
        let required = ["ArtifactBucket", "Audience"];
        assert!(required.iter().all(|name| names.contains(*name)), "{names:?}");
        for name in names.iter().filter(|name| !name.starts_with("Artifact")) {
            assert!(stack["Parameters"].get(name).is_some(), "there is no parameter {name}");
        }
    }
    assert!(stack["Outputs"].get("AuthorizerFunctionArn").is_some());
    let export = "daypass-AuthorizerFunctionArn";
    assert!(cdk.contains(&format!("Fn.importValue(\"{export}\")")) && cdk.contains("sameEnvironment: true"));
    assert!(
        cdk.contains("resultsCacheTtl: Duration.seconds(0)") && cdk.contains("HttpLambdaResponseType.SIMPLE")
    );
    assert!(
        terraform.contains("outputs[\"AuthorizerFunctionArn\"]") && terraform.contains("daypass-arm64.yaml")
    );
    let prefix = format!("daypass/{}/", env!("CARGO_PKG_VERSION"));
    for text in [&cdk, &terraform, &read("docs/guides/release.md")] {
        assert!(text.contains(&prefix), "{prefix}");
    }
    let own = &serverless["provider"]["httpApi"]["authorizers"]["daypass"];
    assert_eq!(own["functionArn"], json!({ "Fn::ImportValue": export }));
    assert_eq!(own["payloadVersion"], "2.0");
    assert_eq!((&own["enableSimpleResponses"], &own["resultTtlInSeconds"]), (&json!(true), &json!(0)));
    assert_eq!(own.get("managedExternally"), None, "the framework would grant no permission");
}

/// API Gateway reports an error of a REST API's authorizer by one of two types.
///
/// invariant: The example's REST API answers 503 with Retry-After when the authorizer fails.
#[test]
fn both_types_of_a_failed_authorizer_get_503() {
    let example = template("infra/examples/guarded-api/template.yaml");
    let answers = &example["Resources"]["RestApi"]["Properties"]["GatewayResponses"];
    for kind in ["AUTHORIZER_FAILURE", "AUTHORIZER_CONFIGURATION_ERROR"] {
        assert_eq!(answers[kind]["StatusCode"], 503, "{kind}");
        assert_eq!(answers[kind]["ResponseParameters"]["Headers"]["Retry-After"], "'2'", "{kind}");
    }
}
