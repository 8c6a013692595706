//! The model test: random walks over the real functions, compared with a reference model, and deliberate bugs that the same
//! walks must find.
//!
//! - [`walk`] defines a walk, and how proptest draws and shrinks one.
//! - [`mod@reference`] is the model: the behaviour that clients may rely on, written without the code under test.
//! - [`call`] has the calls of a walk, and their outcomes.
//! - [`driver`] performs a walk on two function processes over one DynamoDB, and compares.
//! - [`turns`] puts the requests of two processes into the order that the walk chooses.
//! - [`mutants`] lists the deliberate bugs.
//! - [`coverage`] counts what was reached, and states what must be reached.
//! - [`runner`] runs many walks, on two threads.

pub mod call;
pub mod coverage;
pub mod driver;
pub mod mutants;
pub mod reference;
pub mod runner;
pub mod turns;
pub mod walk;

use std::fmt;

/// The properties that the walks check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Property {
    /// Every response is the one that the model predicts.
    Answer,
    /// A session has at most one live successor: one token text for each link of its chain.
    OneSuccessor,
    /// Without theft, no sequence of requests ends a session.
    Honest,
    /// A replay after the grace period ends its session, at once, for both parties, and no other session.
    Theft,
    /// A token of a dead session is never accepted again.
    Dead,
    /// The absolute end holds for any number of rotations.
    AbsoluteEnd,
    /// While the store is down, the response is 503. A 503 changes no verdict.
    Unavailable,
    /// There is one `refresh.reuse` event for each detected theft.
    Event,
    /// The authorizer accepts access tokens, and they name their session.
    Access,
    /// The outcome of two simultaneous operations is that of one of their orders.
    Race,
    /// The stored items agree with the responses.
    Stored,
}

impl fmt::Display for Property {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Answer => "every answer is what the model says",
            Self::OneSuccessor => "one live successor at most",
            Self::Honest => "no session ends without theft",
            Self::Theft => "a replay beyond grace ends its session and no other",
            Self::Dead => "nothing revives a dead session",
            Self::AbsoluteEnd => "the absolute end holds",
            Self::Unavailable => "a store that is down is 503 and changes no verdict",
            Self::Event => "one event for each theft",
            Self::Access => "access tokens pass and name their session",
            Self::Race => "two at once come out as one after the other",
            Self::Stored => "the stored items agree",
        })
    }
}

/// Failure of a walk.
#[derive(Debug, Clone)]
pub struct Failure {
    /// The property that did not hold.
    pub property: Property,
    /// Step and details.
    pub message: String,
}

impl Failure {
    fn of(self, call: &call::Call) -> Self {
        Self { message: format!("{call:?}: {}", self.message), ..self }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.property, self.message)
    }
}

/// An error for a violated property.
pub(crate) fn failed<T>(property: Property, message: impl Into<String>) -> Result<T, Failure> {
    Err(Failure { property, message: message.into() })
}
