//! The position of a feed client in the list. It is opaque to the client.

use data_encoding::HEXLOWER;
use daypass_verifier::base::time::Timestamp;
use daypass_verifier::revocation::SessionDigest;
use std::fmt;

/// What a client has read: all endings until a time, and within a reading of several pages, up to an entry.
///
/// Its text is `1.MS` or `1.MS.MS.DIGEST`, with times in milliseconds since the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// The newest time that the client has received.
    pub until: Timestamp,
    /// The last entry of a page that is followed by another.
    pub within: Option<(Timestamp, SessionDigest)>,
}

impl Cursor {
    /// Reads a cursor in its one spelling; `None` for anything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('.');
        if parts.next()? != "1" {
            return None;
        }
        let until = time(parts.next()?)?;
        let within = match (parts.next(), parts.next()) {
            (None, None) => None,
            (Some(at), Some(digest)) => Some((time(at)?, self::digest(digest)?)),
            _ => return None,
        };
        parts.next().is_none().then_some(Self { until, within })
    }
}

/// At most 16 digits without a leading zero, so one cursor is one URL for a cache.
fn time(digits: &str) -> Option<Timestamp> {
    let plain = digits == "0" || (!digits.starts_with('0') && digits.bytes().all(|b| b.is_ascii_digit()));
    if !plain || digits.is_empty() || digits.len() > 16 {
        return None;
    }
    digits.parse().ok().map(Timestamp::from_millis)
}

fn digest(text: &str) -> Option<SessionDigest> {
    let bytes = HEXLOWER.decode(text.as_bytes()).ok()?;
    Some(SessionDigest::from_bytes(bytes.try_into().ok()?))
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "1.{}", self.until.millis())?;
        match self.within {
            None => Ok(()),
            Some((at, digest)) => write!(f, ".{}.{digest:?}", at.millis()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_read_back_in_their_one_spelling() {
        let until = Timestamp::from_millis(1_800_000_000_123);
        let within = Some((Timestamp::from_millis(7), SessionDigest::from_bytes([0, 1, 2, 3, 4, 5, 6, 255])));
        for (cursor, text) in [
            (Cursor { until, within: None }, "1.1800000000123"),
            (Cursor { until: Timestamp::from_millis(0), within: None }, "1.0"),
            (Cursor { until, within }, "1.1800000000123.7.00010203040506ff"),
        ] {
            assert_eq!(cursor.to_string(), text);
            assert_eq!(Cursor::parse(text), Some(cursor));
        }
        for wrong in [
            "",
            "1",
            "1.",
            "2.5",
            "1.05",
            "1.-5",
            "1.+5",
            "1. 5",
            "1.5.",
            "1.5.6",
            "1.5.6.",
            "1.5.6.00010203040506",
            "1.5.6.00010203040506FF",
            "1.5.6.00010203040506ff.7",
            "1.99999999999999999",
            "1.5.6.zz",
            "é",
        ] {
            assert_eq!(Cursor::parse(wrong), None, "{wrong}");
        }
    }
}
