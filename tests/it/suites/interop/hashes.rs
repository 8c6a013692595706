//! Password hashes of other projects' libraries, imported and checked.

use super::programs::{Made, Source};
use super::tell;
use daypass_cli::lines::users_in;
use daypass_core::keys::{Document, Peppers};
use daypass_core::ports::hasher::{PasswordCheck, PasswordHasher};
use daypass_core::secret::Password;
use daypass_passwords::Passwords;
use daypass_runtime::{OsEntropy, SystemClock};
use daypass_verifier::base::time::Clock;
use daypass_verifier::jose::jwk::Algorithm;
use serde_json::Value;

/// Passwords with the characters that systems escape, transcode, trim or truncate.
const PASSWORDS: &str = include_str!("../../../vectors/passwords.json");

/// invariant: A user whose hash another library made can log in with the password of the hash after the import.
#[tokio::test]
async fn hashes_of_other_libraries_are_imported() {
    let now = SystemClock.now();
    let document = Document::generate(Algorithm::EdDsa, &OsEntropy, now).unwrap();
    let peppers = Peppers::from_document(&document).unwrap();
    let passwords: Value = serde_json::from_str(PASSWORDS).unwrap();
    let count = passwords["passwords"].as_array().unwrap().len();
    for program in [Source::Python("make_hashes.py"), Source::Node("make-hashes.mjs")] {
        let made: Made = program.find().made(&passwords).await;
        assert!(made.users.len() >= 10 * count, "{} made {} hashes", made.library, made.users.len());
        for user in &made.users {
            let imported = users_in(&user.system, false, user.line.as_bytes(), now).unwrap();
            let [Ok(imported)] = imported.as_slice() else { panic!("{}: {imported:?}", user.line) };
            let check = |password: &str| {
                let password = Password::new(password.to_owned()).unwrap();
                Passwords::standard().check(&password, Some(&imported.password_hash), &peppers)
            };
            assert!(matches!(check(&user.password), PasswordCheck::Match { .. }), "{}", user.line);
            assert_eq!(check(&format!("x{}", user.password)), PasswordCheck::Mismatch, "{}", user.line);
        }
        tell(&format!("  {} {}: {} hashes", made.library, made.version, made.users.len()));
    }
}
