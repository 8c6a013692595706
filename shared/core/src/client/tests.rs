use super::*;

#[test]
fn origins_are_spelled_as_browsers_send_them() {
    for good in [
        "https://app.example.com",
        "https://app.example.com:8443",
        "https://xn--bcher-kva.example",
        "https://192.0.2.1",
        "https://[2001:db8::1]:444",
        "http://localhost",
        "http://localhost:3000",
        "http://app.localhost:3000",
        "http://127.0.0.1:8080",
        "http://[::1]:80a".trim_end_matches("80a").trim_end_matches(':'),
    ] {
        assert_eq!(Origin::parse(good).as_ref().map(Origin::as_str), Ok(good));
    }
    for bad in [
        "",
        "*",
        "null",
        "app.example.com",
        "https://",
        "https://:1",
        "https://App.example.com",
        "https://b\u{fc}cher.example",
        "https://app.example.com/",
        "https://app.example.com/x",
        "https://app.example.com?x",
        "https://*.example.com",
        "https://me@app.example.com",
        "https://app.example.com:443",
        "https://app.example.com:0",
        "https://app.example.com:08443",
        "https://app.example.com:65536",
        "https://app.example.com:",
        "https://app.example.com ",
        "https://app.example.com,https://b",
        "http://localhost:80",
        "http://app.example.com",
        "http://localhost.example.com",
        "https://[::1",
        "https://[zz]",
        "ftp://localhost",
    ] {
        assert!(Origin::parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn no_client_has_a_reserved_scope() {
    let clients = |scope: &str| Clients::parse(&format!(r#"[{{"client_id":"web","scope":"{scope}"}}]"#));
    assert!(clients("a daypass").is_ok());
    for reserved in ["daypass:account", "a daypass:other"] {
        assert_eq!(clients(reserved).unwrap_err(), "the scope of `web` has a word that begins with daypass:");
    }
}
