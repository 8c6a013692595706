//! Baselines of the authorizer, with the same build profile.
//!
//! - `floor`: a Lambda function that returns a constant. Its time is one round trip of the Runtime API.
//! - `floor [X Y TOKEN]…`: the same function, which also verifies the signature of each TOKEN with its P-256 key (X, Y). No
//!   authorizer can be faster.
//! - `floor --fetch URL … X Y TOKEN`: that function, after a start that requests these documents at the same time.
//! - `floor X Y TOKEN COUNT`: verifies it COUNT times without Lambda, and prints the median in nanoseconds.

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use data_encoding::BASE64URL_NOPAD;
use daypass_https::Document;
use futures_util::future::try_join_all;
use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use serde::de::IgnoredAny;
use std::time::{Duration, Instant};

/// Deadline and size limit of a document.
const PATIENCE: Duration = Duration::from_secs(3);
const MOST_BYTES: usize = 1 << 20;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut rest: &[String] = &arguments;
    let mut documents = Vec::new();
    while let [fetch, url, more @ ..] = rest
        && fetch == "--fetch"
    {
        documents.push(Document::new(url.parse()?, PATIENCE, MOST_BYTES)?);
        rest = more;
    }
    try_join_all(documents.iter().map(Document::get)).await?;
    match rest.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [x, y, token, count] => print_median(&Signed::read(x, y, token)?, count.parse()?),
        words => {
            let (tokens, []) = words.as_chunks() else {
                return Err("usage: floor [--fetch URL]... [X Y TOKEN]..., or floor X Y TOKEN COUNT".into());
            };
            let signed: Result<Vec<_>, _> =
                tokens.iter().map(|[x, y, token]| Signed::read(x, y, token)).collect();
            let signed = signed?;
            let verify = || signed.iter().try_for_each(Signed::verify).map(|()| true);
            run(service_fn(|_: LambdaEvent<IgnoredAny>| async move { verify() })).await
        }
    }
}

/// Input of AWS-LC's signature check.
struct Signed<'a> {
    key: UnparsedPublicKey<Vec<u8>>,
    message: &'a [u8],
    signature: Vec<u8>,
}

impl<'a> Signed<'a> {
    fn read(x: &str, y: &str, token: &'a str) -> Result<Self, Error> {
        let decode = |text: &str| BASE64URL_NOPAD.decode(text.as_bytes());
        // An uncompressed point (SEC 1 §2.3.3): 0x04, x, y.
        let key =
            UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, [vec![4], decode(x)?, decode(y)?].concat());
        let (message, signature) = token.rsplit_once('.').ok_or("the token has no signature")?;
        Ok(Self { key, message: message.as_bytes(), signature: decode(signature)? })
    }

    fn verify(&self) -> Result<(), Error> {
        Ok(self.key.verify(self.message, &self.signature)?)
    }
}

fn print_median(signed: &Signed<'_>, count: usize) -> Result<(), Error> {
    let mut times = Vec::with_capacity(count);
    for _ in 0..count {
        let started = Instant::now();
        signed.verify()?;
        times.push(started.elapsed());
    }
    times.sort_unstable();
    let median = times.get(count / 2).ok_or("COUNT is zero")?;
    #[expect(clippy::print_stdout, reason = "the one figure that this is run for")]
    {
        println!("{}", median.as_nanos());
    }
    Ok(())
}
