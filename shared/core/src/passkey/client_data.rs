//! Client data (WebAuthn section 5.8.1): what the browser saw, as the signature covers it.

use super::Fault;
use super::relying_party::RelyingParty;
use daypass_verifier::base::json;
use serde_json::Value;

/// Which ceremony a response is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Registration,
    Authentication,
}

impl Kind {
    const fn type_name(self) -> &'static str {
        match self {
            Self::Registration => "webauthn.create",
            Self::Authentication => "webauthn.get",
        }
    }
}

/// Checks `clientDataJSON`, all but its challenge, which it returns (steps 5 to 12 of section 7.1, 9 to 14 of section 7.2).
///
/// Other members are ignored, as the specification demands.
pub(super) fn check(bytes: &[u8], kind: Kind, party: &RelyingParty) -> Result<String, Fault> {
    let members = json::object(bytes).map_err(|_| Fault::ClientData)?;
    let text = |name: &str| members.get(name).and_then(Value::as_str).ok_or(Fault::ClientData);
    let (type_name, challenge, origin) = (text("type")?, text("challenge")?, text("origin")?);
    if type_name != kind.type_name() {
        return Err(Fault::Type);
    }
    if !party.has_origin(origin) {
        return Err(Fault::Origin);
    }
    match members.get("crossOrigin") {
        None | Some(Value::Bool(false)) => {}
        Some(Value::Bool(true)) => return Err(Fault::CrossOrigin),
        Some(_) => return Err(Fault::ClientData),
    }
    if members.contains_key("topOrigin") {
        return Err(Fault::CrossOrigin);
    }
    Ok(challenge.to_owned())
}
