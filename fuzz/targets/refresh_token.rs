//! Refresh tokens: the input as a token, and as the fields of one with a good MAC.
#![no_main]

use aws_lc_rs::hmac;
use data_encoding::BASE64URL_NOPAD;
use daypass_core::keys::RefreshKeys;
use daypass_core::token::refresh::{RefreshToken, RefreshTokenError};
use daypass_fuzz::{KEYS, NOW, key};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static REFRESH_KEYS: LazyLock<RefreshKeys> = LazyLock::new(|| RefreshKeys::from_document(&KEYS).unwrap());
static MAC: LazyLock<hmac::Key> = LazyLock::new(|| hmac::Key::new(hmac::HMAC_SHA256, &key("/refresh/0/key")));

fn check(text: &str) -> Result<RefreshToken, RefreshTokenError> {
    let token = RefreshToken::authenticate(text, &REFRESH_KEYS, NOW)?;
    // A token has one spelling.
    assert_eq!(token.mint(&REFRESH_KEYS), text);
    Ok(token)
}

fuzz_target!(|input: &[u8]| {
    if let Ok(text) = std::str::from_utf8(input) {
        let _ = check(text);
        let _ = check(&format!("{}{text}", RefreshToken::PREFIX));
    }
    let mut bytes = input.to_vec();
    bytes.extend(hmac::sign(&MAC, input).as_ref());
    let text = format!("{}{}", RefreshToken::PREFIX, BASE64URL_NOPAD.encode(&bytes));
    let outcome = check(&text);
    assert_ne!(outcome, Err(RefreshTokenError::Forged));
    assert!(outcome.is_err() || input.len() == 49);
});
