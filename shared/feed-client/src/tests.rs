//! Against feeds that answer and feeds that do not, over real connections.
//!
//! Tokio's time is paused. While a test holds a [`Still`], it does not move, so no timeout ends while the feed answers, whatever the
//! load of the machine. Without one it jumps to the next timeout as soon as no task can run, so a feed that hangs costs no time.

use super::*;
use daypass_runtime::OsEntropy;
use daypass_verifier::base::time::Clock;
use daypass_verifier::ports::journal::Journal;
use daypass_verifier::revocation::{Limits, SessionDigest};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

const START: u64 = 1_800_000_000_000;

/// The response of a feed.
#[derive(Clone)]
enum Answers {
    /// A list of these sessions.
    Sessions(Vec<&'static str>),
    /// This body, after the head of a good response.
    Body(String),
    /// A list that is this many milliseconds old.
    Old(u64),
    Status(u16),
    Silence,
    /// Half a response, and the connection is closed.
    Truncated,
    /// Pages without an end.
    Endless,
    /// More than the largest response.
    Huge,
    WithoutAge,
    /// A list of this session, after this many milliseconds.
    Late(&'static str, u64),
}

/// A clock, a journal and a feed.
#[derive(Clone)]
struct World {
    now: Arc<AtomicU64>,
    events: Arc<Mutex<Vec<Event>>>,
    answers: Arc<Mutex<Answers>>,
    questions: Arc<Mutex<Vec<String>>>,
    connections: Arc<AtomicUsize>,
    asked: Arc<Notify>,
    port: u16,
}

/// While one is held, only `tokio::time::advance` moves tokio's paused time: the runtime does not skip time while a
/// blocking task runs.
struct Still {
    _end: std::sync::mpsc::Sender<()>,
}

impl Still {
    fn hold() -> Self {
        let (end, ended) = std::sync::mpsc::channel();
        tokio::task::spawn_blocking(move || ended.recv());
        Self { _end: end }
    }
}

/// Moves tokio's time, and runs every task that waited for it.
async fn advance(time: Duration) {
    tokio::time::advance(time).await;
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

impl Clock for World {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.now.load(Ordering::SeqCst))
    }
}

impl Journal<Event> for World {
    fn record(&self, event: &Event, _: &Caller) {
        self.events.lock().unwrap().push(event.clone());
    }
}

fn issuer() -> Issuer {
    Issuer::parse("https://id.example.com").unwrap()
}

impl World {
    async fn new(answers: Answers) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let world = Self {
            now: Arc::new(AtomicU64::new(START)),
            events: Arc::default(),
            answers: Arc::new(Mutex::new(answers)),
            questions: Arc::default(),
            connections: Arc::default(),
            asked: Arc::default(),
            port: listener.local_addr().unwrap().port(),
        };
        let serving = world.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                serving.connections.fetch_add(1, Ordering::SeqCst);
                let serving = serving.clone();
                // The client may close the connection at any time.
                tokio::spawn(async move { drop(serving.serve(stream).await) });
            }
        });
        world
    }

    async fn serve(&self, mut stream: TcpStream) -> std::io::Result<()> {
        loop {
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                request.push(stream.read_u8().await?);
            }
            let request = String::from_utf8(request).unwrap();
            let line = request.lines().next().unwrap();
            let target = line.strip_prefix("GET ").unwrap().strip_suffix(" HTTP/1.1").unwrap().to_owned();
            let known = request.lines().any(|line| line.eq_ignore_ascii_case("if-none-match: \"1\""));
            self.questions.lock().unwrap().push(format!("{target}{}", if known { " known" } else { "" }));
            self.asked.notify_one();
            let answers = self.answers.lock().unwrap().clone();
            let now = self.now.load(Ordering::SeqCst);
            let page = |sids: &[&str], cursor: &str, more| {
                let sessions = sids.iter().map(|sid| SessionDigest::of(sid)).collect();
                let keep = Duration::from_secs(390);
                let answer = Answer { cursor: cursor.to_owned(), more, keep, sessions };
                String::from_utf8(answer.to_json(&issuer())).unwrap()
            };
            let (as_of, body) = match answers {
                Answers::Sessions(sids) if known && sids.is_empty() => {
                    let head = format!("HTTP/1.1 304 Not Modified\r\n{AS_OF}: {now}\r\netag: \"1\"\r\n\r\n");
                    stream.write_all(head.as_bytes()).await?;
                    continue;
                }
                Answers::Sessions(sids) => {
                    let cursor = if sids.is_empty() { "1.0".to_owned() } else { format!("1.{now}") };
                    (now, page(&sids, &cursor, false))
                }
                Answers::Late(sid, millis) => {
                    tokio::time::sleep(Duration::from_millis(millis)).await;
                    (now, page(&[sid], &format!("1.{now}"), false))
                }
                Answers::Body(body) => (now, body),
                Answers::Old(age) => (now - age, page(&["ses_old"], "1.7", false)),
                Answers::Status(status) => {
                    let head = format!("HTTP/1.1 {status} Whatever\r\ncontent-length: 2\r\n\r\n{{}}");
                    stream.write_all(head.as_bytes()).await?;
                    continue;
                }
                Answers::Silence => std::future::pending().await,
                Answers::Truncated => {
                    let head = format!("HTTP/1.1 200 OK\r\n{AS_OF}: {now}\r\ncontent-length: 1000\r\n\r\n{{");
                    return stream.write_all(head.as_bytes()).await;
                }
                Answers::Endless => (now, page(&["ses_1"], "1.5.6.0000000000000000", true)),
                Answers::Huge => (now, " ".repeat(MAX_ANSWER_BYTES + 1)),
                Answers::WithoutAge => {
                    let body = page(&[], "1.0", false);
                    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
                    stream.write_all(head.as_bytes()).await?;
                    continue;
                }
            };
            let length = body.len();
            let head = format!(
                "HTTP/1.1 200 OK\r\n{AS_OF}: {as_of}\r\netag: \"1\"\r\ncontent-length: {length}\r\n\r\n"
            );
            stream.write_all(format!("{head}{body}").as_bytes()).await?;
        }
    }

    fn client(&self, when_stale: WhenStale) -> FeedClient {
        let feed = FollowedFeed {
            url: format!("http://127.0.0.1:{}/revocations", self.port).parse().unwrap(),
            limits: Limits {
                interval: Duration::from_secs(5),
                stale_after: Duration::from_secs(60),
                when_stale,
            },
        };
        FeedClient::new(issuer(), &feed).unwrap()
    }

    fn context(&self) -> Context {
        Context {
            clock: Box::new(self.clone()),
            entropy: Box::new(OsEntropy),
            journal: Box::new(self.clone()),
        }
    }

    async fn ask(&self, client: &FeedClient, sid: &str) -> Lookup {
        client.lookup(sid, &self.context(), &Caller::default()).await
    }

    async fn prepared(&self, when_stale: WhenStale) -> FeedClient {
        let client = self.client(when_stale);
        client.prepare(&self.context()).await;
        client
    }

    fn answer(&self, answers: Answers) {
        *self.answers.lock().unwrap() = answers;
    }

    fn advance(&self, seconds: u64) {
        self.now.fetch_add(seconds * 1000, Ordering::SeqCst);
    }

    fn questions(&self) -> Vec<String> {
        std::mem::take(&mut self.questions.lock().unwrap())
    }

    /// Waits until the feed has got a question since [`questions`](Self::questions) was called.
    async fn until_asked(&self) {
        while self.questions.lock().unwrap().is_empty() {
            self.asked.notified().await;
        }
    }

    fn events(&self) -> Vec<Event> {
        std::mem::take(&mut self.events.lock().unwrap())
    }
}

/// invariant: A process knows all revocations before its first response.
#[tokio::test(start_paused = true)]
async fn a_process_knows_the_whole_list_before_its_first_answer() {
    let _still = Still::hold();
    let world = World::new(Answers::Sessions(vec!["ses_1"])).await;
    let client = world.prepared(WhenStale::Open).await;
    assert_eq!(world.questions(), ["/revocations"]);
    assert_eq!(world.ask(&client, "ses_1").await, Lookup::Ended);
    assert_eq!(world.ask(&client, "ses_2").await, Lookup::Live);
    assert_eq!((world.questions(), world.events()), (vec![], vec![]));
}

#[tokio::test(start_paused = true)]
async fn a_client_polls_once_per_interval_over_one_connection() {
    let _still = Still::hold();
    let world = World::new(Answers::Sessions(vec![])).await;
    let client = world.prepared(WhenStale::Open).await;
    world.questions();
    for _ in 0..3 {
        for _ in 0..1000 {
            assert_eq!(world.ask(&client, "ses_1").await, Lookup::Live);
        }
        assert_eq!(world.questions(), Vec::<String>::new());
        world.advance(5);
        world.ask(&client, "ses_1").await;
        assert_eq!(world.questions().len(), 1);
    }
    assert_eq!(world.connections.load(Ordering::SeqCst), 1);
    // While the process is frozen for a minute, a proxy may drop the connection.
    world.advance(60);
    world.answer(Answers::Sessions(vec![]));
    world.ask(&client, "ses_1").await;
    assert_eq!(world.questions(), ["/revocations?after=1.0 known"]);
    assert_eq!(world.connections.load(Ordering::SeqCst), 2);
}

/// One of many concurrent requests polls, and all of them have the result.
///
/// invariant: A process polls the feed at most once per interval.
#[tokio::test(start_paused = true)]
async fn a_thousand_requests_at_once_are_one_question() {
    let _still = Still::hold();
    let world = World::new(Answers::Sessions(vec![])).await;
    let client = Arc::new(world.prepared(WhenStale::Open).await);
    world.questions();
    world.answer(Answers::Sessions(vec!["ses_1"]));
    world.advance(60);
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..1000 {
        let (world, client) = (world.clone(), Arc::clone(&client));
        tasks.spawn(async move { world.ask(&client, "ses_1").await });
    }
    assert!(tasks.join_all().await.into_iter().all(|lookup| lookup == Lookup::Ended));
    assert_eq!(world.questions().len(), 1);
}

/// Every way in which a feed can fail or lie.
///
/// invariant: Feed failures leave requests running, valid tokens accepted and known revocations in place.
/// They are logged once per change of state.
#[tokio::test(start_paused = true)]
async fn a_feed_that_fails_or_lies_does_no_harm() {
    let other =
        Answer { cursor: "1.5".to_owned(), more: false, keep: Duration::from_secs(390), sessions: vec![] };
    let other = other.to_json(&Issuer::parse("https://id.example.org").unwrap());
    let cases = [
        (Answers::Status(500), "HTTP 500"),
        (Answers::Status(302), "HTTP 302"),
        (Answers::Status(404), "HTTP 404"),
        (Answers::Truncated, ""),
        (Answers::Body("<html>".to_owned()), "not one JSON object"),
        (Answers::Body(r#"{"v":2}"#.to_owned()), "another version"),
        (Answers::Body(String::from_utf8(other).unwrap()), "another issuer"),
        (Answers::Body(r#"{"v":1,"iss":"https://id.example.com"}"#.to_owned()), "missing or malformed"),
        (Answers::Old(36_000), "36 s old"),
        (Answers::Endless, "no end"),
        (Answers::Huge, "larger than"),
        (Answers::WithoutAge, "no header"),
        (Answers::Silence, "no answer within 900 ms"),
    ];
    for (answers, says) in cases {
        let mut still = Some(Still::hold());
        let world = World::new(Answers::Sessions(vec!["ses_1"])).await;
        let client = world.prepared(WhenStale::Open).await;
        if matches!(answers, Answers::Silence) {
            still = None;
        }
        world.answer(answers);
        for _ in 0..3 {
            world.advance(5);
            assert_eq!(world.ask(&client, "ses_1").await, Lookup::Ended, "{says}");
            assert_eq!(world.ask(&client, "ses_2").await, Lookup::Live, "{says}");
        }
        if still.is_none() {
            // The deadline of the last poll passes.
            tokio::time::sleep(DEADLINE * 2).await;
            still = Some(Still::hold());
        }
        let events = world.events();
        let [Event::FeedFailing { sessions, detail }] = &events[..] else { panic!("{says}: {events:?}") };
        assert!(*sessions >= 1 && detail.contains(says), "{says}: {detail}");
        world.answer(Answers::Sessions(vec!["ses_1", "ses_2"]));
        world.advance(5);
        assert_eq!(world.ask(&client, "ses_2").await, Lookup::Ended, "{says}: the client recovers");
        assert!(matches!(world.events()[..], [Event::FeedRecovered { .. }]), "{says}");
        drop(still);
    }
}

/// One request waits for a feed that hangs; the next ones do not.
#[tokio::test(start_paused = true)]
async fn a_feed_that_hangs_holds_one_request_and_no_other() {
    let still = Still::hold();
    let world = World::new(Answers::Sessions(vec![])).await;
    let client = world.prepared(WhenStale::Open).await;
    drop(still);
    world.answer(Answers::Silence);
    let mut waited = Vec::new();
    for _ in 0..4 {
        world.advance(5);
        let started = Instant::now();
        world.ask(&client, "ses_1").await;
        waited.push(started.elapsed());
        // The deadline of the poll passes.
        tokio::time::sleep(DEADLINE * 2).await;
    }
    // The first request waits until the deadline of the poll. The others wait twice for a short time.
    assert_eq!(waited, [DEADLINE, 2 * IMPATIENCE, 2 * IMPATIENCE, 2 * IMPATIENCE]);
}

#[tokio::test(start_paused = true)]
async fn with_closed_a_stale_list_is_an_error() {
    let _still = Still::hold();
    let world = World::new(Answers::Sessions(vec!["ses_1"])).await;
    let client = world.prepared(WhenStale::Closed).await;
    world.answer(Answers::Status(503));
    for seconds in (5..60).step_by(5) {
        world.advance(5);
        assert_eq!(world.ask(&client, "ses_2").await, Lookup::Live, "after {seconds} s");
    }
    for _ in 0..3 {
        world.advance(5);
        assert_eq!(world.ask(&client, "ses_2").await, Lookup::Stale);
    }
    let events = world.events();
    assert!(matches!(events[..], [Event::FeedFailing { .. }, Event::FeedStale { .. }]), "{events:?}");
    world.answer(Answers::Sessions(vec![]));
    world.advance(5);
    assert_eq!(world.ask(&client, "ses_2").await, Lookup::Live, "the first request after the recovery");
    assert_eq!(world.ask(&client, "ses_1").await, Lookup::Ended, "known revocations stay");
    assert!(matches!(world.events()[..], [Event::FeedRecovered { .. }]));
}

/// A feed that is not there when a process starts.
#[tokio::test(start_paused = true)]
async fn a_start_without_the_feed_is_open_or_closed() {
    for (when_stale, expected) in [(WhenStale::Open, Lookup::Live), (WhenStale::Closed, Lookup::Stale)] {
        let world = World::new(Answers::Status(503)).await;
        let client = world.prepared(when_stale).await;
        assert_eq!(world.ask(&client, "ses_1").await, expected);
        assert!(matches!(world.events()[..], [Event::FeedStale { sessions: 0, .. }]));
        let _still = Still::hold();
        world.answer(Answers::Sessions(vec!["ses_1"]));
        world.advance(5);
        assert_eq!(world.ask(&client, "ses_1").await, Lookup::Ended);
    }
}

/// If the feed rejects the cursor, the client reads the list from its start.
#[tokio::test(start_paused = true)]
async fn a_rejected_cursor_is_dropped() {
    let _still = Still::hold();
    let world = World::new(Answers::Sessions(vec!["ses_1"])).await;
    let client = world.prepared(WhenStale::Open).await;
    world.answer(Answers::Status(400));
    world.advance(5);
    world.ask(&client, "ses_1").await;
    world.questions();
    world.answer(Answers::Sessions(vec![]));
    world.advance(5);
    assert_eq!(world.ask(&client, "ses_1").await, Lookup::Ended);
    assert_eq!(world.questions(), ["/revocations"]);
}

/// On a quiet stack the feed has a cold start, too. The start of a client retries.
#[tokio::test(start_paused = true)]
async fn a_start_waits_for_a_feed_that_starts() {
    let _still = Still::hold();
    let world = World::new(Answers::Silence).await;
    let client = Arc::new(world.client(WhenStale::Closed));
    let (starting, slow) = (Arc::clone(&client), world.clone());
    let start = tokio::spawn(async move { starting.prepare(&slow.context()).await });
    world.until_asked().await;
    advance(DEADLINE).await;
    world.answer(Answers::Sessions(vec!["ses_1"]));
    advance(REST_AT_START).await;
    start.await.unwrap();
    assert_eq!(world.ask(&client, "ses_1").await, Lookup::Ended);
    assert_eq!(world.ask(&client, "ses_2").await, Lookup::Live);
    assert_eq!(world.events(), [], "no event");
}

/// A process with rare requests waits for a slow feed. Otherwise it would be frozen before the poll ends.
#[tokio::test(start_paused = true)]
async fn a_process_with_rare_requests_recovers() {
    let _still = Still::hold();
    let world = World::new(Answers::Sessions(vec![])).await;
    let client = world.prepared(WhenStale::Open).await;
    world.answer(Answers::Status(503));
    world.advance(60);
    assert_eq!(world.ask(&client, "ses_1").await, Lookup::Live);
    world.answer(Answers::Late("ses_1", 300));
    world.advance(60);
    world.questions();
    let passes = async {
        world.until_asked().await;
        advance(Duration::from_millis(300)).await;
    };
    let (lookup, ()) = tokio::join!(world.ask(&client, "ses_1"), passes);
    assert_eq!(lookup, Lookup::Ended, "in this very request");
}

/// A poll that started before a freeze is old. The request that finds it polls again.
#[tokio::test(start_paused = true)]
async fn an_answer_from_before_the_freeze_is_not_taken_for_new() {
    let _still = Still::hold();
    let world = World::new(Answers::Sessions(vec![])).await;
    let client = world.prepared(WhenStale::Open).await;
    world.answer(Answers::Late("ses_1", 300));
    world.advance(5);
    world.questions();
    // The request is dropped, and the process is frozen for an hour.
    tokio::select! {
        lookup = world.ask(&client, "ses_2") => panic!("{lookup:?} without an answer"),
        () = world.until_asked() => {}
    }
    world.advance(3600);
    world.answer(Answers::Sessions(vec!["ses_2"]));
    let thaws = advance(Duration::from_millis(300));
    let (lookup, ()) = tokio::join!(world.ask(&client, "ses_2"), thaws);
    assert_eq!(lookup, Lookup::Ended);
}
