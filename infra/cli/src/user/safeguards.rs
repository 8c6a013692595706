//! Safeguards of a user in the other system that an import would drop: second factors and pending actions.
//!
//! Only safeguards in the file are found. Some systems keep second factors in other tables or in plugins.

use super::record::{Members, Row, System};
use serde_json::Value;

/// Options that permit an import to drop safeguards.
#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub(crate) struct Accepted {
    /// Import users who have a second factor in the other system; they log in with the password alone
    #[arg(long)]
    pub(crate) accept_without_second_factor: bool,
    /// Import users who have a pending action in the other system, such as verifying an email address or changing the
    /// password; Daypass does not ask for it
    #[arg(long)]
    pub(crate) accept_pending_actions: bool,
}

impl Accepted {
    /// Checks that the import of a line drops only accepted safeguards.
    ///
    /// # Errors
    /// The safeguard with its member, and the option that accepts the loss.
    pub(crate) fn check(self, system: System, row: &Row) -> Result<(), String> {
        let members = Members { row, name: None };
        if let Some(member) = second_factor(system, members)?.filter(|_| !self.accept_without_second_factor) {
            return Err(format!(
                "the user has a second factor (`{member}`), which Daypass does not check; --accept-without-second-factor imports the user"
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

/// The member with a second factor.
fn second_factor(system: System, members: Members<'_>) -> Result<Option<&'static str>, String> {
    Ok(match system {
        System::Auth0 => ["mfa_factors", "multifactor"].into_iter().find(|name| members.is_filled(name)),
        System::Devise => {
            let name = "otp_required_for_login";
            members.flag(name)?.unwrap_or(false).then_some(name)
        }
        System::Firebase => Some("mfaInfo").filter(|name| members.is_filled(name)),
        System::Keycloak => {
            let password = |kind: &Value| matches!(kind.as_str(), Some("password" | "password-history"));
            let other = credentials(members).any(|it| !it.get("type").is_some_and(password));
            other.then_some("credentials")
        }
        System::Daypass | System::Django | System::Wordpress => None,
    })
}

/// The member with a pending action.
fn pending_action(system: System, members: Members<'_>) -> Result<Option<&'static str>, String> {
    let is_false = |name: &'static str| Ok::<_, String>((members.flag(name)? == Some(false)).then_some(name));
    Ok(match system {
        System::Auth0 => is_false("email_verified")?,
        // A column without a value: the confirmation is outstanding. Without the column, nothing is to be confirmed.
        System::Devise => {
            Some("confirmed_at").filter(|name| members.row.contains_key(*name) && !members.is_filled(name))
        }
        System::Firebase => is_false("emailVerified")?,
        System::Keycloak => {
            let temporary = credentials(members).any(|it| it.get("temporary") == Some(&Value::Bool(true)));
            let actions = Some("requiredActions").filter(|name| members.is_filled(name));
            actions.or(temporary.then_some("temporary"))
        }
        System::Daypass | System::Django | System::Wordpress => None,
    })
}

fn credentials(members: Members<'_>) -> impl Iterator<Item = &Value> {
    members.row.get("credentials").and_then(Value::as_array).into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn safeguards_are_found() {
        use System::{Auth0, Devise, Django, Firebase, Keycloak, Wordpress};
        let check = |system, row: &Value| {
            let row = row.as_object().unwrap();
            let accept = |accept_without_second_factor, accept_pending_actions| {
                Accepted { accept_without_second_factor, accept_pending_actions }.check(system, row)
            };
            (accept(false, false), accept(true, false), accept(false, true), accept(true, true))
        };
        for (system, row, member) in [
            (Auth0, json!({ "mfa_factors": [{ "totp": { "secret": "x" } }] }), "mfa_factors"),
            (Auth0, json!({ "multifactor": ["guardian"] }), "multifactor"),
            (Devise, json!({ "otp_required_for_login": "t" }), "otp_required_for_login"),
            (Firebase, json!({ "mfaInfo": [{ "phoneInfo": "+1" }] }), "mfaInfo"),
            (Keycloak, json!({ "credentials": [{ "type": "password" }, { "type": "otp" }] }), "credentials"),
            (Keycloak, json!({ "credentials": [{ "type": "webauthn" }] }), "credentials"),
        ] {
            let (none, accepted, other, both) = check(system, &row);
            assert!(none.unwrap_err().contains(&format!("second factor (`{member}`)")), "{row}");
            assert!(accepted.is_ok() && other.is_err() && both.is_ok(), "{row}");
        }
        for (system, row, member) in [
            (Auth0, json!({ "email_verified": false }), "email_verified"),
            (Devise, json!({ "confirmed_at": null }), "confirmed_at"),
            (Devise, json!({ "confirmed_at": "" }), "confirmed_at"),
            (Firebase, json!({ "emailVerified": false }), "emailVerified"),
            (Keycloak, json!({ "requiredActions": ["UPDATE_PASSWORD"] }), "requiredActions"),
            (Keycloak, json!({ "credentials": [{ "type": "password", "temporary": true }] }), "temporary"),
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
                json!({ "requiredActions": [], "credentials": [{ "type": "password" }, { "type": "password-history" }] }),
            ),
            (Wordpress, json!({ "user_activation_key": "x" })),
        ] {
            assert_eq!(check(system, &row).0, Ok(()), "{row}");
        }
    }
}
