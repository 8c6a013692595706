//! Holds requests back until a test releases them, where a pause would only make an order likely.

use std::sync::Arc;
use tokio::sync::watch;

/// Holds whatever comes until it is released. Clones share their state.
#[derive(Debug, Clone, Default)]
pub struct Hold(Arc<watch::Sender<State>>);

#[derive(Debug, Clone, Copy, Default)]
struct State {
    released: bool,
    arrived: usize,
    landed: usize,
}

impl Hold {
    /// Lets go of everything that was held, and of what comes later.
    pub fn release(&self) {
        self.0.send_modify(|state| state.released = true);
    }

    /// Waits until something has arrived.
    pub async fn arrived(&self) {
        self.until(|state| state.arrived > 0).await;
    }

    /// Waits until DynamoDB has answered something that arrived, and everything that arrived so far.
    pub async fn landed(&self) {
        self.until(|state| state.landed > 0 && state.landed == state.arrived).await;
    }

    pub(crate) fn note_arrival(&self) {
        self.0.send_modify(|state| state.arrived += 1);
    }

    pub(crate) fn note_landing(&self) {
        self.0.send_modify(|state| state.landed += 1);
    }

    pub(crate) async fn released(&self) {
        self.until(|state| state.released).await;
    }

    async fn until(&self, reached: impl FnMut(&State) -> bool) {
        // Fails only without a sender, and this one lives as long as the call.
        let _ = self.0.subscribe().wait_for(reached).await;
    }
}
