//! Files of `daypass user import`. The first line is `SYSTEM jsonl` or `SYSTEM csv`, and the file follows.
#![no_main]

use daypass_cli::lines::{line_of, users_in};
use daypass_fuzz::NOW;
use daypass_passwords::{Passwords, StoredHash};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some(at) = input.iter().position(|byte| *byte == b'\n') else { return };
    let Ok(first) = std::str::from_utf8(&input[..at]) else { return };
    let Some((system, format)) = first.split_once(' ') else { return };
    let Some(users) = users_in(system, format == "csv", &input[at + 1..], NOW) else { return };
    for user in users.into_iter().flatten() {
        assert_eq!(Passwords::standard().new_username(user.username.as_str()).as_ref(), Ok(&user.username));
        let hash = StoredHash::parse(&user.password_hash).unwrap();
        assert!(hash.kind().check().is_ok());
        // An export of the user is imported as the same user.
        let line = line_of(&user).unwrap();
        let again = users_in("daypass", false, line.as_bytes(), NOW).unwrap();
        assert_eq!(again.len(), 1, "{line}");
        let again = again.into_iter().next().unwrap().unwrap();
        assert_eq!(line_of(&again).unwrap(), line);
    }
});
