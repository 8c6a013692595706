//! Packaged templates: code and nested templates come from a bucket instead of a checkout.
//!
//! The text is edited line by line, so a packaged template keeps its comments and differs little from its source.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use daypass_tools::workspace_root;

use crate::elf::Processor;

/// Templates that a release contains: the stack, and the authorizer alone.
pub(crate) const TEMPLATES: [(&str, &str); 2] =
    [("daypass", "template.yaml"), ("authorizer", "infra/authorizer.yaml")];

/// Parameters that a packaged template adds. A source that has them already keeps its own.
fn parameters() -> String {
    format!(
        "  ArtifactBucket:
    Type: String
    Description: The S3 bucket with the files of the release, in the region of this stack.
    AllowedPattern: ^[a-z0-9][a-z0-9.-]{{1,61}}[a-z0-9]$
    ConstraintDescription: must be the name of a bucket

  ArtifactPrefix:
    Type: String
    Description: The start of the keys of these files, with the slash at its end. Another value deploys another release.
    Default: daypass/{}/
    AllowedPattern: ^([A-Za-z0-9._-]+/)*$
    ConstraintDescription: must be empty or end with a slash

",
        env!("CARGO_PKG_VERSION")
    )
}

/// Returns the packaged `source` as `NAME-ARCH.yaml`, and its nested templates under their own names.
///
/// # Errors
/// The source has a form that this function does not know. It names the resource.
pub(crate) fn packaged(source: &Path, name: &str, processor: Processor) -> Result<Vec<(String, String)>> {
    let text = fs::read_to_string(source).with_context(|| format!("there is no {}", source.display()))?;
    let mut packaged = rewritten(&text, processor).with_context(|| source.display().to_string())?;
    let mut files = vec![(format!("{name}-{processor}.yaml"), packaged.text)];
    for nested in packaged.nested.drain(..) {
        let file = source.parent().unwrap_or(source).join(&nested);
        let text = fs::read_to_string(&file).with_context(|| format!("there is no {}", file.display()))?;
        if !blocks(&text).iter().all(|block| code_of(block).is_none() && nested_of(block).is_none()) {
            bail!("{nested}: a nested template with code or templates of its own is not supported");
        }
        files.push((file_name(&nested)?.to_owned(), text));
    }
    Ok(files)
}

/// Writes the packaged templates of a processor into `folder`, and returns their paths.
pub(crate) fn write_all(folder: &Path) -> Result<Vec<PathBuf>> {
    fs::create_dir_all(folder)?;
    let mut files = Vec::new();
    for (name, source) in TEMPLATES {
        for (name, text) in packaged(&workspace_root().join(source), name, Processor::Arm)? {
            let file = folder.join(name);
            fs::write(&file, text).with_context(|| format!("could not write {}", file.display()))?;
            files.push(file);
        }
    }
    Ok(files)
}

struct Rewritten {
    text: String,
    /// Local nested templates, as the source names them.
    nested: Vec<String>,
}

fn rewritten(text: &str, processor: Processor) -> Result<Rewritten> {
    let (mut changed, mut nested, mut pinned) = (String::new(), Vec::new(), false);
    for block in blocks(text) {
        let id = block.lines().next().unwrap_or_default().trim();
        if id == "Parameters:" && !text.contains("\n  ArtifactBucket:\n") {
            changed.push_str(&format!("{}{}", block.trim_end_matches('\n'), '\n'));
            changed.push_str(&parameters());
        } else if id == "Architecture:" {
            pinned = true;
            changed.push_str(&pin(&block, processor)?);
        } else if id == "Globals:" || block.starts_with("  Function:\n") {
            // The folder of a build from source.
            changed.extend(block.split_inclusive('\n').filter(|line| !line.starts_with("    CodeUri: ")));
        } else if let Some(binary) = code_of(&block) {
            let binary = binary.with_context(|| format!("{id} names no binary"))?;
            let code = format!(
                "      CodeUri: {{ Bucket: !Ref ArtifactBucket, Key: !Sub \"${{ArtifactPrefix}}{binary}-{processor}.zip\" }}"
            );
            let mut seen = false;
            for line in block.lines().filter(|line| !line.starts_with("      CodeUri: ")) {
                changed.push_str(&format!("{line}\n"));
                if line == "    Properties:" {
                    seen = true;
                    changed.push_str(&format!("{code}\n"));
                }
            }
            if !seen {
                bail!("{id} has no block of properties");
            }
        } else if let Some(file) = nested_of(&block) {
            let url = format!(
                "!Sub \"https://${{ArtifactBucket}}.s3.${{AWS::Region}}.${{AWS::URLSuffix}}/${{ArtifactPrefix}}{}\"",
                file_name(file)?
            );
            changed.push_str(&block.replacen(&format!(": {file}\n"), &format!(": {url}\n"), 1));
            nested.push(file.to_owned());
        } else {
            changed.push_str(&block);
        }
    }
    if !pinned {
        bail!("there is no parameter Architecture");
    }
    if !changed.contains("\n  ArtifactBucket:\n") {
        bail!("there is no section of parameters");
    }
    Ok(Rewritten { text: changed, nested })
}

/// The sections of a template, and the entries of each, with their lines. Their concatenation is the template.
fn blocks(text: &str) -> Vec<String> {
    let mut blocks: Vec<String> = Vec::new();
    for line in text.split_inclusive('\n') {
        let indent = line.len() - line.trim_start_matches(' ').len();
        let starts =
            matches!(indent, 0 | 2) && line.trim_end().ends_with(':') && !line.trim_start().starts_with('#');
        match blocks.last_mut() {
            Some(block) if !starts => block.push_str(line),
            _ => blocks.push(line.to_owned()),
        }
    }
    blocks
}

/// The binary of a function of SAM, if the block is one.
fn code_of(block: &str) -> Option<Option<&str>> {
    block.contains("\n    Type: AWS::Serverless::Function\n").then(|| {
        let (_, rest) = block.split_once("Binary: ")?;
        rest.split(|c: char| c.is_whitespace() || c == '}').next()
    })
}

/// The local file of a nested stack, if the block is one.
fn nested_of(block: &str) -> Option<&str> {
    let property = ["AWS::CloudFormation::Stack", "AWS::Serverless::Application"]
        .into_iter()
        .zip(["TemplateURL", "Location"])
        .find(|(kind, _)| block.contains(&format!("\n    Type: {kind}\n")))?
        .1;
    let line = block.lines().find_map(|line| line.strip_prefix(&format!("      {property}: ")))?;
    (!line.starts_with('!') && !line.starts_with("http")).then_some(line)
}

fn file_name(path: &str) -> Result<&str> {
    let name = Path::new(path).file_name().and_then(|name| name.to_str());
    name.with_context(|| format!("{path} names no file"))
}

/// The parameter of the processor, with one value.
fn pin(block: &str, processor: Processor) -> Result<String> {
    let mut replaced = 0;
    let lines: String = block
        .lines()
        .map(|line| {
            let value = match line.split_once(": ").map(|(name, _)| name) {
                Some("    Default") => format!("    Default: {processor}\n"),
                Some("    AllowedValues") => format!("    AllowedValues: [{processor}]\n"),
                _ => return format!("{line}\n"),
            };
            replaced += 1;
            value
        })
        .collect();
    if replaced != 2 {
        bail!("the parameter Architecture has no default or no list of values");
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use daypass_gateway::template::parse;
    use daypass_tools::FUNCTIONS;
    use serde_json::{Value, json};

    use super::*;

    fn parsed(text: &str) -> Value {
        parse(text).unwrap()
    }

    /// What is left of a template without what packaging changes.
    fn without_locations(mut template: Value) -> Value {
        for name in ["ArtifactBucket", "ArtifactPrefix", "Architecture"] {
            template["Parameters"].as_object_mut().unwrap().remove(name);
        }
        if let Some(globals) = template.pointer_mut("/Globals/Function") {
            globals.as_object_mut().unwrap().remove("CodeUri");
        }
        for resource in template["Resources"].as_object_mut().unwrap().values_mut() {
            if let Some(properties) = resource.get_mut("Properties").and_then(Value::as_object_mut) {
                properties.remove("CodeUri");
                properties.remove("TemplateURL");
                properties.remove("Location");
            }
        }
        template
    }

    /// invariant: A packaged template differs from its source in the places of code and nested templates, and in its processor, alone.
    #[test]
    fn packaging_changes_locations_alone() {
        for (name, file) in TEMPLATES {
            let path = workspace_root().join(file);
            let source = parsed(&fs::read_to_string(&path).unwrap());
            for processor in [Processor::Arm, Processor::X86] {
                let (first, text) = packaged(&path, name, processor).unwrap().swap_remove(0);
                assert_eq!(first, format!("{name}-{processor}.yaml"));
                let template = parsed(&text);
                assert_eq!(without_locations(template.clone()), without_locations(source.clone()), "{file}");
                let parameters = &template["Parameters"];
                assert_eq!(parameters["Architecture"]["Default"], json!(processor.to_string()));
                assert_eq!(parameters["Architecture"]["AllowedValues"], json!([processor.to_string()]));
                assert_eq!(parameters["ArtifactBucket"].get("Default"), None);
                let prefix = format!("daypass/{}/", env!("CARGO_PKG_VERSION"));
                assert_eq!(parameters["ArtifactPrefix"]["Default"], json!(prefix), "{file}");
                // Nothing else is without a default than what the source asks for.
                let asked = |template: &Value| -> BTreeSet<String> {
                    let parameters = template["Parameters"].as_object().unwrap().iter();
                    parameters
                        .filter(|(_, one)| one.get("Default").is_none())
                        .map(|(name, _)| name.clone())
                        .collect()
                };
                let mut expected = asked(&source);
                expected.insert("ArtifactBucket".to_owned());
                assert_eq!(asked(&template), expected, "{file}");
            }
        }
    }

    /// invariant: Each function of a packaged template has the code of its own binary for the packaged processor.
    #[test]
    fn each_function_gets_its_own_archive() {
        let path = workspace_root().join("template.yaml");
        let (_, text) = packaged(&path, "daypass", Processor::Arm).unwrap().swap_remove(0);
        let template = parsed(&text);
        let mut seen = BTreeSet::new();
        for (id, resource) in template["Resources"].as_object().unwrap() {
            if resource["Type"] != "AWS::Serverless::Function" {
                continue;
            }
            let binary = resource["Metadata"]["BuildProperties"]["Binary"].as_str().unwrap();
            let key = json!({ "Fn::Sub": format!("${{ArtifactPrefix}}{binary}-arm64.zip") });
            let code = json!({ "Bucket": { "Ref": "ArtifactBucket" }, "Key": key });
            assert_eq!(resource["Properties"]["CodeUri"], code, "{id}");
            seen.insert(binary.to_owned());
        }
        assert_eq!(template.pointer("/Globals/Function/CodeUri"), None);
        assert_eq!(seen, FUNCTIONS.iter().map(|function| function.binary.to_owned()).collect());
    }

    const NESTED: &str = "\
Parameters:
  Architecture:
    Type: String
    Default: arm64
    AllowedValues: [arm64, x86_64]
Resources:
  One:
    Type: AWS::CloudFormation::Stack
    Properties:
      TemplateURL: infra/one.yaml
      Parameters: { A: !Ref Architecture }
  Two:
    Type: AWS::Serverless::Application
    Properties:
      Location: ./two.yaml
  Three:
    Type: AWS::CloudFormation::Stack
    Properties:
      TemplateURL: https://example.com/three.yaml
";

    #[test]
    fn nested_templates_come_from_the_bucket() {
        let Rewritten { text, nested } = rewritten(NESTED, Processor::X86).unwrap();
        assert_eq!(nested, ["infra/one.yaml", "./two.yaml"]);
        let resources = parsed(&text)["Resources"].take();
        let url = |name: &str| json!({ "Fn::Sub": format!("https://${{ArtifactBucket}}.s3.${{AWS::Region}}.${{AWS::URLSuffix}}/${{ArtifactPrefix}}{name}") });
        assert_eq!(resources["One"]["Properties"]["TemplateURL"], url("one.yaml"));
        assert_eq!(resources["One"]["Properties"]["Parameters"], json!({ "A": { "Ref": "Architecture" } }));
        assert_eq!(resources["Two"]["Properties"]["Location"], url("two.yaml"));
        assert_eq!(resources["Three"]["Properties"]["TemplateURL"], "https://example.com/three.yaml");
    }

    #[test]
    fn an_unknown_form_is_an_error() {
        let function = "Parameters:\n  Architecture:\n    Default: arm64\n    AllowedValues: [arm64]\nResources:\n  F:\n    Type: AWS::Serverless::Function\n";
        let error = |text: &str| rewritten(text, Processor::Arm).map(drop).unwrap_err().to_string();
        assert_eq!(error(function), "F: names no binary");
        assert!(
            error(&format!("{function}    Metadata: {{ BuildProperties: {{ Binary: f }} }}\n"))
                .contains("no block")
        );
        assert!(error("Resources:\n").contains("no parameter Architecture"));
    }
}
