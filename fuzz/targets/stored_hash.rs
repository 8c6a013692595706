//! Stored and imported password hashes, and the settings that name their cost.
#![no_main]

use daypass_passwords::{HashParams, StoredHash};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Ok(text) = std::str::from_utf8(input) else { return };
    if let Ok(hash) = StoredHash::parse(text) {
        let params = hash.params();
        assert!(params.check().is_ok(), "{text}");
        assert_eq!(params.to_string().parse::<HashParams>().ok(), Some(params), "{text}");
        assert!(hash.pepper().is_none_or(|kid| kid.len() == 8), "{text}");
    }
    if let Ok(params) = text.parse::<HashParams>() {
        assert_eq!(params.to_string().parse::<HashParams>().ok(), Some(params), "{text}");
        let _ = (params.check(), params.millis(), params.memory_kib());
    }
});
