//! One task at a time, however many requests want its result.

use tokio::sync::watch;

/// At most one running task. Clones share it.
#[derive(Debug, Clone)]
pub struct SingleFlight(watch::Sender<bool>);

/// A task that runs. It ends when this is dropped, after a panic as well.
#[derive(Debug)]
pub struct Running(watch::Sender<bool>);

impl Default for SingleFlight {
    fn default() -> Self {
        Self(watch::Sender::new(false))
    }
}

impl SingleFlight {
    /// Starts a task; `None` while another one runs.
    #[must_use]
    pub fn start(&self) -> Option<Running> {
        let started = self.0.send_if_modified(|running| !std::mem::replace(running, true));
        started.then(|| Running(self.0.clone()))
    }

    /// Whether a task runs.
    #[must_use]
    pub fn is_running(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until no task runs.
    pub async fn idle(&self) {
        // The sender is in `self`, so that the channel is open.
        let _ = self.0.subscribe().wait_for(|running| !running).await;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.send_replace(false);
    }
}
