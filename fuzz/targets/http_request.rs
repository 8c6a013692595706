//! Requests to `login`, `refresh`, `revoke`, `sessions` and `password`. The input is a request line and headers, an empty
//! line, and the body.
#![no_main]

use daypass_core::client::Clients;
use daypass_core::flow::issue::TokenIssuer;
use daypass_core::flow::login::LoginRequest;
use daypass_core::flow::password::PasswordRequest;
use daypass_core::flow::revoke::RevokeRequest;
use daypass_core::flow::sessions::SessionsRequest;
use daypass_core::http::answer::refusal;
use daypass_core::http::browser::Page;
use daypass_core::http::dpop::Proofs;
use daypass_core::http::forms::TokenRequest;
use daypass_core::http::request::Request;
use daypass_fuzz::{AUDIENCE, KEYS, NOW, issuer, parts};
use daypass_passwords::Passwords;
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;
use std::time::Duration;

static CLIENTS: LazyLock<Clients> = LazyLock::new(|| {
    Clients::parse(
        r#"[{"client_id":"app"},{"client_id":"web","transport":"cookie","origins":["https://app.example.com"]}]"#,
    )
    .unwrap()
});

static ISSUER: LazyLock<TokenIssuer> =
    LazyLock::new(|| TokenIssuer::new(&KEYS, &issuer(), AUDIENCE, Duration::from_secs(300)).unwrap());

static PASSWORDS: LazyLock<Passwords> = LazyLock::new(Passwords::standard);

fn request(head: &[u8], body: &[u8]) -> Option<Request> {
    let mut lines = head.split(|byte| *byte == b'\n');
    let line = std::str::from_utf8(lines.next()?).ok()?;
    let (method, uri) = line.split_once(' ')?;
    let mut builder = http::Request::builder().method(method).uri(uri);
    for header in lines {
        let at = header.iter().position(|byte| *byte == b':')?;
        builder = builder.header(&header[..at], header[at + 1..].trim_ascii());
    }
    builder.body(body.to_vec()).ok()
}

fuzz_target!(|input: &[u8]| {
    let Some([head, body]) = parts(input) else { return };
    let Some(request) = request(head, body) else { return };
    let _ = Page::of(&request);
    // A parser takes the body out of its request.
    let copy = || request.clone();
    let proofs = Proofs { issuer: &ISSUER, origins: &[], now: NOW };
    let errors = [
        LoginRequest::parse(&mut copy(), &CLIENTS, &*PASSWORDS, &proofs).err(),
        TokenRequest::parse(&mut copy(), &CLIENTS, &proofs).err(),
        RevokeRequest::parse(&mut copy(), &CLIENTS).err(),
        PasswordRequest::parse(&mut copy(), &CLIENTS).err(),
        SessionsRequest::parse(&request).err(),
    ];
    for error in errors.iter().flatten() {
        let response = refusal(error);
        assert!(response.status().is_client_error(), "{error:?}");
    }
});
