//! Key documents, as functions and operators read them.
#![no_main]

use daypass_core::keys::{Document, FactorKeys, Peppers, RefreshKeys, SigningKeys};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|input: &[u8]| {
    let Ok(document) = Document::parse(input) else { return };
    let printed = document.to_json().unwrap();
    let again = Document::parse(printed.as_bytes()).unwrap();
    assert_eq!(again.to_json().unwrap(), printed);
    // `Debug` is what a log could print.
    let shown = format!("{document:?}");
    let json: Value = serde_json::from_str(&printed).unwrap();
    for (section, member) in
        [("signing", "private"), ("refresh", "key"), ("peppers", "key"), ("factors", "key")]
    {
        for entry in json[section].as_array().into_iter().flatten() {
            let secret = entry[member].as_str().unwrap_or_default();
            // An input can have its secret as a `kid` too.
            let is_kid = document.summary().iter().any(|key| key.kid.contains(secret));
            assert!(secret.len() < 40 || is_kid || !shown.contains(secret));
        }
    }
    let _ = (SigningKeys::from_document(&document), RefreshKeys::from_document(&document));
    let _ = (Peppers::from_document(&document), FactorKeys::from_document(&document));
    let mut merged = document.clone();
    merged.merge(again);
    let _ = (merged.jwks(), merged.adopt_peppers_of(&document));
    for section in ["signing", "refresh", "peppers"] {
        assert!(merged.only(section).is_ok());
    }
});
