//! `daypass config`: the document of settings, checked as the functions read it.

use crate::output::{Failure, Output};
use clap::Subcommand;
use daypass_core::config::{TABLES, check, environment_with, lookup};
use daypass_passwords::Passwords;
use daypass_verifier::config::authorizer;
use serde::Serialize;
use std::path::PathBuf;

/// Arguments of `daypass config`.
#[derive(Debug, clap::Args)]
#[command(arg_required_else_help = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Check a document of settings: names, types and ranges
    Check {
        /// File with the JSON document of the parameter Settings
        file: PathBuf,
        /// The document is that of the parameter AuthorizerSettings
        #[arg(long)]
        authorizer: bool,
    },
}

/// Output of `check --json`.
#[derive(Serialize)]
struct Checked {
    bytes: usize,
    functions: Vec<&'static str>,
}

/// Any issuer that is not on this machine, where shorter times are allowed.
const ISSUER: &str = "https://id.example.com";

/// Runs `daypass config`.
pub(crate) fn run(args: Args, output: &mut Output<'_>) -> Result<(), Failure> {
    let Verb::Check { file, authorizer } = args.verb;
    let document = std::fs::read_to_string(&file).map_err(|error| {
        Failure::new(format!("{} cannot be read: {error}", file.display()), "name a file with a JSON object")
    })?;
    let tables = if authorizer { authorizer::TABLES } else { TABLES };
    let mut problems = check(&document, ISSUER, tables).err().unwrap_or_default();
    if !authorizer {
        let passwords = Passwords::configured(lookup(&environment_with(&document, ISSUER, tables)));
        problems.extend(passwords.err().map(|error| error.to_string()));
    }
    if !problems.is_empty() {
        return Err(Failure::new(
            format!("{}: {}", file.display(), problems.join("; ")),
            "docs/reference/configuration.md lists the settings",
        ));
    }
    let checked = Checked {
        bytes: document.trim().len(),
        functions: tables.iter().map(|table| table.function).collect(),
    };
    output.result(&checked, |output| {
        let functions = checked.functions.join(", ");
        output.line(&format!("{} bytes, valid for {functions}", checked.bytes))
    })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn checked(document: &str, authorizer: bool) -> Result<String, String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("settings.json");
        fs::write(&file, document).unwrap();
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let args = Args { verb: Verb::Check { file, authorizer } };
        let result = run(args, &mut Output::new(false, &mut out, &mut err));
        result.map_err(|failure| failure.what().to_owned())?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn a_good_document_is_good() {
        let printed = checked(r#"{"idle_seconds": 86400, "argon2": "m=47104,t=1"}"#, false).unwrap();
        assert!(printed.starts_with("48 bytes, valid for login, refresh"), "{printed}");
        checked("{}", false).unwrap();
        checked(r#"{"context_claims": "jti"}"#, true).unwrap();
    }

    #[test]
    fn every_problem_is_told() {
        let error =
            checked(r#"{"idle": 1, "grace_seconds": 900, "argon2": "m=1,t=1", "users_table": "x"}"#, false);
        let error = error.unwrap_err();
        for problem in
            ["`idle` in DAYPASS_SETTINGS is no setting", "DAYPASS_GRACE_SECONDS is not", "DAYPASS_ARGON2"]
        {
            assert_eq!(error.matches(problem).count(), 1, "{problem}: {error}");
        }
        // The stack gives this to its functions.
        assert!(error.contains("`users_table` in DAYPASS_SETTINGS differs"), "{error}");
        assert!(checked(r#"{"context_claims": "jti"}"#, false).unwrap_err().contains("is no setting"));
        assert!(checked("", false).unwrap().contains("bytes"), "without settings, the defaults hold");
    }
}
