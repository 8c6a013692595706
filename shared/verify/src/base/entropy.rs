//! The port for randomness.

/// A source of cryptographically secure random bytes.
///
/// The one real implementation is the operating system's generator (RFC 6749 §10.10 asks for at least 128 bits).
pub trait Entropy: Send + Sync {
    /// Fills `buffer` with random bytes.
    fn fill(&self, buffer: &mut [u8]);
}

/// An array of fresh random bytes.
pub fn random<const N: usize>(entropy: &dyn Entropy) -> [u8; N] {
    let mut bytes = [0; N];
    entropy.fill(&mut bytes);
    bytes
}
