//! `daypass doctor`: whether a deployed stack is healthy, and what to do if it is not.

#![expect(clippy::indexing_slicing, reason = "an index into JSON gives null for a missing member")]

use crate::aws::{Aws, Response};
use crate::input;
use crate::output::{Failure, Output, quoted};
use crate::stack::Stack;
use daypass_dynamodb::schema::{Role, TABLES, TableSchema};
use daypass_runtime::SystemClock;
use daypass_verifier::base::time::{Clock, MAX_CLOCK_SKEW, Timestamp};
use daypass_verifier::config;
use daypass_verifier::routes::{Bearer, RouteDenial, Target};
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;

/// A login keeps a processor busy for a tenth of a second, and each request to a guarded API runs the authorizer.
const FEW_EXECUTIONS: u64 = 100;
const DAY: u64 = 86_400;

/// Arguments of `daypass doctor`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Log in as this user, and log out again; the password is typed
    #[arg(long, value_name = "USER")]
    login: Option<String>,
    /// Read the password from standard input
    #[arg(long, requires = "login")]
    password_stdin: bool,
    /// Client of the login [default: the first registered one]
    #[arg(long, value_name = "ID", requires = "login")]
    client: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum State {
    Ok,
    /// It works, and will fail under load or later.
    Warning,
    Failed,
    /// The caller's rights do not allow the check.
    Unknown,
}

impl State {
    const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
        }
    }
}

/// Result of a check.
#[derive(Debug, Serialize)]
struct Finding {
    check: String,
    state: State,
    detail: String,
    /// What to do; empty if all is well.
    remedy: String,
}

/// Findings in the order of the checks.
struct Report(Vec<Finding>);

impl Report {
    fn add(&mut self, check: &str, state: State, detail: impl Into<String>, remedy: impl Into<String>) {
        self.0.push(Finding { check: check.to_owned(), state, detail: detail.into(), remedy: remedy.into() });
    }

    fn ok(&mut self, check: &str, detail: impl Into<String>) {
        self.add(check, State::Ok, detail, "");
    }

    /// A request for the check failed, which says nothing about the stack.
    fn unknown(&mut self, check: &str, error: &str, permission: &str) {
        self.add(check, State::Unknown, error, format!("try again with the permission {permission}"));
    }
}

/// Checks the stack `name`.
///
/// # Errors
/// The stack cannot be described, or a check failed.
pub(crate) async fn run(args: Args, name: Option<&str>, output: &mut Output<'_>) -> Result<(), Failure> {
    let Some(name) = name else {
        return Err(Failure::usage("no stack is named", "name it: `daypass doctor --stack daypass`"));
    };
    // Asked for before the checks, which take seconds.
    let password = args.login.as_ref().map(|_| input::password(args.password_stdin)).transpose()?;
    let aws = Aws::load().await?;
    let stack = Stack::read(&aws, name).await?;
    let mut report = Report(Vec::new());
    status(&stack, name, &mut report);
    let issuer = issuer(&aws, &stack, &mut report).await;
    public_keys(&aws, &stack, &mut report).await;
    feed(&aws, &stack, &mut report).await;
    authorizer(&aws, &stack, &mut report).await;
    let outside = report.0.len();
    quota(&aws, &mut report).await;
    for (section, output) in [
        ("signing keys", "SigningKeysSecretArn"),
        ("refresh keys", "RefreshKeysSecretArn"),
        ("peppers", "PeppersSecretArn"),
    ] {
        rotation(&aws, &stack, section, output, &mut report).await;
    }
    for table in &TABLES {
        self::table(&aws, &stack, table, &mut report).await;
    }
    let blind = report.0.iter().skip(outside).all(|finding| finding.state == State::Unknown);
    if let (Some(user), Some(password), Some(issuer)) = (&args.login, password, issuer) {
        login(&aws, &issuer, user, password.expose(), args.client.as_deref(), &mut report).await;
    }
    print(&report, output)?;
    match blind {
        true => Err(Failure::new(
            "no check of Lambda, Secrets Manager and DynamoDB was possible",
            "try again with the permissions in the column WHAT TO DO",
        )),
        false => Ok(()),
    }
}

/// Prints the findings.
///
/// # Errors
/// A check failed.
fn print(report: &Report, output: &mut Output<'_>) -> Result<(), Failure> {
    output.result(&report.0, |output| {
        let row = |finding: &Finding| {
            [
                finding.state.word().to_owned(),
                finding.check.clone(),
                finding.detail.clone(),
                finding.remedy.clone(),
            ]
        };
        let rows: Vec<_> = report.0.iter().map(row).collect();
        output.table(["STATE", "CHECK", "FINDING", "WHAT TO DO"], &rows)
    })?;
    match report.0.iter().filter(|finding| finding.state == State::Failed).count() {
        0 => Ok(()),
        1 => Err(Failure::new("1 check failed", "see the column WHAT TO DO")),
        failed => Err(Failure::new(format!("{failed} checks failed"), "see the column WHAT TO DO")),
    }
}

fn status(stack: &Stack, name: &str, report: &mut Report) {
    let status = &stack.status;
    let well = ["_COMPLETE", "_IN_PROGRESS"].iter().any(|end| status.ends_with(end));
    if well && !status.contains("ROLLBACK") && !status.starts_with("DELETE") {
        return report.ok("stack", status.clone());
    }
    let remedy = format!(
        "read the failed events, and those of a nested stack by its PhysicalResourceId: \
         aws cloudformation describe-stack-events --stack-name {} --output text --query \"StackEvents[?contains\
         (ResourceStatus,'FAILED')].[LogicalResourceId,PhysicalResourceId,ResourceStatusReason]\"",
        quoted(name)
    );
    let state = if status == "UPDATE_ROLLBACK_COMPLETE" { State::Warning } else { State::Failed };
    report.add("stack", state, stack.status.clone(), remedy);
}

async fn quota(aws: &Aws, report: &mut Report) {
    let check = "concurrent executions";
    match aws.rest("lambda", "/2016-08-19/account-settings").await {
        Err(error) => report.unknown(check, &error, "lambda:GetAccountSettings"),
        Ok(settings) => match settings["AccountLimit"]["ConcurrentExecutions"].as_u64() {
            Some(quota) if quota >= FEW_EXECUTIONS => report.ok(check, format!("{quota} in this account")),
            Some(quota) => report.add(
                check,
                State::Warning,
                format!("{quota} in this account, shared by all functions"),
                "raise the quota L-B99A9384 before users come: docs/operations/deploy.md",
            ),
            None => report.unknown(check, "no quota in the response", "lambda:GetAccountSettings"),
        },
    }
}

/// Checks the metadata at the issuer. Returns the issuer if it answers.
async fn issuer(aws: &Aws, stack: &Stack, report: &mut Report) -> Option<String> {
    let check = "issuer";
    let issuer = stack.output("Issuer")?;
    let error = match document(aws, &format!("{issuer}/.well-known/openid-configuration")).await {
        Ok(metadata) if metadata["issuer"] == issuer => {
            report.ok(check, issuer);
            return Some(issuer.to_owned());
        }
        Ok(metadata) => format!("it says that it is {}", metadata["issuer"]),
        Err(error) => error,
    };
    let api = stack.output("ApiUrl").unwrap_or_default();
    let log = "read the log of the function discovery";
    let remedy = match stack.output("DomainTarget") {
        _ if error.starts_with("status 5") => log.to_owned(),
        Some(target) if issuer == api => format!("point the domain to {target} (CNAME or alias)"),
        None if issuer == api => format!("check the network, and {log}"),
        _ => format!(
            "check the DNS or the CDN in front of {api}; if nothing else should answer at {issuer}, \
             deploy with Issuer=\"\", which is {api}"
        ),
    };
    report.add(check, State::Failed, format!("{issuer}: {error}"), remedy);
    None
}

/// A JSON document with status 200.
async fn document(aws: &Aws, url: &str) -> Result<Value, String> {
    let response = aws.web.get(url).await?;
    match response.status.as_u16() {
        200 => Ok(response.json()),
        status => Err(format!("status {status}")),
    }
}

/// Compares the public keys of the issuer with those at the function URL, which authorizers read.
async fn public_keys(aws: &Aws, stack: &Stack, report: &mut Report) {
    let mut sets: Vec<BTreeSet<String>> = Vec::new();
    for output in ["JwksUrl", "DirectJwksUrl"] {
        let Some(url) = stack.output(output) else { continue };
        let check = format!("public keys ({output})");
        let blocked =
            "with status 403, a policy of the organization forbids function URLs: deploy with JwksUrl=issuer";
        let remedy = if output == "JwksUrl" {
            "see the check of the issuer, and the log of the function discovery"
        } else {
            blocked
        };
        match document(aws, url).await {
            Err(error) => report.add(&check, State::Failed, error, remedy),
            Ok(keys) => {
                let ids = keys["keys"].as_array().into_iter().flatten();
                let ids: BTreeSet<String> =
                    ids.filter_map(|key| key["kid"].as_str().map(str::to_owned)).collect();
                match ids.len() {
                    0 => report.add(
                        &check,
                        State::Failed,
                        "no keys",
                        "read the log of the function rotate-keys",
                    ),
                    count => report.ok(&check, format!("{count} keys")),
                }
                sets.push(ids);
            }
        }
    }
    if let [issuer, direct] = sets.as_slice()
        && issuer != direct
    {
        let remedy =
            "wait for `keys_max_age_seconds`; if it stays, a cache in front of the issuer holds old keys";
        report.add(
            "public keys",
            State::Warning,
            "the issuer and the function URL have different keys",
            remedy,
        );
    }
}

/// Checks the feed, and this machine's clock against that of the feed.
async fn feed(aws: &Aws, stack: &Stack, report: &mut Report) {
    let mut clock = None;
    for output in ["RevocationsUrl", "DirectRevocationsUrl"] {
        let Some(url) = stack.output(output) else { continue };
        let check = format!("revocation feed ({output})");
        let remedy = "read the log of the function revocations: docs/operations/runbook.md, FeedStaleAlarm";
        match aws.web.get(url).await {
            Err(error) => report.add(&check, State::Failed, error, remedy),
            Ok(response) => {
                let body = response.json();
                let known = response.status == 200
                    && body["v"] == 1
                    && body["iss"] == stack.output("Issuer").unwrap_or_default();
                match (known, as_of(&response)) {
                    (true, Some(time)) => {
                        clock = clock.or(Some((time, SystemClock.now())));
                        report.ok(&check, "answers");
                    }
                    _ => report.add(
                        &check,
                        State::Failed,
                        format!("status {}, or not the feed of this issuer", response.status.as_u16()),
                        remedy,
                    ),
                }
            }
        }
    }
    if let Some((feed, here)) = clock {
        let skew = here.since(feed).max(feed.since(here));
        let text = format!("{:.1} s between this machine and the feed", skew.as_secs_f64());
        // The response took part of it.
        match skew <= MAX_CLOCK_SKEW {
            true => report.ok("clock", text),
            false => report.add(
                "clock",
                State::Failed,
                text,
                "synchronise the clock of this machine, or purge a cache in front of the feed",
            ),
        }
    }
}

/// Routes of Daypass itself behind the authorizer.
const OWN_ROUTES: [(&str, &str); 5] = [
    ("GET", "/sessions"),
    ("POST", "/password"),
    ("POST", "/email"),
    ("POST", "/reauthenticate"),
    ("GET", "/factors"),
];

/// Checks that the authorizer runs, and reads its settings and its route table.
async fn authorizer(aws: &Aws, stack: &Stack, report: &mut Report) {
    let check = "authorizer";
    let Some(arn) = stack.output("AuthorizerFunctionArn") else { return };
    let name = arn.rsplit(':').next().unwrap_or_default();
    let function = match aws.rest("lambda", &format!("/2015-03-31/functions/{name}/configuration")).await {
        Err(error) => return report.unknown(check, &error, "lambda:GetFunctionConfiguration"),
        Ok(function) => function,
    };
    let text = |member: &str| function[member].as_str().unwrap_or_default();
    // An idle function is `Inactive`, and starts at the next request.
    if !["Active", "Inactive"].contains(&text("State")) || text("LastUpdateStatus") == "Failed" {
        let reason = format!("{} {}", text("StateReason"), text("LastUpdateStatusReason"));
        let remedy = "deploy the stack again; its events have the reason";
        return report.add(
            check,
            State::Failed,
            format!("state {}: {}", text("State"), reason.trim()),
            remedy,
        );
    }
    let variables = &function["Environment"]["Variables"];
    let config = match config::authorizer::read(|name: &str| variables[name].as_str().map(str::to_owned)) {
        Err(error) => {
            let remedy = "correct AuthorizerSettings and Routes, and deploy the stack again";
            return report.add(check, State::Failed, error.to_string(), remedy);
        }
        Ok(config) => config,
    };
    let issuer = stack.output("Issuer").unwrap_or_default();
    if config.issuer.as_str() != issuer {
        let found = format!("it accepts tokens of {}, not of {issuer}", config.issuer.as_str());
        return report.add(check, State::Failed, found, "deploy the stack again");
    }
    report.ok(check, name);
    // A table below `api ID` is for one API alone.
    let api = stack.output("ApiUrl").and_then(|url| url.strip_prefix("https://")?.split('.').next());
    let table = config.routes.of(api.unwrap_or_default());
    let is_denied = |(method, path): &&(&str, &str)| {
        table.decide(Target::Http { method, path }, Bearer::scope("")) == Err(RouteDenial::NoRoute)
    };
    let denied: Vec<&str> = OWN_ROUTES.iter().filter(is_denied).map(|(_, path)| *path).collect();
    match denied.is_empty() {
        true => report.ok("route table", "usable"),
        false => report.add(
            "route table",
            State::Warning,
            format!("it denies {}", denied.join(", ")),
            "add the lines of docs/guides/scopes-and-routes.md to Routes, or put your own below a line `api ID`",
        ),
    }
}

/// Time of a response of the feed.
fn as_of(response: &Response) -> Option<Timestamp> {
    let millis = response.headers.get("daypass-as-of")?.to_str().ok()?.parse().ok()?;
    Some(Timestamp::from_millis(millis))
}

/// Checks that a secret rotates, by its metadata alone.
async fn rotation(aws: &Aws, stack: &Stack, section: &str, output: &str, report: &mut Report) {
    let Some(arn) = stack.output(output) else { return };
    let body = json!({ "SecretId": arn });
    let secret = match aws.json("secretsmanager", "secretsmanager.DescribeSecret", &body).await {
        Err(error) => return report.unknown(section, &error, "secretsmanager:DescribeSecret"),
        Ok(secret) => secret,
    };
    let rotate =
        format!("aws secretsmanager rotate-secret --secret-id {arn}, then read the log of rotate-keys");
    let rules = &secret["RotationRules"];
    let days = rules["AutomaticallyAfterDays"].as_u64().or_else(|| {
        rules["ScheduleExpression"].as_str()?.strip_prefix("rate(")?.split(' ').next()?.parse().ok()
    });
    if secret["RotationEnabled"] != true {
        return report.add(section, State::Failed, "rotation is off", "deploy the stack again");
    }
    let Some(rotated) = secret["LastRotatedDate"].as_f64().or_else(|| secret["CreatedDate"].as_f64()) else {
        return report.unknown(section, "no date in the response", "secretsmanager:DescribeSecret");
    };
    let age = SystemClock.now().since(Timestamp::from_millis(millis(rotated)));
    let text = format!("rotated {} days ago", age.as_secs() / DAY);
    match days {
        Some(days) if age > Duration::from_secs(2 * days * DAY) => {
            report.add(section, State::Warning, format!("{text}, and should be every {days} days"), rotate);
        }
        _ => report.ok(section, text),
    }
}

/// Milliseconds of a time in seconds, as AWS writes it.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a date of AWS is positive and small"
)]
fn millis(seconds: f64) -> u64 {
    (seconds * 1000.0) as u64
}

/// Compares a table with its schema.
async fn table(aws: &Aws, stack: &Stack, schema: &TableSchema, report: &mut Report) {
    let (check, output) = match schema.role {
        Role::Users => ("table of users", "UsersTableName"),
        Role::Sessions => ("table of sessions", "SessionsTableName"),
        Role::Attempts => ("table of attempts", "AttemptsTableName"),
        Role::Outbox => ("table of mails", "OutboxTableName"),
    };
    let Some(name) = stack.output(output) else { return };
    let body = json!({ "TableName": name });
    let mut asked = Vec::new();
    for action in ["DescribeTable", "DescribeTimeToLive", "DescribeContinuousBackups"] {
        match aws.json("dynamodb", &format!("DynamoDB_20120810.{action}"), &body).await {
            Err(error) => return report.unknown(check, &error, &format!("dynamodb:{action}")),
            Ok(answer) => asked.push(answer),
        }
    }
    let [table, ttl, backups] = asked.as_slice() else { return };
    let ttl = &ttl["TimeToLiveDescription"];
    let restorable = &backups["ContinuousBackupsDescription"]["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"];
    let mut wrong = Vec::new();
    if table["Table"]["TableStatus"] != "ACTIVE" {
        wrong.push(format!("its status is {}", table["Table"]["TableStatus"]));
    }
    if schema.deletion_protection && table["Table"]["DeletionProtectionEnabled"] != true {
        wrong.push("it has no deletion protection".to_owned());
    }
    if let Some(attribute) = schema.ttl
        && (ttl["AttributeName"] != attribute || ttl["TimeToLiveStatus"] == "DISABLED")
    {
        wrong.push(format!("it has no TTL by {attribute}"));
    }
    if schema.point_in_time_recovery && restorable != "ENABLED" {
        wrong.push("it has no point-in-time recovery".to_owned());
    }
    match wrong.is_empty() {
        true => report.ok(check, name),
        false => report.add(
            check,
            State::Failed,
            wrong.join(", "),
            "deploy the stack again; `aws cloudformation detect-stack-drift` shows manual changes",
        ),
    }
}

/// Logs in, and ends the session again.
async fn login(
    aws: &Aws,
    issuer: &str,
    user: &str,
    password: &str,
    client: Option<&str>,
    report: &mut Report,
) {
    let mut credentials = json!({ "username": user, "password": password });
    if let Some(client) = client {
        credentials["client_id"] = client.into();
    }
    let response = match aws.web.post(&format!("{issuer}/login"), &credentials).await {
        Err(error) => return report.add("login", State::Failed, error, "see the check of the issuer"),
        Ok(response) => response,
    };
    let body = response.json();
    match response.status.as_u16() {
        200 => {}
        429 => {
            return report.add(
                "login",
                State::Warning,
                "throttled",
                "wait for `login_window_seconds`, and try again",
            );
        }
        status => {
            let error = body["error"].as_str().unwrap_or("no Daypass error");
            return report.add(
                "login",
                State::Failed,
                format!("status {status}, {error}"),
                "check name and password; otherwise read the log of the function login",
            );
        }
    }
    let text = if body["access_token"].is_string() { "an access token" } else { "no access token" };
    let Some(token) = body["refresh_token"].as_str() else {
        return report.add(
            "login",
            State::Ok,
            format!("{text}; the client takes its refresh token as a cookie"),
            "end the session: daypass session list",
        );
    };
    let mut session = json!({ "token": token });
    if let Some(client) = client {
        session["client_id"] = client.into();
    }
    match aws.web.post(&format!("{issuer}/revoke"), &session).await {
        Ok(response) if response.status.is_success() => {
            report.ok("login", format!("{text}; the session has ended again"));
        }
        _ => report.add(
            "login",
            State::Warning,
            "the session could not be ended",
            "daypass session revoke USER --all",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The routes of `infra/api.yaml` with the authorizer. Routes below the same path have one line in a table.
    #[test]
    fn the_own_routes_are_those_of_the_api() {
        let api = include_str!("../../api.yaml");
        let guarded = api.split("RouteKey: ").filter(|route| route.contains("AuthorizerId: "));
        let first = |route: &str| format!("/{}", route.split(['/', ' ', '\n']).nth(2).unwrap_or_default());
        let expected: BTreeSet<String> = guarded.map(first).collect();
        assert_eq!(OWN_ROUTES.iter().map(|(_, path)| (*path).to_owned()).collect::<BTreeSet<_>>(), expected);
    }
}
