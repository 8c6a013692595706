//! The subject of a mail: what its reader may do. The mailer writes it under a MAC, and a confirmation reads it.

use crate::account::address::EmailAddress;
use crate::account::claims::Claims;
use crate::ports::mail::Language;
use daypass_verifier::base::ids::{ClientId, UserId, Username};
use daypass_verifier::base::json;
use daypass_verifier::base::scope::Scope;
use serde_json::{Map, Value};

/// What the reader of a mail may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Subject {
    /// Set another password of this user, while it has this version and the user has this address.
    Reset { username: Username, user: UserId, password_version: u32, email: EmailAddress },
    /// Create a user.
    User { address: EmailAddress, client: ClientId, scope: Scope, claims: Claims },
    /// Give this user another address, while it has the old one and this version of the password.
    Address {
        username: Username,
        user: UserId,
        password_version: u32,
        old: Option<EmailAddress>,
        new: EmailAddress,
        client: ClientId,
        language: Language,
    },
}

impl Subject {
    /// The stored form, a JSON object.
    pub(crate) fn to_json(&self) -> String {
        let mut members = Map::new();
        let mut put = |name: &str, value: &str| members.insert(name.to_owned(), value.into());
        match self {
            Self::Reset { username, user, password_version, email } => {
                put("username", username.as_str());
                put("user", &user.to_string());
                put("password_version", &password_version.to_string());
                put("email", email.as_str());
            }
            Self::User { address, client, scope, claims } => {
                put("address", address.as_str());
                put("client", client.as_str());
                put("scope", &scope.to_string());
                put("claims", &claims.to_string());
            }
            Self::Address { username, user, password_version, old, new, client, language } => {
                put("username", username.as_str());
                put("user", &user.to_string());
                put("password_version", &password_version.to_string());
                if let Some(old) = old {
                    put("old", old.as_str());
                }
                put("new", new.as_str());
                put("client", client.as_str());
                put("language", language.as_str());
            }
        }
        Value::Object(members).to_string()
    }

    /// Reads the stored form; `None` for any other text.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let members = json::object(text.as_bytes()).ok()?;
        let text = |name: &str| members.get(name).and_then(Value::as_str);
        let address = |name: &str| EmailAddress::parse(text(name)?).ok();
        let user = || UserId::parse(text("user")?);
        let username = || Username::from_normalised(text("username")?.to_owned());
        let client = || ClientId::parse(text("client")?);
        let password_version = || text("password_version")?.parse().ok();
        if let Some(new) = address("new") {
            let old = if members.contains_key("old") { Some(address("old")?) } else { None };
            let language = Language::parse(text("language")?)?;
            return Some(Self::Address {
                username: username()?,
                user: user()?,
                password_version: password_version()?,
                old,
                new,
                client: client()?,
                language,
            });
        }
        if let Some(address) = address("address") {
            let scope = Scope::parse(text("scope")?).ok()?;
            let claims = Claims::parse(text("claims")?).ok()?;
            return Some(Self::User { address, client: client()?, scope, claims });
        }
        Some(Self::Reset {
            username: username()?,
            user: user()?,
            password_version: password_version()?,
            email: address("email")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_read_back() {
        let address = |text: &str| EmailAddress::parse(text).unwrap();
        let (username, user) =
            (Username::from_normalised("ada".to_owned()).unwrap(), UserId::from_bytes([1; 16]));
        let client = ClientId::parse("web").unwrap();
        let change = |old| Subject::Address {
            username: username.clone(),
            user,
            password_version: 7,
            old,
            new: address("b@b.example"),
            client: client.clone(),
            language: Language::default(),
        };
        for subject in [
            Subject::Reset {
                username: username.clone(),
                user,
                password_version: 7,
                email: address("a@a.example"),
            },
            Subject::User {
                address: address("a@a.example"),
                client: client.clone(),
                scope: Scope::default(),
                claims: Claims::parse(r#"{"tenant":"acme"}"#).unwrap(),
            },
            change(None),
            change(Some(address("a@a.example"))),
        ] {
            let json = subject.to_json();
            assert_eq!(Subject::parse(&json), Some(subject), "{json}");
        }
        for odd in ["", "{}", "[]", r#"{"new":"b@b.example"}"#, r#"{"address":"a@a.example"}"#] {
            assert_eq!(Subject::parse(odd), None, "{odd}");
        }
    }
}
