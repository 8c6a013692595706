//! The connection to DynamoDB and its time limits.

use crate::empty::RefuseEmpty;
use crate::retry::RetryConflicts;
use crate::{DynamoDb, TableNames};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::retry::{RetryConfig, RetryPartition};
use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use aws_sdk_dynamodb::config::{AsyncSleep, BehaviorVersion, Builder, Config, Credentials, Region, Sleep};
use aws_smithy_http_client::proxy::ProxyConfig;
use daypass_aws::{OPERATOR, SdkConfig, https_client};
use daypass_core::ports::store::StoreError;
use futures_util::future::{Either, select};
use std::pin::pin;
use std::time::Duration;

/// Access key for a DynamoDB on this machine, which does not check it. By default, DynamoDB Local has a separate database for
/// each access key and region, so all processes must use the same ones.
pub const LOCAL_ACCESS_KEY_ID: &str = "daypasslocal";
/// Secret for [`LOCAL_ACCESS_KEY_ID`]. It is public and gives no access.
pub const LOCAL_SECRET_ACCESS_KEY: &str = "daypasslocal";
/// Region for a DynamoDB on this machine.
pub const LOCAL_REGION: &str = "us-east-1";

// A function must answer 503 before Lambda ends it: `refresh`, `introspect`, `revoke` and `sessions` after 5 s, `account`
// after 15 s, `password` after 20 s, `login` after 25 s, `mailer` after 30 s. These are the longest times of the DynamoDB
// requests:
//
//   refresh           rotate 2 s + end a reused session 2 s              = 4.0 s
//   introspect        use_assertion 2 s + stored_session 2 s             = 4.0 s
//   revoke            revoke_session 2 s + revoke_all 2.2 s              = 4.2 s
//   GET /sessions     stored_sessions, all pages 4 s                     = 4.0 s
//   DELETE /sessions  stored_session 2 s + end_session 2 s               = 4.0 s
//   revocations       ended_since, all buckets 9 s (it has 10 s)         = 9.0 s
//   login             user_by_address 2 s + begin 2 s + two counters 4 s + hashes under 4 s + open_session 2 s + settle 2 s
//                     + end_least_used 2 s                              < 18 s
//   login, migration  the old system 2 s and create_user 4 s more       < 24 s
//   password          session_and_name 2 s + begin 2 s + one more attempt 2 s + two hashes under 2 s
//                     + change_password 2 s + settle 2 s + end_others 2.2 s + replace_session 2 s
//                                                                       < 16.2 s
//   POST /email       session_and_name 2 s + begin 2 s + a hash under 1 s + settle 2 s + two counters 4 s + request_mail 2 s
//                                                                       < 13 s
//   POST /reauthenticate  session_and_name 2 s + begin 2 s + a hash under 1 s + a code's count 2 s + reauthenticate 2 s
//                     + settle 2 s + a code's reset 2 s                 < 13 s
//   account           count 2 s + subject 2 s + two hashes under 2 s + reset_password 2 s + end_others 2.2 s
//                                                                       < 10.2 s
//   mailer            three reads 6 s + begin_mail 2 s + SES 8 s + end_mail 2 s, for all mails of a batch at once
//                                                                       = 18 s
//
// A function that has to load its keys first answers 503 if this takes longer than 0.3 s (daypass_lambda). The slowest
// revocation therefore ends after 4.5 s. The rest of the 5 s is for Lambda and the log.
//
// The 2 s of an operation are enough for two attempts at a store that does not answer: 1 s, a short pause, the rest. They are
// also enough for all four attempts at one that refuses at once. DynamoDB itself answers within single-digit milliseconds.

/// A TCP and TLS handshake within a region takes a few milliseconds.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);
/// Limit of one attempt, including the connection.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(1);
/// Limit of all attempts at one request, including the pauses.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(2);
/// Limit of all requests of one `revoke_all` in a function.
pub(crate) const REVOKE_ALL_TIMEOUT: Duration = Duration::from_millis(2200);
/// Limit of the query and the endings of one `end_least_used`, which follow a login.
pub(crate) const LEAST_USED_TIMEOUT: Duration = Duration::from_secs(2);
/// Limit of all pages of one query for a user's sessions. A page takes tens of milliseconds and has a thousand sessions or more.
pub(crate) const LIST_TIMEOUT: Duration = Duration::from_secs(4);
/// Limit of a read of all buckets of the index of ended sessions. A million entries are 150 pages of a megabyte. The function
/// has 10 s.
pub(crate) const WINDOW_TIMEOUT: Duration = Duration::from_secs(9);
/// Attempts at one request: the SDK's own default for DynamoDB.
const ATTEMPTS: u32 = 4;
/// First pause before another attempt; each further pause is twice as long. The SDK's default for throttling, 1 s, would use
/// up half of [`OPERATION_TIMEOUT`].
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// Longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_millis(400);

impl DynamoDb {
    /// The store of a function. Sends nothing to DynamoDB yet.
    fn connect(aws: &SdkConfig, tables: TableNames) -> Self {
        Self { client: client(Builder::from(aws), 1), tables }
    }

    /// The store of an operator's command, with longer time limits.
    #[must_use]
    pub fn for_operator(aws: &SdkConfig, tables: TableNames) -> Self {
        Self { client: client(Builder::from(aws), OPERATOR), tables }
    }

    /// The previous store with its open connections, or a new one with an open connection.
    pub async fn kept_or_connected(before: Option<Self>, aws: &SdkConfig, tables: TableNames) -> Self {
        if let Some(before) = before {
            return Self { tables, ..before };
        }
        let store = Self::connect(aws, tables);
        store.open_connection().await;
        store
    }

    /// As [`DynamoDb::local`], with the time limits of an operator's command.
    #[must_use]
    pub fn local_for_operator(url: &str, tables: TableNames) -> Self {
        Self { client: client(local(url), OPERATOR), tables }
    }

    /// A store on a DynamoDB of this machine (DynamoDB Local or the embedded one), by its URL. Reads no environment: uses
    /// [`LOCAL_ACCESS_KEY_ID`] and [`LOCAL_REGION`], and no proxy.
    #[must_use]
    pub fn local(url: &str, tables: TableNames) -> Self {
        Self { client: client(local(url), 1), tables }
    }

    /// As [`DynamoDb::local`], with another clock for timeouts and pauses.
    #[must_use]
    pub fn local_by(url: &str, tables: TableNames, clock: impl AsyncSleep + 'static) -> Self {
        Self { client: client(local(url).sleep_impl(clock), 1), tables }
    }

    /// The outcome of `work`, or [`StoreError::Unavailable`] with the text `late` if it takes longer than `limit`. Uses the
    /// clock of the client.
    pub(crate) async fn within<T>(
        &self,
        limit: Duration,
        late: &str,
        work: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let timeout = match self.client.config().sleep_impl() {
            Some(clock) => clock.sleep(limit),
            None => Sleep::new(tokio::time::sleep(limit)),
        };
        match select(pin!(work), timeout).await {
            Either::Left((outcome, _)) => outcome,
            Either::Right(_) => Err(StoreError::Unavailable(late.to_owned())),
        }
    }
}

fn local(url: &str) -> Builder {
    let credentials =
        Credentials::new(LOCAL_ACCESS_KEY_ID, LOCAL_SECRET_ACCESS_KEY, None, None, "DynamoDb::local");
    Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(LOCAL_REGION))
        .credentials_provider(credentials)
        .endpoint_url(url)
        .http_client(https_client(ProxyConfig::disabled))
        // By default, all clients of a region share one budget of retries. A failing store must not use up the budget of
        // another one.
        .retry_partition(RetryPartition::new(url.to_owned()))
}

/// A client whose time limits are `factor` times those of a function.
fn client(config: Builder, factor: u32) -> Client {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT * factor)
        .operation_attempt_timeout(ATTEMPT_TIMEOUT * factor)
        .operation_timeout(OPERATION_TIMEOUT * factor)
        .build();
    let retries = RetryConfig::standard()
        .with_max_attempts(ATTEMPTS)
        .with_initial_backoff(FIRST_PAUSE)
        .with_max_backoff(LONGEST_PAUSE);
    let config = config
        .timeout_config(timeouts)
        .retry_config(retries)
        .retry_classifier(RetryConflicts)
        .interceptor(RefuseEmpty);
    Client::from_conf(config.build())
}
