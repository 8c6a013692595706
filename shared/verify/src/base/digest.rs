//! SHA-256, as thumbprints and lookups want it.

use aws_lc_rs::digest;
use data_encoding::BASE64URL_NOPAD;

/// SHA-256 in base64url, for thumbprints.
pub(crate) fn sha256_base64url(bytes: &[u8]) -> String {
    BASE64URL_NOPAD.encode(digest::digest(&digest::SHA256, bytes).as_ref())
}
