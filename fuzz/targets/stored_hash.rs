//! Stored and imported password hashes, and the settings that name their cost.
#![no_main]

use daypass_passwords::{Shape, StoredHash};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Ok(text) = std::str::from_utf8(input) else { return };
    if let Ok(hash) = StoredHash::parse(text) {
        let shape = hash.shape();
        assert!(shape.fits().is_ok(), "{text}");
        assert_eq!(shape.to_string().parse::<Shape>().ok(), Some(shape), "{text}");
        assert!(hash.pepper().is_none_or(|kid| kid.len() == 8), "{text}");
    }
    if let Ok(shape) = text.parse::<Shape>() {
        assert_eq!(shape.to_string().parse::<Shape>().ok(), Some(shape), "{text}");
        let _ = (shape.fits(), shape.millis(), shape.memory_kib());
    }
});
