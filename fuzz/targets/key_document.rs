//! Key documents, as functions and operators read them.
#![no_main]

use daypass_core::keys::{Document, Peppers, RefreshKeys, SigningKeys};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Ok(document) = Document::parse(input) else { return };
    let printed = document.to_json().unwrap();
    let again = Document::parse(printed.as_bytes()).unwrap();
    assert_eq!(again.to_json().unwrap(), printed);
    // `Debug` is what a log could print.
    let shown = format!("{document:?}");
    assert!(!shown.contains("private"));
    let _ = (SigningKeys::from_document(&document), RefreshKeys::from_document(&document));
    let _ = Peppers::from_document(&document);
    let mut merged = document.clone();
    merged.merge(again);
    let _ = (merged.jwks(), merged.adopt_peppers_of(&document));
    for section in ["signing", "refresh", "peppers"] {
        assert!(merged.only(section).is_ok());
    }
});
