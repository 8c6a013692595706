use crate::bench::{Bench, PASSWORD, daypass};
use crate::session;
use daypass_core::ports::store::UserStatus;
use daypass_core::session::EndReason;
use daypass_verifier::base::scope::Scope;
use std::process::Stdio;

#[test]
fn add_stores_a_user_who_can_log_in() {
    let bench = Bench::new();
    let out = bench
        .daypass(&[
            "user",
            "add",
            "Alice@Example.com",
            "--scope",
            "orders:write orders:read",
            "--password-stdin",
        ])
        .stdin(&format!("{PASSWORD}\n"))
        .ok();
    let user = bench.user("alice@example.com").unwrap();
    assert_eq!(out, format!("Added alice@example.com as {}.\n", user.id));
    assert_eq!(user.scope, Scope::parse("orders:read orders:write").unwrap());
    assert_eq!((user.status, user.password_version), (UserStatus::Enabled, 1));
    assert!(bench.accepts(&user, PASSWORD));
    assert!(!bench.accepts(&user, &format!("{PASSWORD}\n")));
}

#[test]
fn a_piped_password_is_taken_as_it_is() {
    let bench = Bench::new();
    let spaced = "  correct horse battery staple \t";
    bench.daypass(&["user", "add", "alice", "--password-stdin"]).stdin(&format!("{spaced}\n")).ok();
    let user = bench.user("alice").unwrap();
    assert!(bench.accepts(&user, spaced));
    assert!(!bench.accepts(&user, spaced.trim()));
}

#[test]
fn a_name_is_added_once_whatever_its_case() {
    let bench = Bench::new();
    let before = bench.add("alice");
    bench
        .daypass(&["user", "add", "ALICE", "--password-stdin"])
        .stdin("another password altogether")
        .fails("the user alice already exists", "daypass user set-password alice");
    assert_eq!(bench.user("alice").unwrap(), before);
}

#[test]
fn passwords_that_are_refused() {
    let bench = Bench::new();
    let add = |password: &str| {
        bench.daypass(&["user", "add", "someone@example.com", "--password-stdin"]).stdin(password)
    };
    add("short").fails("the password is shorter than 15 characters", "longer");
    add("Someone@Example.com").fails("the password is the user's name", "");
    add("").fails("the password is empty or longer than 1024 characters", "another password");
    add("\n").fails("the password is empty or longer than 1024 characters", "another password");
    add(&"a".repeat(1025)).fails("the password is empty or longer than 1024 characters", "another password");
    add(&"a".repeat(100_000))
        .fails("the password is empty or longer than 1024 characters", "another password");
    add(&format!("{PASSWORD}\nand more\n")).fails("standard input contains more than one line", "alone");
    bench
        .daypass(&["user", "add", "someone@example.com"])
        .stdin(PASSWORD)
        .fails("there is no terminal to type the password", "--password-stdin");
    assert_eq!(bench.user("someone@example.com"), None);
}

#[test]
fn a_password_is_never_an_argument() {
    let folder = tempfile::tempdir().unwrap();
    for args in [
        &["user", "add", "alice", PASSWORD][..],
        &["user", "add", "alice", "--password", PASSWORD],
        &["user", "add", "alice", "-p", PASSWORD],
        &["user", "add", "alice", "--password-stdin=hunter2 hunter2 hunter2"],
        &["user", "set-password", "alice", PASSWORD],
        &["user", "set-password", "alice", "--password", PASSWORD],
    ] {
        daypass(folder.path(), args).misused("unexpected");
    }
}

#[test]
fn names_and_scopes_that_nobody_can_have() {
    let bench = Bench::new();
    let rule = "a user name has 1 to 256 bytes, no spaces, control characters or look-alike forms (RFC 8265 \
                UsernameCaseMapped), and does not begin with email#";
    for (name, shown) in [
        ("a b", r#""a b""#),
        ("", r#""""#),
        ("a\u{1b}[2J", r#""a\u{1b}[2J""#),
        ("Email#ada@example.com", r#""Email#ada@example.com""#),
    ] {
        for verb in ["add", "show", "disable", "enable", "set-password", "remove"] {
            bench
                .daypass(&["user", verb, name])
                .fails(&format!("{shown} is not a username: {rule}"), "another name");
        }
        bench
            .daypass(&["session", "list", name])
            .fails(&format!("{shown} is not a username: {rule}"), "another name");
    }
    bench.daypass(&["user", "add", "alice", "--scope", "a  b"]).misused("single spaces");
    bench
        .daypass(&["user", "add", "alice", "--scope", &"a".repeat(257)])
        .misused("at most 32 words and 256 bytes");
}

#[test]
fn show_tells_all_but_the_hash() {
    let bench = Bench::new();
    bench.daypass(&["user", "add", "alice", "--scope", "b a", "--password-stdin"]).stdin(PASSWORD).ok();
    let user = bench.user("alice").unwrap();
    let json = bench.daypass(&["user", "show", "ALICE"]).json();
    assert_eq!(
        json,
        serde_json::json!({
            "username": "alice",
            "user_id": user.id.to_string(),
            "status": "enabled",
            "scope": "a b",
            "password_version": 1,
            "created_at": user.created_at.seconds(),
            "updated_at": user.updated_at.seconds(),
        })
    );
    let out = bench.daypass(&["user", "show", "alice"]).ok();
    let labels: Vec<_> = out.lines().map(|line| line.split("  ").next().unwrap()).collect();
    assert_eq!(
        labels,
        ["name", "id", "status", "scope", "email", "claims", "password version", "created", "updated"],
        "{out}"
    );
    assert!(out.contains(&format!("id                {}\n", user.id)), "{out}");
    let list = bench.daypass(&["user", "list"]).ok();
    for text in [&out, &list, &json.to_string()] {
        assert!(!text.contains("argon2") && !text.contains(&user.password_hash), "{text}");
    }
}

#[test]
fn list_goes_page_by_page_and_misses_nobody() {
    let bench = Bench::new();
    let run = bench.daypass(&["user", "list"]).run();
    assert_eq!((run.code, run.out.as_str()), (0, ""));
    assert_eq!(run.err, "note: no users; add one with `daypass user add NAME`\n");
    assert_eq!(
        bench.daypass(&["user", "list"]).json(),
        serde_json::json!({ "users": [], "next_cursor": null })
    );

    // A username passes through a shell when a cursor is pasted.
    for name in ["alice", "bob", "$(id)"] {
        bench.add(name);
    }
    let mut seen = Vec::new();
    let mut cursor = None;
    loop {
        let mut daypass = bench.daypass(&["user", "list", "--limit", "1"]);
        daypass.command.args(cursor.map(|cursor| format!("--cursor={cursor}")));
        let page = daypass.json();
        seen.extend(
            page["users"]
                .as_array()
                .unwrap()
                .iter()
                .map(|user| user["username"].as_str().unwrap().to_owned()),
        );
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = Some(next.to_owned());
    }
    seen.sort();
    assert_eq!(seen, ["$(id)", "alice", "bob"]);

    let out = bench.daypass(&["user", "list"]).ok();
    let header: Vec<_> = out.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(header, ["NAME", "ID", "STATUS", "CREATED", "SCOPE"]);
    assert_eq!(out.lines().count(), 4, "{out}");

    let last = bench.daypass(&["user", "list", "--json", "--limit", "1"]).ok();
    let last: serde_json::Value = serde_json::from_str(&last).unwrap();
    let last = last["next_cursor"].as_str().unwrap();
    let shown = if last == "$(id)" { "'$(id)'" } else { last };
    let run = bench.daypass(&["user", "list", "--limit", "1"]).run();
    assert_eq!(run.err, format!("note: there may be more: continue with --cursor={shown}\n"));

    bench.daypass(&["user", "list", "--limit", "0"]).misused("1..=1000");
    bench.daypass(&["user", "list", "--cursor="]).fails("the cursor is malformed", "next_cursor");
}

#[test]
fn disable_and_enable() {
    let bench = Bench::new();
    let before = bench.add("alice");
    let out = bench.daypass(&["user", "disable", "alice"]).ok();
    assert_eq!(out, "Disabled alice and ended the user's sessions.\n");
    assert_eq!(bench.user("alice").unwrap().status, UserStatus::Disabled);
    let again = bench.daypass(&["user", "disable", "alice"]).json();
    assert_eq!((&again["result"], &again["user"]["status"]), (&"disabled".into(), &"disabled".into()));
    let out = bench.daypass(&["user", "enable", "alice"]).ok();
    assert_eq!(out, "Enabled alice, who must log in again.\n");
    let json = bench.daypass(&["user", "enable", "alice"]).json();
    assert_eq!((&json["result"], &json["user"]["status"]), (&"enabled".into(), &"enabled".into()));
    let after = bench.user("alice").unwrap();
    assert_eq!((after.status, after.password_hash), (UserStatus::Enabled, before.password_hash));
}

#[test]
fn set_password_replaces_the_old_one() {
    let bench = Bench::new();
    bench.add("alice");
    let out = bench
        .daypass(&["user", "set-password", "alice", "--password-stdin"])
        .stdin("a new and longer one\n")
        .ok();
    assert_eq!(out, "Set a new password for alice and ended the user's sessions.\n");
    let user = bench.user("alice").unwrap();
    assert_eq!(user.password_version, 2);
    assert!(bench.accepts(&user, "a new and longer one") && !bench.accepts(&user, PASSWORD));
    let json = bench
        .daypass(&["user", "set-password", "alice", "--password-stdin"])
        .stdin("the third, as long as it")
        .json();
    assert_eq!((&json["result"], &json["user"]["password_version"]), (&"password_set".into(), &3.into()));
    bench
        .daypass(&["user", "set-password", "alice", "--password-stdin"])
        .stdin("short")
        .fails("the password is shorter than 15 characters", "longer");
    assert_eq!(bench.user("alice").unwrap().password_version, 3);
}

#[test]
fn set_scope_replaces_the_scope_and_live_sessions_follow() {
    let bench = Bench::new();
    let add = &["user", "add", "alice", "--scope", "orders:read admin", "--password-stdin"];
    bench.daypass(add).stdin(PASSWORD).ok();
    let alice = bench.user("alice").unwrap();
    let opened = session::open(&bench, &alice, 1, 10, 1000);
    let json = bench.daypass(&["user", "set-scope", "alice", "orders:write", "orders:read"]).json();
    assert_eq!(
        (&json["result"], &json["user"]["scope"], &json["sessions_narrowed"], &json["sessions_ended"]),
        (&"scope_set".into(), &"orders:read orders:write".into(), &0.into(), &0.into())
    );
    assert_eq!(session::stored(&bench, alice.id, opened.session), None);
    let out = bench.daypass(&["user", "set-scope", "ALICE", "orders:write"]).ok();
    assert_eq!(out, "Set the scope of alice to \"orders:write\". Live sessions: 0 narrowed, 1 ended.\n");
    let ended = session::stored(&bench, alice.id, opened.session).unwrap();
    assert_eq!(ended.reason, EndReason::ScopeRemoved);
    bench.daypass(&["user", "set-scope", "alice", ""]).ok();
    assert_eq!(bench.user("alice").unwrap().scope, Scope::default());

    bench.daypass(&["user", "set-scope", "alice"]).misused("<WORDS>");
    bench.daypass(&["user", "set-scope", "alice", "a  b"]).misused("single spaces");
    let many: Vec<String> = (0..33).map(|n| format!("s{n}")).collect();
    let args: Vec<&str> =
        ["user", "set-scope", "alice"].into_iter().chain(many.iter().map(String::as_str)).collect();
    bench.daypass(&args).fails("a scope has at most 32 words and 256 bytes", "fewer");
    assert_eq!(bench.user("alice").unwrap().scope, Scope::default(), "no error changes the user");
}

#[test]
fn remove_wants_a_yes() {
    let bench = Bench::new();
    bench.add("alice");
    bench
        .daypass(&["user", "remove", "alice"])
        .stdin("y\n")
        .fails("there is no terminal to confirm this", "--yes");
    assert!(bench.user("alice").is_some());
    assert_eq!(
        bench.daypass(&["user", "remove", "alice", "--yes"]).ok(),
        "Removed alice and ended the user's sessions.\n"
    );
    assert_eq!(bench.user("alice"), None);
    bench.add("bob");
    let json = bench.daypass(&["user", "remove", "bob", "--yes"]).json();
    assert_eq!((&json["result"], &json["user"]["username"]), (&"removed".into(), &"bob".into()));
}

#[test]
fn a_user_who_is_not_there() {
    let bench = Bench::new();
    for args in [
        &["user", "show", "unknown"][..],
        &["user", "disable", "unknown"],
        &["user", "enable", "unknown"],
        &["user", "set-password", "unknown", "--password-stdin"],
        &["user", "set-scope", "unknown", "orders:read"],
        &["user", "remove", "unknown", "--yes"],
        &["session", "list", "unknown"],
        &["session", "revoke", "unknown", "--all"],
    ] {
        bench
            .daypass(args)
            .stdin(PASSWORD)
            .fails("there is no user unknown", "`daypass user list` lists the users");
    }
    assert_eq!(bench.user("unknown"), None, "a change makes no user");
}

#[test]
fn a_reader_that_stops_reading_is_no_error() {
    let bench = Bench::new();
    bench.add("alice");
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut daypass = bench.daypass(&["user", "list"]);
    let output = daypass.command.stdin(Stdio::null()).stdout(writer).stderr(Stdio::piped()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
}
