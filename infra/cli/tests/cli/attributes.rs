//! E-mail addresses and claims of users.

use crate::bench::{Bench, PASSWORD, Run, wait_for};
use crate::session;
use daypass_core::ports::mail::{Begin, MailerStore};
use daypass_core::token::mail::OutboxId;
use daypass_verifier::base::ids::AttemptId;
use serde_json::{Value, json};

fn add(bench: &Bench, args: &[&str]) -> Run {
    bench.daypass(&[&["user", "add", "--password-stdin"], args].concat()).stdin(PASSWORD).run()
}

#[test]
fn a_user_is_added_with_address_and_claims() {
    let bench = Bench::new();
    let claims = r#"{"tenant": "acme", "roles": ["a"]}"#;
    let run = add(&bench, &["ada", "--email", "Ada@Example.com", "--email-verified", "--claims", claims]);
    assert_eq!(run.code, 0, "{run:?}");
    let json = bench.daypass(&["user", "show", "ada"]).json();
    assert_eq!(json["email"], "ada@example.com");
    assert_eq!(json["email_verified"], true);
    assert_eq!(json["claims"], json!({ "tenant": "acme", "roles": ["a"] }));
    let listed = bench.daypass(&["user", "list"]).json();
    assert_eq!(listed["users"], json!([json]));
    let out = bench.daypass(&["user", "show", "ada"]).ok();
    assert!(out.contains("ada@example.com (verified)\n"), "{out}");
    assert!(out.contains(r#"{"roles":["a"],"tenant":"acme"}"#), "{out}");

    let run = add(&bench, &["eve", "--email", "ada@example.com"]);
    assert!(run.code == 1 && run.err.contains("another user has this address"), "{run:?}");
    assert_eq!(bench.user("eve"), None);
    for (args, why) in [
        (&["--email", "ada"][..], "exactly one @"),
        (&["--email-verified"], "--email <ADDRESS>"),
        (&["--claims", "[]"], "one JSON object"),
        (&["--claims", r#"{"exp":1}"#], "reserved"),
    ] {
        bench.daypass(&[&["user", "add", "eve"], args].concat()).misused(why);
    }
}

#[test]
fn an_address_is_set_and_removed() {
    let bench = Bench::new();
    for name in ["ada", "bob"] {
        bench.add(name);
    }
    let out = bench.daypass(&["user", "set-email", "ada", "Ada@Example.com"]).ok();
    assert_eq!(out, "Set the email address of ada to ada@example.com (not verified).\n");
    bench
        .daypass(&["user", "set-email", "bob", "ada@example.com"])
        .fails("another user has this address, or has it as name", "--none");
    let json = bench.daypass(&["user", "set-email", "ada", "ada@example.com", "--verified"]).json();
    assert_eq!((&json["result"], &json["user"]["email_verified"]), (&"email_set".into(), &true.into()));
    let out = bench.daypass(&["user", "set-email", "ada", "--none"]).ok();
    assert_eq!(out, "Removed the email address of ada.\n");
    assert_eq!(bench.daypass(&["user", "show", "ada"]).json().get("email"), None);
    bench.daypass(&["user", "set-email", "bob", "ada@example.com"]).ok();
    bench
        .daypass(&["user", "set-email", "nobody", "a@example.com"])
        .fails("there is no user nobody", "user add");
    bench.daypass(&["user", "set-email", "ada"]).misused("<ADDRESS>");
    bench.daypass(&["user", "set-email", "ada", "a@example.com", "--none"]).misused("cannot be used with");
    bench.daypass(&["user", "set-email", "ada", "a@localhost"]).misused("at least two labels");
}

#[test]
fn an_invitation_is_asked_for() {
    let bench = Bench::new();
    let invite = |args: &[&str]| bench.daypass(&[&["user", "invite", "Ada@Example.com"], args].concat());
    let json = invite(&["--client", "web", "--claims", r#"{"tenant":"acme"}"#, "--language", "de-CH"]).json();
    assert_eq!((&json["result"], &json["email"]), (&"invited".into(), &"ada@example.com".into()));
    let mail = OutboxId::parse(json["mail"].as_str().unwrap()).unwrap();
    let begin = |mail| wait_for(bench.store.begin_mail(mail, None, AttemptId::from_key(b"k"))).unwrap();
    assert_eq!((begin(mail), begin(OutboxId::from_bytes([1; 16]))), (Begin::Go, Begin::Absent));
    let out = invite(&["--client", "web"]).ok();
    assert!(out.starts_with("Invited ada@example.com. The link works until "), "{out}");

    let claims = format!(r#"{{"a":"{}"}}"#, "x".repeat(504));
    let run = invite(&["--client", "web", "--claims", &claims, "--scope", &"s".repeat(200)]).run();
    assert!(run.code == 1 && run.err.contains("more than 636 bytes"), "{run:?}");
    invite(&[]).misused("--client <ID>");
    invite(&["--client", "a b"]).misused("not a client id");
    invite(&["--client", "web", "--language", "x"]).misused("language tag");
    bench.daypass(&["user", "invite", "ada", "--client", "web"]).misused("exactly one @");
    bench.add("ada");
    bench.daypass(&["user", "set-email", "ada", "ada@example.com"]).ok();
    invite(&["--client", "web"]).fails("another user has this address, or has it as name", "--none");
}

#[test]
fn claims_are_set_and_live_sessions_follow() {
    let bench = Bench::new();
    let alice = bench.add("alice");
    let opened = session::open(&bench, &alice, 1, 10, 1000);
    let json = bench.daypass(&["user", "set-claims", "alice", r#"{"tenant":"acme"}"#]).json();
    let facts = (&json["result"], &json["user"]["claims"]["tenant"], &json["sessions_updated"]);
    assert_eq!(facts, (&"claims_set".into(), &"acme".into(), &Value::from(1)));
    let sessions = wait_for(bench.store.sessions(alice.id)).unwrap();
    assert_eq!(sessions[0].session, opened.session);
    assert_eq!(sessions[0].claims.to_string(), r#"{"tenant":"acme"}"#);
    let out = bench.daypass(&["user", "set-claims", "alice", "{}"]).ok();
    assert_eq!(out, "Set the claims of alice to {}. Live sessions: 1 updated.\n");
    bench.daypass(&["user", "set-claims", "nobody", "{}"]).fails("there is no user nobody", "user add");
    bench.daypass(&["user", "set-claims", "alice", r#"{"a":1,"a":2}"#]).misused("different names");

    // Name, scope and claims share the room of a session.
    let too_large = |scope: usize| {
        format!(
            "user name (5 bytes), scope ({scope}) and claims (512, as compact JSON) have more than 636 bytes together"
        )
    };
    let large = format!(r#"{{"a":"{}"}}"#, "x".repeat(504));
    bench.daypass(&["user", "set-claims", "alice", &large]).ok();
    let scope = "s".repeat(636 - 512 - "alice".len());
    bench.daypass(&["user", "set-scope", "alice", &scope]).ok();
    bench.daypass(&["user", "set-scope", "alice", &format!("{scope}s")]).fails(&too_large(120), "shorten");
    bench.daypass(&["user", "set-claims", "alice", "{}"]).ok();
    bench.daypass(&["user", "set-scope", "alice", &format!("{scope}s")]).ok();
    bench.daypass(&["user", "set-claims", "alice", &large]).fails(&too_large(120), "shorten");
    let run = add(&bench, &["bob", "--scope", &format!("{scope}sss"), "--claims", &large]);
    assert!(run.code == 1 && run.err.contains("more than 636 bytes"), "{run:?}");
}

/// The addresses of other systems, and whether they are verified.
#[test]
fn addresses_are_imported() {
    let bench = Bench::new();
    let bcrypt = "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW";
    let import = |system: &str, users: &[Value]| {
        let lines: String = users.iter().map(|user| format!("{user}\n")).collect();
        bench.imported(&[&bench.write(&format!("{system}.jsonl"), &lines), "--system", system], 0)
    };
    let email = |name: &str| {
        let email = bench.user(name).unwrap().email?;
        Some((email.address.to_string(), email.verified))
    };
    let has = |address: &str, verified| Some((address.to_owned(), verified));
    import("auth0", &[json!({ "email": "a0@example.com", "email_verified": true, "passwordHash": bcrypt })]);
    assert_eq!(email("a0@example.com"), has("a0@example.com", true));
    let django = |name: &str, address: &str| json!({ "username": name, "email": address, "password": format!("bcrypt${bcrypt}") });
    let users = [
        django("d1", "Shared@Example.com"),
        django("d2", "shared@example.com"),
        django("d3", ""),
        django("d4", "root@localhost"),
    ];
    for (added, without) in [(4, Some(1)), (0, None)] {
        let summary = import("django", &users);
        assert_eq!(
            (summary["changed"].as_u64(), summary["without_address"].as_u64()),
            (Some(added), without)
        );
    }
    let owners = [email("d1"), email("d2")];
    assert!(owners.contains(&None) && owners.contains(&has("shared@example.com", false)), "{owners:?}");
    assert_eq!((email("d3"), email("d4")), (None, None));
    let laravel =
        json!({ "email": "l@example.com", "email_verified_at": "2024-01-01 00:00:00", "password": bcrypt });
    import("laravel", &[laravel]);
    assert_eq!(email("l@example.com"), has("l@example.com", true));
    let kratos = json!({
        "traits": { "username": "kim", "email": "kim@example.com" },
        "verifiable_addresses": [{ "value": "kim@example.com", "verified": true, "via": "email" }],
        "credentials": { "password": { "config": { "hashed_password": bcrypt } } },
    });
    bench.imported(
        &[&bench.write("kratos.jsonl", &kratos.to_string()), "--system", "kratos", "--name", "username"],
        0,
    );
    assert_eq!(email("kim"), has("kim@example.com", true));
    // An earlier version imported the line without its address.
    let wordpress = json!({ "user_login": "wp", "user_pass": bcrypt });
    import("wordpress", std::slice::from_ref(&wordpress));
    let mut again = wordpress;
    again["user_email"] = "wp@example.com".into();
    assert_eq!(import("wordpress", &[again])["unchanged"], 1);
}
