//! A fixed time for the unit tests of this crate.

use crate::base::time::Timestamp;

/// The time of the tests.
pub(crate) const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);
