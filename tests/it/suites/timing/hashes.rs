//! The time of a hash, compared with the estimate of its limit.

use daypass_core::keys::{Document, Peppers};
use daypass_core::ports::hasher::PasswordHasher;
use daypass_core::secret::Password;
use daypass_passwords::{HashKind, IMPORTED_HASHES, Passwords};
use daypass_runtime::{OsEntropy, SystemClock};
use daypass_verifier::base::time::Clock;
use daypass_verifier::jose::jwk::Algorithm;
use std::time::{Duration, Instant};

/// The estimate is within a factor of 20 of the measured time, with the longest password.
#[test]
fn estimated_times_are_realistic() {
    let longest = "\u{1f980}".repeat(Password::MAX_CHARS);
    for params in [
        "bcrypt,c=8",
        "scrypt,ln=13,r=8,p=1",
        "pbkdf2-sha256,i=50000,b=1",
        "pbkdf2-sha512,i=50000,b=1",
        "argon2id,m=16384,t=1,p=1",
        "phpass,ln=16",
        "phpass,ln=13,html",
        "bcrypt,c=8,slashed",
        "drupal,ln=15",
        "sha256-crypt,r=50000",
        "sha512-crypt,r=50000",
        "yescrypt,ln=12,r=32,p=1",
    ] {
        let params: HashKind = params.parse().unwrap();
        let took = (0..3)
            .map(|_| {
                let start = Instant::now();
                params.work(&longest);
                start.elapsed()
            })
            .min()
            .unwrap();
        let ratio = took.as_secs_f64() * 1000.0 / params.millis() as f64;
        println!("{params}: {took:?}, {} ms by the estimate", params.millis());
        assert!((0.05..5.0).contains(&ratio), "{params}: {took:?}, {} ms by the estimate", params.millis());
    }
}

/// The check of a password with two forms takes the same time for an unknown user, a Daypass hash and an imported hash of the
/// named kind: the shortest of 60 alternating checks differ by at most a tenth, in one of three rounds. Load of other processes
/// only adds to a time, and a difference in the work shows in the shortest.
#[test]
fn a_second_form_of_a_password_takes_the_same_time_for_every_user() {
    let document = Document::generate(Algorithm::EdDsa, &OsEntropy, SystemClock.now()).unwrap();
    let peppers = Peppers::from_document(&document).unwrap();
    let kind = "phpass,ln=13,slashed";
    let passwords = Passwords::configured(|name| (name == IMPORTED_HASHES).then(|| kind.to_owned())).unwrap();
    let password = |text: &str| Password::new(text.to_owned()).unwrap();
    let ours = passwords.hash(&password("a password of ours"), &peppers, &OsEntropy).unwrap();
    // WordPress: "o'neil-2019-tea".
    let imported = "typed=slashed$P$BaB3dE6gHqaiHEurE5b5r8xuKV6WIg0";
    // A wrong password with two forms, the right one, and a wrong one with a single form.
    for typed in ["o'neil-2020-tea, and a \"long\" one", "o'neil-2019-tea", "oneil"] {
        let typed = password(typed);
        let rounds: Vec<[Duration; 3]> = (0..3)
            .map(|_| {
                let mut times = [const { Vec::new() }; 3];
                for run in 0..60 * 3 {
                    let kind = (run + run / 3) % 3;
                    let stored = [None, Some(ours.as_str()), Some(imported)][kind];
                    let start = Instant::now();
                    std::hint::black_box(passwords.check(&typed, stored, &peppers));
                    times[kind].push(start.elapsed());
                }
                times.map(|times| times.into_iter().min().unwrap())
            })
            .collect();
        println!("shortest of unknown, ours, imported: {rounds:.1?}");
        let alike = |round: &[Duration; 3]| {
            let (least, most) = (round.iter().min().unwrap(), round.iter().max().unwrap());
            *most <= *least * 11 / 10
        };
        assert!(rounds.iter().any(alike), "the times tell the users apart: {rounds:?}");
    }
}
