//! Forms of digests and MACs: thumbprints and stored prefixes.

use aws_lc_rs::digest;
use data_encoding::BASE64URL_NOPAD;

/// SHA-256 in base64url, as RFC 7638 thumbprints have it.
pub(crate) fn sha256_base64url(bytes: &[u8]) -> String {
    BASE64URL_NOPAD.encode(digest::digest(&digest::SHA256, bytes).as_ref())
}

/// The first `N` bytes of a digest or a MAC, padded with zeros where it has fewer.
#[must_use]
pub fn prefix<const N: usize>(digest: &[u8]) -> [u8; N] {
    let mut bytes = [0; N];
    bytes.iter_mut().zip(digest).for_each(|(to, from)| *to = *from);
    bytes
}
