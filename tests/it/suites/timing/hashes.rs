//! The time of a hash, compared with the estimate of its limit.

use daypass_core::secret::Password;
use daypass_passwords::HashParams;
use std::time::Instant;

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
    ] {
        let params: HashParams = params.parse().unwrap();
        let took = (0..3)
            .map(|_| {
                let start = Instant::now();
                params.work(longest.as_bytes());
                start.elapsed()
            })
            .min()
            .unwrap();
        let ratio = took.as_secs_f64() * 1000.0 / params.millis() as f64;
        println!("{params}: {took:?}, {} ms by the estimate", params.millis());
        assert!((0.05..5.0).contains(&ratio), "{params}: {took:?}, {} ms by the estimate", params.millis());
    }
}
