//! The machine of an operator, as people reported it to other tools: proxies, certificates, clocks, credentials and pipes.

use crate::bench::{Bench, Daypass, PASSWORD, Run, daypass};
use daypass_testkit::account::Account;
use daypass_testkit::tls::Tls;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;

/// A server that gives every request this response. Returns its URL.
fn answering(response: &'static str) -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 16_384]).unwrap();
            let _ = stream.write_all(response.as_bytes());
        }
    });
    url
}

/// A response of AWS in JSON, which a client with the query protocol reads too.
macro_rules! aws_error {
    ($code:literal, $message:literal) => {
        concat!(
            "HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-type: application/x-amz-json-1.0\r\n\r\n",
            "{\"__type\":\"com.amazon.coral.service#", $code, "\",\"message\":\"", $message, "\"}"
        )
    };
}

fn with_keys(daypass: Daypass) -> Daypass {
    let daypass = daypass.env("AWS_ACCESS_KEY_ID", "key").env("AWS_SECRET_ACCESS_KEY", "secret");
    daypass.env("AWS_REGION", "eu-west-1")
}

/// The errors of a command that reads a stack, and of one that reads the store, with this change of the environment.
fn failures(bench: &Bench, change: impl Fn(Daypass) -> Daypass) -> [Run; 2] {
    [&["user", "list", "--stack", "daypass"][..], &["user", "list"]].map(|args| {
        let run = change(daypass(bench.folder.path(), args)).run();
        assert_eq!((run.code, run.out.as_str()), (1, ""), "{run:?}");
        assert_eq!(run.err.lines().count(), 2, "an error and a hint: {run:?}");
        assert!(!run.err.contains('\u{fffd}'), "{run:?}");
        run
    })
}

/// awslabs/aws-sdk-rust#1033, aws/aws-sdk-go#859: a clock that is set by hand, or that stood still in a virtual machine.
#[test]
fn a_wrong_clock_is_named() {
    let bench = Bench::new();
    for response in [
        aws_error!(
            "InvalidSignatureException",
            "Signature expired: 20260101T000000Z is now earlier than 20260102T000000Z"
        ),
        aws_error!(
            "InvalidSignatureException",
            "Signature not yet current: 20260102T000000Z is still later than 20260101T000000Z"
        ),
    ] {
        let url = answering(response);
        for run in failures(&bench, |daypass| with_keys(daypass).env("AWS_ENDPOINT_URL", &url)) {
            assert!(run.err.contains("hint: set the clock of this machine"), "{run:?}");
        }
    }
}

/// udondan/cfn-teleport#6: credentials that expired since they were exported.
#[test]
fn expired_credentials_are_named() {
    let bench = Bench::new();
    let url = answering(aws_error!(
        "ExpiredTokenException",
        "The security token included in the request is expired"
    ));
    for run in failures(&bench, |daypass| with_keys(daypass).env("AWS_ENDPOINT_URL", &url)) {
        assert!(run.err.contains("hint: sign in again"), "{run:?}");
    }
}

/// awslabs/aws-sdk-rust#979, rusoto/rusoto#167: no credentials at all.
#[test]
fn missing_credentials_are_named() {
    let bench = Bench::new();
    for run in failures(&bench, |daypass| daypass.env("AWS_REGION", "eu-west-1")) {
        assert!(run.err.contains("no AWS credentials") && run.err.contains("AWS_PROFILE"), "{run:?}");
    }
}

/// smithy-lang/smithy-rs#4565, rusoto/rusoto#1589: variables from a file with CRLF.
#[test]
fn line_breaks_in_credentials_end_in_an_error() {
    let (bench, url) = (Bench::new(), answering("HTTP/1.1 500 x\r\nconnection: close\r\n\r\n"));
    for name in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_REGION"] {
        let change = |daypass| with_keys(daypass).env("AWS_ENDPOINT_URL", &url).env(name, "eu-west-1\r");
        for run in failures(&bench, change) {
            // The SDK trims the token, and `daypass` the region.
            let is_trimmed = ["AWS_SESSION_TOKEN", "AWS_REGION"].contains(&name);
            let error = if is_trimmed { "500" } else { "contain a space, a line break" };
            assert!(run.err.contains(error), "{name}: {run:?}");
        }
    }
}

/// aws/aws-cli#6130, aws/aws-sdk-java#2526: a proxy of the environment, and credentials of this machine, such as those of
/// `aws-vault exec --ecs-server`.
#[test]
fn credentials_of_this_machine_are_behind_no_proxy() {
    let bench = Bench::new();
    bench.add("alice");
    let credentials = answering(
        "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: application/json\r\n\r\n\
         {\"AccessKeyId\":\"key\",\"SecretAccessKey\":\"secret\",\"Token\":\"t\",\"Expiration\":\"2099-01-01T00:00:00Z\"}",
    );
    let show = daypass(bench.folder.path(), &["user", "show", "alice"]).env("AWS_REGION", "eu-west-1");
    let show = show.env("AWS_ENDPOINT_URL_DYNAMODB", bench.url()).env("HTTP_PROXY", "http://127.0.0.1:1");
    assert!(
        show.env("AWS_CONTAINER_CREDENTIALS_FULL_URI", format!("{credentials}/creds")).ok().contains("alice")
    );
}

/// slothflowlabs/duckle#14, aws/aws-sdk-js#2970, huseyinbabal/taws#88: a proxy that inspects TLS.
#[test]
fn the_certificates_of_aws_ca_bundle_are_trusted() {
    let bench = Bench::new();
    bench.add("alice");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let tls = runtime.block_on(Tls::listen());
    tls.forward_to(&bench.url());
    let inspected = |daypass: Daypass| with_keys(daypass).env("AWS_ENDPOINT_URL", tls.url());
    let show = inspected(daypass(bench.folder.path(), &["user", "show", "alice"]));
    assert!(show.env("AWS_CA_BUNDLE", tls.certificate()).ok().contains("alice"));
    let broken = bench.folder.path().join("broken.pem");
    std::fs::write(&broken, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
    for bundle in ["", "no/such/file.pem", broken.to_str().unwrap()] {
        for run in failures(&bench, |daypass| inspected(daypass).env("AWS_CA_BUNDLE", bundle)) {
            assert!(
                run.err.contains("hint: if a proxy inspects TLS, set AWS_CA_BUNDLE"),
                "{bundle}: {run:?}"
            );
        }
    }
}

/// aws/aws-cli#5640, aws/aws-cli#868: a proxy that needs a password, or forbids the host.
#[test]
fn a_proxy_that_rejects_is_named() {
    let bench = Bench::new();
    for response in [
        "HTTP/1.1 407 Proxy Authentication Required\r\nproxy-authenticate: Basic\r\nconnection: close\r\n\r\n",
        "HTTP/1.1 403 Forbidden\r\nconnection: close\r\n\r\n",
    ] {
        let proxy = answering(response);
        for run in failures(&bench, |daypass| with_keys(daypass).env("HTTPS_PROXY", &proxy)) {
            assert!(run.err.contains("hint: check HTTPS_PROXY"), "{run:?}");
        }
    }
}

/// aws/aws-cli#1270, hashicorp/terraform-provider-aws#32649, Sceptre/sceptre#878: endpoints in a profile.
#[test]
fn endpoints_of_a_profile_are_used() {
    let (bench, account) = (Bench::new(), Account::start().unwrap());
    bench.add("alice");
    let config = bench.folder.path().join("config");
    let services = format!(
        "[profile local]\nregion = eu-west-1\naws_access_key_id = key\naws_secret_access_key = secret\nservices = local\n\
         [services local]\ncloudformation =\n  endpoint_url = {}\ndynamodb =\n  endpoint_url = {}/\n",
        account.url(),
        bench.url(),
    );
    let one = format!(
        "[profile local]\nregion = eu-west-1\naws_access_key_id = key\naws_secret_access_key = secret\nendpoint_url = {}\n",
        account.url()
    );
    for (text, args) in [
        (&services, &["user", "show", "alice", "--stack", "daypass"][..]),
        (&one, &["doctor", "--stack", "daypass"]),
    ] {
        std::fs::write(&config, text).unwrap();
        let run = daypass(bench.folder.path(), args).env("AWS_CONFIG_FILE", &config);
        run.env("AWS_PROFILE", "local").env("HTTP_PROXY", "http://127.0.0.1:1").ok();
    }
}

/// aws/aws-cli#4374, aws/aws-cli#9075, barnybug/cli53#149: a home that is read-only, or that the environment does not name.
#[test]
fn no_home_is_needed() {
    let bench = Bench::new();
    bench.add("alice");
    let home = bench.folder.path().join("home");
    std::fs::create_dir(&home).unwrap();
    std::fs::set_permissions(&home, PermissionsExt::from_mode(0o555)).unwrap();
    for home in [home.to_str().unwrap(), "/nonexistent", ""] {
        let show = with_keys(daypass(bench.folder.path(), &["user", "show", "alice"])).env("HOME", home);
        assert!(show.env("AWS_ENDPOINT_URL", bench.url()).ok().contains("alice"), "{home}");
    }
    let mut show = with_keys(daypass(bench.folder.path(), &["user", "show", "alice"]));
    show.command.env_remove("HOME");
    assert!(show.env("AWS_ENDPOINT_URL", bench.url()).ok().contains("alice"));
}

/// ihabunek/toot#4, httpie/cli#42: a pipe, and a locale without UTF-8.
#[test]
fn names_are_utf_8_in_every_locale() {
    let bench = Bench::new();
    bench.add("zoë");
    for locale in ["C", "POSIX", "de_DE.ISO-8859-1"] {
        let list = bench.daypass(&["user", "list"]).env("LC_ALL", locale).env("TERM", "dumb");
        assert!(list.ok().contains("zoë"), "{locale}");
    }
}

/// Eppie-io/Eppie-CLI#622, mojotech/pullr#33: the byte order mark and the line break of Windows.
#[test]
fn a_password_from_windows_is_the_one_that_was_typed() {
    let bench = Bench::new();
    for (name, input) in [("crlf", format!("{PASSWORD}\r\n")), ("bom", format!("\u{feff}{PASSWORD}\r\n"))] {
        bench.daypass(&["user", "add", name, "--password-stdin"]).stdin(&input).ok();
        assert!(bench.accepts(&bench.user(name).unwrap(), PASSWORD), "{name}");
    }
}
