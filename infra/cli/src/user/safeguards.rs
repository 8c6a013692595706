//! Safeguards of a user in the other system: locks, second factors and pending actions.
//!
//! Only safeguards in the file are found. Some systems keep second factors in other tables or in plugins. The names of most
//! members are those of several systems, so one list serves all of them. Case, `_` and blanks of a name do not matter.

use super::record::{Members, is_set};
use super::second_factor::SecondFactors;
use super::system::System;
use daypass_core::account::address::EmailAddress;
use daypass_core::ports::migration::id_of_sub;
use daypass_verifier::base::ids::UserId;
use daypass_verifier::base::time::Timestamp;
use serde_json::Value;

/// Options that permit an import to drop safeguards.
#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub(crate) struct Accepted {
    /// Import users whose second factor the import drops; a user who keeps none logs in with the password alone
    #[arg(long)]
    pub(crate) accept_without_second_factor: bool,
    /// Import users who have a pending action in the other system, such as verifying an email address or changing the
    /// password; Daypass does not ask for it
    #[arg(long)]
    pub(crate) accept_pending_actions: bool,
}

/// The user is disabled if one of these is true.
const LOCKED: [&str; 19] = [
    "archived",
    "banned",
    "block",
    "blocked",
    "deactivated",
    "deleted",
    "disabled",
    "frozen",
    "is_archived",
    "is_banned",
    "is_blocked",
    "is_deleted",
    "is_disabled",
    "is_locked",
    "is_suspended",
    "locked",
    "spam",
    "suspended",
    "is_anonymous",
];
/// The user is disabled if one of these is false. Without a value, the line is rejected.
const ACTIVE: [&str; 6] =
    ["account_non_expired", "account_non_locked", "active", "enabled", "is_active", "is_enabled"];
/// The user is disabled if one of these has a value.
const LOCKED_AT: [&str; 9] = [
    "archived_at",
    "banned_at",
    "blocked_at",
    "deactivated_at",
    "deleted_at",
    "disabled_at",
    "discarded_at",
    "locked_at",
    "suspended_at",
];
/// The user is disabled until this time.
const LOCKED_UNTIL: [&str; 7] = [
    "banned_until",
    "blocked_until",
    "locked_until",
    "LockoutEnd",
    "LockoutEndDateUtc",
    "lockout_until",
    "suspended_until",
];
/// The user has a second factor if one of these has a value that is not false.
const SECOND_FACTOR: [&str; 17] = [
    "google_authenticator_secret",
    "is_2fa_enabled",
    "mfa_enabled",
    "mfa_factors",
    "mfaInfo",
    "multifactor",
    "otep",
    "otpKey",
    "otp_required_for_login",
    "otp_secret",
    "totp_authentication_enabled",
    "totp_secret",
    "twoFactor",
    "two_factor_confirmed_at",
    "TwoFactorEnabled",
    "two_factor_secret",
    "two_factor_type",
];
/// An action is pending if one of these is true or has a value.
const PENDING: [&str; 10] = [
    "force_password_change",
    "force_password_reset",
    "must_change_password",
    "password_change_required",
    "password_expired",
    "requires_password_change",
    "requireReset",
    "requiredActions",
    "reset_password_required",
    "password_reset_required",
];
/// An action is pending if one of these is false.
const VERIFIED: [&str; 6] = [
    "credentials_non_expired",
    "email_verified",
    "is_verified",
    "EmailConfirmed",
    "verified",
    "is_email_verified",
];
/// An action is pending if one of these is a column without a value. Without the column, nothing is to be confirmed.
const VERIFIED_AT: [&str; 4] = ["confirmed_at", "email_confirmed_at", "email_verified_at", "verified_at"];

impl Accepted {
    /// Checks that the import of a line drops only accepted safeguards.
    ///
    /// # Errors
    /// The safeguard with its member, and the option that accepts the loss.
    pub(crate) fn check(
        self,
        system: System,
        members: Members<'_>,
        factors: &SecondFactors,
    ) -> Result<(), String> {
        if system == System::Daypass {
            return Ok(());
        }
        if let Some((member, why)) = factors.dropped.as_ref().filter(|_| !self.accept_without_second_factor) {
            return Err(format!(
                "the user has a second factor (`{member}`) that an import drops: {why}; --accept-without-second-factor imports the user"
            ));
        }
        if let Some(member) = pending_action(system, members)?.filter(|_| !self.accept_pending_actions) {
            return Err(format!(
                "the user has a pending action (`{member}`), which Daypass does not ask for; --accept-pending-actions imports the user"
            ));
        }
        Ok(())
    }
}

/// Whether the user is locked or disabled.
///
/// # Errors
/// A flag is neither true nor false.
pub(crate) fn is_disabled(system: System, members: Members<'_>, now: Timestamp) -> Result<bool, String> {
    for name in LOCKED {
        if members.flag(name)? == Some(true) {
            return Ok(true);
        }
    }
    for name in ACTIVE {
        match members.flag(name)? {
            Some(false) => return Ok(true),
            None if members.get(name).is_some() => return Err(format!("`{name}` has no value")),
            Some(true) | None => {}
        }
    }
    // Keycloak itself imports such a user as disabled.
    if matches!(system, System::Cognito | System::Keycloak) && members.get("enabled").is_none() {
        return Err("`enabled` is missing, so the user could be disabled: add it to the line".to_owned());
    }
    if LOCKED_AT.into_iter().any(|name| members.is_filled(name)) {
        return Ok(true);
    }
    for name in LOCKED_UNTIL.into_iter().filter(|name| members.is_filled(name)) {
        if !is_past(members.get(name), now) {
            return Ok(true);
        }
    }
    let is = |name: &str, values: &[&str]| {
        let value =
            members.get(name).map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned));
        value.is_some_and(|value| values.contains(&value.as_str()))
    };
    Ok(match system {
        System::Drupal => members.flag("status")? == Some(false),
        System::Kratos => is("state", &["inactive"]),
        // Not activated, or a bot.
        System::Phpbb => is("user_type", &["1", "2"]),
        // A spammer, or not activated (BuddyPress).
        System::Wordpress => members.is_filled("user_status") && !is("user_status", &["0"]),
        _ => false,
    })
}

/// Whether a time has passed: a date in the form of databases, or seconds or milliseconds since the epoch. Another value is
/// no past time.
fn is_past(value: Option<&Value>, now: Timestamp) -> bool {
    let seconds = now.seconds();
    let today = format!(
        "{}",
        time::OffsetDateTime::from_unix_timestamp(seconds.cast_signed())
            .map_or(time::Date::MIN, time::OffsetDateTime::date)
    );
    match value {
        Some(Value::Number(number)) => number
            .as_u64()
            .is_some_and(|at| if at > 100_000_000_000 { at / 1000 < seconds } else { at < seconds }),
        Some(Value::String(text)) => {
            let date = text.get(..10).unwrap_or_default();
            let is_date = date
                .bytes()
                .enumerate()
                .all(|(at, byte)| if matches!(at, 4 | 7) { byte == b'-' } else { byte.is_ascii_digit() });
            is_date && date.len() == 10 && date < today.as_str()
        }
        _ => false,
    }
}

/// The member with a second factor, besides those that [`SecondFactors`] reads. `has_app` is whether it has found an app.
pub(super) fn second_factor(system: System, members: Members<'_>, has_app: bool) -> Option<&'static str> {
    // Auth0's `multifactor` names the services of the factors, and `mfa_factors` has the factors.
    let is_read =
        |name: &str| system == System::Auth0 && (name == "mfa_factors" || (name == "multifactor" && has_app));
    let listed =
        SECOND_FACTOR.into_iter().find(|name| !is_read(name) && members.get(name).is_some_and(is_set));
    let of_system = || match system {
        System::Cognito => ["MFAOptions", "UserMFASettingList", "cognito:mfa_enabled"]
            .into_iter()
            .find(|name| members.get(name).is_some_and(is_set)),
        System::Kratos => {
            let all = members.row.get("credentials").and_then(Value::as_object);
            let other = all.is_some_and(|all| {
                all.keys()
                    .any(|kind| matches!(kind.as_str(), "totp" | "webauthn" | "lookup_secret" | "passkey"))
            });
            other.then_some("credentials")
        }
        _ => None,
    };
    listed.or_else(of_system)
}

/// The member with a pending action.
fn pending_action(system: System, members: Members<'_>) -> Result<Option<&'static str>, String> {
    if let Some(name) = PENDING.into_iter().find(|name| members.get(name).is_some_and(is_set)) {
        return Ok(Some(name));
    }
    // Keycloak's `emailVerified` asks for nothing; `requiredActions` does. Nor does Cognito's; its status does.
    if !matches!(system, System::Cognito | System::Keycloak) {
        for name in VERIFIED {
            if members.flag(name)? == Some(false) {
                return Ok(Some(name));
            }
        }
    }
    let unverified = |name: &&str| members.get(name).is_some() && !members.is_filled(name);
    if let Some(name) = VERIFIED_AT.into_iter().find(unverified) {
        return Ok(Some(name));
    }
    let is = |it: &Value, name: &str, value: bool| it.get(name) == Some(&Value::Bool(value));
    Ok(match system {
        System::Keycloak => credentials(members).any(|it| is(it, "temporary", true)).then_some("temporary"),
        System::Kratos => {
            let addresses = members.row.get("verifiable_addresses").and_then(Value::as_array);
            let unverified = addresses.is_some_and(|all| all.iter().any(|it| is(it, "verified", false)));
            unverified.then_some("verifiable_addresses")
        }
        _ => None,
    })
}

/// Whether the system knows that the user reads the mail of this address.
pub(super) fn is_verified(system: System, members: Members<'_>, address: &EmailAddress) -> bool {
    let is_this = |value: &str| EmailAddress::parse(value.trim()).is_ok_and(|other| other == *address);
    match system {
        System::Kratos => {
            let all = members.row.get("verifiable_addresses").and_then(Value::as_array);
            all.into_iter().flatten().any(|it| {
                it.get("verified") == Some(&Value::Bool(true))
                    && it.get("value").and_then(Value::as_str).is_some_and(is_this)
            })
        }
        System::Clerk => members
            .optional_text("verified_email_addresses")
            .ok()
            .flatten()
            .is_some_and(|all| all.split([',', ' ']).any(is_this)),
        _ => {
            // Spring's `credentials_non_expired` is about the password.
            VERIFIED[1..].iter().any(|name| members.flag(name) == Ok(Some(true)))
                || VERIFIED_AT.iter().any(|name| members.is_filled(name))
        }
    }
}

/// The id of a user of Cognito: the UUID of its `sub`.
///
/// # Errors
/// The user has no `sub`, or a status in which Cognito lets no password in.
pub(super) fn cognito(members: Members<'_>) -> Result<UserId, String> {
    let status = members.optional_text("UserStatus")?.or(members.optional_text("status")?);
    match status {
        Some("CONFIRMED") => {}
        Some(other) => {
            return Err(format!(
                "the user has the status {other:?} in Cognito, which accepts no password of the user"
            ));
        }
        None => return Err("`UserStatus` is missing".to_owned()),
    }
    let sub = members.optional_text("sub")?.ok_or("`sub` is missing")?;
    id_of_sub(sub).ok_or_else(|| "`sub` is not a UUID".to_owned())
}

pub(super) fn credentials(members: Members<'_>) -> impl Iterator<Item = &Value> {
    members.row.get("credentials").and_then(Value::as_array).into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn safeguards_are_found() {
        use System::{Aspnet, Auth0, Devise, Django, Firebase, Joomla, Keycloak, Kratos, Laravel, Wordpress};
        let check = |system, row: &Value| {
            let members = Members::of(row.as_object().unwrap());
            let factors = SecondFactors::on(system, members);
            let accept = |accept_without_second_factor, accept_pending_actions| {
                Accepted { accept_without_second_factor, accept_pending_actions }
                    .check(system, members, &factors)
            };
            (accept(false, false), accept(true, false), accept(false, true), accept(true, true))
        };
        for (system, row, member) in [
            (Auth0, json!({ "mfa_factors": "[]x" }), "mfa_factors"),
            (Auth0, json!({ "multifactor": ["guardian"] }), "multifactor"),
            (Devise, json!({ "otp_required_for_login": "t" }), "otp_required_for_login"),
            (Firebase, json!({ "mfaInfo": [{ "phoneInfo": "+1" }] }), "mfaInfo"),
            (Keycloak, json!({ "credentials": [{ "type": "password" }, { "type": "otp" }] }), "credentials"),
            (Keycloak, json!({ "credentials": [{ "type": "webauthn" }] }), "credentials"),
            (Kratos, json!({ "credentials": { "password": {}, "totp": {} } }), "credentials"),
            (Aspnet, json!({ "TwoFactorEnabled": "True" }), "TwoFactorEnabled"),
            (Laravel, json!({ "two_factor_secret": "eyJpdiI6" }), "two_factor_secret"),
        ] {
            let (none, accepted, other, both) = check(system, &row);
            assert!(none.unwrap_err().contains(&format!("second factor (`{member}`)")), "{row}");
            assert!(accepted.is_ok() && other.is_err() && both.is_ok(), "{row}");
        }
        for (system, row, member) in [
            (Auth0, json!({ "email_verified": false }), "email_verified"),
            (Devise, json!({ "confirmed_at": null }), "confirmed_at"),
            (Devise, json!({ "confirmed_at": "" }), "confirmed_at"),
            (Firebase, json!({ "emailVerified": false }), "email_verified"),
            (Keycloak, json!({ "requiredActions": ["UPDATE_PASSWORD"] }), "requiredActions"),
            (Keycloak, json!({ "credentials": [{ "type": "password", "temporary": true }] }), "temporary"),
            (Kratos, json!({ "verifiable_addresses": [{ "verified": false }] }), "verifiable_addresses"),
            (Aspnet, json!({ "EmailConfirmed": "0" }), "EmailConfirmed"),
            (Joomla, json!({ "requireReset": "1" }), "requireReset"),
            (Laravel, json!({ "email_verified_at": null }), "email_verified_at"),
        ] {
            let (none, other, accepted, both) = check(system, &row);
            assert!(none.unwrap_err().contains(&format!("pending action (`{member}`)")), "{row}");
            assert!(other.is_err() && accepted.is_ok() && both.is_ok(), "{row}");
        }
        for (system, row) in [
            (Auth0, json!({ "mfa_factors": [], "multifactor": null, "email_verified": true })),
            (Devise, json!({ "otp_required_for_login": "f", "confirmed_at": "2020-01-01" })),
            (Devise, json!({})),
            (Django, json!({ "is_active": false })),
            (Firebase, json!({ "mfaInfo": [], "emailVerified": true })),
            (
                Keycloak,
                json!({ "requiredActions": [], "emailVerified": false, "credentials": [{ "type": "password" }, { "type": "password-history" }] }),
            ),
            (Wordpress, json!({ "user_activation_key": "x" })),
        ] {
            assert_eq!(check(system, &row).0, Ok(()), "{row}");
        }
    }

    #[test]
    fn locks_are_found() {
        use System::{
            Aspnet, Auth0, Drupal, Joomla, Keycloak, Kratos, Laravel, Phpbb, Spring, Supabase, Wordpress,
        };
        let now = Timestamp::from_seconds(1_800_000_000);
        let disabled = |system, row: &Value| is_disabled(system, Members::of(row.as_object().unwrap()), now);
        for (system, row, expected) in [
            (Auth0, json!({ "blocked": true }), true),
            (Auth0, json!({ "blocked": "" }), false),
            (Aspnet, json!({ "LockoutEnd": "2999-01-01 00:00:00 +00:00" }), true),
            (Aspnet, json!({ "LockoutEnd": "2020-01-01 00:00:00 +00:00" }), false),
            (Aspnet, json!({ "LockoutEnd": null }), false),
            (Supabase, json!({ "banned_until": "infinity" }), true),
            (Supabase, json!({ "deleted_at": "2024-01-01" }), true),
            (Drupal, json!({ "status": "0" }), true),
            (Drupal, json!({ "status": 1 }), false),
            (Joomla, json!({ "block": "1" }), true),
            (Keycloak, json!({ "enabled": false }), true),
            (Kratos, json!({ "state": "inactive" }), true),
            (Kratos, json!({ "state": "active" }), false),
            (Laravel, json!({ "deleted_at": "2024-01-01 00:00:00" }), true),
            (Phpbb, json!({ "user_type": "1" }), true),
            (Phpbb, json!({ "user_type": "3" }), false),
            (Spring, json!({ "enabled": "FALSE" }), true),
            (Spring, json!({ "accountNonLocked": false }), true),
            (Wordpress, json!({ "user_status": "2" }), true),
            (Wordpress, json!({ "user_status": "0", "spam": "0" }), false),
        ] {
            assert_eq!(disabled(system, &row), Ok(expected), "{row}");
        }
        for (system, row) in [
            (Keycloak, json!({})),
            (Spring, json!({ "enabled": null })),
            (Spring, json!({ "enabled": "FALSCH" })),
            (Auth0, json!({ "blocked": "perhaps" })),
        ] {
            assert!(disabled(system, &row).is_err(), "{row}");
        }
    }
}
