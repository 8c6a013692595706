//! Mails of a stack: a local SES that keeps them, the stream that starts the function `mailer`, and an inbox at `/mail`.

use super::console::Console;
use super::error::StackError;
use super::wait::wait_for;
use daypass_dynamodb::LOCAL_ACCESS_KEY_ID;
use daypass_gateway::Made;
use daypass_testkit::event_source::{EventSource, Mapping};
use daypass_testkit::ses::{Mail, Ses};
use daypass_testkit::stream::Start;
use daypass_tools::workspace_root;
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::runtime::{Builder, Runtime};

/// The function that sends the mails.
const MAILER: &str = "mailer";
/// Mails in the inbox.
const SHOWN: usize = 200;

/// Policy of the inbox. Its frames are mails.
const PAGE_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                           frame-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/// Policy of the HTML of a mail, which other people may have written: no script, no request, an origin of its own.
const MAIL_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; \
                           frame-ancestors 'self'; sandbox allow-popups allow-popups-to-escape-sandbox";

/// The local SES of a stack. Drop stops it.
#[derive(Debug)]
pub(super) struct PostOffice {
    ses: Arc<Ses>,
    runtime: Option<Runtime>,
}

impl PostOffice {
    pub(super) fn open() -> Result<Self, StackError> {
        let failed = |error: std::io::Error| {
            StackError::new(
                format!("the local SES cannot start: {error}"),
                "free some memory or file handles and try again",
            )
        };
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().map_err(failed)?;
        let handle = runtime.handle();
        let ses = wait_for(async {
            let started = handle.spawn(Ses::start()).await.map_err(std::io::Error::other);
            started.flatten().map_err(failed)
        })?;
        Ok(Self { ses: Arc::new(ses), runtime: Some(runtime) })
    }

    /// URL of the SES, for `AWS_ENDPOINT_URL_SESV2`.
    pub(super) fn url(&self) -> &str {
        self.ses.url()
    }

    /// The pages of the inbox.
    pub(super) fn inbox(&self) -> Inbox {
        Inbox(Arc::clone(&self.ses))
    }
}

impl Drop for PostOffice {
    fn drop(&mut self) {
        // It also works inside another runtime.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Starts the function `mailer` for each new item of the table, as the event source mapping of `template.yaml` does. Items
/// from before the start of the stack cause no mail.
pub(super) fn follow(
    dynamodb_url: &str,
    table: &str,
    invoke_url: &str,
    console: Console,
) -> Result<EventSource, StackError> {
    let mapping =
        Mapping { start: Start::Latest, ..Mapping::of_new_items(dynamodb_url, LOCAL_ACCESS_KEY_ID, table) };
    let on_line = move |line: &str| console.say(&format!("{MAILER}: {line}"));
    EventSource::start(mapping, invoke_url, MAILER, on_line).map_err(|error| {
        StackError::new(
            format!("the stream of {table} cannot be read: {error}"),
            "start again with `cargo dev --fresh`, which makes the tables again",
        )
    })
}

/// The pages of the inbox.
#[derive(Debug, Clone)]
pub(super) struct Inbox(Arc<Ses>);

impl Inbox {
    /// `/mail`, `/mail.json` with the newest mails, and `/mail/NUMBER.html`.
    pub(super) fn page(&self, path: &str) -> Option<Made> {
        let html = "text/html; charset=utf-8";
        match path.strip_prefix("/mail")? {
            "" => {
                let file = workspace_root().join("infra/browser/demo/mail.html");
                let text = std::fs::read_to_string(file).ok()?;
                Some(Made { content_type: html, policy: PAGE_POLICY, text })
            }
            ".json" => {
                let mails: Vec<Value> = self.0.mails().iter().rev().take(SHOWN).map(entry).collect();
                let text = json!({ "mails": mails }).to_string();
                Some(Made { content_type: "application/json", policy: PAGE_POLICY, text })
            }
            other => {
                let number: u64 = other.strip_prefix('/')?.strip_suffix(".html")?.parse().ok()?;
                let mail = self.0.mails().into_iter().rev().take(SHOWN).find(|mail| mail.number == number)?;
                Some(Made { content_type: html, policy: MAIL_POLICY, text: with_new_tabs(&mail.html) })
            }
        }
    }
}

/// A mail as the page of the inbox reads it. A mail of an SES template has no text here, because SES makes it.
fn entry(mail: &Mail) -> Value {
    let Mail { number, from, to, subject, text, html, template, .. } = mail;
    let (subject, text) = match template {
        Some((name, data)) => (format!("SES template {name}"), data.clone()),
        None => (subject.clone(), text.clone()),
    };
    json!({ "number": number, "from": from, "to": to, "subject": subject, "text": text, "html": !html.is_empty() })
}

/// The HTML with `<base target="_blank">`: its links open in a new tab, because the frame is not a place for pages.
fn with_new_tabs(html: &str) -> String {
    const BASE: &str = r#"<base target="_blank">"#;
    let lower = html.to_ascii_lowercase();
    let head = lower.find("<head").and_then(|start| Some(start + lower.get(start..)?.find('>')? + 1));
    let (before, after) = html.split_at(head.unwrap_or(0));
    format!("{before}{BASE}{after}")
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn send(office: &PostOffice, subject: &str, html: &str) {
        let mail = json!({
            "FromEmailAddress": "Daypass <no-reply@example.com>",
            "Destination": { "ToAddresses": ["a@example.com"] },
            "Content": { "Simple": { "Subject": { "Data": subject }, "Body": { "Text": { "Data": "Hello" }, "Html": { "Data": html } } } },
        });
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let url = format!("{}/v2/email/outbound-emails", office.url());
        let response = client.post(url).body(mail.to_string()).send().await.unwrap();
        assert!(response.status().is_success());
    }

    #[tokio::test]
    async fn the_inbox_has_the_newest_mails_first() {
        let office = PostOffice::open().unwrap();
        let inbox = office.inbox();
        let list = || serde_json::from_str::<Value>(&inbox.page("/mail.json").unwrap().text).unwrap();
        assert_eq!(list(), json!({ "mails": [] }));
        for number in 1..=201 {
            send(&office, &format!("Mail {number}"), "<p>Hello").await;
        }
        let mails = list()["mails"].as_array().unwrap().clone();
        assert_eq!(
            (mails.len(), &mails[0]["subject"], &mails[199]["subject"]),
            (200, &json!("Mail 201"), &json!("Mail 2"))
        );
        assert_eq!(mails[0]["to"], json!(["a@example.com"]));
        assert!(inbox.page("/mail").unwrap().text.contains("/mail.js"));
        let paths =
            ["/mail/1.html", "/mail/202.html", "/mail/", "/mail/x.html", "/mail/2", "/mails", "/other"];
        for path in paths {
            assert_eq!(inbox.page(path), None, "{path}");
        }
    }

    /// invariant: The HTML of a mail in the inbox of `cargo dev` runs no script and sends no request.
    #[tokio::test]
    async fn the_html_of_a_mail_is_in_a_sandbox() {
        let office = PostOffice::open().unwrap();
        send(&office, "<b>", "<!doctype html><HEAD lang=en><script>alert(1)</script>").await;
        let made = office.inbox().page("/mail/1.html").unwrap();
        assert_eq!(made.policy, MAIL_POLICY);
        let directives: Vec<&str> = made.policy.split("; ").map(str::trim).collect();
        assert!(directives.contains(&"default-src 'none'"));
        assert!(directives.contains(&"sandbox allow-popups allow-popups-to-escape-sandbox"));
        assert!(!directives.iter().any(|directive| directive.starts_with("script-src")));
        assert!(made.text.starts_with("<!doctype html><HEAD lang=en><base target=\"_blank\"><script>"));
        assert_eq!(with_new_tabs("<p>Hello"), "<base target=\"_blank\"><p>Hello");
    }

    #[test]
    fn a_mail_of_a_template_shows_its_data() {
        let mail = Mail {
            number: 1,
            from: String::new(),
            to: Vec::new(),
            subject: String::new(),
            text: String::new(),
            html: String::new(),
            template: Some(("acme-reset-de".to_owned(), "{}".to_owned())),
            configuration_set: None,
            tags: Vec::new(),
            headers: Vec::new(),
        };
        let entry = entry(&mail);
        assert_eq!((&entry["subject"], &entry["text"]), (&json!("SES template acme-reset-de"), &json!("{}")));
    }
}
