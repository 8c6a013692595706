//! JWK Sets, as a verifier fetches them.
#![no_main]

use daypass_fuzz::issuer;
use daypass_verifier::jose::jwk::Jwks;
use daypass_verifier::jose::verify::Verifier;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Ok(jwks) = Jwks::parse(input) else { return };
    let printed = jwks.to_json().unwrap();
    assert!(!printed.contains(r#""d""#), "{printed}");
    assert_eq!(Jwks::parse(printed.as_bytes()), Ok(jwks.clone()));
    let _ = Verifier::new(issuer(), "api".to_owned(), &jwks);
});
