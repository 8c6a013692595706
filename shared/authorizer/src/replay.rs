//! The proofs that this process has accepted lately, so that none is accepted twice (RFC 9449 §11.1).

use daypass_verifier::base::time::Timestamp;
use daypass_verifier::jose::dpop::{Proof, WINDOW};
use std::collections::HashSet;
use std::mem;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How long a proof can be valid: its `iat` can be ahead of the clock and behind it.
const LIFE: Duration = Duration::from_secs(2 * WINDOW.as_secs());

/// Used proofs, in two sets: after each [`LIFE`] the older one is dropped. Lambda gives a process one request at a time, so a few
/// thousand proofs of 16 bytes are in them.
#[derive(Default)]
pub(crate) struct Used(Mutex<Sets>);

#[derive(Default)]
struct Sets {
    since: Timestamp,
    young: HashSet<[u8; 16]>,
    old: HashSet<[u8; 16]>,
}

impl Used {
    /// Keeps a proof. Returns whether it is new.
    pub(crate) fn is_new(&self, proof: &Proof, now: Timestamp) -> bool {
        // The sets are whole also after a panic of another thread.
        let mut sets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if now >= sets.since + LIFE {
            let is_old = now < sets.since + 2 * LIFE;
            let young = mem::take(&mut sets.young);
            sets.old = if is_old { young } else { HashSet::new() };
            sets.since = now;
        }
        !sets.old.contains(&proof.id) && sets.young.insert(proof.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use daypass_verifier::jose::dpop::Thumbprint;

    #[test]
    fn a_proof_is_new_once_for_as_long_as_it_can_be_valid() {
        let start = Timestamp::from_seconds(1_800_000_000);
        let proof = |id| Proof {
            key: Thumbprint::parse(&"A".repeat(43)).unwrap(),
            id: [id; 16],
            expires_at: start,
            nonce: None,
        };
        for offset in 0..60 {
            let (used, first) = (Used::default(), start + Duration::from_secs(offset));
            // Another proof starts the first period.
            assert!(used.is_new(&proof(0), start));
            assert!(used.is_new(&proof(1), first));
            for later in [0, 1, 10, 19] {
                assert!(!used.is_new(&proof(1), first + Duration::from_secs(later)), "{offset} {later}");
            }
            assert!(used.is_new(&proof(1), first + 3 * LIFE), "and is then forgotten");
            assert_eq!(used.0.lock().unwrap().young.len(), 1);
        }
    }
}
