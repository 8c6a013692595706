//! The documented ways to deploy agree with the template: stages, parameters, commands, versions.

#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "the helpers of a test fail as the test does"
)]

use daypass_core::config;
use daypass_gateway::template::parse;
use daypass_verifier::base::issuer::Issuer;
use daypass_verifier::config::{SETTINGS, Sources, authorizer};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use toml_edit::DocumentMut;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

fn read(file: &str) -> String {
    fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

fn stages() -> DocumentMut {
    read("infra/samconfig.toml").parse().unwrap()
}

/// The parameter values that a stage passes to a command.
fn overrides(stages: &DocumentMut, stage: &str, command: &str) -> BTreeMap<String, String> {
    let list = stages[stage][command]["parameters"]["parameter_overrides"].as_array().unwrap();
    list.iter()
        .map(|pair| {
            let (name, value) = pair.as_str().unwrap().split_once('=').unwrap();
            (name.to_owned(), value.to_owned())
        })
        .collect()
}

/// Panics if CloudFormation would reject the value.
fn check(name: &str, value: &str, parameter: &Value) {
    assert!(parameter.is_object(), "template.yaml has no parameter {name}");
    if let Some(allowed) = parameter["AllowedValues"].as_array() {
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        assert!(allowed.iter().any(|one| text(one) == value), "{name} may not be {value}");
    }
    if parameter["Type"] == "Number" {
        let number: u64 = value.parse().unwrap();
        let limit = |limit: &str, none: u64| parameter[limit].as_u64().unwrap_or(none);
        assert!((limit("MinValue", 0)..=limit("MaxValue", u64::MAX)).contains(&number), "{name}={value}");
    }
    let longest = parameter["MaxLength"].as_u64().unwrap_or(4_096);
    assert!(u64::try_from(value.len()).unwrap() <= longest, "{name} is too long");
    if ["Settings", "AuthorizerSettings"].contains(&name) {
        let value = value.trim().trim_matches('\'');
        let environment = |variable: &str| (variable == SETTINGS).then(|| value.to_owned());
        let tables = if name == "Settings" { config::TABLES } else { authorizer::TABLES };
        let (_, problems) = Sources::read(&environment, tables);
        assert!(problems.is_empty(), "{name}: {problems:?}");
    }
    if name == "Issuer" {
        assert_eq!(Issuer::parse(value).map(|issuer| issuer.as_str().to_owned()), Ok(value.to_owned()));
    }
}

/// invariant: Each stage names parameters of the template, with values that it accepts.
#[test]
fn stages_give_the_template_what_it_takes() {
    let template = parse(&read("template.yaml")).unwrap();
    let stages = stages();
    let names: Vec<&str> = stages.iter().filter(|(_, item)| item.is_table()).map(|(name, _)| name).collect();
    assert_eq!(names, ["default", "prod"]);
    let mut stacks = BTreeSet::new();
    let mut issuers = BTreeSet::new();
    for stage in names {
        let deploy = overrides(&stages, stage, "deploy");
        for (name, value) in &deploy {
            check(name, value, &template["Parameters"][name]);
        }
        for (name, value) in overrides(&stages, stage, "build") {
            assert_eq!(deploy.get(&name), Some(&value), "{stage} builds for something else than it deploys");
        }
        assert!(deploy.contains_key("Architecture") && deploy.contains_key("Audience"), "{stage}");
        let parameters = &stages[stage]["deploy"]["parameters"];
        // The template does not name its roles, so CloudFormation needs no other capability.
        assert_eq!(parameters["capabilities"].as_str(), Some("CAPABILITY_IAM"));
        stacks.insert(parameters["stack_name"].as_str().unwrap().to_owned());
        issuers.insert(deploy.get("Issuer").cloned());
        let file = stages[stage]["build"]["parameters"]["template_file"].as_str().unwrap();
        assert!(root().join(file).is_file(), "{file}");
    }
    assert_eq!(
        (stacks.len(), issuers.len()),
        (2, 2),
        "a stage that took another one's stack or issuer would replace it"
    );
}

/// The commands of each step, and the place of the step for error messages.
fn commands(workflow: &Value) -> Vec<(String, String)> {
    let jobs = workflow["jobs"].as_object().unwrap();
    jobs.iter()
        .flat_map(|(job, body)| body["steps"].as_array().unwrap().iter().map(move |step| (job, step)))
        .filter_map(|(job, step)| Some((job.clone(), step["run"].as_str()?.to_owned())))
        .collect()
}

#[test]
fn the_pipeline_runs_commands_that_are_there() {
    let workflow = pipeline();
    let aliases: DocumentMut = read(".cargo/config.toml").parse().unwrap();
    let stages = stages();
    let mut seen = BTreeSet::new();
    for (job, command) in commands(&workflow) {
        let words: Vec<&str> = command.split_whitespace().collect();
        match words.as_slice() {
            ["cargo", "verify"] => assert!(aliases["alias"]["verify"].is_str()),
            ["cargo", "tools", "advisories"] => assert!(aliases["alias"]["tools"].is_str()),
            ["python3", "-m", "venv", "\"$RUNNER_TEMP/tools\""]
            | ["echo", "\"$RUNNER_TEMP/tools/bin\"", ">>", "\"$GITHUB_PATH\""] => {}
            ["tar", "-czf", "build.tgz", ".aws-sam/build"]
            | ["tar", "-xzf", "\"$RUNNER_TEMP/build.tgz\"", ".aws-sam/build"] => {}
            ["rustup", "target", "add", target] => {
                assert!(read("deny.toml").contains(&format!("\"{target}\"")), "{target}");
            }
            ["pip", "install", options @ .., "-r", file] => {
                assert!(options.contains(&"--require-hashes"), "{command}");
                let locked = read(file);
                assert!(locked.contains("--hash=sha256:"), "{command}");
                for requirement in
                    read(&file.replace(".txt", ".in")).lines().filter(|line| line.contains("=="))
                {
                    assert!(
                        locked.contains(requirement),
                        "{file} has another {requirement}: `cargo tools lock`"
                    );
                }
            }
            ["sam", sam @ ("build" | "deploy"), "--config-file", file, "--config-env", stage, rest @ ..] => {
                assert!(root().join(file).is_file(), "{command}");
                assert!(stages[stage][sam]["parameters"].is_table(), "{command}");
                assert!(matches!(rest, [] | ["--no-confirm-changeset"]), "{command}");
            }
            _ => panic!("{job} runs `{command}`, which no test knows"),
        }
        seen.insert(words.iter().take(2).copied().collect::<Vec<_>>().join(" "));
    }
    for needed in ["cargo verify", "cargo tools", "sam build", "sam deploy"] {
        assert!(seen.contains(needed), "the pipeline does not run {needed}");
    }
    let needs = |job: &str| workflow["jobs"][job]["needs"].clone();
    assert_eq!(needs("build"), serde_json::json!(["verify", "advisories"]), "what failed is built");
    assert_eq!(needs("deploy"), serde_json::json!(["build"]));
}

fn pipeline() -> Value {
    parse(&read("infra/examples/github-actions/deploy.yml")).unwrap()
}

/// A build script, a procedural macro or a package of the build asks GitHub for the token that AWS trusts: the jobs that run any have
/// no right to it, and the one that has it runs none.
///
/// invariant: In the example pipeline, no code of the build runs where the deployment's credentials can be had.
#[test]
fn no_build_script_of_the_pipeline_can_mint_credentials() {
    let workflow = pipeline();
    let may_mint = |job: &Value| {
        let rights = job.get("permissions").unwrap_or(&workflow["permissions"]);
        rights.is_string() || rights.get("id-token").is_some()
    };
    assert!(!may_mint(&serde_json::json!({})), "not by default");
    let jobs = workflow["jobs"].as_object().unwrap();
    let minting: Vec<&String> = jobs.iter().filter(|(_, job)| may_mint(job)).map(|(name, _)| name).collect();
    assert_eq!(minting, ["deploy"]);
    for (job, command) in commands(&workflow) {
        if job == "deploy" {
            let allowed = [
                "python3 -m venv ",
                "echo \"$RUNNER_TEMP/tools/bin\" >> ",
                // From wheels: a source package would run its own build.
                "pip install --require-hashes --only-binary :all: -r ",
                "tar -xzf ",
                "sam deploy ",
            ];
            assert!(
                allowed.iter().any(|start| command.starts_with(start)),
                "`{command}` could mint credentials"
            );
        }
    }
    let used: Vec<&str> = jobs["deploy"]["steps"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|step| step["uses"].as_str()?.split('@').next())
        .collect();
    assert_eq!(
        used,
        ["actions/checkout", "actions/download-artifact", "aws-actions/configure-aws-credentials"]
    );
}

/// invariant: The example pipeline pins its actions and stores no key.
#[test]
fn the_pipeline_pins_what_it_runs_and_stores_no_key() {
    let text = read("infra/examples/github-actions/deploy.yml");
    let used: Vec<&str> = text
        .lines()
        .filter_map(|line| line.trim_start().split_once("uses: ").map(|(_, used)| used))
        .collect();
    assert!(used.len() >= 4);
    for used in used {
        let pinned = used.split_once('@').and_then(|(_, rest)| rest.split_once(" # v"));
        let (digest, _) =
            pinned.unwrap_or_else(|| panic!("{used} is not pinned, or does not say its release"));
        let hexadecimal = |digit: char| digit.is_ascii_digit() || ('a'..='f').contains(&digit);
        assert!(digest.len() == 40 && digest.chars().all(hexadecimal), "{used}");
    }
    let workflow = parse(&text).unwrap();
    assert_eq!(workflow["permissions"], serde_json::json!({ "contents": "read" }));
    assert_eq!(workflow["jobs"]["deploy"]["permissions"]["id-token"], "write");
    assert!(!text.contains("secrets."), "a role is assumed; nothing is stored");
}

/// invariant: The nightly workflow checks the advisories.
#[test]
fn advisories_are_checked_every_night() {
    let nightly = parse(&read(".github/workflows/nightly.yml")).unwrap();
    let night = &nightly["on"]["schedule"][0]["cron"];
    assert!(night.as_str().is_some_and(|cron| cron.ends_with(" * * *")), "{night}");
    assert!(commands(&nightly).iter().any(|(_, command)| command == "cargo tools advisories"));
}

/// The commands of the document are those of the stages.
#[test]
fn the_document_names_stages_and_packages_that_are_there() {
    let document = read("docs/operations/deploy.md");
    let stages = stages();
    let commands: Vec<&str> =
        document.lines().filter(|line| line.starts_with("sam ") && line.contains("--config-env ")).collect();
    assert!(commands.len() >= 2, "the document says how a stage is deployed");
    for line in commands {
        let stage = line.split_once("--config-env ").unwrap().1;
        assert!(stages[stage].is_table(), "{line}");
    }
    assert!(document.contains("--package "), "and how one function is");
    for package in document.split("--package ").skip(1).map(|rest| rest.split_whitespace().next().unwrap()) {
        let name = package.strip_prefix("daypass-").unwrap();
        assert!(root().join("functions").join(name).join("Cargo.toml").is_file(), "{package}");
    }
}
