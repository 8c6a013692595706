//! Events of the authorizer, of each kind of API. `$TOKEN` in the input stands for a good token.
#![no_main]

use daypass_authorizer::{Answer, Authorizer, Error, Event, Pruned};
use daypass_fuzz::{KEYS, NOW, good_token, issuer};
use daypass_verifier::base::entropy::Entropy;
use daypass_verifier::base::time::{Clock, Timestamp};
use daypass_verifier::config::authorizer::{AuthorizerConfig, HttpAnswer, KeySource};
use daypass_verifier::ports::context::{Caller, Context};
use daypass_verifier::ports::event;
use daypass_verifier::ports::follow::NotFollowed;
use daypass_verifier::ports::journal::Journal;
use daypass_verifier::routes::{Bearer, Routes};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use std::pin::pin;
use std::sync::LazyLock;
use std::task::{Context as Polled, Poll, Waker};
use std::time::Duration;

struct Fixed;

impl Clock for Fixed {
    fn now(&self) -> Timestamp {
        NOW
    }
}

impl Entropy for Fixed {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(7);
    }
}

impl Journal for Fixed {
    fn record(&self, event: &event::Event, _: &Caller) {
        serde_json::to_string(event).unwrap();
    }
}

const ROUTES: &str =
    "GET /orders/* needs orders:read; GET /orders/all needs admin; * /health public; $connect needs chat";
const SCOPE: &str = "orders:read";

static AUTHORIZERS: LazyLock<[Authorizer<NotFollowed>; 2]> = LazyLock::new(|| {
    [HttpAnswer::Simple, HttpAnswer::Policy].map(|http_answer| {
        let config = AuthorizerConfig {
            issuer: issuer(),
            audience: daypass_fuzz::AUDIENCE.to_owned(),
            keys: KeySource::Inline(KEYS.jwks()),
            max_token_lifetime: Duration::from_secs(3600),
            routes: Routes::parse(ROUTES).unwrap(),
            http_answer,
            context_claims: vec!["jti".to_owned()],
            revocations: None,
            dpop_origins: Vec::new(),
            proofs_table: None,
        };
        let context = Context { clock: Box::new(Fixed), entropy: Box::new(Fixed), journal: Box::new(Fixed) };
        Authorizer::new(config, None, NotFollowed, context).unwrap()
    })
});
static TOKEN: LazyLock<String> = LazyLock::new(|| good_token(SCOPE));

fuzz_target!(|input: &[u8]| {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let text = text.replace("$TOKEN", &TOKEN);
    let Ok(Pruned(event)) = serde_json::from_str::<Pruned>(&text) else { return };
    for authorizer in &*AUTHORIZERS {
        let Poll::Ready(outcome) =
            pin!(authorizer.handle(&event)).poll(&mut Polled::from_waker(Waker::noop()))
        else {
            panic!("nothing here waits")
        };
        let read = Event::read(&event);
        match &outcome {
            Err(error) => assert_eq!(error, &Error::Unauthorized),
            // The route table alone decides about a request with a good token, or with none.
            Ok(Answer::Simple { is_authorized: true, .. }) => {
                let read = read.unwrap();
                let routes = Routes::parse(ROUTES).unwrap();
                let bearer = match read.credentials.unwrap() {
                    Some(credentials) => {
                        assert_eq!(credentials.token, *TOKEN);
                        Bearer::scope(SCOPE)
                    }
                    None => Bearer::Anonymous,
                };
                assert!(routes.of(read.arn.api).decide(read.arn.target, bearer).is_ok());
            }
            Ok(answer) => {
                let Ok(Value::Object(_)) = serde_json::to_value(answer) else { panic!("{answer:?}") };
            }
        }
    }
});
