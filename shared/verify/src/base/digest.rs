//! SHA-256 in the forms of thumbprints and lookups.

use aws_lc_rs::digest;
use data_encoding::BASE64URL_NOPAD;

/// SHA-256 in base64url, as RFC 7638 thumbprints have it.
pub(crate) fn sha256_base64url(bytes: &[u8]) -> String {
    BASE64URL_NOPAD.encode(digest::digest(&digest::SHA256, bytes).as_ref())
}
