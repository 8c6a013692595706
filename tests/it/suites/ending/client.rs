//! The clients that refresh and log in while sessions end.

use daypass_testkit::Answer;
use daypass_tests::service::Service;
use futures_util::future::join_all;
use serde_json::json;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// Parallel refreshes of each session.
pub(crate) const TABS: usize = 7;
/// Pause of a client between two requests. Without it, 32 clients would keep the store so busy that most of the time is
/// spent in refreshes long after the race.
pub(crate) const REST: Duration = Duration::from_millis(20);
/// Attempts of a client at a refresh that is answered with 503.
pub(crate) const TRIES: usize = 5;

/// A request with the times at which it was sent and answered.
pub(crate) struct Sent {
    pub(crate) begun: Instant,
    pub(crate) answered: Instant,
    pub(crate) answer: Answer,
}

pub(crate) async fn sent(answer: impl Future<Output = Answer>) -> Sent {
    let begun = Instant::now();
    let answer = answer.await;
    Sent { begun, answered: Instant::now(), answer }
}

/// The client of one session.
pub(crate) struct Client {
    pub(crate) session: String,
    /// All refresh tokens that it has received, the newest last.
    pub(crate) tokens: Vec<String>,
    pub(crate) refreshes: Vec<Sent>,
}

impl Client {
    pub(crate) fn of(login: &Answer) -> Self {
        Self { session: login.text("session_id"), tokens: vec![login.refresh_token()], refreshes: Vec::new() }
    }

    pub(crate) fn newest(&self) -> &str {
        self.tokens.last().unwrap()
    }

    /// Refreshes in `tabs` parallel requests. All that succeed get the same successor. Repeats a request only after a 503,
    /// as a client does: the rotation may have happened, and after the grace period the old token would look stolen.
    pub(crate) async fn refresh(&mut self, service: &Service, tabs: usize) {
        let token = self.newest().to_owned();
        for _ in 0..TRIES {
            let sent = join_all((0..tabs).map(|_| sent(service.refresh(&token)))).await;
            let successors: BTreeSet<String> = sent
                .iter()
                .filter(|sent| sent.answer.status == 200)
                .map(|sent| sent.answer.refresh_token())
                .collect();
            assert!(successors.len() <= 1, "one successor");
            self.tokens.extend(successors);
            let answered = sent.iter().any(|sent| sent.answer.status != 503);
            self.refreshes.extend(sent);
            if answered {
                break;
            }
        }
        service.clock.advance(Duration::from_millis(7));
    }

    /// Refreshes repeatedly until the ending was answered, and once more after that.
    pub(crate) async fn refresh_on(mut self, service: Arc<Service>, mut over: watch::Receiver<bool>) -> Self {
        loop {
            if *over.borrow() {
                self.refresh(&service, 1).await;
                return self;
            }
            self.refresh(&service, TABS).await;
            tokio::time::sleep(REST).await;
            if self.refreshes.iter().rev().take(TABS).all(|sent| sent.answer.status == 400) {
                over.wait_for(|over| *over).await.unwrap();
            }
        }
    }
}

/// A login that was sent while the sessions were ended, or just after.
pub(crate) struct Login {
    pub(crate) password: &'static str,
    pub(crate) sent: Sent,
    /// The client of the session, if the login has opened one.
    pub(crate) client: Option<Client>,
}

/// Logs in repeatedly until the ending was answered, and with `late` once more after that. Refreshes each opened session
/// once.
pub(crate) async fn log_in(
    service: Arc<Service>,
    name: String,
    password: &'static str,
    late: bool,
    over: watch::Receiver<bool>,
) -> Vec<Login> {
    let mut logins = Vec::new();
    loop {
        let last = *over.borrow();
        if last && !late {
            return logins;
        }
        let body = json!({ "username": name, "password": password });
        let sent = sent(service.post("/login", &body)).await;
        let mut client = (sent.answer.status == 200).then(|| Client::of(&sent.answer));
        if let Some(client) = &mut client {
            client.refresh(&service, 1).await;
        }
        logins.push(Login { password, sent, client });
        if last {
            return logins;
        }
        tokio::time::sleep(REST).await;
    }
}
