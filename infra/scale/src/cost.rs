//! List prices and bills. Money is in whole picodollars, so that sums are exact.

use crate::table::{table, whole};

/// Picodollars: 10^-12 US dollars.
type Pico = u128;
const DOLLAR: Pico = 1_000_000_000_000;

/// Price of one unit, from the price of a million in thousandths of a dollar.
const fn of_a_million(thousandths: Pico) -> Pico {
    thousandths * DOLLAR / 1_000 / 1_000_000
}

/// One request of an HTTP API of API Gateway, for the first 300 million of a month.
pub const API_REQUEST: Pico = of_a_million(1_000);
/// One request beyond the first 300 million of a month.
pub const API_REQUEST_BEYOND: Pico = of_a_million(900);
const API_TIER: u128 = 300_000_000;
/// One invocation of a Lambda function.
pub const INVOCATION: Pico = of_a_million(200);
/// A gigabyte of memory for a second, arm64: 0.0000133334 USD.
pub const GIGABYTE_SECOND: Pico = 13_333_400;
/// A write unit of DynamoDB on demand: a kilobyte.
pub const WRITE_UNIT: Pico = of_a_million(625);
/// A read unit: 4 KB, strongly consistent.
pub const READ_UNIT: Pico = of_a_million(125);
/// A gigabyte in a table for a month.
pub const STORED_GIGABYTE: Pico = DOLLAR / 4;
/// A gigabyte of ingested logs.
pub const LOGGED_GIGABYTE: Pico = DOLLAR / 2;
/// A secret for a month.
pub const SECRET: Pico = DOLLAR * 4 / 10;
/// A call of Secrets Manager: 0.05 USD for 10,000.
pub const SECRET_REQUEST: Pico = DOLLAR * 5 / 100 / 10_000;

/// Resources of a request to Daypass.
#[derive(Debug, Clone, Copy)]
pub struct Operation {
    /// Label of the row.
    pub name: &'static str,
    /// Billed requests of API Gateway.
    pub api_requests: u128,
    /// Memory of its function in MB, as in `template.yaml`.
    pub memory: u128,
    /// Billed duration, in milliseconds: an assumption, see `docs/operations/cost.md`.
    pub milliseconds: u128,
    /// DynamoDB write units of all tables.
    pub writes: u128,
    /// DynamoDB read units.
    pub reads: u128,
    /// Bytes of logs: our line and two of Lambda, if both log it.
    pub log_bytes: u128,
    /// Polls of the revocation feed that it causes, in millionths. Each poll is a request and an invocation.
    pub polls: u128,
}

/// Lambda's log lines of an invocation (`platform.start`, `platform.report`) in JSON, with the 26 bytes that CloudWatch
/// adds to each line.
pub const PLATFORM_LOG_BYTES: u128 = 650;

/// A login from a known address.
pub const LOGIN_KNOWN: Operation = Operation {
    name: "login, known address",
    api_requests: 1,
    memory: 1769,
    milliseconds: 70,
    writes: 7,
    // The user, and the live sessions: a unit for each 4 KB, which are about ten of them.
    reads: 2,
    log_bytes: PLATFORM_LOG_BYTES + 350,
    polls: 0,
};
/// A login from an unknown address.
pub const LOGIN_ELSEWHERE: Operation =
    Operation { name: "login, another address", milliseconds: 85, writes: 11, ..LOGIN_KNOWN };
pub const REFRESH: Operation = Operation {
    name: "refresh",
    api_requests: 1,
    memory: 256,
    milliseconds: 12,
    writes: 1,
    reads: 0,
    log_bytes: PLATFORM_LOG_BYTES + 350,
    polls: 0,
};
/// A token of a machine client: no request to DynamoDB.
pub const CLIENT_TOKEN: Operation =
    Operation { name: "token of a machine client", milliseconds: 3, writes: 0, ..REFRESH };
/// A token for an assertion that is accepted once.
pub const CLIENT_TOKEN_ONCE: Operation =
    Operation { name: "token of a machine client, single-use assertion", ..REFRESH };
/// An introspection. It logs nothing but Lambda's lines.
pub const INTROSPECT: Operation =
    Operation { name: "introspection", writes: 0, reads: 1, log_bytes: PLATFORM_LOG_BYTES, ..REFRESH };
pub const REVOKE: Operation = Operation { name: "revoke", writes: 2, ..REFRESH };
/// A guarded request. The request of the API itself is not ours. One poll of the feed serves 50 requests.
pub const AUTHORIZE: Operation = Operation {
    name: "authorize, each request",
    api_requests: 0,
    memory: 256,
    milliseconds: 2,
    writes: 0,
    reads: 0,
    // `SystemLogLevel: WARN` keeps Lambda's lines of successful invocations out of the log.
    log_bytes: 0,
    polls: 20_000,
};

pub const OPERATIONS: [Operation; 8] =
    [LOGIN_KNOWN, LOGIN_ELSEWHERE, REFRESH, CLIENT_TOKEN, CLIENT_TOKEN_ONCE, INTROSPECT, REVOKE, AUTHORIZE];

/// A bill by line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Bill {
    pub api: Pico,
    pub invocations: Pico,
    /// Memory and time.
    pub compute: Pico,
    pub units: Pico,
    /// What is stored in DynamoDB.
    pub stored: Pico,
    pub logs: Pico,
    pub secrets: Pico,
}

impl Bill {
    #[must_use]
    pub const fn total(&self) -> Pico {
        self.api + self.invocations + self.compute + self.units + self.stored + self.logs + self.secrets
    }

    /// Costs of `count` operations, without [`api_requests`], which has tiers.
    const fn add(&mut self, operation: &Operation, count: u128) {
        let polls = count * operation.polls / 1_000_000;
        self.invocations += INVOCATION * (count + polls);
        let gigabyte_milliseconds = count * operation.memory * operation.milliseconds + polls * 512 * 2;
        self.compute += GIGABYTE_SECOND * gigabyte_milliseconds / 1024 / 1000;
        self.units += count * (WRITE_UNIT * operation.writes + READ_UNIT * operation.reads);
        self.logs +=
            LOGGED_GIGABYTE * (operation.log_bytes * count + PLATFORM_LOG_BYTES * polls) / 1_000_000_000;
    }
}

/// Price of this number of requests in a month.
const fn api_requests(count: u128) -> Pico {
    let first = if count < API_TIER { count } else { API_TIER };
    API_REQUEST * first + API_REQUEST_BEYOND * (count - first)
}

const fn billed_by_api(operation: &Operation, count: u128) -> u128 {
    operation.api_requests * count + operation.polls * count / 1_000_000
}

/// An average month of one user.
pub mod usage {
    /// Logins from a known address.
    pub const LOGINS_KNOWN: u128 = 1;
    /// Logins from an unknown address.
    pub const LOGINS_ELSEWHERE: u128 = 1;
    /// Refreshes. An hour per day on 20 days needs 12 per hour with tokens of five minutes; 10 are assumed.
    pub const REFRESHES: u128 = 200;
    pub const REQUESTS: u128 = 1_000;
    /// Bytes in the tables: the user's item, and sessions of the last 180 days.
    pub const STORED_BYTES: u128 = 4_000;
    /// Secrets: signing keys, refresh keys, peppers, the public half, and the machine clients.
    pub const SECRETS: u128 = 5;
    /// Cold starts that read secrets, per million logins and refreshes.
    pub const STARTS_PER_MILLION: u128 = 1_000;
}

/// A month of this number of users: tokens only, and the authorizer before all their requests.
#[must_use]
pub const fn month(users: u128) -> (Bill, Bill) {
    let mut tokens = Bill { api: 0, invocations: 0, compute: 0, units: 0, stored: 0, logs: 0, secrets: 0 };
    tokens.add(&LOGIN_KNOWN, users * usage::LOGINS_KNOWN);
    tokens.add(&LOGIN_ELSEWHERE, users * usage::LOGINS_ELSEWHERE);
    tokens.add(&REFRESH, users * usage::REFRESHES);
    let requests = users * (usage::LOGINS_KNOWN + usage::LOGINS_ELSEWHERE + usage::REFRESHES);
    tokens.api = api_requests(requests);
    tokens.stored = STORED_GIGABYTE * users * usage::STORED_BYTES / 1_000_000_000;
    let asked = 3 * (requests * usage::STARTS_PER_MILLION / 1_000_000);
    tokens.secrets = SECRET * usage::SECRETS + SECRET_REQUEST * asked;

    let mut guard = Bill { api: 0, invocations: 0, compute: 0, units: 0, stored: 0, logs: 0, secrets: 0 };
    guard.add(&AUTHORIZE, users * usage::REQUESTS);
    guard.api = api_requests(billed_by_api(&AUTHORIZE, users * usage::REQUESTS));
    (tokens, guard)
}

/// A tier of Cognito's prices: its upper number of users, and the price of each.
type Tier = (u128, Pico);

/// Free for the first 10,000, on either plan.
const FREE: u128 = 10_000;
const LITE: [Tier; 5] = [
    (FREE, 0),
    (100_000, of_a_million(5_500_000)),
    (1_000_000, of_a_million(4_600_000)),
    (10_000_000, of_a_million(3_250_000)),
    (u128::MAX, of_a_million(2_500_000)),
];
const ESSENTIALS: [Tier; 2] = [(FREE, 0), (u128::MAX, of_a_million(15_000_000))];

fn cognito_month(tiers: &[Tier], users: u128) -> Pico {
    let mut below = 0;
    let mut sum = 0;
    for (up_to, price) in tiers {
        let within = users.min(*up_to) - below;
        sum += within * price;
        below += within;
    }
    sum
}

/// Dollars to the cent; from a thousand on, whole dollars.
fn dollars(amount: Pico) -> String {
    let cents = (amount + DOLLAR / 200) / (DOLLAR / 100);
    let whole_dollars = |dollars: u128| whole(u64::try_from(dollars).unwrap_or(u64::MAX));
    if cents >= 100_000 {
        return whole_dollars((amount + DOLLAR / 2) / DOLLAR);
    }
    format!("{}.{:02}", whole_dollars(cents / 100), cents % 100)
}

/// The price list.
#[must_use]
pub fn prices() -> String {
    let million = |price: Pico| dollars_exact(price * 1_000_000);
    let rows: [(&str, &str, String); 11] = [
        ("API Gateway, HTTP API", "a million requests, to 300 million a month", million(API_REQUEST)),
        ("", "a million beyond", million(API_REQUEST_BEYOND)),
        ("Lambda", "a million invocations", million(INVOCATION)),
        ("", "a million GB-seconds, arm64", million(GIGABYTE_SECOND)),
        ("DynamoDB on demand", "a million write units", million(WRITE_UNIT)),
        ("", "a million read units", million(READ_UNIT)),
        ("", "a GB for a month", dollars_exact(STORED_GIGABYTE)),
        ("CloudWatch Logs", "a GB taken in", dollars_exact(LOGGED_GIGABYTE)),
        ("Secrets Manager", "a secret for a month", dollars_exact(SECRET)),
        ("", "10,000 questions", dollars_exact(SECRET_REQUEST * 10_000)),
        (
            "Cognito",
            "a user of a month: Lite from the 10,001st, 100,001st, 1,000,001st, 10,000,001st on; Essentials from the 10,001st",
            {
                let tiers = LITE.iter().skip(1).chain(ESSENTIALS.iter().skip(1));
                tiers.map(|(_, price)| dollars_exact(*price)).collect::<Vec<_>>().join(", ")
            },
        ),
    ];
    table(
        &["", "", "USD:"],
        &rows.map(|(service, what, price)| vec![service.to_owned(), what.to_owned(), price]),
    )
}

/// Dollars with the necessary decimals, at least two.
fn dollars_exact(amount: Pico) -> String {
    let decimals = format!("{:012}", amount % DOLLAR);
    format!("{}.{:0<2}", amount / DOLLAR, decimals.trim_end_matches('0'))
}

/// Price of a million of each operation.
#[must_use]
pub fn per_million_bills() -> Vec<(Operation, Bill)> {
    let bill = |operation: Operation| {
        let mut bill = Bill::default();
        bill.add(&operation, 1_000_000);
        bill.api = api_requests(billed_by_api(&operation, 1_000_000));
        (operation, bill)
    };
    OPERATIONS.map(bill).to_vec()
}

/// Price of a million of each operation, with its parts.
#[must_use]
pub fn per_million() -> String {
    let row = |(operation, bill): (Operation, Bill)| {
        vec![
            operation.name.to_owned(),
            format!("{} ms at {} MB", operation.milliseconds, operation.memory),
            format!("{} / {}", operation.writes, operation.reads),
            operation.log_bytes.to_string(),
            dollars(bill.api),
            dollars(bill.invocations),
            dollars(bill.compute),
            dollars(bill.units),
            dollars(bill.logs),
            format!("**{}**", dollars(bill.total())),
        ]
    };
    let rows: Vec<_> = per_million_bills().into_iter().map(row).collect();
    let head = [
        "a million of",
        "billed",
        "write / read units:",
        "log bytes:",
        "API:",
        "invocations:",
        "GB-s:",
        "DynamoDB:",
        "logs:",
        "USD:",
    ];
    table(&head, &rows)
}

/// A month by line.
#[must_use]
pub fn monthly() -> String {
    let mut rows = Vec::new();
    for users in USERS {
        let (tokens, guard) = month(users);
        for (what, bill) in [("logins and refreshes", tokens), ("the authorizer", guard)] {
            let lines = [
                bill.api,
                bill.invocations + bill.compute,
                bill.units + bill.stored,
                bill.logs,
                bill.secrets,
            ];
            let mut row = vec![users_text(users), what.to_owned()];
            row.extend(lines.map(dollars));
            row.push(format!("**{}**", dollars(bill.total())));
            rows.push(row);
        }
    }
    let head = ["users of the month", "", "API:", "Lambda:", "DynamoDB:", "logs:", "secrets:", "USD:"];
    table(&head, &rows)
}

const MONTH_SECONDS: u128 = 30 * 86_400;

const USERS: [u128; 3] = [10_000, 1_000_000, 100_000_000];

fn users_text(users: u128) -> String {
    whole(u64::try_from(users).unwrap_or(u64::MAX))
}

/// Comparison with Cognito.
#[must_use]
pub fn cognito() -> String {
    let row = |users: u128| {
        let (tokens, guard) = month(users);
        vec![
            users_text(users),
            dollars(tokens.total()),
            dollars(tokens.total() + guard.total()),
            dollars(cognito_month(&LITE, users)),
            dollars(cognito_month(&ESSENTIALS, users)),
            users_text(users * usage::REFRESHES / MONTH_SECONDS),
        ]
    };
    let head = [
        "users of the month",
        "Daypass, logins and refreshes:",
        "with the authorizer:",
        "Cognito Lite:",
        "Cognito Essentials:",
        "refreshes in a second, on average:",
    ];
    table(&head, &USERS.map(row))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refresh_by_hand() {
        // A million: 1.00 API, 0.20 invocations, 12 ms at 256 MB are 3,000 GB-s, 0.625 for the writes, 1 GB of logs.
        let (_, bill) =
            per_million_bills().into_iter().find(|(operation, _)| operation.name == "refresh").unwrap();
        assert_eq!((bill.api, bill.invocations), (DOLLAR, DOLLAR / 5));
        assert_eq!(bill.compute, 3_000 * GIGABYTE_SECOND);
        assert_eq!((bill.units, bill.logs), (DOLLAR * 625 / 1000, DOLLAR / 2));
    }

    #[test]
    fn tiers_are_climbed_one_after_the_other() {
        assert_eq!(cognito_month(&LITE, 10_000), 0);
        assert_eq!(cognito_month(&LITE, 100_000), 495 * DOLLAR);
        assert_eq!(cognito_month(&LITE, 1_000_000), (495 + 4_140) * DOLLAR);
        assert_eq!(cognito_month(&ESSENTIALS, 1_000_000), 14_850 * DOLLAR);
        assert_eq!(api_requests(300_000_001), 300 * DOLLAR + API_REQUEST_BEYOND);
    }

    #[test]
    fn money_is_written_as_money() {
        assert_eq!(dollars(DOLLAR * 3 / 2), "1.50");
        assert_eq!(dollars(1_234 * DOLLAR + DOLLAR / 2), "1,235");
        assert_eq!(dollars_exact(of_a_million(625) * 1_000_000), "0.625");
        assert_eq!(dollars_exact(GIGABYTE_SECOND * 1_000_000), "13.3334");
    }
}
