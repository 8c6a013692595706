//! The check of a document of settings before the functions get it.

use super::{
    ATTEMPTS_TABLE, JWKS_SECRET, KEYS, MAIL_CONFIGURATION_SET, OUTBOX_TABLE, PEPPERS_SECRET, REFRESH_SECRET,
    SESSIONS_TABLE, SIGNING_SECRET, USERS_TABLE,
};
use daypass_verifier::config::{AUDIENCE, ISSUER, JWKS, SETTINGS, Table, authorizer};
use std::collections::BTreeSet;

/// Values that the stack gives to its functions beside the document.
const OF_THE_STACK: [(&str, &str); 12] = [
    (AUDIENCE.name, "https://api.example.com"),
    (USERS_TABLE.name, "users"),
    (SESSIONS_TABLE.name, "sessions"),
    (ATTEMPTS_TABLE.name, "attempts"),
    (OUTBOX_TABLE.name, "outbox"),
    (MAIL_CONFIGURATION_SET.name, "daypass"),
    (KEYS.name, SECRET),
    (SIGNING_SECRET.name, SECRET),
    (REFRESH_SECRET.name, SECRET),
    (PEPPERS_SECRET.name, SECRET),
    (JWKS_SECRET.name, SECRET),
    (authorizer::JWKS_URL.name, "https://id.example.com/.well-known/jwks.json"),
];
const SECRET: &str = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:daypass-AbCdEf";

/// The variables of a function that has this document and issuer, with examples of what else the stack gives it.
pub fn environment_with<'a>(
    document: &'a str,
    issuer: &'a str,
    tables: &[Table],
) -> impl Fn(&str) -> Option<String> + 'a {
    // The authorizer takes no ARN of its keys.
    let takes_arn = !tables.iter().any(|table| table.function == "authorizer");
    move |name| match name {
        SETTINGS => Some(document.to_owned()),
        _ if name == ISSUER.name => Some(issuer.to_owned()),
        _ if name == JWKS.name => takes_arn.then(|| SECRET.to_owned()),
        _ => OF_THE_STACK.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned()),
    }
}

/// Checks a document of settings as the functions of `tables` read it. An issuer on this machine may have shorter times. The
/// settings of passwords have a check of their own.
///
/// # Errors
/// Each problem, once.
pub fn check(document: &str, issuer: &str, tables: &[Table]) -> Result<(), Vec<String>> {
    let environment = environment_with(document, issuer, tables);
    let errors = tables.iter().filter_map(|table| (table.check)(&environment).err());
    let problems: BTreeSet<String> = errors.flat_map(|error| error.problems().to_vec()).collect();
    if problems.is_empty() { Ok(()) } else { Err(problems.into_iter().collect()) }
}
