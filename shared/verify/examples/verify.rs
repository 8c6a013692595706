//! A service without API Gateway verifies access tokens by itself.
//!
//! `cargo run --example verify -- ISSUER AUDIENCE JWKS FEED TOKEN`, where `JWKS` and `FEED` are files with the
//! responses of the issuer's `/.well-known/jwks.json` and `/revocations`. A service fetches both with its own HTTP
//! client.

use daypass_verifier::base::issuer::Issuer;
use daypass_verifier::base::time::Timestamp;
use daypass_verifier::jose::jwk::Jwks;
use daypass_verifier::jose::verify::{Rejection, Verified, Verifier};
use daypass_verifier::revocation::{Answer, Limits, Lookup, RevokedSet, WhenStale};
use std::error::Error;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The state of each process of the service.
struct Guard {
    issuer: Issuer,
    verifier: Verifier,
    revoked: RevokedSet,
}

impl Guard {
    /// Reads the keys at start. Read them again after [`Rejection::UnknownKey`], at most once a minute.
    fn new(issuer: &str, audience: &str, jwks: &[u8]) -> Result<Self, Box<dyn Error>> {
        let issuer = Issuer::parse(issuer)?;
        let verifier = Verifier::new(issuer.clone(), audience.to_owned(), &Jwks::parse(jwks)?)?;
        let limits = Limits {
            interval: Duration::from_secs(5),
            stale_after: Duration::from_secs(60),
            when_stale: WhenStale::Open,
        };
        Ok(Self { issuer, verifier, revoked: RevokedSet::new(limits) })
    }

    /// Polls the revocation feed every five seconds. `fetch` gets the cursor for the parameter `after`, and returns the
    /// body and the header `daypass-as-of`.
    fn poll(
        &mut self,
        fetch: impl Fn(Option<&str>) -> Result<(Vec<u8>, Timestamp), String>,
        now: Timestamp,
    ) -> Result<(), String> {
        if !self.revoked.is_due(now) {
            return Ok(());
        }
        let mut poll = self.revoked.ask(now);
        let result = loop {
            let page = fetch(poll.after.as_deref()).and_then(|(body, as_of)| {
                let page = Answer::parse(&body, &self.issuer).map_err(|error| error.to_string())?;
                let more = page.more;
                self.revoked.told(&poll, page, None, now)?;
                RevokedSet::is_recent(as_of, now)?;
                Ok(more)
            });
            match page {
                Ok(true) => poll = self.revoked.question(),
                Ok(false) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        // After 60 s of failures the list is stale, and `when_stale` decides.
        self.revoked.finish(result.is_ok(), now, now);
        result
    }

    /// Decides one request: a check of signature and claims, and a lookup in memory.
    fn check(&self, token: &str, now: Timestamp) -> Result<Verified, String> {
        let verified = self.verifier.verify(token, now).map_err(|rejection| match rejection {
            Rejection::UnknownKey => "fetch the keys, then verify once more".to_owned(),
            rejection => format!("{rejection:?}"),
        })?;
        match self.revoked.lookup(&verified.session, now) {
            Lookup::Live => Ok(verified),
            Lookup::Ended => Err("the session was revoked".to_owned()),
            Lookup::Stale => Err("the revocation feed has not answered for a minute".to_owned()),
        }
    }
}

#[expect(clippy::print_stdout, reason = "the result of the program")]
fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [issuer, audience, jwks, feed, token] = arguments.as_slice() else {
        return Err("usage: verify ISSUER AUDIENCE JWKS FEED TOKEN".into());
    };
    #[expect(clippy::disallowed_methods, reason = "here the time comes in")]
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    let now = Timestamp::from_seconds(now.as_secs());
    let mut guard = Guard::new(issuer, audience, &std::fs::read(jwks)?)?;
    guard.poll(|_| Ok((std::fs::read(feed).map_err(|error| error.to_string())?, now)), now)?;
    let verified = guard.check(token, now)?;
    println!("{} may {:?} until {:?}", verified.subject, verified.scope, verified.expires_at);
    Ok(())
}
