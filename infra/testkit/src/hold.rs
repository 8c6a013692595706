//! Holds requests until a test releases them. A pause would only make an order likely.

use std::sync::Arc;
use tokio::sync::watch;

/// Holds arrivals until their release. Clones share the state.
#[derive(Debug, Clone, Default)]
pub struct Hold(Arc<watch::Sender<State>>);

#[derive(Debug, Clone, Copy, Default)]
struct State {
    released: bool,
    arrived: usize,
    landed: usize,
}

impl Hold {
    /// Releases all current and later arrivals.
    pub fn release(&self) {
        self.0.send_modify(|state| state.released = true);
    }

    /// Waits for an arrival.
    pub async fn arrived(&self) {
        self.until(|state| state.arrived > 0).await;
    }

    /// Waits until something has arrived and DynamoDB has answered everything so far.
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
        // Fails only without a sender, which lives as long as the call.
        let _ = self.0.subscribe().wait_for(reached).await;
    }
}
