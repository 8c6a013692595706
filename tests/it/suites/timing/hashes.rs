//! The time of hashes, compared with the estimate.

use daypass_passwords::Shape;
use std::time::Instant;

/// The estimate is near the measured time, so a hash within the limits cannot block a function.
#[test]
fn shapes_say_what_they_cost() {
    for shape in [
        "bcrypt,c=8",
        "scrypt,ln=13,r=8,p=1",
        "pbkdf2-sha256,i=50000,b=1",
        "pbkdf2-sha512,i=50000,b=1",
        "argon2id,m=16384,t=1,p=1",
        "phpass,ln=16",
    ] {
        let shape: Shape = shape.parse().unwrap();
        let took = (0..3)
            .map(|_| {
                let start = Instant::now();
                shape.work(b"correct horse battery");
                start.elapsed()
            })
            .min()
            .unwrap();
        let ratio = took.as_secs_f64() * 1000.0 / shape.millis() as f64;
        println!("{shape}: {took:?}, {} ms by the estimate", shape.millis());
        assert!((0.05..5.0).contains(&ratio), "{shape}: {took:?}, {} ms by the estimate", shape.millis());
    }
}
