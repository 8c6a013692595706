//! The clock of a recorded store.

use aws_sdk_dynamodb::config::{AsyncSleep, Sleep};
use daypass_testkit::patience::Patience;
use std::time::Duration;

/// Times the SDK's timeouts by the clock of a recorder.
#[derive(Debug)]
pub(crate) struct Timeouts(pub(crate) Patience);

impl AsyncSleep for Timeouts {
    fn sleep(&self, duration: Duration) -> Sleep {
        Sleep::new(self.0.clone().sleep(duration))
    }
}
