//! `cargo lambda watch` as `cargo dev` runs it: a main job, more requests at once than it survives, and a restart after it hangs.

use super::{Whole, together};
use daypass_dev::{Console, DEMO_PASSWORD, DEMO_USER, Runner, Settings};
use daypass_gateway::Limits;
use daypass_testkit::Answer;
use reqwest::Method;
use std::process::Command;
use std::sync::Mutex;
use std::time::{Duration, Instant};

const KEYS: &str = "/.well-known/jwks.json";
const LIMITS: Duration = Duration::from_secs(6);
const SOON: Duration = Duration::from_secs(120);

static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn keep(line: &str) {
    LINES.lock().unwrap().push(line.to_owned());
}

fn is_printed(part: &str) -> bool {
    LINES.lock().unwrap().iter().any(|line| line.contains(part))
}

/// invariant: `cargo dev` restarts a `cargo lambda watch` that no longer answers, and requests get 503 until then.
#[tokio::test(flavor = "multi_thread")]
async fn through_cargo_lambda_watch() {
    let mut whole = Whole::start_with(Runner::CargoLambda, |settings| Settings {
        limits: Limits { integration: LIMITS, invocation: LIMITS, ..Limits::default() },
        console: Console::To(keep),
        ..settings
    })
    .await;

    for (path, answered) in [(KEYS, 200), ("/sessions", 403)] {
        let statuses = thousand(&whole, path).await;
        let of = |status: u16| statuses.iter().filter(|found| **found == status).count();
        assert_eq!(of(answered) + of(503), 1000, "{path}: {statuses:?}");
        assert!(of(answered) > 0, "{path}");
        println!(
            "{path}: {} of 1,000 requests at once are answered with {answered}, the others with 503",
            of(answered)
        );
    }
    whole.stack.check().unwrap();
    assert!(!is_printed("restarting"), "{:?}", LINES.lock().unwrap());

    let stuck = whole.stack.watch_id().unwrap();
    let before = of_stack(&whole);
    assert!(!before.is_empty() || cfg!(not(target_os = "linux")), "`cargo lambda watch` at least");
    let stopped = Command::new("kill").args(["-s", "STOP", &stuck.to_string()]).status().unwrap();
    assert!(stopped.success());
    assert_eq!(thousand(&whole, KEYS).await, [503; 1000]);
    let started = Instant::now();
    while !is_printed("`cargo lambda watch` does not answer any more: restarting it") {
        whole.stack.check().unwrap();
        assert!(started.elapsed() < SOON, "{:?}", LINES.lock().unwrap());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(is_printed("the functions start with their next requests"), "check() returns after the restart");
    println!("restarted {:.0} s after the requests", started.elapsed().as_secs_f64());
    assert_ne!(whole.stack.watch_id(), Some(stuck));
    let started = Instant::now();
    let login = loop {
        let login = whole.login(DEMO_USER, DEMO_PASSWORD).await;
        if login.status == 200 {
            break login;
        }
        assert_starting(&login, started);
    };
    let bearer = format!("Bearer {}", login.text("access_token"));
    for (method, path) in [
        (Method::GET, KEYS),
        (Method::GET, "/sessions"),
        (Method::POST, "/refresh"),
        (Method::POST, "/revoke"),
        (Method::POST, "/password"),
    ] {
        let request = || whole.http.request(method.clone(), whole.url(path)).header("authorization", &bearer);
        loop {
            let answer = Answer::read(request().send().await.unwrap()).await.unwrap();
            if answer.status < 500 {
                break;
            }
            assert_starting(&answer, started);
        }
    }
    whole.stack.check().unwrap();
    whole.the_main_job().await;
    let left: Vec<_> = of_stack(&whole).into_iter().filter(|process| before.contains(process)).collect();
    assert_eq!(left, [""; 0], "processes of before the restart");
}

/// A function whose process starts answers 503, and an authorizer 500, as API Gateway says it.
fn assert_starting(answer: &Answer, started: Instant) {
    assert!([500, 503].contains(&answer.status), "{answer:?}");
    assert!(started.elapsed() < SOON, "{answer:?}");
}

/// The statuses of 1,000 requests at once.
async fn thousand(whole: &Whole, path: &str) -> Vec<u16> {
    // Not `Whole::get`: openapi.yaml does not describe the gateway's own 503.
    let get = || async {
        let request = whole.http.get(whole.url(path)).header("authorization", "Bearer x");
        Answer::read(request.send().await.unwrap()).await.unwrap()
    };
    together(1000, get).await.into_iter().map(|answer| answer.status).collect()
}

/// The processes of the stack: process id and program. Empty on other systems than Linux.
fn of_stack(whole: &Whole) -> Vec<String> {
    let keys = whole.stack.variables()["DAYPASS_KEYS"].clone();
    let Ok(processes) = std::fs::read_dir("/proc") else { return Vec::new() };
    let paths = processes.map(|process| process.unwrap().path());
    let own = paths.filter(|path| {
        // Processes end meanwhile, and those of others cannot be read.
        let environment = std::fs::read(path.join("environ")).unwrap_or_default();
        String::from_utf8_lossy(&environment).contains(&format!("DAYPASS_KEYS={keys}"))
    });
    own.map(|path| {
        let name = std::fs::read_to_string(path.join("comm")).unwrap_or_default();
        format!("{} {}", path.file_name().unwrap().display(), name.trim())
    })
    .collect()
}
