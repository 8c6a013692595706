//! The format of the revocation feed.

use crate::base::issuer::Issuer;
use crate::revocation::SessionDigest;
use data_encoding::BASE64URL_NOPAD;
use serde::Serialize;
use serde_json::Value;
use std::fmt;
use std::time::Duration;

/// Most entries of one response: 533 KB. A Lambda function may respond with 6 MB.
pub const PAGE: usize = 50_000;
/// Most bytes of a response that a follower reads. The largest valid one is smaller.
pub const MAX_ANSWER_BYTES: usize = 640 * 1024;
/// The response header with the time at which the list was complete, in milliseconds since the epoch by the clock of
/// the feed. It is no member of the document: an unchanged list keeps its bytes, and a cache cannot make an old
/// response look new.
pub const AS_OF: &str = "daypass-as-of";

/// The version of the format.
const VERSION: u64 = 1;
/// Longest time for which a follower keeps an entry. No configuration of Daypass comes near it.
const MAX_KEEP: Duration = Duration::from_secs(3600);
/// Longest cursor that a follower accepts, in bytes.
const MAX_CURSOR_BYTES: usize = 64;

/// One response: a page of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The parameter `after` of the next request.
    pub cursor: String,
    /// Whether the next page exists already.
    pub more: bool,
    /// Time for which a follower keeps an entry after a response that contains it.
    pub keep: Duration,
    /// Digests of the sessions that ended.
    pub sessions: Vec<SessionDigest>,
}

#[derive(Serialize)]
struct Document<'a> {
    v: u64,
    iss: &'a str,
    cursor: &'a str,
    more: bool,
    /// Time in seconds.
    keep: u64,
    /// The base64url of all digests, eight bytes each.
    sessions: String,
}

impl Answer {
    /// The response as JSON.
    #[must_use]
    pub fn to_json(&self, issuer: &Issuer) -> Vec<u8> {
        let bytes: Vec<u8> = self.sessions.iter().flat_map(|digest| digest.to_bytes()).collect();
        let document = Document {
            v: VERSION,
            iss: issuer.as_str(),
            cursor: &self.cursor,
            more: self.more,
            keep: self.keep.as_secs(),
            sessions: BASE64URL_NOPAD.encode(&bytes),
        };
        // Strings and integers always become JSON.
        serde_json::to_vec(&document).unwrap_or_default()
    }

    /// Parses a response of this issuer's feed, and ignores unknown members.
    ///
    /// # Errors
    /// [`Unreadable`] for any other document.
    pub fn parse(json: &[u8], issuer: &Issuer) -> Result<Self, Unreadable> {
        let members = crate::base::json::object(json).map_err(|_| Unreadable::Json)?;
        let member = |name: &str| members.get(name);
        if member("v").and_then(Value::as_u64) != Some(VERSION) {
            return Err(Unreadable::Version);
        }
        if member("iss").and_then(Value::as_str) != Some(issuer.as_str()) {
            return Err(Unreadable::Issuer);
        }
        let cursor = member("cursor").and_then(Value::as_str).filter(|cursor| is_plain(cursor));
        let more = member("more").and_then(Value::as_bool);
        let keep = member("keep").and_then(Value::as_u64).map(Duration::from_secs);
        let sessions = member("sessions").and_then(Value::as_str).and_then(digests);
        match (cursor, more, keep, sessions) {
            (Some(cursor), Some(more), Some(keep), Some(sessions))
                if keep <= MAX_KEEP && sessions.len() <= PAGE =>
            {
                Ok(Self { cursor: cursor.to_owned(), more, keep, sessions })
            }
            _ => Err(Unreadable::Members),
        }
    }
}

/// Whether a cursor needs no encoding in a query string, so that it cannot add another parameter.
fn is_plain(cursor: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    !cursor.is_empty() && cursor.len() <= MAX_CURSOR_BYTES && cursor.bytes().all(plain)
}

fn digests(text: &str) -> Option<Vec<SessionDigest>> {
    let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).ok()?;
    let (digests, rest) = bytes.as_chunks::<8>();
    rest.is_empty().then(|| digests.iter().copied().map(SessionDigest::from_bytes).collect())
}

/// The reason why a response is not usable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unreadable {
    /// The body is not one JSON object with distinct members.
    Json,
    /// `v` is another version.
    Version,
    /// `iss` is another issuer.
    Issuer,
    /// A member is missing, of another type or over its limit.
    Members,
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Json => "the answer is not one JSON object",
            Self::Version => "the answer is of another version of the format",
            Self::Issuer => "the answer is of another issuer",
            Self::Members => "a member of the answer is missing or malformed",
        })
    }
}

impl std::error::Error for Unreadable {}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn issuer() -> Issuer {
        Issuer::parse("https://id.example.com").unwrap()
    }

    fn answer(count: u64) -> Answer {
        let sessions = (0..count).map(|n| SessionDigest::from_bytes((!n).to_be_bytes())).collect();
        Answer { cursor: "1.1800000000000".to_owned(), more: false, keep: Duration::from_secs(390), sessions }
    }

    #[test]
    fn answers_read_back() {
        for count in [0, 1, 3, 1000] {
            let answer = Answer { more: count == 3, ..answer(count) };
            assert_eq!(Answer::parse(&answer.to_json(&issuer()), &issuer()), Ok(answer));
        }
    }

    /// The format is a contract: version 1 has these bytes.
    #[test]
    fn the_document_as_it_is() {
        let text = String::from_utf8(answer(2).to_json(&issuer())).unwrap();
        assert_eq!(
            text,
            r#"{"v":1,"iss":"https://id.example.com","cursor":"1.1800000000000","more":false,"keep":390,"sessions":"____________________-"}"#
                .replace("____________________-", &BASE64URL_NOPAD.encode(&[
                    255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 254
                ]))
        );
    }

    #[test]
    fn the_largest_answer_is_read() {
        let largest = answer(PAGE as u64).to_json(&issuer());
        assert!(largest.len() < MAX_ANSWER_BYTES, "{}", largest.len());
        assert!(Answer::parse(&largest, &issuer()).is_ok());
        let larger = answer(PAGE as u64 + 1).to_json(&issuer());
        assert_eq!(Answer::parse(&larger, &issuer()), Err(Unreadable::Members));
    }

    #[test]
    fn what_the_feed_never_says() {
        let good: Value = serde_json::from_slice(&answer(1).to_json(&issuer())).unwrap();
        let check = |name: &str, value: Value, expected: Unreadable| {
            let mut changed = good.clone();
            changed[name] = value.clone();
            let read = Answer::parse(changed.to_string().as_bytes(), &issuer());
            assert_eq!(read, Err(expected), "{name}: {value}");
        };
        check("v", json!(2), Unreadable::Version);
        check("v", json!("1"), Unreadable::Version);
        check("iss", json!("https://id.example.org"), Unreadable::Issuer);
        check("iss", Value::Null, Unreadable::Issuer);
        for cursor in
            [json!(""), json!("a&b=c"), json!("a b"), json!("a\r\nb"), json!("x".repeat(65)), json!(5)]
        {
            check("cursor", cursor, Unreadable::Members);
        }
        check("more", json!("yes"), Unreadable::Members);
        for keep in [json!(3601), json!(-1), json!(1.5), json!(u64::MAX)] {
            check("keep", keep, Unreadable::Members);
        }
        for sessions in
            [json!("AAAA"), json!("AAAAAAAAAAA="), json!("AAAAAAAAAAB"), json!("????????"), json!([1])]
        {
            check("sessions", sessions, Unreadable::Members);
        }
        let mut more = good.clone();
        more["of_a_later_version"] = json!({});
        assert!(Answer::parse(more.to_string().as_bytes(), &issuer()).is_ok());
        for garbage in ["", "{", "[]", "null", r#"{"v":1,"v":1}"#, "<html>"] {
            assert_eq!(Answer::parse(garbage.as_bytes(), &issuer()), Err(Unreadable::Json), "{garbage}");
        }
    }
}
