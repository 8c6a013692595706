//! The Lambda authorizer: it verifies access tokens in front of any API of API Gateway, and allows the routes of their scope.
//!
//! It serves REST APIs (`TOKEN` and `REQUEST`), HTTP APIs (payload formats 1.0 and 2.0, simple and IAM answers) and
//! `$connect` of WebSocket APIs, told apart by the event. An event of any other shape is denied. It serves the emulators
//! serverless-offline and `sam local` too, whose events differ.
//!
//! Its [`Follow`] knows the sessions that ended early: the client of the revocation feed, or
//! [`NotFollowed`](daypass_verifier::ports::follow::NotFollowed).

mod answer;
mod arn;
mod error;
mod event;
mod keys;
mod once;
mod pruned;
mod replay;
mod serve;

pub use answer::{Answer, CallerContext, Policy, Statement};
pub use arn::MethodArn;
pub use error::Error;
use event::is_warm_up;
pub use event::{Api, Credentials, Event, Scheme};
pub use keys::{Fetch, FetchResult, fetch_from};
pub use once::ProofTable;
pub use pruned::Pruned;
pub use serve::serve;

use answer::{Unanswerable, context_has_control_character};
use daypass_verifier::base::ids::{SessionId, UserId};
use daypass_verifier::base::time::Timestamp;
use daypass_verifier::config::authorizer::{AuthorizerConfig, HttpAnswer};
use daypass_verifier::jose::dpop::{Proof, ProofFault, Proven};
use daypass_verifier::jose::verify::{Rejection, UnusableKey, Verified};
use daypass_verifier::ports::context::{Caller, Context};
use daypass_verifier::ports::event::{
    BadAuthorizationHeader, BadScheme, Denial, Event as JournalEvent, SessionDenial,
};
use daypass_verifier::ports::follow::Follow;
use daypass_verifier::revocation::Lookup;
use daypass_verifier::routes::{Bearer, RouteDenial, Routes, Target};
use keys::{Keys, Unverified};
use replay::Used;

/// The authorizer with its keys, route tables and revocation list.
pub struct Authorizer<F> {
    keys: Keys,
    revocations: F,
    routes: Routes,
    dpop_origins: Vec<String>,
    used: Used,
    once: Option<ProofTable>,
    http_answer: HttpAnswer,
    context_claims: Vec<String>,
    context: Context,
}

/// The result of examining a request.
enum Outcome {
    /// A verified token, the time of its verification, and the verdict of the route table on the requested route.
    Token(Box<Verified>, Timestamp, Result<(), RouteDenial>),
    /// No token, and the route needs none.
    Public,
    /// A rejected or missing token.
    Refused,
}

impl<F: Follow> Authorizer<F> {
    /// An authorizer for the tokens of one issuer and audience. `fetch` gets the keys from the configured address, and
    /// `revocations` knows the sessions that have ended.
    ///
    /// # Errors
    /// [`UnusableKey`] if a key of the configuration cannot be used.
    pub fn new(
        config: AuthorizerConfig,
        fetch: Option<Fetch>,
        revocations: F,
        context: Context,
    ) -> Result<Self, UnusableKey> {
        let keys = Keys::new(&config, fetch)?;
        let AuthorizerConfig { routes, dpop_origins, http_answer, context_claims, .. } = config;
        Ok(Self {
            keys,
            revocations,
            routes,
            dpop_origins,
            used: Used::default(),
            once: None,
            http_answer,
            context_claims,
            context,
        })
    }

    /// Keeps the used proofs of routes with `dpop once` in this table.
    #[must_use]
    pub fn with_proof_table(self, table: Option<ProofTable>) -> Self {
        Self { once: table, ..self }
    }

    /// Fetches keys and revocations before the first request, in parallel.
    pub async fn prepare(&self) {
        tokio::join!(self.keys.prepare(&self.context), self.revocations.prepare(&self.context));
    }

    /// Decides one request. A warm-up event is answered with a denial, and not with an error, which Lambda would retry.
    ///
    /// # Errors
    /// [`Error::Unauthorized`] where the calling API turns it into 401; [`Error::NoKeys`]; [`Error::StaleRevocations`];
    /// [`Error::ProofTable`].
    pub async fn handle(&self, event: &serde_json::Value) -> Result<Answer, Error> {
        if is_warm_up(event) {
            self.context.journal.record(&JournalEvent::FunctionWarmed {}, &Caller::default());
            return Ok(Answer::simple_refusal());
        }
        let Some(event) = Event::read(event) else {
            self.deny(
                Denial::AuthorizationHeader(BadAuthorizationHeader::UnsupportedEvent),
                None,
                &Caller::default(),
            );
            return Err(Error::Unauthorized);
        };
        let outcome = self.examine(&event).await?;
        let answer = match outcome {
            Outcome::Refused => return refusal(&event, self.http_answer),
            Outcome::Token(verified, now, at_hand) => self.answer(&event, Some((*verified, now)), at_hand),
            Outcome::Public => self.answer(&event, None, Ok(())),
        };
        answer.or_else(|problem| {
            let failure = JournalEvent::Failure { during: "answer", detail: problem.advice().to_owned() };
            self.context.journal.record(&failure, &event.caller);
            refusal(&event, self.http_answer)
        })
    }

    /// Examines the token, then the route. A denial is logged.
    async fn examine(&self, event: &Event<'_>) -> Result<Outcome, Error> {
        let (target, caller) = (event.arn.target, &event.caller);
        let table = self.routes.of(event.arn.api);
        let now = self.context.clock.now();
        let Credentials { scheme, token } = match event.credentials {
            Ok(Some(credentials)) => credentials,
            Ok(None) if table.decide(target, Bearer::Anonymous).is_ok() => return Ok(Outcome::Public),
            Ok(None) => {
                self.deny(Denial::AuthorizationHeader(BadAuthorizationHeader::Missing), None, caller);
                return Ok(Outcome::Refused);
            }
            // Also on a public route: a client that sends a token learns that it is rejected.
            Err(problem) => {
                self.deny(Denial::AuthorizationHeader(problem), None, caller);
                return Ok(Outcome::Refused);
            }
        };
        match self.keys.verify(token, now, &self.context, caller).await {
            Ok(verified) if context_has_control_character(&verified, &self.context_claims) => {
                self.deny(Denial::Token(Rejection::ControlCharacter), owner(&verified), caller);
                Ok(Outcome::Refused)
            }
            Ok(verified) => {
                let proof = match self.check_binding(event, scheme, token, &verified, now) {
                    Ok(proof) => proof,
                    Err(cause) => {
                        self.deny(cause, owner(&verified), caller);
                        return Ok(Outcome::Refused);
                    }
                };
                match self.revocations.lookup(&verified.session, &self.context, caller).await {
                    Lookup::Live => {}
                    Lookup::Ended => {
                        self.deny(Denial::Session(SessionDenial::Ended), owner(&verified), caller);
                        return Ok(Outcome::Refused);
                    }
                    Lookup::Stale => return Err(Error::StaleRevocations),
                }
                let at_hand = table.decide(target, bearer(&verified, now));
                if let Err(denial) = at_hand {
                    self.deny(Denial::Route(denial), owner(&verified), caller);
                    if denial == RouteDenial::AmbiguousPath {
                        // A policy cannot express it: API Gateway would compare it with the raw path.
                        return Ok(Outcome::Refused);
                    }
                }
                // Last, because it uses the proof up, and may cost a request.
                if let Some(proof) = proof.filter(|_| at_hand.is_ok())
                    && !self.is_new(&proof, table.accepts_proofs_once(target), now, caller).await?
                {
                    self.deny(Denial::Proof(ProofFault::ProofReplayed), owner(&verified), caller);
                    return Ok(Outcome::Refused);
                }
                Ok(Outcome::Token(Box::new(verified), now, at_hand))
            }
            Err(Unverified::Rejected(rejected)) => {
                self.deny(Denial::Token(rejected.cause), rejected.owner, caller);
                Ok(Outcome::Refused)
            }
            Err(Unverified::NoKeys) => Err(Error::NoKeys),
        }
    }

    /// Whether this process has not accepted the proof before, nor another one if it is accepted once in all.
    async fn is_new(
        &self,
        proof: &Proof,
        once: bool,
        now: Timestamp,
        caller: &Caller,
    ) -> Result<bool, Error> {
        if !self.used.is_new(proof, now) {
            return Ok(false);
        }
        if !once {
            return Ok(true);
        }
        let is_new = match &self.once {
            Some(table) => table.is_new(proof, now, self.context.entropy.as_ref()).await,
            None => Err("the route needs `dpop once`, and there is no table of used proofs".to_owned()),
        };
        is_new.map_err(|detail| {
            self.context.journal.record(&JournalEvent::Failure { during: "use_proof", detail }, caller);
            Error::ProofTable
        })
    }

    /// Checks that the scheme fits the token, and that a bound token comes with a proof of its key. Returns this proof.
    fn check_binding(
        &self,
        event: &Event<'_>,
        scheme: Scheme,
        token: &str,
        verified: &Verified,
        now: Timestamp,
    ) -> Result<Option<Proof>, Denial> {
        let key = match (scheme, verified.key) {
            (Scheme::Bearer, None) => return Ok(None),
            (Scheme::Bearer, Some(_)) => return Err(Denial::Scheme(BadScheme::BoundTokenAsBearer)),
            (Scheme::Dpop, None) => return Err(Denial::Scheme(BadScheme::BearerTokenAsDpop)),
            (Scheme::Dpop, Some(key)) => key,
        };
        let (method, path) = match event.arn.target {
            Target::Http { method, path } => (method, path),
            // The handshake of a WebSocket is a GET (RFC 6455 §4.1).
            Target::Connect => ("GET", ""),
        };
        let urls: Vec<String> = event
            .url
            .iter()
            .cloned()
            .chain(self.dpop_origins.iter().map(|origin| format!("{origin}{path}")))
            .collect();
        let proven = Proven { method, urls: &urls, token: Some(token) };
        let proof =
            event.proof.and_then(|proof| Proof::verify(proof, &proven, now)).map_err(Denial::Proof)?;
        if proof.key == key { Ok(Some(proof)) } else { Err(Denial::Proof(ProofFault::ProofOtherKey)) }
    }

    /// The response for a verified token, or for a request without a token to a public route.
    fn answer(
        &self,
        event: &Event<'_>,
        verified: Option<(Verified, Timestamp)>,
        at_hand: Result<(), RouteDenial>,
    ) -> Result<Answer, Unanswerable> {
        let table = self.routes.of(event.arn.api);
        let bearer = verified.as_ref().map_or(Bearer::Anonymous, |(verified, now)| bearer(verified, *now));
        let challenge =
            (at_hand == Err(RouteDenial::StepUpNeeded)).then(|| table.challenge(event.arn.target, bearer));
        let is_simple = event.api == Api::HttpV2 && self.http_answer == HttpAnswer::Simple;
        // API Gateway must not cache the response to a bound token. If it does, it gives out the permission for one route at most.
        let is_bound =
            at_hand.is_ok() && verified.as_ref().is_some_and(|(verified, _)| verified.key.is_some());
        let policy = (!is_simple).then(|| {
            let narrow = Policy::of_call(&event.arn).filter(|_| is_bound);
            narrow.unwrap_or_else(|| {
                Policy::new(&event.arn, &table.permissions(bearer, event.arn.is_connect()))
            })
        });
        let context = verified.map(|(verified, _)| {
            let context = CallerContext::new(verified, &self.context_claims);
            challenge.into_iter().fold(context, CallerContext::with_challenge)
        });
        let answer = match policy {
            Some(policy) => Answer::policy(policy, context),
            None if at_hand.is_ok() || challenge.is_some() => {
                Answer::Simple { is_authorized: at_hand.is_ok(), context }
            }
            None => Answer::simple_refusal(),
        };
        answer.fitting()
    }

    fn deny(&self, cause: Denial, owner: Option<(UserId, SessionId)>, caller: &Caller) {
        let (user, session) = owner.unzip();
        self.context.journal.record(&JournalEvent::AuthorizeDenied { cause, user, session }, caller);
    }
}

/// The bearer of a verified token at this time.
fn bearer(verified: &Verified, now: Timestamp) -> Bearer<'_> {
    Bearer::Token { scope: &verified.scope, claims: Some(&verified.claims), now }
}

/// The user and the session of a token, if both are ids of Daypass.
fn owner(verified: &Verified) -> Option<(UserId, SessionId)> {
    UserId::parse(&verified.subject).zip(SessionId::parse(&verified.session))
}

/// The denial in the form of the calling API. HTTP APIs get a response, because their handling of an error is not documented.
fn refusal(event: &Event<'_>, http_answer: HttpAnswer) -> Result<Answer, Error> {
    match (event.api, http_answer) {
        (Api::Rest | Api::WebSocket, _) => Err(Error::Unauthorized),
        (Api::HttpV2, HttpAnswer::Simple) => Ok(Answer::simple_refusal()),
        (Api::HttpV1, _) | (Api::HttpV2, HttpAnswer::Policy) => Ok(Answer::policy_refusal(&event.arn)),
    }
}

#[cfg(test)]
mod tests;
