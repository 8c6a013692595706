//! The client and the authenticator of the crate `passkey` (1Password), as a browser with a passkey in it.
//!
//! Each line of standard input is `{"create": OPTIONS}` or `{"get": OPTIONS}`, with the options of the server as a page gets them.
//! Each line of standard output is the response, as the page sends it, or `{"error": TEXT}`. The arguments are the origin of the page,
//! the algorithm of the keys, and `verify` for an authenticator that verifies its user, or `touch` for one that cannot.

use passkey::authenticator::{Authenticator, UiHint, UserCheck, UserValidationMethod};
use passkey::client::{Client, DefaultClientData};
use passkey::crypto::iana::Algorithm;
use passkey::crypto::rust_crypto::RustCryptoBackend;
use passkey::types::Passkey;
use passkey::types::ctap2::{Aaguid, Ctap2Error};
use serde_json::{Value, from_value, json, to_value};
use std::error::Error;
use std::io::stdin;
use url::Url;

/// A person who touches the authenticator whenever it asks.
struct Person {
    verifies: bool,
}

#[async_trait::async_trait]
impl UserValidationMethod for Person {
    type PasskeyItem = Passkey;

    async fn check_user<'a>(
        &self,
        hint: UiHint<'a, Passkey>,
        presence: bool,
        verification: bool,
    ) -> Result<UserCheck, Ctap2Error> {
        // The crate leaves this refusal to the user interface.
        if let UiHint::InformExcludedCredentialFound(_) = hint {
            return Err(Ctap2Error::CredentialExcluded);
        }
        Ok(UserCheck { presence, verification: verification && self.verifies })
    }

    fn is_presence_enabled(&self) -> bool {
        true
    }

    fn is_verification_enabled(&self) -> Option<bool> {
        self.verifies.then_some(true)
    }
}

type Failure = Box<dyn Error>;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [origin, algorithm, person] = arguments.as_slice() else { return Err("three arguments".into()) };
    let origin = Url::parse(origin)?;
    let algorithm = match algorithm.as_str() {
        "ES256" => Algorithm::ES256,
        "EdDSA" => Algorithm::EdDSA,
        _ => return Err("the second argument is ES256 or EdDSA".into()),
    };
    let verifies = match person.as_str() {
        "verify" => true,
        "touch" => false,
        _ => return Err("the third argument is verify or touch".into()),
    };
    let person = Person { verifies };
    let mut authenticator =
        Authenticator::new(Aaguid::new_empty(), None::<Passkey>, person, RustCryptoBackend);
    authenticator.set_algorithms(&[algorithm]).map_err(|error| format!("{error:?}"))?;
    authenticator.set_make_credentials_with_signature_counter(true);
    let mut client = Client::new(authenticator).user_verification_when_preferred(verifies);
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    for line in stdin().lines() {
        let mut line: Value = serde_json::from_str(&line?)?;
        let (create, get) = (line["create"].take(), line["get"].take());
        let response = if create.is_object() {
            let options = from_value(json!({ "publicKey": create }))?;
            let made = runtime.block_on(client.register(&origin, options, DefaultClientData));
            made.map(to_value)
        } else {
            let options = from_value(json!({ "publicKey": get }))?;
            let shown = runtime.block_on(client.authenticate(&origin, options, DefaultClientData));
            shown.map(to_value)
        };
        println!("{}", response.unwrap_or_else(|error| Ok(json!({ "error": format!("{error:?}") })))?);
    }
    Ok(())
}
