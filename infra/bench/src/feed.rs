//! A revocation feed with a given number of endings: prepared responses over real connections.

use crate::token::ISSUER;
use anyhow::{Result, anyhow};
use daypass_runtime::SystemClock;
use daypass_verifier::base::issuer::Issuer;
use daypass_verifier::base::time::Clock;
use daypass_verifier::revocation::{AS_OF, Answer, PAGE, SessionDigest};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

/// Cursor at the end of the feed.
const END: &str = "1.1";

/// A feed. It runs until this process ends.
pub(crate) struct Feed {
    port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    pages: Vec<Vec<u8>>,
    /// Response at the end of the feed.
    nothing: Vec<u8>,
    jwks: Vec<u8>,
    asked: AtomicUsize,
}

impl Feed {
    /// Starts with `count` ended sessions, without the token's session.
    pub(crate) fn start(count: usize) -> Result<Self> {
        Self::start_with(count, "")
    }

    /// As [`Feed::start`], and serves these public keys at `/jwks`.
    pub(crate) fn start_with(count: usize, jwks: &str) -> Result<Self> {
        let issuer = Issuer::parse(ISSUER).map_err(|error| anyhow!("{error}"))?;
        let sessions: Vec<SessionDigest> =
            (0..count).map(|number| SessionDigest::of(&format!("ses_{number:032x}"))).collect();
        let answer = |cursor: String, more, sessions: &[SessionDigest]| {
            let keep = Duration::from_secs(390);
            Answer { cursor, more, keep, sessions: sessions.to_vec() }.to_json(&issuer)
        };
        let chunks: Vec<&[SessionDigest]> = sessions.chunks(PAGE).collect();
        let last = chunks.len().saturating_sub(1);
        let page = |(number, chunk): (usize, &&[SessionDigest])| {
            let cursor = if number == last { END.to_owned() } else { format!("1.0.{}", number + 1) };
            answer(cursor, number != last, chunk)
        };
        let mut pages: Vec<Vec<u8>> = chunks.iter().enumerate().map(page).collect();
        let nothing = answer(END.to_owned(), false, &[]);
        if pages.is_empty() {
            pages.push(nothing.clone());
        }
        let shared = Arc::new(Shared { pages, nothing, jwks: jwks.into(), asked: AtomicUsize::default() });
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        let serving = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&serving);
                // A killed client is not a failure.
                thread::spawn(move || drop(shared.serve(stream)));
            }
        });
        Ok(Self { port, shared })
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/revocations", self.port)
    }

    /// Polls since the last call.
    pub(crate) fn asked(&self) -> usize {
        self.shared.asked.swap(0, Ordering::SeqCst)
    }
}

impl Shared {
    fn serve(&self, mut stream: TcpStream) -> std::io::Result<()> {
        stream.set_nodelay(true)?;
        let mut reader = BufReader::new(stream.try_clone()?);
        loop {
            let (mut target, mut known, mut line) = (String::new(), false, String::new());
            loop {
                line.clear();
                if reader.read_line(&mut line)? == 0 {
                    return Ok(());
                }
                if target.is_empty() {
                    line.split(' ').nth(1).unwrap_or_default().clone_into(&mut target);
                }
                known |= line.to_ascii_lowercase().starts_with("if-none-match:");
                if line == "\r\n" {
                    break;
                }
            }
            self.asked.fetch_add(1, Ordering::SeqCst);
            let after = target.split_once("?after=").map(|(_, after)| after);
            let number = after.and_then(|after| after.strip_prefix("1.0.")?.parse::<usize>().ok());
            let body = match (after, number) {
                _ if target == "/jwks" => &self.jwks,
                (Some(END), _) => &self.nothing,
                (_, number) => self.pages.get(number.unwrap_or_default()).unwrap_or(&self.nothing),
            };
            let now = SystemClock.now().millis();
            let (status, body) =
                if known { ("304 Not Modified", &[][..]) } else { ("200 OK", body.as_slice()) };
            let length = if known { String::new() } else { format!("content-length: {}\r\n", body.len()) };
            let head = format!("HTTP/1.1 {status}\r\netag: \"1\"\r\n{AS_OF}: {now}\r\n{length}\r\n");
            stream.write_all(&[head.as_bytes(), body].concat())?;
        }
    }
}
