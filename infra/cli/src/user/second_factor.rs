//! Second factors of other systems: the one-time codes that Daypass checks from now on, and the factors that an import drops.

use super::credentials::{self, Object};
use super::record::{Members, is_set};
use super::safeguards;
use super::spelling;
use super::system::System;
use data_encoding::BASE32_NOPAD;
use daypass_core::factor::totp::{Totp, TotpHash};
use daypass_core::secret::Secret;
use serde_json::Value;

const NO_SECRET: &str = "the file does not contain its secret";

/// The second factors on a line.
#[derive(Debug, Default)]
pub(crate) struct SecondFactors {
    /// The app that the user keeps.
    pub(crate) app: Option<Totp>,
    /// The first factor that the import drops: its member, and the reason.
    pub(crate) dropped: Option<(&'static str, String)>,
}

/// A factor that needs no rejection.
enum Factor {
    App(Totp),
    /// They replace a lost factor, so a user with an app can do without.
    RecoveryCodes,
}

impl SecondFactors {
    /// Reads the second factors on a line. Reasons quote no secret.
    pub(crate) fn on(system: System, members: Members<'_>) -> Self {
        let mut found = Self::default();
        let (member, factors) = match system {
            System::Daypass => return found,
            System::Auth0 => ("mfa_factors", auth0_factors(members)),
            System::Keycloak => ("credentials", keycloak_credentials(members)),
            _ => ("", Vec::new()),
        };
        let mut codes = false;
        for factor in factors {
            let why = match factor {
                Ok(Factor::App(app)) if found.app.is_none() => {
                    found.app = Some(app);
                    continue;
                }
                Ok(Factor::App(_)) => "Daypass keeps one app of a user".to_owned(),
                Ok(Factor::RecoveryCodes) => {
                    codes = true;
                    continue;
                }
                Err(why) => why,
            };
            found.dropped.get_or_insert((member, why));
        }
        if codes && found.app.is_none() {
            found.dropped.get_or_insert((member, "recovery codes are not imported".to_owned()));
        }
        if found.dropped.is_none() {
            let other = safeguards::second_factor(system, members, found.app.is_some());
            found.dropped = other.map(|member| (member, "Daypass does not check it".to_owned()));
        }
        found
    }
}

/// Auth0's `mfa_factors` of its bulk import: objects with one member.
fn auth0_factors(members: Members<'_>) -> Vec<Result<Factor, String>> {
    match members.get("mfa_factors") {
        Some(Value::Array(factors)) => factors.iter().map(auth0).collect(),
        Some(other) if is_set(other) => vec![Err("it is not a list".to_owned())],
        _ => Vec::new(),
    }
}

fn auth0(factor: &Value) -> Result<Factor, String> {
    let kinds: Vec<&str> = factor.as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect();
    match kinds.as_slice() {
        ["totp"] => {
            let secret = factor.pointer("/totp/secret").and_then(Value::as_str).ok_or(NO_SECRET)?;
            app("totp", &Object::new(), base32(secret)?)
        }
        kinds => Err(not_imported(&kinds.join(", "))),
    }
}

/// Keycloak's `credentials` without passwords.
fn keycloak_credentials(members: Members<'_>) -> Vec<Result<Factor, String>> {
    let kind =
        |credential: &Value| credential.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
    let all = safeguards::credentials(members).map(|credential| (kind(credential), credential));
    let others = all.filter(|(kind, _)| !matches!(kind.as_str(), "password" | "password-history"));
    others.map(|(kind, credential)| keycloak(&kind, credential)).collect()
}

/// A credential of Keycloak: two JSON documents in strings (`OTPCredentialModel`), or members of the credential itself before
/// Keycloak 8.
fn keycloak(kind: &str, credential: &Value) -> Result<Factor, String> {
    let none = Object::new();
    let credential = credential.as_object().unwrap_or(&none);
    let text = |object: &Object, name: &str| object.get(name).and_then(Value::as_str).map(str::to_owned);
    match kind {
        "otp" => {
            if !credential.contains_key("secretData") {
                return Err(NO_SECRET.to_owned());
            }
            let secret = credentials::document(credential, "secretData")?;
            let data = credentials::document(credential, "credentialData")?;
            let secret = text(&secret, "value").ok_or(NO_SECRET)?;
            // Without an encoding, the key is the text itself, and apps got the base32 of this text.
            let secret = match text(&data, "secretEncoding") {
                None => secret.into_bytes(),
                Some(encoding) if encoding.eq_ignore_ascii_case("base32") => base32(&secret)?,
                Some(_) => return Err("its `secretEncoding` is unknown".to_owned()),
            };
            app(&text(&data, "subType").unwrap_or_default(), &data, secret)
        }
        "totp" | "hotp" => {
            let secret = text(credential, "hashedSaltedValue").ok_or(NO_SECRET)?;
            let config = credential.get("config").and_then(|config| config.pointer("/base64Encoded/0"));
            let secret = match config.and_then(Value::as_str) {
                Some("true") => {
                    spelling::bytes(&secret, "it").map_err(|_| "its secret is not base64".to_owned())?
                }
                _ => secret.into_bytes(),
            };
            app(kind, credential, secret)
        }
        "recovery-authn-codes" => Ok(Factor::RecoveryCodes),
        other => Err(not_imported(other)),
    }
}

fn not_imported(kind: &str) -> String {
    format!("the kind {kind:?} is not imported")
}

/// The app with the secret, and with the parameters of `data` or the usual ones.
fn app(kind: &str, data: &Object, secret: Vec<u8>) -> Result<Factor, String> {
    if kind != "totp" {
        return Err("its codes are not time-based (TOTP)".to_owned());
    }
    let hash = match data.get("algorithm").unwrap_or(&Value::Null) {
        Value::Null => TotpHash::Sha1,
        Value::String(name) if name == "HmacSHA1" => TotpHash::Sha1,
        Value::String(name) if name == "HmacSHA256" => TotpHash::Sha256,
        Value::String(name) if name == "HmacSHA512" => TotpHash::Sha512,
        _ => return Err("its `algorithm` is unknown".to_owned()),
    };
    let number = |name: &str, usual: u64| match data.get(name) {
        None | Some(Value::Null) => Ok(usual),
        Some(_) => credentials::number(data, name).ok_or_else(|| format!("its `{name}` is not a number")),
    };
    let (digits, period, length) = (number("digits", 6)?, number("period", 30)?, secret.len());
    let small = |number: u64| u8::try_from(number).unwrap_or(u8::MAX);
    let app = Totp::imported(hash, small(digits), small(period), Secret::new(secret));
    app.map(Factor::App).ok_or_else(|| {
        format!(
            "its codes have {digits} digits and change every {period} s, and its secret has {length} bytes; Daypass checks 6 to 8 digits, 15 to 120 s and 10 to 64 bytes"
        )
    })
}

/// Decodes base32 as apps do: ignores padding, spaces and hyphens, and accepts both cases.
fn base32(text: &str) -> Result<Vec<u8>, String> {
    let plain: String = text.chars().filter(|c| !matches!(c, '=' | ' ' | '-')).collect();
    let mut lenient = BASE32_NOPAD.specification();
    lenient.check_trailing_bits = false;
    let encoding = lenient.encoding().map_err(|error| error.to_string())?;
    encoding.decode(plain.to_ascii_uppercase().as_bytes()).map_err(|_| "its secret is not base32".to_owned())
}
