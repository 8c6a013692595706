//! What a hash costs, against the estimate.

use daypass_passwords::Shape;
use std::time::Instant;

/// The estimate that limits are made of is within reach of the truth: no hash within them takes a function down.
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
