//! The model test: random walks over the real functions, held against a reference model, and seeded bugs that the
//! same walks must find.
//!
//! - [`walk`] says what a walk is and how proptest draws and shrinks one.
//! - [`mod@reference`] is the model: what clients are promised, written without the code that keeps the promise.
//! - [`driver`] takes a walk through two function processes over one DynamoDB and compares.
//! - [`turns`] puts the requests of two processes in any order that the walk chooses.
//! - [`mutants`] lists the seeded bugs.
//! - [`coverage`] counts what was reached, and says what must be.
//! - [`runner`] runs many walks, on two threads.

pub mod coverage;
pub mod driver;
pub mod mutants;
pub mod reference;
pub mod runner;
pub mod turns;
pub mod walk;

use std::fmt;

/// What the walks assert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Property {
    /// Every answer is what the model says.
    Answer,
    /// A session has one live successor at most: one token text for each link of its chain.
    OneSuccessor,
    /// No sequence without theft ends a session.
    Honest,
    /// A replay beyond grace ends its session, at once, for both sides, and no other.
    Theft,
    /// Nothing revives a dead session.
    Dead,
    /// The absolute end holds, through any number of rotations.
    AbsoluteEnd,
    /// A store that is down is 503, and a 503 changes no verdict.
    Unavailable,
    /// One `refresh.reuse` event for each theft noticed.
    Event,
    /// Access tokens pass the authorizer and name their session.
    Access,
    /// Two operations at the same time come out as one after the other.
    Race,
    /// The stored items are what the answers say.
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

/// A walk that went wrong.
#[derive(Debug, Clone)]
pub struct Failure {
    /// What did not hold.
    pub property: Property,
    /// Where and how.
    pub message: String,
}

impl Failure {
    fn of(self, call: &reference::Call) -> Self {
        Self { message: format!("{call:?}: {}", self.message), ..self }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.property, self.message)
    }
}

/// A failure of `property`.
pub(crate) fn failed<T>(property: Property, message: impl Into<String>) -> Result<T, Failure> {
    Err(Failure { property, message: message.into() })
}
