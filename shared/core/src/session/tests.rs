//! The state machine against its table in ARCHITECTURE.md, over every case there is.

use super::*;
use crate::account::authentication::Methods;
use crate::ports::store::{Rotation, StoreError};
use crate::testing::NOW;
use crate::token::refresh::RefreshToken;
use std::collections::BTreeSet;

const GRACE: Duration = Duration::from_secs(30);

fn attempt(byte: u8) -> AttemptId {
    AttemptId::from_bytes(&[byte; 9]).unwrap()
}

fn client(id: &str) -> ClientId {
    ClientId::parse(id).unwrap()
}

fn before(milliseconds: u64) -> Option<Timestamp> {
    Some(Timestamp::from_millis(NOW.millis() - milliseconds))
}

/// A session that was rotated to generation 5 ten seconds ago.
fn session() -> Session {
    Session {
        user: UserId::from_bytes([1; 16]),
        session: SessionId::from_bytes([2; 16]),
        generation: 5,
        rotated_at: before(10_000),
        attempt: Some(attempt(1)),
        named: false,
        network: None,
        created_at: Timestamp::from_seconds(NOW.seconds() - 1000),
        expires_at: Timestamp::from_seconds(NOW.seconds() + 1000),
        absolute_end: Timestamp::from_seconds(NOW.seconds() + 1000),
        client: client("web"),
        scope: Scope::parse("a b").unwrap(),
        claims: Claims::default(),
        account: true,
        for_enrolment: false,
        authentication: Authentication::new(Timestamp::from_seconds(NOW.seconds() - 1000), Methods::PASSWORD),
        key: None,
        ended: None,
        device: None,
    }
}

fn presented(generation: u32) -> Presented {
    Presented {
        token: RefreshToken { generation, ..session().token() },
        client: None,
        scope: None,
        attempt: attempt(9),
        named: false,
        network: NetworkDigest::of("", None),
        key: None,
    }
}

fn verdict(
    item: Option<&Session>,
    presented: &Presented,
    registered: &[ClientId],
    grace: Duration,
) -> Verdict {
    judge(item, &RotationRequest { presented, registered, now: NOW, grace, idle: None })
}

/// What a case is called in the columns of the table, and the case.
struct Case {
    session: &'static str,
    client: &'static str,
    key: &'static str,
    token: Vec<&'static str>,
    scope: &'static str,
    verdict: Verdict,
}

/// Every combination of what the rules look at, borders included.
fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let at_the_end = Timestamp::from_millis(NOW.millis() + 1);
    let ended = Some(Ended { at: NOW, reason: EndReason::Revoked });
    let sessions = [
        ("absent", None),
        ("ended", Some(Session { ended, ..session() })),
        ("ended", Some(Session { ended, expires_at: NOW, ..session() })),
        ("expired", Some(Session { expires_at: NOW, ..session() })),
        ("expired", Some(Session { absolute_end: NOW, ..session() })),
        ("live", Some(Session { expires_at: at_the_end, absolute_end: at_the_end, ..session() })),
        ("live", Some(session())),
    ];
    let clients = [
        ("registered, not named", None, vec![client("other"), client("web")]),
        ("registered, named", Some("web"), vec![client("web")]),
        ("another than named", Some("other"), vec![client("other"), client("web")]),
        ("not registered", None, vec![client("other")]),
        ("not registered", Some("web"), vec![client("other")]),
    ];
    // Generation, who rotated last, when, the grace window, and whether the client named the rotation.
    let fresh = "one behind, in grace";
    let late = "one behind";
    let own = "one behind, this attempt";
    let tokens = [
        (vec!["ahead"], 6, 9, before(0), GRACE),
        (vec!["ahead"], u32::MAX, 1, before(0), GRACE),
        (vec!["current"], 5, 9, before(0), GRACE),
        (vec!["current"], 5, 9, None, GRACE),
        (vec!["current"], 5, 1, before(0), Duration::ZERO),
        (vec![own, fresh, late], 4, 1, before(0), GRACE),
        (vec![own, late], 4, 1, before(31_000), GRACE),
        (vec![own, late], 4, 1, before(0), Duration::ZERO),
        (vec![fresh, late], 4, 9, before(0), GRACE),
        (vec![fresh, late], 4, 9, before(29_999), GRACE),
        (vec![late], 4, 9, before(30_000), GRACE),
        (vec![late], 4, 9, before(0), Duration::ZERO),
        (vec![late], 4, 9, None, GRACE),
        (vec!["older"], 3, 9, before(0), GRACE),
        (vec!["older"], 3, 1, before(0), GRACE),
        (vec!["older"], 0, 9, before(60_000), GRACE),
        // The clock of the process that rotated is two seconds ahead of ours.
        (vec![fresh, late], 4, 9, Some(NOW + Duration::from_secs(2)), GRACE),
    ];
    let named = [
        (vec!["current"], 5, 9, before(0), GRACE),
        (vec![own, fresh, late], 4, 1, before(4_999), GRACE),
        (vec![own, late], 4, 1, before(5_000), GRACE),
        (vec![fresh, late], 4, 9, before(4_999), GRACE),
        (vec![late], 4, 9, before(5_000), GRACE),
        (vec![late], 4, 9, before(2_000), Duration::from_secs(2)),
        (vec!["older"], 3, 9, before(0), GRACE),
    ];
    let tokens = tokens.map(|case| (case, false)).into_iter().chain(named.map(|case| (case, true)));
    let tokens: Vec<_> = tokens.collect();
    let scopes = [("granted", None), ("granted", Some("a")), ("not granted", Some("a c"))];
    // The key of the session, and that of the proof.
    let [mine, other] = [1, 2].map(|byte| KeyDigest::from_bytes(&[byte; 16]));
    let keys = [
        ("fits", None, None),
        ("fits", None, other),
        ("fits", mine, mine),
        ("another or none", mine, other),
        ("another or none", mine, None),
    ];
    let of_client = |client| keys.iter().map(move |key| (client, key));
    for (session, item) in &sessions {
        for ((client, named, registered), (key, bound_to, proven)) in clients.iter().flat_map(of_client) {
            for ((token, generation, by, rotated_at, grace), named_before) in &tokens {
                for (scope, asked) in &scopes {
                    let item = item.clone();
                    let (rotated_at, named_before, bound_to) = (*rotated_at, *named_before, *bound_to);
                    let item =
                        item.map(|item| Session { rotated_at, named: named_before, key: bound_to, ..item });
                    let presented = Presented {
                        client: named.map(self::client),
                        scope: asked.map(|scope| Scope::parse(scope).unwrap()),
                        attempt: attempt(*by),
                        key: *proven,
                        ..presented(*generation)
                    };
                    let verdict = verdict(item.as_ref(), &presented, registered, *grace);
                    cases.push(Case { session, client, key, token: token.clone(), scope, verdict });
                }
            }
        }
    }
    cases
}

/// How the last column of the table puts a verdict.
fn spelled(verdict: Verdict) -> String {
    let cause = |cause: serde_json::Result<serde_json::Value>| cause.unwrap().as_str().unwrap().to_owned();
    match verdict {
        Verdict::Rotate => "**rotate**".to_owned(),
        Verdict::SameSuccessor(repeat) => {
            format!("**same successor**: `{}`", cause(serde_json::to_value(repeat)))
        }
        Verdict::Reuse(reuse) => format!("**reuse**: `{}`", cause(serde_json::to_value(reuse))),
        Verdict::Dead(dead) => format!("**dead**: `{}`", cause(serde_json::to_value(dead))),
    }
}

/// The rows of the table in ARCHITECTURE.md: session, client, key, token, scope, verdict.
fn rows() -> Vec<[&'static str; 6]> {
    let text = include_str!("../../../../ARCHITECTURE.md");
    let rows = text.lines().skip_while(|line| !line.starts_with("| the session |")).skip(2);
    rows.take_while(|line| line.starts_with('|'))
        .map(|line| {
            let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
            cells.try_into().unwrap()
        })
        .collect()
}

/// The first row that fits decides, each row decides something, and what it says is what `judge` says.
///
/// invariant: The table of the session state machine in ARCHITECTURE.md is what the code does.
#[test]
fn the_table_in_the_architecture_is_the_state_machine() {
    let rows = rows();
    let mut decided = BTreeSet::new();
    for case in cases() {
        let says = |cell: &str, value: &str| cell == "any" || cell == value;
        let fits = |row: &&[&str; 6]| {
            let [session, client, key, token, scope, _] = **row;
            says(session, case.session)
                && (says(client, case.client)
                    || (client == "registered" && case.client.starts_with("registered")))
                && says(key, case.key)
                && (token == "any" || case.token.contains(&token))
                && says(scope, case.scope)
        };
        let told =
            format!("{} / {} / {} / {:?} / {}", case.session, case.client, case.key, case.token, case.scope);
        let Some(row) = rows.iter().find(fits) else { panic!("no row for {told}") };
        assert_eq!(row[5], spelled(case.verdict), "{told}");
        decided.insert(*row);
    }
    for row in rows {
        assert!(decided.contains(&row), "no case comes to the row {row:?}");
    }
}

#[test]
fn every_verdict_is_reached() {
    let reached: BTreeSet<String> = cases().iter().map(|case| spelled(case.verdict)).collect();
    assert_eq!(reached.len(), 1 + 2 + 2 + 8, "{reached:#?}");
}

#[test]
fn grace_closes_at_its_last_millisecond() {
    let registered = [client("web")];
    let at = |milliseconds, grace| {
        let item = Session { rotated_at: before(milliseconds), ..session() };
        verdict(Some(&item), &presented(4), &registered, grace)
    };
    assert_eq!(at(29_999, GRACE), Verdict::SameSuccessor(Repeat::Grace));
    assert_eq!(at(30_000, GRACE), Verdict::Reuse(ReuseCause::AfterGrace));
    assert_eq!(
        at(0, Duration::ZERO),
        Verdict::Reuse(ReuseCause::AfterGrace),
        "a grace of zero forgives nothing"
    );
}

#[test]
fn networks_are_compared_under_one_token() {
    let of = |token: &str, address: &str| NetworkDigest::of(token, Some(address.parse().unwrap()));
    assert_eq!(of("t", "2001:db8:1:2::1"), of("t", "2001:db8:1:2::2"), "one /64");
    assert_ne!(of("t", "2001:db8:1:2::1"), of("t", "2001:db8:1:3::1"));
    assert_ne!(of("t", "192.0.2.1"), of("t", "192.0.2.2"));
    assert_ne!(of("t", "192.0.2.1"), of("u", "192.0.2.1"), "another token, another digest");
    let digest = of("t", "192.0.2.1");
    assert_eq!(NetworkDigest::from_bytes(digest.as_bytes()), Some(digest));
    assert_eq!(NetworkDigest::from_bytes(&[0; 9]), None);
}

#[test]
fn a_condition_that_failed_on_an_item_that_fulfils_it_is_a_failure_of_the_store() {
    let (presented, registered) = (presented(5), [client("web")]);
    let request = RotationRequest {
        presented: &presented,
        registered: &registered,
        now: NOW,
        grace: GRACE,
        idle: None,
    };
    assert!(matches!(Rotation::refused(Some(session()), &request), Err(StoreError::Unavailable(_))));
    assert!(matches!(Rotation::refused(None, &request), Ok(Rotation::Dead(DeadCause::Absent, None))));
}

#[test]
fn end_reasons_read_back() {
    for reason in EndReason::ALL {
        assert_eq!(EndReason::parse(reason.as_str()), reason);
    }
    assert_eq!(EndReason::parse("from the future"), EndReason::Operator);
}
