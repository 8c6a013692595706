//! The number of requests and write units of the store's methods.

use crate::bench::{
    Bench, NOW, after, attempt_id, claims_of, counter, largest_session, present, rotated, scope, session,
    user,
};
use aws_sdk_dynamodb::types::AttributeValue;
use daypass_core::account::MAX_SESSION_BYTES;
use daypass_core::account::authentication::{Authentication, Method, Methods};
use daypass_core::account::claims::Claims;
use daypass_core::ports::store::{AttemptStore, NewSession, Store, User};
use daypass_core::session::{EndReason, Presented, Session};
use daypass_core::throttle::{Attempt, KnownAddress};
use daypass_dynamodb::Addition;
use daypass_testkit::recorder::Exchange;
use daypass_testkit::trips::{in_waves, round_trips};
use daypass_verifier::base::ids::{ClientId, SessionId, Username};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::time::Duration;

fn operations(exchanges: &[Exchange]) -> Vec<&str> {
    exchanges.iter().map(|exchange| exchange.operation.as_str()).collect()
}

/// The user is read and the attempt counted in parallel. One transaction follows.
pub async fn a_login_is_three_requests_in_two_round_trips(bench: &Bench) {
    let ada = bench.user("ada").await;
    let _ = bench.recorder.take();
    in_waves(&bench.recorder, &[2, 1]);
    bench.store.begin(&ada.username, &counter("settled", 5), attempt_id()).await.unwrap();
    assert_eq!(bench.open(&ada, &session(&ada)).await, Ok(true));

    let exchanges = bench.recorder.take();
    let mut first = operations(&exchanges[..2]);
    first.sort_unstable();
    assert_eq!(first, ["GetItem", "UpdateItem"]);
    assert_eq!(operations(&exchanges[2..]), ["TransactWriteItems"]);
    let get = exchanges.iter().find(|exchange| exchange.operation == "GetItem").unwrap();
    assert_eq!(get.request["ConsistentRead"], json!(true));
    assert_eq!((exchanges.len(), round_trips(&exchanges)), (3, 2));
}

/// No read, for any outcome.
pub async fn a_refresh_and_a_revocation_are_one_request_each(bench: &Bench) {
    let (ada, opened) = bench.logged_in("ada").await;
    for generation in [0, 0, 1, 0, 7] {
        bench.rotate(&present(&opened, generation), NOW).await.unwrap();
        assert_eq!(operations(&bench.recorder.take()), ["UpdateItem"]);
    }
    for _ in 0..2 {
        bench
            .store
            .revoke_session(ada.id, opened.session, None, NOW, EndReason::Revoked, attempt_id())
            .await
            .unwrap();
        assert_eq!(operations(&bench.recorder.take()), ["UpdateItem"]);
    }
}

/// A write unit is 1 KB, and no session is larger. The session has every attribute at its greatest length, after every kind
/// of write. User name, scope, claims and device hint have an upper bound together.
///
/// invariant: A refresh is one request and one write unit, also with the largest claims.
pub async fn the_largest_session_costs_one_write_unit(bench: &Bench) {
    // With all four; without claims; with the longest claims and no device hint.
    let all = user(&"n".repeat(100));
    weigh_largest(bench, &all, largest_session(&all), &[]).await;
    let named = user(&"n".repeat(Username::MAX_BYTES));
    weigh_largest(bench, &named, largest_session(&named), &["claims"]).await;
    let claims = claims_of(Claims::MAX_BYTES);
    let claiming = user(&"m".repeat(100));
    let scope = scope(&"s".repeat(MAX_SESSION_BYTES - Claims::MAX_BYTES - 100));
    let opened = Session { claims, scope, device: None, ..largest_session(&claiming) };
    weigh_largest(bench, &claiming, opened.clone(), &["device"]).await;
    // With the time of a later authentication, which only a session with the right to the account has.
    let authentication = Authentication::new(after(9_000), Methods::of(&Method::ALL));
    for (index, opened) in [opened, largest_session(&all)].into_iter().enumerate() {
        let user = user(&format!("{index}{}", "n".repeat(99)));
        let session = SessionId::from_bytes([7; 16]);
        let opened = Session { user: user.id, session, account: true, authentication, ..opened };
        let absent: Vec<&str> =
            opened.device.is_none().then_some("device").into_iter().chain(["acct"]).collect();
        weigh_largest(bench, &user, opened, &absent).await;
    }
}

#[expect(clippy::print_stdout, reason = "how much room is left")]
async fn weigh_largest(bench: &Bench, user: &User, opened: Session, absent: &[&str]) {
    const UNIT: usize = 1_024;
    assert_eq!(bench.store.add_user(user).await, Ok(Addition::Added));
    let ada = user;
    // Generations of ten digits, with room for two more rotations.
    let opened = Session { generation: u32::MAX - 2, ..opened };
    let reason = EndReason::ALL.into_iter().max_by_key(|reason| reason.as_str().len()).unwrap();
    bench.recorder.ask_capacity(true);
    let mut sizes = Vec::new();
    let mut weigh = async |write: &'static str, units: f64| {
        let exchanges = bench.recorder.take();
        assert_eq!(exchanges.len(), 1, "{write}");
        let consumed = &exchanges[0].response()["ConsumedCapacity"];
        if consumed.is_object() {
            assert_eq!(consumed["CapacityUnits"].as_f64(), Some(units), "{write}");
        }
        let item = bench.item(&opened).await.unwrap();
        let size = item_size(&item);
        assert!((600..UNIT).contains(&size), "{write}: {size} bytes");
        sizes.push((write, size));
        item
    };
    let _ = bench.recorder.take();
    assert_eq!(bench.open(ada, &opened).await, Ok(true));
    weigh("login", 0.0).await;
    // Milliseconds without a zero at the end, because DynamoDB drops trailing zeros.
    let now = after(1_987);
    for (write, generation, idle) in [
        ("refresh, idle limit", u32::MAX - 2, Some(Duration::from_secs(3_601))),
        ("refresh", u32::MAX - 1, None),
    ] {
        let presented = Presented {
            client: Some(opened.client.clone()),
            scope: Some(opened.scope.clone()),
            ..present(&opened, generation)
        };
        rotated(bench.rotate_with(&presented, now, Duration::ZERO, idle).await);
        weigh(write, 1.0).await;
    }
    bench.store.revoke_session(ada.id, opened.session, None, now, reason, attempt_id()).await.unwrap();
    // One unit of the table and one of the index, which has no entry before.
    let item = weigh("revoke", 2.0).await;
    let attributes = [
        "absolute_end",
        "acct",
        "attempt",
        "auth",
        "claims",
        "client",
        "created_at",
        "device",
        "ended_at",
        "ended_bucket",
        "expires_at",
        "generation",
        "name",
        "named",
        "network",
        "revoked_at",
        "revoked_why",
        "rotated_at",
        "scope",
        "session",
        "user",
    ];
    let mut there: Vec<&str> = item.keys().map(String::as_str).collect();
    there.sort_unstable();
    let attributes: Vec<&str> = attributes.into_iter().filter(|name| !absent.contains(name)).collect();
    assert_eq!(there, attributes, "an attribute that is new has to be at its longest here");
    let largest = sizes.iter().map(|(_, size)| *size).max().unwrap();
    println!("the largest session, in bytes: {sizes:?}; {} of {UNIT} are left", UNIT - largest);
}

/// The size of an item as DynamoDB counts it ("DynamoDB item sizes and formats"), rounded up where the documentation is
/// vague. Names and texts count in UTF-8, a number one byte per two digits and one more, a set like a list.
fn item_size(item: &HashMap<String, AttributeValue>) -> usize {
    let value = |value: &AttributeValue| match value {
        AttributeValue::S(text) => text.len(),
        AttributeValue::N(number) => number.len().div_ceil(2) + 2,
        AttributeValue::B(bytes) => bytes.as_ref().len(),
        AttributeValue::Bool(_) => 1,
        AttributeValue::Ss(words) => 3 + words.iter().map(|word| word.len() + 1).sum::<usize>(),
        _ => usize::MAX / 100,
    };
    item.iter().map(|(name, content)| name.len() + value(content)).sum()
}

/// Names and values are placeholders, so that no input is parsed as an expression.
pub async fn expressions_hold_no_input(bench: &Bench) {
    let ada = User { scope: scope("marker-scope marker:b"), ..user("marker-name") };
    bench.store.add_user(&ada).await.unwrap();
    let mut opened = session(&ada);
    opened.client = ClientId::parse("marker-client").unwrap();
    opened.device = Some("marker-device".to_owned());
    let store = &bench.store;
    let begun = store.begin(&ada.username, &counter("marker-key", 5), attempt_id()).await.unwrap();
    let Attempt::Counted(ticket) = begun.attempt else { unreachable!("the first attempt") };
    let known = [KnownAddress { key: *b"marker-of-16-byt", until: NOW }];
    let (rehash, known) = (Some("marker-hash"), Some(known.as_slice()));
    let new =
        NewSession { session: &opened, user: &ada, rehash, known, factor: None, settle: Some("marker-key") };
    assert_eq!(store.open_session(&new).await, Ok(true));
    let presented = Presented {
        client: Some(opened.client.clone()),
        scope: Some(opened.scope.clone()),
        ..present(&opened, 0)
    };
    store.settle(Some("marker-key"), &[ticket]).await.unwrap();
    rotated(bench.rotate_with(&presented, after(1_000), Duration::ZERO, Some(Duration::from_secs(60))).await);
    let client = Some(std::slice::from_ref(&opened.client));
    store
        .revoke_session(ada.id, opened.session, client, NOW, EndReason::Revoked, attempt_id())
        .await
        .unwrap();
    store.revoke_all(ada.id, NOW, EndReason::RevokedAll, None).await.unwrap();
    store.set_password(&ada.username, "marker-hash", NOW).await.unwrap();
    store.remove_user(&ada.username, NOW).await.unwrap();

    let exchanges = bench.recorder.take();
    let sent = format!("{:?}", exchanges.iter().map(|exchange| &exchange.request).collect::<Vec<_>>());
    assert!(sent.matches("marker").count() > 10, "the markers were sent");
    let mut expressions = Vec::new();
    for exchange in &exchanges {
        collect_expressions(&exchange.request, &mut expressions);
    }
    assert!(expressions.len() > 10);
    for expression in expressions {
        for input in ["marker", &ada.id.to_string(), &opened.session.to_string(), "4000"] {
            assert!(!expression.contains(input), "{expression}");
        }
    }
}

fn collect_expressions(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                match value.as_str().filter(|_| name.ends_with("Expression")) {
                    Some(expression) => found.push(expression.to_owned()),
                    None => collect_expressions(value, found),
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| collect_expressions(value, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
