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
        "http://[::1]",
        "https://*.preview.example.com",
        "https://*.preview.example.com:8443",
        "http://*.localhost:3000",
        "http://tauri.localhost",
        "capacitor://localhost",
        "ionic://localhost",
        "tauri://localhost",
        "capacitor-electron://-",
        "app://.",
        "app://obsidian.md",
        "wails://wails.localhost:34115",
        "com.example.app://localhost",
        "chrome-extension://abcdefghijklmnopabcdefghijklmnop",
        "moz-extension://1f1a52a7-6ae6-4f2c-8f1a-52a76ae64f2c",
        "safari-web-extension://1F1A52A7-6AE6-4F2C-8F1A-52A76AE64F2C",
        "vscode-webview://0abc1def",
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
        "https://*",
        "https://*.com",
        "https://*.",
        "https://*example.com",
        "https://app-*.example.com",
        "https://*.*.example.com",
        "https://app.*.example.com",
        "https://*.example.com/",
        "http://*.example.com",
        "*://app.example.com",
        "capacitor://",
        "capacitor://*",
        "capacitor://*.example",
        "capacitor://localhost/",
        "capacitor://localhost:0",
        "Capacitor://localhost",
        "1app://localhost",
        "://localhost",
        "capacitor:localhost",
        "file://",
        "file://localhost",
        "data://x",
        "wss://app.example.com",
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
    for reserved in ["daypass:account", "a daypass:other", "claim:tenant"] {
        let error = clients(reserved).unwrap_err();
        assert_eq!(error, "the scope of `web` has a word that begins with daypass: or claim:");
    }
}

#[test]
fn a_wildcard_stands_for_one_label() {
    let origin = Origin::parse("https://*.preview.example.com").unwrap();
    for included in ["https://pr-7.preview.example.com", "https://a.preview.example.com"] {
        assert!(origin.includes(included), "{included}");
    }
    for other in [
        "",
        "https://preview.example.com",
        "https://.preview.example.com",
        "https://a.b.preview.example.com",
        "https://A.preview.example.com",
        "http://a.preview.example.com",
        "https://a.preview.example.com:8443",
        "https://a.preview.example.com.evil.example",
        "https://evil.example/.preview.example.com",
        "https://evil.example#.preview.example.com",
        "https://evil@.preview.example.com",
        "https://*.preview.example.com",
        "null",
    ] {
        assert!(!origin.includes(other), "{other}");
    }
    let local = Origin::parse("http://*.localhost:3000").unwrap();
    assert!(local.includes("http://tenant.localhost:3000") && !local.includes("http://tenant.localhost"));
}

/// invariant: A cookie client names each origin of its pages, and each is on the web.
#[test]
fn origins_of_apps_and_wildcards_are_for_body_clients() {
    for (origin, why) in [
        ("capacitor://localhost", "has the scheme of an app"),
        ("chrome-extension://abcdefghijklmnopabcdefghijklmnop", "has the scheme of an app"),
        ("https://*.preview.example.com", "has a wildcard"),
    ] {
        let clients = |transport: &str| {
            let origins = format!(r#"["https://app.example.com","{origin}"]"#);
            Clients::parse(&format!(
                r#"[{{"client_id":"app","transport":"{transport}","origins":{origins}}}]"#
            ))
        };
        assert!(clients("body").unwrap().allow_origin(&origin.replace('*', "pr-7")), "{origin}");
        let error = clients("cookie").unwrap_err();
        let expected =
            format!("the origin `{origin}` of `app` {why}, which only a client with the transport body");
        assert!(error.starts_with(&expected), "{error}");
    }
}
