//! `daypass config`: the document of settings, checked as the functions read it.

use crate::output::{Failure, Output};
use clap::Subcommand;
use daypass_core::config::{self, TABLES, lookup};
use daypass_passwords::Passwords;
use daypass_verifier::config::{AUDIENCE, ISSUER, JWKS, SETTINGS, authorizer};
use serde::Serialize;
use std::collections::BTreeSet;
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

/// Values that the stack gives to its functions beside the document. `authorizer` also gets a URL of the keys.
const OF_THE_STACK: [(&str, &str); 12] = [
    (ISSUER.name, "https://id.example.com"),
    (AUDIENCE.name, "https://api.example.com"),
    (config::USERS_TABLE.name, "users"),
    (config::SESSIONS_TABLE.name, "sessions"),
    (config::ATTEMPTS_TABLE.name, "attempts"),
    (config::KEYS.name, SECRET),
    (config::SIGNING_SECRET.name, SECRET),
    (config::REFRESH_SECRET.name, SECRET),
    (config::PEPPERS_SECRET.name, SECRET),
    (config::JWKS_SECRET.name, SECRET),
    (JWKS.name, SECRET),
    (authorizer::JWKS_URL.name, "https://id.example.com/.well-known/jwks.json"),
];
const SECRET: &str = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:daypass-AbCdEf";

/// Runs `daypass config`.
pub(crate) fn run(args: Args, output: &mut Output<'_>) -> Result<(), Failure> {
    let Verb::Check { file, authorizer } = args.verb;
    let document = std::fs::read_to_string(&file).map_err(|error| {
        Failure::new(format!("{} cannot be read: {error}", file.display()), "name a file with a JSON object")
    })?;
    let tables = if authorizer { authorizer::TABLES } else { TABLES };
    let environment = |name: &str| {
        let of_the_stack = || OF_THE_STACK.iter().find(|(known, _)| *known == name);
        match name {
            SETTINGS => Some(document.clone()),
            // The authorizer takes no ARN.
            _ if name == JWKS.name && authorizer => None,
            _ => of_the_stack().map(|(_, value)| (*value).to_owned()),
        }
    };
    let mut problems: BTreeSet<String> = BTreeSet::new();
    for table in tables {
        problems.extend((table.check)(&environment).err().iter().flat_map(|error| error.problems().to_vec()));
    }
    if !authorizer {
        problems.extend(Passwords::configured(lookup(environment)).err().map(|error| error.to_string()));
    }
    if !problems.is_empty() {
        let problems: Vec<String> = problems.into_iter().collect();
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

    fn check(document: &str, authorizer: bool) -> Result<String, String> {
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
        let printed = check(r#"{"idle_seconds": 86400, "argon2": "m=47104,t=1"}"#, false).unwrap();
        assert!(printed.starts_with("48 bytes, valid for login, refresh"), "{printed}");
        check("{}", false).unwrap();
        check(r#"{"context_claims": "jti"}"#, true).unwrap();
    }

    #[test]
    fn every_problem_is_told() {
        let error =
            check(r#"{"idle": 1, "grace_seconds": 900, "argon2": "m=1,t=1", "users_table": "x"}"#, false);
        let error = error.unwrap_err();
        for problem in
            ["`idle` in DAYPASS_SETTINGS is no setting", "DAYPASS_GRACE_SECONDS is not", "DAYPASS_ARGON2"]
        {
            assert_eq!(error.matches(problem).count(), 1, "{problem}: {error}");
        }
        // The stack gives this to its functions.
        assert!(error.contains("`users_table` in DAYPASS_SETTINGS differs"), "{error}");
        assert!(check(r#"{"context_claims": "jti"}"#, false).unwrap_err().contains("is no setting"));
        assert!(check("", false).unwrap().contains("bytes"), "without settings, the defaults hold");
    }
}
