use crate::bench::{Bench, wait_for};
use daypass_core::account::authentication::{Authentication, Methods};
use daypass_core::ports::store::{NewSession, Store, User};
use daypass_core::session::{EndReason, Ended, Session};
use daypass_runtime::{OsEntropy, SystemClock};
use daypass_verifier::base::ids::{AttemptId, ClientId, SessionId, UserId};
use daypass_verifier::base::scope::Scope;
use daypass_verifier::base::time::{Clock, Timestamp};
use serde_json::json;

/// Opens a session as a login `age` seconds ago does, with a lifetime of `life` seconds.
pub(crate) fn open(bench: &Bench, user: &User, byte: u8, age: u64, life: u64) -> Session {
    let created_at = Timestamp::from_seconds(SystemClock.now().seconds() - age);
    let end = Timestamp::from_seconds(created_at.seconds() + life);
    let session = Session {
        user: user.id,
        session: SessionId::from_bytes([byte; 16]),
        generation: 0,
        rotated_at: None,
        attempt: None,
        named: false,
        network: None,
        created_at,
        expires_at: end,
        absolute_end: end,
        client: ClientId::parse("web").unwrap(),
        scope: Scope::parse("orders:read").unwrap(),
        claims: user.claims.clone(),
        account: true,
        for_enrolment: false,
        authentication: Authentication::new(created_at, Methods::PASSWORD),
        key: None,
        ended: None,
        device: Some("curl\u{1b}[31m/8".to_owned()),
    };
    put(bench, user, &session);
    session
}

fn put(bench: &Bench, user: &User, session: &Session) {
    let new = NewSession { session, user, rehash: None, known: None, factor: None, settle: Some("k") };
    assert!(wait_for(bench.store.open_session(&new)).unwrap());
}

pub(crate) fn stored(bench: &Bench, user: UserId, session: SessionId) -> Option<Ended> {
    let sessions = wait_for(bench.store.sessions(user)).unwrap();
    sessions.iter().find(|known| known.session == session).unwrap().ended
}

#[test]
fn list_shows_the_newest_first_and_how_each_stands() {
    let bench = Bench::new();
    let alice = bench.add("alice");
    let (expired, ended, live) = (
        open(&bench, &alice, 1, 500, 100),
        open(&bench, &alice, 2, 50, 1000),
        open(&bench, &alice, 3, 10, 1000),
    );
    wait_for(bench.store.revoke_session(
        alice.id,
        ended.session,
        None,
        SystemClock.now(),
        EndReason::Reuse,
        AttemptId::generate(&OsEntropy),
    ))
    .unwrap();

    let out = bench.daypass(&["session", "list", "alice"]).ok();
    let lines: Vec<_> = out.lines().collect();
    let [header, first, second, third] = lines.as_slice() else { panic!("{out}") };
    let columns: Vec<_> = header.split("  ").map(str::trim).filter(|column| !column.is_empty()).collect();
    assert_eq!(columns, ["SESSION", "STATE", "CREATED", "LAST USED", "EXPIRES", "GEN", "CLIENT", "DEVICE"]);
    for (line, session, state) in
        [(first, &live, "live"), (second, &ended, "ended: reuse"), (third, &expired, "expired")]
    {
        assert!(
            line.starts_with(&session.session.to_string()) && line.contains(&format!("  {state}  ")),
            "{state}: {line}"
        );
        assert!(line.contains("  web  "), "{line}");
    }
    assert!(!out.contains('\u{1b}'), "what a device calls itself moves no cursor: {out:?}");

    let json = bench.daypass(&["session", "list", "alice"]).json();
    assert_eq!(json["user_id"], alice.id.to_string());
    let states: Vec<_> =
        json["sessions"].as_array().unwrap().iter().map(|s| (&s["state"], &s["ended_reason"])).collect();
    assert_eq!(
        states,
        [
            (&json!("live"), &json!(null)),
            (&json!("ended"), &json!("reuse")),
            (&json!("expired"), &json!(null))
        ]
    );
    let oldest = &json["sessions"][2];
    assert_eq!(
        oldest,
        &json!({
            "session_id": expired.session.to_string(),
            "state": "expired",
            "ended_at": null,
            "ended_reason": null,
            "generation": 0,
            "created_at": expired.created_at.seconds(),
            "last_used_at": expired.created_at.seconds(),
            "expires_at": expired.expires_at.seconds(),
            "absolute_end": expired.absolute_end.seconds(),
            "client_id": "web",
            "scope": "orders:read",
            "device": expired.device,
        })
    );
    assert_eq!(bench.daypass(&["session", "list", &alice.id.to_string()]).json(), json, "by id as by name");
}

/// Rows of a table with two columns.
fn rows(out: &str) -> Vec<(&str, &str)> {
    out.lines().map(|line| line.split_once("  ").map_or((line, ""), |(a, b)| (a, b.trim()))).collect()
}

/// RFC 3339, in the command's format.
fn time(at: Timestamp) -> String {
    let at = time::OffsetDateTime::from_unix_timestamp(at.seconds().try_into().unwrap()).unwrap();
    let (date, clock) = (at.date(), at.time());
    format!("{date}T{:02}:{:02}:{:02}Z", clock.hour(), clock.minute(), clock.second())
}

#[test]
fn show_tells_the_history_that_is_known() {
    let bench = Bench::new();
    let alice = bench.add("alice");
    let fresh = open(&bench, &alice, 1, 500, 1000);
    let rotated_at = Timestamp::from_seconds(fresh.created_at.seconds() + 100);
    let used = Session {
        session: SessionId::from_bytes([2; 16]),
        generation: 7,
        rotated_at: Some(rotated_at),
        expires_at: Timestamp::from_seconds(fresh.expires_at.seconds() - 50),
        device: None,
        ..fresh.clone()
    };
    put(&bench, &alice, &used);
    let ended_at = SystemClock.now();
    let end = bench.store.revoke_session(
        alice.id,
        used.session,
        None,
        ended_at,
        EndReason::EndedByUser,
        AttemptId::generate(&OsEntropy),
    );
    wait_for(end).unwrap();

    let (id, user, created, end) =
        (fresh.session.to_string(), alice.id.to_string(), time(fresh.created_at), time(fresh.absolute_end));
    let out = bench.daypass(&["session", "show", "alice", &id]).ok();
    assert_eq!(
        rows(&out),
        [
            ("session", id.as_str()),
            ("user id", &user),
            ("state", "live"),
            ("client", "web"),
            ("scope", "orders:read"),
            ("device", "curl\u{fffd}[31m/8"),
            ("logged in", &created),
            ("generation", "0"),
            ("last refresh", "never"),
            ("idle expiry", "at the absolute end"),
            ("absolute end", &end),
        ]
    );

    let id = used.session.to_string();
    let out = bench.daypass(&["session", "show", "alice", &id]).ok();
    let shown = rows(&out);
    for (label, expected) in [
        ("state", "ended: ended_by_user".to_owned()),
        ("device", String::new()),
        ("generation", "7".to_owned()),
        ("last refresh", time(rotated_at)),
        ("idle expiry", "at the absolute end".to_owned()),
        ("ended", time(ended_at)),
        ("reason", "ended_by_user".to_owned()),
    ] {
        assert!(shown.contains(&(label, expected.as_str())), "{label} {expected}: {out}");
    }
    let json = bench.daypass(&["session", "show", &user, &id]).json();
    assert_eq!(
        json,
        json!({
            "user_id": user,
            "session_id": id,
            "state": "ended",
            "ended_at": ended_at.seconds(),
            "ended_reason": "ended_by_user",
            "generation": 7,
            "created_at": used.created_at.seconds(),
            "last_used_at": rotated_at.seconds(),
            "rotated_at": rotated_at.seconds(),
            "expires_at": used.absolute_end.seconds(),
            "absolute_end": used.absolute_end.seconds(),
            "client_id": "web",
            "scope": "orders:read",
            "device": null,
        })
    );
    assert_eq!(
        bench.daypass(&["session", "show", "alice", &fresh.session.to_string()]).json()["rotated_at"],
        json!(null)
    );
}

#[test]
fn show_knows_an_expired_session_and_no_other_users() {
    let bench = Bench::new();
    let (alice, bob) = (bench.add("alice"), bench.add("bob"));
    let expired = open(&bench, &alice, 1, 500, 100).session.to_string();
    let out = bench.daypass(&["session", "show", "alice", &expired]).ok();
    assert!(rows(&out).contains(&("state", "expired")), "{out}");
    for who in ["bob".to_owned(), bob.id.to_string()] {
        let error = format!("the user has no session {expired}");
        bench.daypass(&["session", "show", &who, &expired]).fails(&error, "daypass session list");
    }
    bench
        .daypass(&["session", "show", "unknown", &expired])
        .fails("there is no user unknown", "daypass user list");
}

#[test]
fn nobody_logged_in() {
    let bench = Bench::new();
    let alice = bench.add("alice");
    let run = bench.daypass(&["session", "list", "alice"]).run();
    assert_eq!((run.code, run.out.as_str(), run.err.as_str()), (0, "", "note: no sessions of alice\n"));
    let json = bench.daypass(&["session", "list", "alice"]).json();
    assert_eq!(json, json!({ "user_id": alice.id.to_string(), "sessions": [] }));
    assert_eq!(bench.daypass(&["session", "revoke", "alice", "--all"]).ok(), "alice had no live session.\n");
}

#[test]
fn revoke_ends_one_and_leaves_the_other() {
    let bench = Bench::new();
    let alice = bench.add("alice");
    let (one, other) = (open(&bench, &alice, 1, 10, 1000).session, open(&bench, &alice, 2, 10, 1000).session);
    let out = bench.daypass(&["session", "revoke", "alice", &one.to_string()]).ok();
    assert_eq!(out, format!("Ended {one} of alice.\n"));
    assert_eq!(stored(&bench, alice.id, one).unwrap().reason, EndReason::Operator);
    assert_eq!(stored(&bench, alice.id, other), None);

    let out = bench.daypass(&["session", "revoke", "alice", &one.to_string()]).ok();
    assert_eq!(out, format!("{one} of alice had already ended.\n"));
    let json = bench.daypass(&["session", "revoke", "alice", &one.to_string()]).json();
    assert_eq!(json, json!({ "user_id": alice.id.to_string(), "ended": 0 }));
    let json = bench.daypass(&["session", "revoke", &alice.id.to_string(), &other.to_string()]).json();
    assert_eq!(json, json!({ "user_id": alice.id.to_string(), "ended": 1 }));
}

#[test]
fn revoke_all_ends_every_live_one() {
    let bench = Bench::new();
    let alice = bench.add("alice");
    let bob = bench.add("bob");
    let sessions = [1, 2, 3].map(|byte| open(&bench, &alice, byte, 10, 1000).session);
    let theirs = open(&bench, &bob, 1, 10, 1000).session;
    assert_eq!(bench.daypass(&["session", "revoke", "alice", "--all"]).ok(), "Ended 3 sessions of alice.\n");
    for session in sessions {
        assert_eq!(stored(&bench, alice.id, session).unwrap().reason, EndReason::Operator);
    }
    assert_eq!(stored(&bench, bob.id, theirs), None);
    let json = bench.daypass(&["session", "revoke", "bob", "--all"]).json();
    assert_eq!(json, json!({ "user_id": bob.id.to_string(), "ended": 1 }));
}

#[test]
fn what_happens_to_a_user_happens_to_their_sessions() {
    let bench = Bench::new();
    for (byte, args, reason) in [
        (1, &["user", "disable", "u1"][..], EndReason::UserDisabled),
        (2, &["user", "set-password", "u2", "--password-stdin"], EndReason::PasswordChanged),
        (3, &["user", "remove", "u3", "--yes"], EndReason::UserRemoved),
    ] {
        let user = bench.add(&format!("u{byte}"));
        let session = open(&bench, &user, byte, 10, 1000).session;
        bench.daypass(args).stdin("another long password").ok();
        assert_eq!(stored(&bench, user.id, session).unwrap().reason, reason);
        let json = bench.daypass(&["session", "list", &user.id.to_string()]).json();
        assert_eq!(json["sessions"][0]["ended_reason"], reason.as_str(), "also when the name is gone");
    }
}

#[test]
fn wrong_usage() {
    let bench = Bench::new();
    bench.add("alice");
    let id = SessionId::from_bytes([9; 16]).to_string();
    bench
        .daypass(&["session", "revoke", "alice", &id])
        .fails(&format!("the user has no session {id}"), "daypass session list");
    bench.daypass(&["session", "revoke", "alice"]).misused("<SESSION_ID|--all>");
    bench.daypass(&["session", "revoke", "alice", &id, "--all"]).misused("cannot be used with");
    bench.daypass(&["session", "revoke", "alice", "ses_1"]).misused("ses_ and 32 hexadecimal digits");
    bench.daypass(&["session", "show", "alice"]).misused("<SESSION_ID>");
    bench.daypass(&["session", "show", "alice", "ses_1"]).misused("ses_ and 32 hexadecimal digits");
    bench.daypass(&["session"]).misused("");
}
