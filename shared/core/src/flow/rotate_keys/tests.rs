//! Rotations over a vault in memory, broken off at every request.

use super::*;
use crate::keys::rotation::Rules;
use crate::secret::Secret;
use crate::testing::{NOW, Seeded};
use daypass_verifier::base::time::{Clock, Timestamp};
use daypass_verifier::jose::jwk::Algorithm;
use daypass_verifier::ports::journal::Journal;
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::time::Duration;

const PUBLISHED: Duration = Duration::from_secs(10_800);
const MONTH: Duration = Duration::from_secs(30 * 24 * 3600);

type Versions = BTreeMap<String, (Option<String>, Vec<Stage>)>;

/// Secrets Manager, whose answers can be lost before or after a request took effect.
#[derive(Clone, Default)]
struct Memory {
    secrets: Arc<Mutex<BTreeMap<String, Versions>>>,
    requests: Arc<AtomicUsize>,
    /// The request that is lost, and whether it takes effect all the same.
    lost: Arc<Mutex<Option<(usize, bool)>>>,
    /// What another party does just before the request of that number.
    meanwhile: Arc<Mutex<Option<(usize, Meanwhile)>>>,
}

type Meanwhile = Box<dyn FnOnce() + Send>;

impl Memory {
    fn request<R>(&self, work: impl FnOnce(&mut BTreeMap<String, Versions>) -> R) -> Result<R, VaultError> {
        let number = self.requests.fetch_add(1, Ordering::SeqCst);
        let meanwhile = self.meanwhile.lock().unwrap().take_if(|(at, _)| *at == number);
        if let Some((_, meanwhile)) = meanwhile {
            meanwhile();
        }
        let mut secrets = self.secrets.lock().unwrap();
        match *self.lost.lock().unwrap() {
            Some((lost, false)) if lost == number => Err(lost_answer()),
            Some((lost, true)) if lost == number => {
                work(&mut secrets);
                Err(lost_answer())
            }
            _ => Ok(work(&mut secrets)),
        }
    }

    /// What Secrets Manager does before the first step.
    fn begin(&self, secret: &str, version: &str) {
        let mut secrets = self.secrets.lock().unwrap();
        let versions = secrets.entry(secret.to_owned()).or_default();
        label(versions, version, Stage::Pending);
    }

    fn current(&self, secret: &str) -> Option<String> {
        let secrets = self.secrets.lock().unwrap();
        let mut versions = secrets.get(secret)?.values();
        versions.find(|(_, stages)| stages.contains(&Stage::Current))?.0.clone()
    }

    fn document(&self, section: Section) -> Document {
        Document::parse(self.current(section.name()).unwrap().as_bytes()).unwrap()
    }

    fn published(&self) -> Jwks {
        Jwks::parse(self.current("jwks").unwrap().as_bytes()).unwrap()
    }
}

fn lost_answer() -> VaultError {
    let reason = "no answer in time".to_owned();
    VaultError::Failed { operation: "Any", secret: "any".to_owned(), source: reason.clone().into(), reason }
}

/// Moves a label, as Secrets Manager does: one version has it.
fn label(versions: &mut Versions, version: &str, stage: Stage) {
    for (_, stages) in versions.values_mut() {
        stages.retain(|other| *other != stage);
    }
    versions.entry(version.to_owned()).or_default().1.push(stage);
}

impl Vault for Memory {
    async fn stages(&self, secret: &str, version: &str) -> Result<Option<Vec<Stage>>, VaultError> {
        self.request(|secrets| Some(secrets.get(secret)?.get(version)?.1.clone()))
    }

    async fn read(&self, secret: &str, which: Which<'_>) -> Result<Option<(String, Secret)>, VaultError> {
        self.request(|secrets| {
            let mut versions = secrets.get(secret)?.iter();
            let (id, (value, _)) = versions.find(|(id, (_, stages))| match which {
                Which::Current => stages.contains(&Stage::Current),
                Which::Pending => stages.contains(&Stage::Pending),
                Which::Version(wanted) => *id == wanted,
            })?;
            Some((id.clone(), Secret::new(value.clone()?.into_bytes())))
        })
    }

    async fn is_new(&self, secret: &str) -> Result<bool, VaultError> {
        self.request(|secrets| secrets.get(secret).is_none_or(BTreeMap::is_empty))
    }

    async fn write(
        &self,
        secret: &str,
        version: &str,
        value: &str,
        stages: &[Stage],
    ) -> Result<(), VaultError> {
        self.request(|secrets| {
            let versions = secrets.entry(secret.to_owned()).or_default();
            for stage in stages {
                label(versions, version, *stage);
            }
            versions.entry(version.to_owned()).or_default().0.get_or_insert_with(|| value.to_owned());
        })
    }

    async fn promote(&self, secret: &str, from: &str, to: &str) -> Result<bool, VaultError> {
        self.request(|secrets| {
            let versions = secrets.get_mut(secret).unwrap();
            let there = versions.get(from).is_some_and(|(_, stages)| stages.contains(&Stage::Current));
            if there {
                label(versions, to, Stage::Current);
            }
            there
        })
    }

    async fn discard(&self, secret: &str, version: &str) -> Result<(), VaultError> {
        self.request(|secrets| {
            let versions = secrets.get_mut(secret).unwrap();
            versions.get_mut(version).unwrap().1.retain(|stage| *stage != Stage::Pending);
        })
    }
}

/// A clock that a test sets.
#[derive(Clone)]
struct Now(Arc<AtomicU64>);

impl Clock for Now {
    fn now(&self) -> Timestamp {
        Timestamp::from_seconds(self.0.load(Ordering::SeqCst))
    }
}

/// Keeps the names of the events.
#[derive(Clone, Default)]
struct Names(Arc<Mutex<Vec<String>>>);

impl Journal<Event> for Names {
    fn record(&self, event: &Event, _: &Caller) {
        let value = serde_json::to_value(event).unwrap();
        self.0.lock().unwrap().push(value["event"].as_str().unwrap().to_owned());
    }
}

struct Stack {
    vault: Memory,
    now: Now,
    names: Names,
    rotate: RotateKeys<Memory>,
}

impl Stack {
    fn new() -> Self {
        let (vault, names) = (Memory::default(), Names::default());
        let now = Now(Arc::new(AtomicU64::new(NOW.seconds())));
        let context = Context {
            clock: Box::new(now.clone()),
            entropy: Box::new(Seeded::new(1)),
            journal: Box::new(names.clone()),
        };
        let config = RotateKeysConfig {
            signing_secret: "signing".to_owned(),
            refresh_secret: "refresh".to_owned(),
            peppers_secret: "peppers".to_owned(),
            jwks_secret: "jwks".to_owned(),
            rules: Rules { published_for: PUBLISHED, algorithm: Algorithm::Es256 },
        };
        let rotate = RotateKeys { config, vault: vault.clone(), context };
        Self { vault, now, names, rotate }
    }

    fn deployed() -> Self {
        let stack = Self::new();
        stack.call(&json!({ "RequestType": "Create" })).unwrap();
        stack.names.0.lock().unwrap().clear();
        stack
    }

    fn call(&self, event: &serde_json::Value) -> Result<Done, Failure> {
        // A vault in memory never waits.
        let mut future = std::pin::pin!(self.rotate.run(event));
        match future.as_mut().poll(&mut std::task::Context::from_waker(Waker::noop())) {
            Poll::Ready(done) => done,
            Poll::Pending => unreachable!("nothing to wait for"),
        }
    }

    fn step(&self, step: &str, section: Section, version: &str) -> Result<Done, Failure> {
        self.call(&json!({ "Step": step, "SecretId": section.name(), "ClientRequestToken": version }))
    }

    fn pass(&self, time: Duration) {
        self.now.0.fetch_add(time.as_secs(), Ordering::SeqCst);
    }

    fn rotated(&self, section: Section, version: &str) -> Result<(), Failure> {
        self.vault.begin(section.name(), version);
        for step in STEPS {
            self.step(step, section, version)?;
        }
        Ok(())
    }

    fn names(&self) -> Vec<String> {
        std::mem::take(&mut self.names.0.lock().unwrap())
    }
}

const STEPS: [&str; 4] = ["createSecret", "setSecret", "testSecret", "finishSecret"];

fn kid(document: &Document, status: Status) -> String {
    document.summary().into_iter().find(|key| key.status == status).unwrap().kid
}

#[test]
fn a_stack_makes_its_keys_once() {
    let stack = Stack::new();
    let done = stack.call(&json!({ "RequestType": "Create" })).unwrap();
    assert_eq!(stack.names(), ["keys.made"; 3]);
    assert_eq!(done.jwks, stack.vault.current("jwks"));
    assert_eq!(stack.vault.published().iter().count(), 2, "the active key and the next one");
    let before: Vec<_> = Section::ALL.map(|section| stack.vault.current(section.name())).into();
    for event in ["Update", "Create", "Delete"] {
        stack.pass(MONTH);
        stack.call(&json!({ "RequestType": event })).unwrap();
    }
    assert_eq!(Section::ALL.map(|section| stack.vault.current(section.name())).to_vec(), before);
    assert_eq!(stack.names(), Vec::<String>::new());
}

#[test]
fn a_rotation_promotes_what_was_published() {
    for section in Section::ALL {
        let stack = Stack::deployed();
        let next = kid(&stack.vault.document(section), Status::Next);
        stack.pass(PUBLISHED);
        stack.rotated(section, "one").unwrap();
        assert_eq!(kid(&stack.vault.document(section), Status::Active), next);
        assert_eq!(stack.names(), ["keys.rotated"]);
        if section == Section::Signing {
            assert_eq!(stack.vault.published().iter().count(), 3);
        }
    }
}

#[test]
fn an_update_in_the_middle_of_a_rotation_takes_nothing_from_verifiers() {
    let stack = Stack::deployed();
    stack.pass(PUBLISHED);
    stack.vault.begin("signing", "one");
    for step in &STEPS[..3] {
        stack.step(step, Section::Signing, "one").unwrap();
    }
    let published = stack.vault.current("jwks");
    stack.call(&json!({ "RequestType": "Update" })).unwrap();
    assert_eq!(stack.vault.current("jwks"), published);
    stack.step("finishSecret", Section::Signing, "one").unwrap();
}

#[test]
fn a_key_that_is_too_young_fails_the_rotation_and_leaves_all_as_it_was() {
    let stack = Stack::deployed();
    let before = stack.vault.current("refresh");
    stack.vault.begin("refresh", "one");
    let failure = stack.step("createSecret", Section::Refresh, "one").unwrap_err();
    assert!(failure.to_string().contains("not published long enough"), "{failure}");
    assert_eq!((stack.vault.current("refresh"), stack.names()), (before, vec!["failure".to_owned()]));
    // Secrets Manager tries again, with the same version.
    stack.pass(PUBLISHED);
    stack.rotated(Section::Refresh, "one").unwrap();
}

/// Secrets Manager calls a step again until it works. Any request can be lost, before or after its effect: the rotation ends in the
/// same state. At every point, verifiers know the keys in use and the next ones.
///
/// invariant: A rotation can be repeated after the loss of any request, before or after its effect.
#[test]
fn a_rotation_survives_the_loss_of_any_request() {
    for section in Section::ALL {
        for lost in 0..30 {
            for took_effect in [false, true] {
                let stack = Stack::deployed();
                stack.pass(PUBLISHED);
                let before = stack.vault.document(section);
                stack.vault.begin(section.name(), "one");
                stack.vault.requests.store(0, Ordering::SeqCst);
                *stack.vault.lost.lock().unwrap() = Some((lost, took_effect));
                for step in STEPS {
                    if stack.step(step, section, "one").is_err() {
                        stack.step(step, section, "one").unwrap();
                    }
                    let signing = stack.vault.document(Section::Signing);
                    let published = stack.vault.published();
                    assert!(signing.jwks().iter().all(|key| published.iter().any(|other| other == key)));
                }
                let after = stack.vault.document(section);
                assert_eq!(kid(&after, Status::Active), kid(&before, Status::Next));
                assert_eq!(kid(&after, Status::Retired), kid(&before, Status::Active));
            }
        }
    }
}

#[test]
fn the_first_keys_survive_the_loss_of_any_request() {
    for lost in 0..20 {
        for took_effect in [false, true] {
            let stack = Stack::new();
            *stack.vault.lost.lock().unwrap() = Some((lost, took_effect));
            let create = json!({ "RequestType": "Create" });
            if stack.call(&create).is_err() {
                stack.call(&create).unwrap();
            }
            let signing = stack.vault.document(Section::Signing);
            assert_eq!(stack.vault.published(), signing.jwks());
        }
    }
}

#[test]
fn a_step_that_belongs_to_no_rotation_does_nothing() {
    let stack = Stack::deployed();
    stack.pass(PUBLISHED);
    for step in &STEPS[1..] {
        assert!(matches!(stack.step(step, Section::Signing, "unknown"), Err(Failure::NotPending)));
    }
    let other = json!({ "Step": "createSecret", "SecretId": "other", "ClientRequestToken": "one" });
    assert!(matches!(stack.call(&other), Err(Failure::OtherSecret)));
    stack.rotated(Section::Signing, "one").unwrap();
    let after = stack.vault.current("signing");
    for step in STEPS {
        // Already current: the answer of the last step was lost.
        stack.step(step, Section::Signing, "one").unwrap();
    }
    assert_eq!(stack.vault.current("signing"), after);
    for event in [json!({}), json!({ "RequestType": "Other" }), json!({ "cut": "everything" }), json!([])] {
        assert!(matches!(stack.call(&event), Err(Failure::Event)), "{event}");
    }
}

#[test]
fn without_a_key_set_there_is_nothing_to_rotate() {
    let stack = Stack::new();
    stack.vault.begin("signing", "one");
    let failure = stack.step("createSecret", Section::Signing, "one").unwrap_err();
    assert!(matches!(&failure, Failure::NoKeys(secret) if secret == "signing"), "{failure}");
    let cut = stack.call(&json!({ "cut": "signing" })).unwrap_err();
    assert!(matches!(&cut, Failure::NoKeys(secret) if secret == "signing"), "{cut}");
}

#[test]
fn a_cut_replaces_keys_at_once_and_ends_a_rotation_of_the_leaked_ones() {
    for section in Section::ALL {
        let stack = Stack::deployed();
        stack.pass(PUBLISHED);
        stack.vault.begin(section.name(), "one");
        stack.step("createSecret", section, "one").unwrap();
        let leaked = stack.vault.document(section);
        stack.call(&json!({ "cut": section.name() })).unwrap();
        assert_eq!(stack.names(), ["keys.cut"]);
        let cut = stack.vault.document(section);
        for status in [Status::Active, Status::Next] {
            assert!(leaked.summary().iter().all(|key| key.kid != kid(&cut, status)));
        }
        if section == Section::Signing {
            assert_eq!(stack.vault.published(), cut.jwks(), "and no leaked key");
        }
        for step in STEPS {
            assert!(matches!(stack.step(step, section, "one"), Err(Failure::NotPending)));
        }
        assert_eq!(stack.vault.document(section).summary().len(), cut.summary().len());
    }
}

/// Whenever the cut comes, in the middle of whatever step: in the end the leaked keys are nowhere, and another rotation works.
///
/// invariant: A replacement of leaked keys stands at any moment of a rotation.
#[test]
fn a_cut_at_any_moment_of_a_rotation_stands() {
    let mut met = 0;
    for at in 0..30 {
        let stack = Arc::new(Stack::deployed());
        stack.pass(PUBLISHED);
        let leaked = stack.vault.document(Section::Signing);
        stack.vault.begin("signing", "one");
        stack.vault.requests.store(0, Ordering::SeqCst);
        let other = Arc::clone(&stack);
        let cut = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&cut);
        let meanwhile: Meanwhile = Box::new(move || {
            counted.fetch_add(1, Ordering::SeqCst);
            other.call(&json!({ "cut": "signing" })).unwrap();
        });
        *stack.vault.meanwhile.lock().unwrap() = Some((at, meanwhile));
        for step in STEPS {
            let _ = stack.step(step, Section::Signing, "one");
        }
        if cut.load(Ordering::SeqCst) == 0 {
            continue;
        }
        met += 1;
        let now = stack.vault.document(Section::Signing);
        for key in leaked.summary() {
            assert!(now.summary().iter().all(|other| other.kid != key.kid), "cut before request {at}");
            assert!(
                stack.vault.published().iter().all(|other| other.kid() != key.kid),
                "cut before request {at}"
            );
        }
        assert!(now.jwks().iter().all(|key| stack.vault.published().iter().any(|other| other == key)));
        stack.pass(PUBLISHED);
        stack.rotated(Section::Signing, "two").unwrap();
    }
    assert!(met > 15, "{met} moments were tried");
}

/// The attack of a broken-off cut: the leaked key stays published, and the deployment that follows gives it to the authorizers.
///
/// invariant: After a deployment, exactly the keys of the signing document are published, wherever a replacement broke off.
#[test]
fn a_deployment_after_a_broken_off_cut_publishes_no_key_but_those_in_use() {
    let mut failed = 0;
    for lost in 0..20 {
        for took_effect in [false, true] {
            let stack = Stack::deployed();
            let leaked = stack.vault.document(Section::Signing);
            stack.vault.requests.store(0, Ordering::SeqCst);
            *stack.vault.lost.lock().unwrap() = Some((lost, took_effect));
            let cut = json!({ "cut": "signing" });
            if stack.call(&cut).is_ok() {
                continue;
            }
            failed += 1;
            let done = stack.call(&json!({ "RequestType": "Update" })).unwrap();
            let in_use = stack.vault.document(Section::Signing).jwks();
            assert_eq!(stack.vault.published(), in_use, "request {lost} was lost");
            assert_eq!(Jwks::parse(done.jwks.unwrap().as_bytes()).unwrap(), in_use);
            // The runbook: repeat the cut until it does not fail.
            let done = stack.call(&cut).unwrap();
            let published = stack.vault.published();
            let kids = published.iter().map(|key| key.kid().to_owned()).collect();
            assert_eq!(done.published, Some(kids), "the operator sees what is published");
            assert_eq!(published, stack.vault.document(Section::Signing).jwks());
            for key in leaked.jwks().iter() {
                assert!(published.iter().all(|other| other != key), "request {lost} was lost");
            }
        }
    }
    assert!(failed > 8, "{failed} cuts broke off");
}

/// invariant: A replacement of leaked keys keeps a pepper that is adopted meanwhile.
#[test]
fn a_cut_loses_no_pepper_that_is_adopted_meanwhile() {
    for at in 0..4 {
        let stack = Stack::deployed();
        stack.vault.requests.store(0, Ordering::SeqCst);
        let (vault, adopted) = (stack.vault.clone(), Arc::new(Mutex::new(String::new())));
        let kid = Arc::clone(&adopted);
        let meanwhile: Meanwhile = Box::new(move || {
            let mut document = vault.document(Section::Peppers);
            *kid.lock().unwrap() = document.adopt_pepper(b"of another system", &Seeded::new(9), NOW).unwrap();
            let mut secrets = vault.secrets.lock().unwrap();
            let versions = secrets.get_mut("peppers").unwrap();
            label(versions, "adopted", Stage::Current);
            versions.get_mut("adopted").unwrap().0 = Some(document.to_json().unwrap());
        });
        *stack.vault.meanwhile.lock().unwrap() = Some((at, meanwhile));
        stack.call(&json!({ "cut": "peppers" })).unwrap();
        let adopted = adopted.lock().unwrap();
        let kept = stack.vault.document(Section::Peppers).summary();
        assert!(adopted.is_empty() || kept.iter().any(|key| key.kid == *adopted), "before request {at}");
    }
}

/// Two operators at once: whichever is later replaces the keys of the other one too.
#[test]
fn two_cuts_at_once_publish_the_keys_in_use() {
    for at in 0..20 {
        let stack = Arc::new(Stack::deployed());
        let leaked = stack.vault.document(Section::Signing).jwks();
        stack.vault.requests.store(0, Ordering::SeqCst);
        let other = Arc::clone(&stack);
        let meanwhile: Meanwhile = Box::new(move || {
            other.call(&json!({ "cut": "signing" })).unwrap();
        });
        *stack.vault.meanwhile.lock().unwrap() = Some((at, meanwhile));
        stack.call(&json!({ "cut": "signing" })).unwrap();
        let published = stack.vault.published();
        assert_eq!(published, stack.vault.document(Section::Signing).jwks(), "before request {at}");
        assert!(leaked.iter().all(|key| published.iter().all(|other| other != key)));
    }
}

#[test]
fn a_rotation_that_took_too_long_is_discarded_and_another_works() {
    for section in Section::ALL {
        let stack = Stack::deployed();
        stack.pass(PUBLISHED);
        stack.vault.begin(section.name(), "one");
        stack.step("createSecret", section, "one").unwrap();
        stack.pass(PUBLISHED);
        assert!(matches!(stack.step("setSecret", section, "one"), Err(Failure::Stale)));
        assert!(matches!(stack.step("finishSecret", section, "one"), Err(Failure::NotPending)));
        stack.rotated(section, "two").unwrap();
    }
}

/// What Secrets Manager does when a schedule is set up, with a version without a value and with a copy of the current one.
#[test]
fn a_schedule_may_be_tried_out() {
    for section in Section::ALL {
        let stack = Stack::deployed();
        stack.vault.begin(section.name(), "one");
        stack.step("testSecret", section, "one").unwrap();
        stack.pass(MONTH);
        let value = stack.vault.current(section.name()).unwrap();
        stack.vault.secrets.lock().unwrap().get_mut(section.name()).unwrap().get_mut("one").unwrap().0 =
            Some(value);
        stack.step("testSecret", section, "one").unwrap();
    }
}

#[test]
fn keys_that_were_lost_are_not_made_anew() {
    let stack = Stack::deployed();
    for (_, stages) in stack.vault.secrets.lock().unwrap().get_mut("peppers").unwrap().values_mut() {
        stages.clear();
    }
    let failure = stack.call(&json!({ "RequestType": "Update" })).unwrap_err();
    assert!(matches!(&failure, Failure::Lost(secret) if secret == "peppers"), "{failure}");
}

#[test]
fn what_was_prepared_before_a_cut_is_never_finished() {
    let stack = Stack::deployed();
    stack.pass(PUBLISHED);
    stack.vault.begin("signing", "one");
    stack.step("createSecret", Section::Signing, "one").unwrap();
    stack.call(&json!({ "cut": "signing" })).unwrap();
    // Secrets Manager keeps the version, and an operator puts the label back.
    for step in &STEPS[1..] {
        stack.vault.begin("signing", "one");
        assert!(matches!(stack.step(step, Section::Signing, "one"), Err(Failure::Overtaken)));
    }
}

#[test]
fn no_failure_tells_a_key() {
    let stack = Stack::deployed();
    let secret = "hunter2 is no key set";
    let mut secrets = stack.vault.secrets.lock().unwrap();
    for (value, _) in secrets.get_mut("signing").unwrap().values_mut() {
        *value = Some(secret.to_owned());
    }
    drop(secrets);
    let failure = stack.call(&json!({ "cut": "signing" })).unwrap_err().to_string();
    assert!(failure.contains("not a JSON object") && !failure.contains("hunter2"), "{failure}");
}
