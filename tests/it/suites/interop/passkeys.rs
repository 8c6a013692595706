//! The client and the authenticator of the crate `passkey` (1Password): a browser with a passkey. The functions run in the process of
//! the test.

use super::programs::{Judged, Source, tool};
use super::tell;
use crate::passkeys::{claims, json_request, options, outcome, refusals, reject_changes, service};
use data_encoding::BASE64URL_NOPAD;
use daypass_core::keys::{Document, RefreshKeys};
use daypass_core::passkey::ceremony::{Assertion, Attestation, Ceremony};
use daypass_core::passkey::challenge::Purpose;
use daypass_core::passkey::relying_party::RelyingParty;
use daypass_core::passkey::{Credential, Fault};
use daypass_core::ports::passkey::PasskeyRefusal;
use daypass_runtime::OsEntropy;
use daypass_testkit::Answer;
use daypass_tests::authenticator::{Authenticator, ORIGIN, RP_ID, text};
use daypass_tests::bench::NOW;
use daypass_tests::service::Service;
use daypass_verifier::base::ids::UserId;
use daypass_verifier::jose::jwk::Algorithm;
use serde_json::{Value, json};
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// The program `tests/interop/rust/src/authenticator.rs`.
struct Browser {
    _program: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Browser {
    /// A page of this origin, and an authenticator without a passkey.
    fn open(origin: &str, algorithm: &str, person: &str) -> Self {
        let mut command = Command::new(tool("DAYPASS_TEST_RUST_PROGRAMS").join("authenticator"));
        command.args([origin, algorithm, person]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut program = command.kill_on_drop(true).spawn().unwrap();
        let (input, output) = (program.stdin.take().unwrap(), program.stdout.take().unwrap());
        Self { _program: program, input, output: BufReader::new(output).lines() }
    }

    async fn ask(&mut self, request: &Value) -> Value {
        self.input.write_all(format!("{request}\n").as_bytes()).await.unwrap();
        let line = self.output.next_line().await.unwrap().unwrap();
        serde_json::from_str(&line).unwrap()
    }

    /// The response to `navigator.credentials.create` with these options, or the error.
    async fn create(&mut self, options: &Value) -> Value {
        self.ask(&json!({ "create": options })).await
    }

    /// The response to `navigator.credentials.get` with these options, or the error.
    async fn get(&mut self, options: &Value) -> Value {
        self.ask(&json!({ "get": options })).await
    }
}

/// The options of a registration.
async fn begin(service: &Service, access: &str) -> Value {
    let begun = service.send_as(access, json_request("POST", "/factors/passkeys/options", &json!({}))).await;
    assert_eq!(begun.status, 200, "{begun:?}");
    begun.json()
}

/// Registers the passkey of a browser for a new user.
async fn register(service: &Service, name: &str, browser: &mut Browser) {
    service.quick_user(name).await;
    let access = service.login(name).await.access_token();
    let passkey = browser.create(&begin(service, &access).await).await;
    let body = json!({ "name": "1Password", "passkey": passkey });
    let added = service.send_as(&access, json_request("POST", "/factors/passkeys", &body)).await;
    assert_eq!(added.status, 200, "{added:?} {passkey}");
}

async fn log_in(service: &Service, browser: &mut Browser) -> Answer {
    let passkey = browser.get(&options(service).await).await;
    service.post("/login/passkey", &json!({ "passkey": passkey })).await
}

/// The second step of a login with the password.
async fn second_step(service: &Service, name: &str, browser: &mut Browser) -> Answer {
    let first = service.login(name).await;
    assert_eq!(first.outcome(), outcome(403, "mfa_required"));
    let passkey = browser.get(&first.json()["passkey"]).await;
    let body = json!({ "mfa_token": first.text("mfa_token"), "passkey": passkey });
    service.post("/login/factor", &body).await
}

/// invariant: The passkey of another project's client and authenticator (1Password's passkey-rs) is registered, logs in without a name, and is a second factor.
#[tokio::test(flavor = "multi_thread")]
async fn a_passkey_of_another_project() {
    for algorithm in ["ES256", "EdDSA"] {
        let (_db, service) = service().await;
        let mut browser = Browser::open(ORIGIN, algorithm, "verify");
        register(&service, "ada", &mut browser).await;
        // The signature counter grows.
        for _ in 0..2 {
            let done = log_in(&service, &mut browser).await;
            assert_eq!(done.status, 200, "{algorithm} {done:?}");
            assert_eq!((&claims(&done)["amr"], &claims(&done)["acr"]), (&json!(["pop", "mfa"]), &json!("2")));
        }
        let done = second_step(&service, "ada", &mut browser).await;
        assert_eq!((done.status, &claims(&done)["acr"]), (200, &json!("2")), "{algorithm} {done:?}");
        // A second passkey of the same authenticator: the options exclude it.
        let again = browser.create(&begin(&service, &done.access_token()).await).await;
        // CTAP2_ERR_CREDENTIAL_EXCLUDED is 0x19.
        assert_eq!(again, json!({ "error": "AuthenticatorError(25)" }));
    }
}

/// An authenticator without user verification: the password is the other factor.
#[tokio::test(flavor = "multi_thread")]
async fn a_passkey_of_another_project_without_user_verification() {
    let (_db, service) = service().await;
    let mut browser = Browser::open(ORIGIN, "ES256", "touch");
    register(&service, "ada", &mut browser).await;
    let done = second_step(&service, "ada", &mut browser).await;
    let claims = claims(&done);
    assert_eq!((&claims["amr"], &claims["acr"]), (&json!(["pwd", "pop", "mfa"]), &json!("2")), "{done:?}");
}

/// The client refuses the page of another domain. It accepts another page of the domain, and the service rejects its origin.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_another_origin_gets_nothing() {
    let (_db, service) = service().await;
    service.quick_user("ada").await;
    let access = service.login("ada").await.access_token();
    let begun = begin(&service, &access).await;
    let elsewhere = Browser::open("https://example.org", "ES256", "verify").create(&begun).await;
    assert!(elsewhere["error"].is_string(), "{elsewhere}");
    let passkey = Browser::open("https://blog.example.com", "ES256", "verify").create(&begun).await;
    let body = json!({ "name": "x", "passkey": passkey });
    let _ = service.journal.take();
    let added = service.send_as(&access, json_request("POST", "/factors/passkeys", &body)).await;
    assert_eq!(added.outcome(), outcome(400, "wrong_passkey"), "{passkey}");
    assert_eq!(refusals(&service), [PasskeyRefusal::Response(Fault::Origin)]);
}

/// invariant: No changed response of another project's authenticator opens a session or fails the service.
#[tokio::test(flavor = "multi_thread")]
async fn changed_responses_of_another_project_are_rejected() {
    let (_db, service) = service().await;
    let mut browser = Browser::open(ORIGIN, "ES256", "verify");
    register(&service, "ada", &mut browser).await;
    let access = log_in(&service, &mut browser).await.access_token();
    let login = json!({ "passkey": browser.get(&options(&service).await).await });
    let mut other = Browser::open(ORIGIN, "ES256", "verify");
    let registration = json!({ "name": "x", "passkey": other.create(&begin(&service, &access).await).await });
    let ada = service.bench.store.user(&daypass_tests::bench::username("ada")).await.unwrap().unwrap();
    reject_changes(&service, &ada, &access, &login, &registration).await;
}

const ALICE: UserId = UserId::from_bytes([1; 16]);

/// A member of a response.
fn bytes(response: &Value, pointer: &str) -> Vec<u8> {
    BASE64URL_NOPAD.decode(response.pointer(pointer).unwrap().as_str().unwrap().as_bytes()).unwrap()
}

/// A response with its name, the credential that it shows, and our verdict.
struct Case {
    name: String,
    challenge: String,
    response: Value,
    credential: Option<Credential>,
    ours: Result<(), Fault>,
}

/// Judges responses of the authenticator in `tests/src`.
struct Judge {
    party: RelyingParty,
    keys: RefreshKeys,
    cases: Vec<Case>,
}

impl Judge {
    fn ceremony(&self, purpose: Purpose) -> Ceremony<'_> {
        Ceremony { party: &self.party, keys: &self.keys, purpose, now: NOW }
    }

    /// A registration. Returns the credential if we accept it.
    fn create(&mut self, name: String, authenticator: &mut Authenticator, rp_id: &str) -> Option<Credential> {
        let ceremony = self.ceremony(Purpose::Registration(ALICE));
        let challenge = ceremony.challenge(&OsEntropy);
        let options = json!({
            "challenge": challenge, "rp": { "id": rp_id }, "user": { "id": text(ALICE.as_bytes()) },
        });
        let mut response = authenticator.create(&options);
        let data = bytes(&response, "/response/authenticatorData");
        let attestation = Attestation {
            id: bytes(&response, "/id"),
            client_data: bytes(&response, "/response/clientDataJSON"),
            authenticator_data: data.clone(),
        };
        let made = ceremony.register(&attestation, ALICE).map(|(credential, _)| credential);
        // {"fmt": "none", "attStmt": {}, "authData": data} in CBOR.
        let head = b"\xa3\x63fmt\x64none\x67attStmt\xa0\x68authData\x58";
        let object = [head.as_slice(), &[u8::try_from(data.len()).unwrap()], &data].concat();
        response["response"]["attestationObject"] = text(&object);
        let ours = made.as_ref().map(|_| ()).map_err(|fault| *fault);
        self.cases.push(Case { name, challenge, response, credential: None, ours });
        made.ok()
    }

    /// A login without a name.
    fn get(&mut self, name: String, authenticator: &mut Authenticator, rp_id: &str, stored: &Credential) {
        let ceremony = self.ceremony(Purpose::Login);
        let challenge = ceremony.challenge(&OsEntropy);
        let response = authenticator.get(&json!({ "challenge": challenge, "rpId": rp_id }));
        let assertion = Assertion {
            id: bytes(&response, "/id"),
            client_data: bytes(&response, "/response/clientDataJSON"),
            authenticator_data: bytes(&response, "/response/authenticatorData"),
            signature: bytes(&response, "/response/signature"),
            user_handle: Some(bytes(&response, "/response/userHandle")),
        };
        let presented = ceremony.authenticate(&assertion);
        let ours = presented.and_then(|presented| presented.verify(stored)).map(|_| ());
        self.cases.push(Case { name, challenge, response, credential: Some(stored.clone()), ours });
    }
}

/// Responses with every combination of flags, and with other counters, relying parties and keys.
fn cases() -> Vec<Case> {
    let document = Document::generate(Algorithm::Es256, &OsEntropy, NOW).unwrap();
    let keys = RefreshKeys::from_document(&document).unwrap();
    let party = RelyingParty::parse(RP_ID, ORIGIN).unwrap();
    let mut judge = Judge { party, keys, cases: Vec::new() };
    for flipped in 0..=255 {
        let mut authenticator = Authenticator::new(true);
        authenticator.flipped = flipped;
        judge.create(format!("registration, {flipped:#04x}"), &mut authenticator, RP_ID);
    }
    judge.create("registration at another domain".to_owned(), &mut Authenticator::new(true), "example.org");
    // Once a passkey of one device, and once one that can be copied (BE).
    for eligible in [0, 0x08] {
        let mut authenticator = Authenticator::new(true);
        authenticator.flipped = eligible;
        let stored = judge.create("registration".to_owned(), &mut authenticator, RP_ID).unwrap();
        let stored = Credential { sign_count: 100, ..stored };
        for flipped in 0..=255 {
            (authenticator.flipped, authenticator.count) = (flipped, Some(101));
            judge.get(
                format!("login of {eligible:#04x}, {flipped:#04x}"),
                &mut authenticator,
                RP_ID,
                &stored,
            );
        }
        authenticator.flipped = eligible;
        for (count, before) in [(0, 0), (0, 100), (99, 100), (100, 100), (u32::MAX - 1, 100), (1, 0)] {
            let stored = Credential { sign_count: before, ..stored.clone() };
            authenticator.count = Some(count);
            judge.get(format!("login, {count} after {before}"), &mut authenticator, RP_ID, &stored);
        }
        authenticator.count = Some(101);
        judge.get("login at another domain".to_owned(), &mut authenticator, "example.org", &stored);
        let mut other = Authenticator::new(true);
        let another = judge.create("registration".to_owned(), &mut other, RP_ID).unwrap();
        let forged = Credential { public_key: another.public_key, ..stored };
        authenticator.count = Some(101);
        judge.get("login with another key".to_owned(), &mut authenticator, RP_ID, &forged);
    }
    judge.cases
}

/// invariant: The verdicts on responses of authenticators are those of another implementation (SimpleWebAuthn), apart from the checks that it leaves out.
#[tokio::test(flavor = "multi_thread")]
async fn verdicts_agree_with_another_verifier() {
    let cases = cases();
    let inputs: Vec<Value> = cases
        .iter()
        .map(|case| {
            let credential = case.credential.as_ref().map(|credential| {
                json!({
                    "id": text(&credential.id), "public_key": text(credential.public_key.as_bytes()),
                    "counter": credential.sign_count,
                })
            });
            json!({ "challenge": case.challenge, "response": case.response, "credential": credential })
        })
        .collect();
    let input = json!({ "origin": ORIGIN, "rp_id": RP_ID, "cases": inputs });
    let Judged { library, version, verdicts } =
        Source::Node("simplewebauthn.mjs").find().judged(&input).await;
    assert_eq!(verdicts.len(), cases.len());
    let both = cases.iter().zip(&verdicts).filter(|(case, theirs)| case.ours.is_ok() && **theirs).count();
    for (case, theirs) in cases.iter().zip(verdicts) {
        // It does not compare the flag BE with that of the registration (section 7.2, step 19).
        let is_left_out = case.ours == Err(Fault::Backup) && case.credential.is_some() && theirs;
        assert!(case.ours.is_ok() == theirs || is_left_out, "{}: {:?}, {theirs}", case.name, case.ours);
    }
    assert!(both >= 40, "{both} are accepted by both");
    tell(&format!("  {library} {version}: {} verdicts, {both} of them good", cases.len()));
}
