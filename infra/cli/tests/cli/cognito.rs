//! Import of users of Cognito, who have no hashes.

use crate::bench::Bench;
use daypass_core::ports::migration::MARKER;
use daypass_core::ports::store::UserStatus;
use serde_json::{Value, json};

const SUB: &str = "6b1d7c3a-0f2e-4b5a-9c8d-1e2f3a4b5c6d";

/// A user as `list-users` writes it.
fn listed(username: &str, sub: &str, change: impl FnOnce(&mut Value)) -> Value {
    let attribute = |name: &str, value: &str| json!({ "Name": name, "Value": value });
    let mut user = json!({
        "Username": username,
        "Attributes": [
            attribute("email", &format!("{sub}@example.com")), attribute("email_verified", "false"),
            attribute("custom:tenant", "acme"), attribute("sub", sub),
        ],
        "UserCreateDate": "2023-05-01T10:00:00.123000+02:00",
        "UserLastModifiedDate": "2023-05-01T10:00:00.123000+02:00",
        "Enabled": true,
        "UserStatus": "CONFIRMED",
    });
    change(&mut user);
    user
}

fn lines(users: &[Value]) -> String {
    users.iter().map(|user| format!("{user}\n")).collect()
}

/// invariant: The import of a Cognito user pool keeps ids and disabled users, and rejects by name whom Cognito accepts no password of.
#[test]
fn users_of_a_pool_are_marked() {
    let bench = Bench::new();
    let other = |n: u8| format!("6b1d7c3a-0f2e-4b5a-9c8d-1e2f3a4b5c{n:02x}");
    let good = [listed(SUB, SUB, |_| ()), listed("Bob", &other(1), |user| user["Enabled"] = json!(false))];
    let file = bench.write("pool.jsonl", &lines(&good));
    let args = [file.as_str(), "--system", "cognito", "--scope", "orders:read"];
    let summary = bench.imported(&args, 0);
    assert_eq!((&summary["changed"], &summary["marked"]), (&json!(2), &json!(2)));
    let ada = bench.user(&format!("{SUB}@example.com")).unwrap();
    assert_eq!(ada.id.to_string(), "usr_6b1d7c3a0f2e4b5a9c8d1e2f3a4b5c6d");
    assert_eq!((ada.password_hash.as_str(), ada.scope.to_string().as_str()), (MARKER, "orders:read"));
    let bob = bench.user("bob").unwrap();
    assert_eq!((bob.status, bob.password_hash.as_str()), (UserStatus::Disabled, MARKER));
    assert!(!bench.accepts(&ada, MARKER));
    assert_eq!(bench.imported(&args, 0)["unchanged"], 2);

    let status = |n: u8, status: &str| listed("x", &other(n), |user| user["UserStatus"] = json!(status));
    let without = |n: u8, member: &str| {
        listed("x", &other(n), |user| drop(user.as_object_mut().unwrap().remove(member)))
    };
    let bad = [
        (status(2, "UNCONFIRMED"), "UNCONFIRMED"),
        (status(3, "FORCE_CHANGE_PASSWORD"), "FORCE_CHANGE_PASSWORD"),
        (status(4, "RESET_REQUIRED"), "RESET_REQUIRED"),
        (status(5, "EXTERNAL_PROVIDER"), "EXTERNAL_PROVIDER"),
        (without(6, "UserStatus"), "`UserStatus` is missing"),
        (without(7, "Enabled"), "`enabled` is missing"),
        (without(8, "Attributes"), "`sub` is missing"),
        (listed("x", "no-uuid", |_| ()), "`sub` is not a UUID"),
        (
            listed("x", &other(9), |user| user["MFAOptions"] = json!([{ "DeliveryMedium": "SMS" }])),
            "MFAOptions",
        ),
    ];
    let file = bench.write("bad.jsonl", &lines(&bad.clone().map(|(user, _)| user)));
    let errors = bench.folder.path().join("errors.jsonl");
    bench.imported(&[&file, "--system", "cognito", "--errors", errors.to_str().unwrap()], 9);
    let errors = bench.read("errors.jsonl");
    for ((_, expected), line) in bad.iter().zip(errors.lines()) {
        assert!(line.contains(expected), "{expected}: {line}");
    }
    assert_eq!(bench.user("x"), None);
}

/// Marked users survive an export, and a list of them exists.
#[test]
fn marked_users_are_listed_and_exported() {
    let bench = Bench::new();
    bench.add("alice");
    let csv = format!("cognito:username;sub;email;enabled;status\nada;{SUB};a@example.com;true;CONFIRMED\n");
    let file = bench.write("pool.csv", &csv);
    bench.imported(&[&file, "--system", "cognito"], 0);
    let listed = bench.daypass(&["user", "list", "--scan", "--hash", "marked"]).run();
    assert!(listed.out.contains("ada") && !listed.out.contains("alice"), "{listed:?}");
    let run = bench.daypass(&["user", "export", "--out", "out.jsonl"]).run();
    assert_eq!(run.code, 0, "{run:?}");
    let there = Bench::new();
    let marked: Vec<String> =
        bench.read("out.jsonl").lines().filter(|line| line.contains(MARKER)).map(str::to_owned).collect();
    let file = there.write("users.jsonl", &format!("{}\n", marked.join("\n")));
    assert_eq!(there.imported(&[&file], 0)["marked"], 1);
    assert_eq!(there.user("ada").unwrap(), bench.user("ada").unwrap());
}
