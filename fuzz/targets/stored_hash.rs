//! Stored and imported password hashes, and the settings that name their cost.
#![no_main]

use daypass_passwords::{HashKind, StoredHash};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Ok(text) = std::str::from_utf8(input) else { return };
    if let Ok(hash) = StoredHash::parse(text) {
        let kind = hash.kind();
        assert!(kind.check().is_ok(), "{text}");
        assert_eq!(kind.to_string().parse::<HashKind>().ok(), Some(kind), "{text}");
        assert!(hash.pepper().is_none_or(|kid| kid.len() == 8), "{text}");
    }
    if let Ok(kind) = text.parse::<HashKind>() {
        assert_eq!(kind.to_string().parse::<HashKind>().ok(), Some(kind), "{text}");
        let _ = (kind.check(), kind.millis(), kind.params.memory_kib());
    }
});
