//! User names, as users type them.
#![no_main]

use daypass_passwords::Passwords;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Ok(typed) = std::str::from_utf8(input) else { return };
    let passwords = Passwords::standard();
    let Ok(name) = passwords.username(typed) else {
        assert!(passwords.new_username(typed).is_err());
        return;
    };
    // The normal form is a name, and its own normal form.
    assert_eq!(passwords.username(name.as_str()).as_ref(), Ok(&name));
    assert!(!name.as_str().contains(|c: char| c.is_control() || c.is_whitespace()));
    if let Ok(new) = passwords.new_username(typed) {
        assert_eq!((&new, passwords.new_username(new.as_str()).as_ref()), (&name, Ok(&name)));
    }
});
