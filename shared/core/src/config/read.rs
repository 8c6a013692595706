//! Readers of the fields: from the values of settings to types.

use super::{MailRules, MigrateFrom, PublicKeys, Tables};
use crate::client::Clients;
use crate::keys::rotation::Rules;
use crate::passkey::relying_party::RelyingParty;
use crate::ports::mail::Sender;
use crate::secret::ProxySecrets;
use crate::throttle::{Limit, Limits};
use daypass_verifier::base::issuer::{Issuer, secure_url};
use daypass_verifier::config::{ISSUER, Number, Reader, Text};
use daypass_verifier::jose::jwk::Algorithm;
use std::time::Duration;

/// The shortest life of an access token on this machine, in seconds, so that developers can watch renewals.
const LOCAL_ACCESS_TOKEN_SECONDS: u64 = 5;
/// The longest URL of an old system, in characters: the document of settings has little room.
const MAX_MIGRATE_URL: usize = 128;
/// The shortest publication of a key on this machine, in seconds, so that developers can watch rotations.
const LOCAL_KEYS_PUBLISHED_SECONDS: u64 = 1;

/// Whether text has the form of an ARN of Secrets Manager, `arn:PARTITION:secretsmanager:…`.
#[must_use]
pub fn is_secret(text: &str) -> bool {
    let mut parts = text.split(':');
    parts.next() == Some("arn") && parts.nth(1) == Some("secretsmanager")
}

/// The clients. Without a list, one client `default`, which also stands in until a function has read its secret.
pub(super) fn clients(reader: &mut Reader<'_>, setting: &Text) -> Option<Clients> {
    match reader.get(setting.name) {
        Some(list) if !is_secret(&list) => reader.required(setting, Clients::parse),
        _ => Clients::parse(r#"[{"client_id":"default"}]"#).ok(),
    }
}

/// The ARN of the secret that holds the clients; `Some(None)` without one.
pub(super) fn clients_secret(reader: &mut Reader<'_>, setting: &Text) -> Option<Option<String>> {
    Some(reader.get(setting.name).filter(|list| is_secret(list)))
}

/// The source of the machine clients; `Some(None)` without one.
pub(super) fn machines(reader: &mut Reader<'_>, setting: &Text) -> Option<Option<String>> {
    Some(reader.get(setting.name).filter(|source| !source.trim().is_empty()))
}

pub(super) fn proxy(reader: &mut Reader<'_>, setting: &Text) -> Option<Option<ProxySecrets>> {
    reader.optional(setting, None, |text| ProxySecrets::parse(text).map(Some))
}

pub(super) fn public_keys(reader: &mut Reader<'_>, setting: &Text) -> Option<PublicKeys> {
    match reader.get(setting.name) {
        Some(arn) if is_secret(&arn) => Some(PublicKeys::Secret(arn)),
        _ => reader.jwks(setting).map(PublicKeys::Inline),
    }
}

/// The sources of a key set: files or ARNs of secrets, separated by spaces.
pub(super) fn sources(reader: &mut Reader<'_>, setting: &Text) -> Option<Vec<String>> {
    reader.required(setting, |text| {
        let sources: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
        if sources.is_empty() { Err("names no file or secret".to_owned()) } else { Ok(sources) }
    })
}

/// The name of a DynamoDB table.
pub(super) fn table(reader: &mut Reader<'_>, setting: &Text) -> Option<String> {
    reader.required(setting, |table| {
        let legal = |b: u8| b.is_ascii_alphanumeric() || b"_-.".contains(&b);
        if (3..=255).contains(&table.len()) && table.bytes().all(legal) {
            Ok(table.to_owned())
        } else {
            Err("is not a DynamoDB table name (3 to 255 of A-Z a-z 0-9 _ - .)".to_owned())
        }
    })
}

pub(super) fn table_names(
    reader: &mut Reader<'_>,
    users: &Text,
    sessions: &Text,
    attempts: &Text,
) -> Option<Tables> {
    let (users, sessions, attempts) =
        (table(reader, users), table(reader, sessions), table(reader, attempts));
    Some(Tables { users: users?, sessions: sessions?, attempts: attempts? })
}

/// One rate limit.
pub(super) fn limit(reader: &mut Reader<'_>, attempts: &Number, window: &Number) -> Option<Limit> {
    let (attempts, window) = (reader.number(attempts), reader.seconds(window));
    Some(Limit { attempts: u32::try_from(attempts?).ok()?, window: window? })
}

/// The rate limits of a login.
#[expect(clippy::too_many_arguments, reason = "one argument for each setting, as for every field")]
pub(super) fn limits(
    reader: &mut Reader<'_>,
    pair: &Number,
    pair_window: &Number,
    address: &Number,
    address_window: &Number,
    account: &Number,
    account_window: &Number,
    known_days: &Number,
) -> Option<Limits> {
    let pair = limit(reader, pair, pair_window);
    let address = limit(reader, address, address_window);
    let account = limit(reader, account, account_window);
    let days = reader.number(known_days);
    let known_for = days.map(|days| (days > 0).then(|| Duration::from_secs(days * 24 * 3600)));
    Some(Limits { pair: pair?, address: address?, account: account?, known_for: known_for? })
}

/// The sender of mails; `Some(None)` while mails are off.
pub(super) fn sender(reader: &mut Reader<'_>, setting: &Text) -> Option<Option<Sender>> {
    reader.optional(setting, None, |text| Sender::parse(text).map(Some))
}

/// The rules of requests for mails.
pub(super) fn mail(
    reader: &mut Reader<'_>,
    from: &Text,
    address: &Number,
    address_window: &Number,
    network: &Number,
    network_window: &Number,
) -> Option<MailRules> {
    let from = sender(reader, from);
    let address = limit(reader, address, address_window);
    let network = limit(reader, network, network_window);
    Some(MailRules { is_on: from?.is_some(), address: address?, network: network? })
}

/// The prefix of SES templates.
pub(super) fn templates(reader: &mut Reader<'_>, setting: &Text) -> Option<Option<String>> {
    reader.optional(setting, None, |prefix| ses_name(prefix, 40).map(Some))
}

/// The name of a configuration set of SES.
pub(super) fn configuration_set(reader: &mut Reader<'_>, setting: &Text) -> Option<Option<String>> {
    reader.optional(setting, None, |name| ses_name(name, 64).map(Some))
}

/// Names in SES have at most 64 of these characters.
fn ses_name(text: &str, most: usize) -> Result<String, String> {
    let legal = |b: u8| b.is_ascii_alphanumeric() || b"_-".contains(&b);
    if text.len() <= most && text.bytes().all(legal) {
        Ok(text.to_owned())
    } else {
        Err(format!("is not 1 to {most} of A-Z a-z 0-9 _ -"))
    }
}

/// The idle limit; 0 turns it off.
pub(super) fn idle(reader: &mut Reader<'_>, setting: &Number) -> Option<Option<Duration>> {
    reader.seconds(setting).map(|idle| Some(idle).filter(|idle| !idle.is_zero()))
}

pub(super) fn access_lifetime(reader: &mut Reader<'_>, setting: &Number) -> Option<Duration> {
    seconds(reader, setting, LOCAL_ACCESS_TOKEN_SECONDS)
}

/// A number of seconds that has a lower limit on this machine.
fn seconds(reader: &mut Reader<'_>, setting: &Number, local: u64) -> Option<Duration> {
    let issuer = reader.get(ISSUER.name).and_then(|issuer| Issuer::parse(&issuer).ok());
    if !issuer.is_some_and(|issuer| issuer.is_local()) {
        return reader.seconds(setting);
    }
    reader.seconds(&Number { range: local..=*setting.range.end(), ..setting.clone() })
}

/// The old system, if there is one.
pub(super) fn migrate_from(
    reader: &mut Reader<'_>,
    cognito: &Text,
    url: &Text,
) -> Option<Option<MigrateFrom>> {
    let pool = reader.optional(cognito, None, |text| {
        let is_region = |text: &str| {
            text.contains('-')
                && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        };
        let is_client =
            |text: &str| (1..=128).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric());
        match text.split_once(':') {
            Some((region, client)) if is_region(region) && is_client(client) => {
                Ok(Some(MigrateFrom::Cognito { region: region.to_owned(), client: client.to_owned() }))
            }
            _ => Err("is not REGION:APP_CLIENT_ID, such as eu-west-1:1h57kf5cpq17m0eml12EXAMPLE".to_owned()),
        }
    });
    let endpoint = reader.optional(url, None, |text| match secure_url(text)? {
        _ if text.len() > MAX_MIGRATE_URL => Err(format!("is longer than {MAX_MIGRATE_URL} characters")),
        uri => Ok(Some(MigrateFrom::Url(uri))),
    });
    match (pool?, endpoint?) {
        (Some(_), Some(_)) => reader.problem(format!("{} and {} exclude each other", cognito.name, url.name)),
        (pool, endpoint) => Some(pool.or(endpoint)),
    }
}

/// The relying party of passkeys; `Some(None)` without passkeys.
pub(super) fn passkeys(reader: &mut Reader<'_>, id: &Text, origins: &Text) -> Option<Option<RelyingParty>> {
    let listed = reader.get(origins.name).unwrap_or_default();
    let party = reader.optional(id, None, |text| RelyingParty::parse(text, &listed).map(Some));
    match party? {
        None if !listed.is_empty() => reader.problem(format!("{} needs {}", origins.name, id.name)),
        party => Some(party),
    }
}

/// The ARN of a secret.
pub(super) fn secret(reader: &mut Reader<'_>, setting: &Text) -> Option<String> {
    reader.required(setting, |arn| {
        if is_secret(arn) { Ok(arn.to_owned()) } else { Err("is not the ARN of a secret".to_owned()) }
    })
}

/// The rules of key rotation. The issuer must be valid, because its keys rotate.
pub(super) fn rules(
    reader: &mut Reader<'_>,
    issuer: &Text,
    algorithm: &Text,
    published: &Number,
) -> Option<Rules> {
    let issuer = reader.issuer(issuer);
    let algorithm = reader.optional(algorithm, Algorithm::Es256, |name| {
        name.parse().map_err(|_| "is not ES256, EdDSA or RS256".to_owned())
    });
    let published_for = seconds(reader, published, LOCAL_KEYS_PUBLISHED_SECONDS);
    issuer?;
    Some(Rules { published_for: published_for?, algorithm: algorithm? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arns_are_told_from_paths() {
        assert!(is_secret("arn:aws:secretsmanager:eu-west-1:123456789012:secret:daypass-AbCdEf"));
        assert!(is_secret("arn:aws-us-gov:secretsmanager:us-gov-west-1:123456789012:secret:x"));
        for path in ["keys.json", "/arn/keys.json", "C:keys", "arn:aws:s3:::bucket", ""] {
            assert!(!is_secret(path), "{path}");
        }
    }
}
