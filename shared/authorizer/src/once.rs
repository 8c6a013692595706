//! A DynamoDB table of used proofs, for routes that accept each proof once in all processes (`dpop once`).
//!
//! Such a request costs one conditional `PutItem`. The authorizer links no AWS SDK, whose start costs more than all of its work, so
//! this module signs the one request itself (Signature Version 4) and sends it over the connection of [`Channel`].
//!
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>
//! <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_PutItem.html>

use aws_lc_rs::{digest, hmac};
use data_encoding::HEXLOWER;
use daypass_https::{Channel, Post};
use daypass_verifier::base::entropy::{Entropy, random};
use daypass_verifier::base::time::Timestamp;
use daypass_verifier::jose::dpop::Proof;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName};
use http::{StatusCode, Uri};
use serde_json::{Value, json};
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use time::OffsetDateTime;

/// Longest time of the request. API Gateway waits 10 s for an authorizer, and the function has 5 s.
const DEADLINE: Duration = Duration::from_millis(1500);

/// The largest response, in bytes. One to a failed condition has about 200.
const MAX_ANSWER: usize = 16 * 1024;

/// The connection of the last request is used for this time. After a longer pause the peer may have dropped it.
const REUSED_WITHIN: Duration = Duration::from_secs(30);

const SERVICE: &str = "dynamodb";
const CONTENT: &str = "application/x-amz-json-1.0";
const TARGET: &str = "DynamoDB_20120810.PutItem";

/// The table of used proofs.
pub struct ProofTable {
    channel: Channel,
    host: String,
    region: String,
    table: String,
    credentials: Credentials,
    last_used: Mutex<Timestamp>,
}

/// The credentials of the role of the function. Lambda sets them for the whole life of a process.
struct Credentials {
    access_key: String,
    secret_key: String,
    session_token: Option<String>,
}

impl ProofTable {
    /// Begins the key of each item. The policy of the role allows keys with this prefix alone.
    pub const PREFIX: &str = "proof#";

    /// The table of this name, with region, credentials and endpoint from the variables that Lambda sets, as for an AWS SDK.
    /// `AWS_ENDPOINT_URL_DYNAMODB` names another endpoint.
    ///
    /// # Errors
    /// A text that names a missing variable or a wrong endpoint.
    pub fn new(table: &str, variable: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        let required = |name: &str| {
            let value = variable(name).filter(|value| !value.is_empty());
            value.ok_or_else(|| format!("{name} is not set, which the table of used proofs needs"))
        };
        let region = required("AWS_REGION")?;
        let suffix = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
        let endpoint = variable("AWS_ENDPOINT_URL_DYNAMODB").filter(|endpoint| !endpoint.is_empty());
        let endpoint = endpoint.unwrap_or_else(|| format!("https://dynamodb.{region}.{suffix}/"));
        let uri: Uri = endpoint.parse().map_err(|_| "AWS_ENDPOINT_URL_DYNAMODB is not a URL".to_owned())?;
        let host = uri.authority().map(|authority| authority.as_str().to_owned()).unwrap_or_default();
        let channel = Channel::new(uri, DEADLINE, MAX_ANSWER).map_err(|error| error.to_string())?;
        Ok(Self {
            channel,
            host,
            region,
            table: table.to_owned(),
            credentials: Credentials {
                access_key: required("AWS_ACCESS_KEY_ID")?,
                secret_key: required("AWS_SECRET_ACCESS_KEY")?,
                session_token: variable("AWS_SESSION_TOKEN").filter(|token| !token.is_empty()),
            },
            last_used: Mutex::default(),
        })
    }

    /// Stores a proof. Returns whether it is new. The random id of the attempt makes a repeated request of ours no replay.
    ///
    /// # Errors
    /// What DynamoDB or the connection said, for the log.
    pub(crate) async fn is_new(
        &self,
        proof: &Proof,
        now: Timestamp,
        entropy: &dyn Entropy,
    ) -> Result<bool, String> {
        let attempt = HEXLOWER.encode(&random::<9>(entropy));
        // TTL removes it later; until then it does no harm.
        let removed_at = (proof.expires_at + Duration::from_secs(60)).seconds().to_string();
        let body = json!({
            "TableName": self.table,
            "Item": {
                "key": { "S": format!("{}{}", Self::PREFIX, HEXLOWER.encode(&proof.id)) },
                "attempt": { "S": attempt },
                "expires_at": { "N": removed_at },
            },
            "ConditionExpression": "attribute_not_exists(#key) OR #attempt = :attempt",
            "ExpressionAttributeNames": { "#key": "key", "#attempt": "attempt" },
            "ExpressionAttributeValues": { ":attempt": { "S": attempt } },
        });
        let body = body.to_string().into_bytes();
        let headers = self.signed(&body, now);
        let reuse = {
            // A time is whole also after a panic of another thread.
            let mut last_used = self.last_used.lock().unwrap_or_else(PoisonError::into_inner);
            now.since(std::mem::replace(&mut *last_used, now)) < REUSED_WITHIN
        };
        let sent = self.channel.post(Post { headers: &headers, body, reuse }).await;
        let (status, answer) = sent.map_err(|failed| failed.to_string())?;
        let answer: Value = serde_json::from_slice(&answer).unwrap_or_default();
        let code = answer.get("__type").and_then(Value::as_str).unwrap_or_default();
        let code = code.rsplit('#').next().unwrap_or_default();
        match status {
            StatusCode::OK => Ok(true),
            StatusCode::BAD_REQUEST if code == "ConditionalCheckFailedException" => Ok(false),
            // A code of an exception contains no input.
            other => Err(format!("PutItem: HTTP {} {code}", other.as_u16())),
        }
    }

    /// The headers of a request with this body.
    fn signed(&self, body: &[u8], now: Timestamp) -> Vec<(HeaderName, String)> {
        let (date, time) = stamp(now);
        let Credentials { access_key, secret_key, session_token } = &self.credentials;
        // In the order of their names.
        let mut headers = vec![
            (CONTENT_TYPE, CONTENT.to_owned()),
            (HeaderName::from_static("host"), self.host.clone()),
            (HeaderName::from_static("x-amz-date"), time.clone()),
        ];
        if let Some(token) = session_token {
            headers.push((HeaderName::from_static("x-amz-security-token"), token.clone()));
        }
        headers.push((HeaderName::from_static("x-amz-target"), TARGET.to_owned()));
        let names: Vec<&str> = headers.iter().map(|(name, _)| name.as_str()).collect();
        let names = names.join(";");
        let lines: String = headers.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
        let canonical = format!("POST\n/\n\n{lines}\n{names}\n{}", hash(body));
        let scope = format!("{date}/{}/{SERVICE}/aws4_request", self.region);
        let input = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", hash(canonical.as_bytes()));
        let mut key = mac(format!("AWS4{secret_key}").as_bytes(), &date);
        for part in [self.region.as_str(), SERVICE, "aws4_request", &input] {
            key = mac(key.as_ref(), part);
        }
        let signature = HEXLOWER.encode(key.as_ref());
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential={access_key}/{scope}, SignedHeaders={names}, Signature={signature}"
        );
        headers.push((AUTHORIZATION, authorization));
        // The channel sends it.
        headers.retain(|(name, _)| name.as_str() != "host");
        headers
    }
}

impl fmt::Debug for ProofTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProofTable").field("table", &self.table).finish_non_exhaustive()
    }
}

fn hash(bytes: &[u8]) -> String {
    HEXLOWER.encode(digest::digest(&digest::SHA256, bytes).as_ref())
}

fn mac(key: &[u8], message: &str) -> hmac::Tag {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message.as_bytes())
}

/// The date and the time in the basic format of ISO 8601, in UTC.
fn stamp(now: Timestamp) -> (String, String) {
    let seconds = i64::try_from(now.seconds()).unwrap_or_default();
    let at = OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let date = format!("{:04}{:02}{:02}", at.year(), u8::from(at.month()), at.day());
    let time = format!("{date}T{:02}{:02}{:02}Z", at.hour(), at.minute(), at.second());
    (date, time)
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_credential_types::Credentials as OfAws;
    use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
    use aws_sigv4::sign::v4;
    use std::time::{Duration, SystemTime};

    fn table(variables: &[(&str, &str)]) -> Result<ProofTable, String> {
        let variable = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        ProofTable::new("attempts", variable)
    }

    const VARIABLES: [(&str, &str); 3] = [
        ("AWS_REGION", "eu-west-1"),
        ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"),
        ("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
    ];

    /// The signer of the AWS SDK for Rust signs alike, with and without a session token, at all kinds of dates.
    #[test]
    fn requests_are_signed_as_by_the_sdk() {
        for (token, seconds) in [
            (None, 0),
            (None, 951_782_400),
            (Some("IQoJb3Jp/+=="), 1_800_000_000),
            (Some("t"), 4_107_542_399),
        ] {
            let more = token.map(|token| ("AWS_SESSION_TOKEN", token));
            let table = table(&VARIABLES.into_iter().chain(more).collect::<Vec<_>>()).unwrap();
            let body = br#"{"TableName":"attempts"}"#;
            let ours = table.signed(body, Timestamp::from_seconds(seconds));
            let of =
                |name: &str| ours.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());

            let [_, (_, key), (_, secret)] = VARIABLES;
            let identity = OfAws::new(key, secret, token.map(str::to_owned), None, "test").into();
            let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
            let params = v4::SigningParams::builder()
                .identity(&identity)
                .region("eu-west-1")
                .name("dynamodb")
                .time(time)
                .settings(SigningSettings::default())
                .build()
                .unwrap();
            let headers = [("content-type", CONTENT), ("x-amz-target", TARGET)];
            let request = SignableRequest::new(
                "POST",
                "https://dynamodb.eu-west-1.amazonaws.com/",
                headers.into_iter(),
                SignableBody::Bytes(body),
            );
            let (instructions, _) = sign(request.unwrap(), &params.into()).unwrap().into_parts();
            let (theirs, _) = instructions.into_parts();
            let mut names = Vec::new();
            for header in theirs {
                assert_eq!(
                    of(header.name()).as_deref(),
                    Some(header.value()),
                    "{} at {seconds}",
                    header.name()
                );
                names.push(header.name());
            }
            assert!(names.contains(&"authorization") && names.contains(&"x-amz-date"), "{names:?}");
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        for (name, _) in VARIABLES {
            let others: Vec<_> = VARIABLES.into_iter().filter(|(other, _)| *other != name).collect();
            let error = table(&others).unwrap_err();
            assert!(error.starts_with(name), "{error}");
        }
        let wrong = [("AWS_ENDPOINT_URL_DYNAMODB", "not a url")];
        assert!(
            table(&[VARIABLES.as_slice(), &wrong].concat())
                .unwrap_err()
                .contains("AWS_ENDPOINT_URL_DYNAMODB")
        );
        let china = table(&[("AWS_REGION", "cn-north-1"), VARIABLES[1], VARIABLES[2]]).unwrap();
        assert_eq!(china.host, "dynamodb.cn-north-1.amazonaws.com.cn");
    }
}
