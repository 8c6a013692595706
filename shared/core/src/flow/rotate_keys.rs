//! `rotate-keys`: the first key sets of a stack, their rotation in Secrets Manager's four steps, and the cut after a leak.
//!
//! Every step looks at what is there before it writes, and writes one version whole, so each may be repeated or broken off at
//! any point. What verifiers need is published before a key is used: the public half goes into a secret of its own, which
//! holds nothing secret, in the step `setSecret`.

use crate::config::RotateKeysConfig;
use crate::keys::rotation::{KeyRotationError, Section};
use crate::keys::{Document, KeyError, Peppers, RefreshKeys, SigningKeys, Status};
use crate::ports::context::Context;
use crate::ports::event::Event;
use crate::ports::vault::{Stage, Vault, VaultError, Which};
use data_encoding::HEXLOWER;
use daypass_verifier::base::entropy::{Entropy, random};
use daypass_verifier::jose::jwk::Jwks;
use daypass_verifier::ports::context::Caller;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// How long after its first step a rotation may still be finished. The age of a key counts from that step, and this is much less than the
/// time for which keys are published before they are used.
const STALE: Duration = Duration::from_secs(30 * 60);

/// A step of a rotation, as Secrets Manager names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Step {
    /// Prepare the new key set.
    #[serde(rename = "createSecret")]
    Create,
    /// Publish its public half.
    #[serde(rename = "setSecret")]
    Set,
    /// Look whether it works.
    #[serde(rename = "testSecret")]
    Test,
    /// Make it the one that readers get.
    #[serde(rename = "finishSecret")]
    Finish,
}

/// What the function is called for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    /// Secrets Manager rotates.
    Step {
        /// Which step.
        step: Step,
        /// ARN of the secret.
        secret: String,
        /// Id of the new version.
        version: String,
    },
    /// CloudFormation creates, updates or deletes the stack.
    Stack {
        /// Whether the stack goes.
        delete: bool,
    },
    /// The operator says that the keys of a section have leaked.
    Cut(Section),
}

#[derive(Deserialize)]
struct StepEvent {
    #[serde(rename = "Step")]
    step: Step,
    #[serde(rename = "SecretId")]
    secret: String,
    #[serde(rename = "ClientRequestToken")]
    version: String,
}

impl Call {
    /// Reads an event.
    ///
    /// # Errors
    /// [`Failure::Event`] for any other event.
    pub fn read(event: &serde_json::Value) -> Result<Self, Failure> {
        if let Some(kind) = event.get("RequestType").and_then(serde_json::Value::as_str) {
            return match kind {
                "Create" | "Update" => Ok(Self::Stack { delete: false }),
                "Delete" => Ok(Self::Stack { delete: true }),
                _ => Err(Failure::Event),
            };
        }
        if let Some(section) = event.get("cut") {
            let section = Section::ALL.into_iter().find(|known| section.as_str() == Some(known.name()));
            return section.map(Self::Cut).ok_or(Failure::Event);
        }
        let StepEvent { step, secret, version } =
            serde_json::from_value(event.clone()).map_err(|_| Failure::Event)?;
        Ok(Self::Step { step, secret, version })
    }
}

/// Why a call was not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The event is none of those that are known.
    Event,
    /// The secret is none of the stack's.
    OtherSecret,
    /// The version has no label of a rotation.
    NotPending,
    /// The secret has no current version.
    NoKeys(String),
    /// The secret had a value, and has none now.
    Lost(String),
    /// The keys were cut, or others were added, after the rotation had begun. It was discarded.
    Overtaken,
    /// The rotation began too long ago. It was discarded.
    Stale,
    /// Secrets Manager.
    Vault(VaultError),
    /// The key set.
    Keys(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Event => f.write_str(
                "the event is no rotation step, no custom resource's, and no {\"cut\":\"signing\"}, {\"cut\":\"refresh\"} or {\"cut\":\"peppers\"}",
            ),
            Self::OtherSecret => f.write_str("the event names a secret that this function does not rotate"),
            Self::NotPending => f.write_str("the version is not AWSPENDING: it belongs to no rotation"),
            Self::NoKeys(secret) => write!(f, "{secret} holds no key set: deploy the stack, which makes the first one"),
            Self::Lost(secret) => write!(
                f,
                "{secret} had keys and has no version AWSCURRENT: put the label back (aws secretsmanager list-secret-version-ids, \
                 update-secret-version-stage)"
            ),
            Self::Overtaken => f.write_str(
                "the current keys are not among the prepared ones: they were changed since. The rotation was discarded; begin another",
            ),
            Self::Stale => f.write_str(
                "the prepared keys are too old to count as just published. The rotation was discarded; begin another",
            ),
            Self::Vault(error) => error.fmt(f),
            Self::Keys(error) => f.write_str(error),
        }
    }
}

impl std::error::Error for Failure {}

impl From<VaultError> for Failure {
    fn from(error: VaultError) -> Self {
        Self::Vault(error)
    }
}

impl From<KeyError> for Failure {
    fn from(error: KeyError) -> Self {
        Self::Keys(error.to_string())
    }
}

impl From<KeyRotationError> for Failure {
    fn from(error: KeyRotationError) -> Self {
        Self::Keys(error.to_string())
    }
}

/// What a call was answered: the public keys as they are published, for a stack's attribute `Jwks`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Done {
    /// The JWKS as JSON text; absent where none was looked at.
    #[serde(rename = "Jwks", skip_serializing_if = "Option::is_none")]
    pub jwks: Option<String>,
}

/// The flow with all it needs.
pub struct RotateKeys<V> {
    /// Which secrets, and how they rotate.
    pub config: RotateKeysConfig,
    /// Secrets Manager.
    pub vault: V,
    /// Time, randomness, log.
    pub context: Context,
}

impl<V: Vault> RotateKeys<V> {
    /// Does what an event asks for.
    ///
    /// # Errors
    /// [`Failure`], which is logged: Secrets Manager and CloudFormation try again.
    pub async fn run(&self, event: &serde_json::Value) -> Result<Done, Failure> {
        let done = match Call::read(event) {
            Ok(Call::Step { step, secret, version }) => self.step(step, &secret, &version).await,
            Ok(Call::Stack { delete: true }) => Ok(Done { jwks: None }),
            Ok(Call::Stack { delete: false }) => self.first().await,
            Ok(Call::Cut(section)) => self.cut(section).await,
            Err(failure) => Err(failure),
        };
        done.inspect_err(|failure| {
            self.record(&Event::Failure { during: "rotate_keys", detail: failure.to_string() });
        })
    }

    /// Makes what is missing: the stack's first deployment. What is there is never touched, so an update replaces nothing.
    async fn first(&self) -> Result<Done, Failure> {
        for section in Section::ALL {
            let secret = self.config.secret(section);
            if self.vault.read(secret, Which::Current).await?.is_none() {
                if !self.vault.is_new(secret).await? {
                    return Err(Failure::Lost(secret.to_owned()));
                }
                let now = self.context.clock.now();
                let made = Document::first(section, self.config.rules, self.entropy(), now)?;
                self.vault.write(secret, &self.version(), &made.to_json()?, &[Stage::Current]).await?;
                self.tell(&made, |section, kid, next| Event::KeysMade { section, kid, next });
            }
        }
        let (_, signing) = self.current(self.config.secret(Section::Signing)).await?;
        Ok(Done { jwks: Some(self.publish(&signing).await?) })
    }

    async fn step(&self, step: Step, secret: &str, version: &str) -> Result<Done, Failure> {
        if !Section::ALL.iter().any(|section| self.config.secret(*section) == secret) {
            return Err(Failure::OtherSecret);
        }
        let stages = match self.vault.stages(secret, version).await? {
            Some(stages) => stages,
            // Not begun: the first step makes the version.
            None if step == Step::Create => vec![Stage::Pending],
            None => return Err(Failure::NotPending),
        };
        if stages.contains(&Stage::Current) {
            // Done before, and the answer was lost.
            return Ok(Done { jwks: None });
        }
        if !stages.contains(&Stage::Pending) {
            return Err(Failure::NotPending);
        }
        let (at, current) = self.current(secret).await?;
        if step == Step::Create {
            if self.vault.read(secret, Which::Version(version)).await?.is_none() {
                let now = self.context.clock.now();
                let prepared = current.advance(self.config.rules, self.entropy(), now)?;
                self.vault.write(secret, version, &prepared.to_json()?, &[Stage::Pending]).await?;
            }
            return Ok(Done { jwks: None });
        }
        let prepared = match self.vault.read(secret, Which::Version(version)).await? {
            Some((_, value)) => Document::parse(value.expose())?,
            // A schedule that is set up is tried out with this step alone.
            None if step == Step::Test => current.clone(),
            None => return Err(Failure::NotPending),
        };
        if !prepared.follows(&current) {
            return self.discard(secret, version, Failure::Overtaken).await;
        }
        let now = self.context.clock.now();
        if prepared.next_since().is_none_or(|since| now.since(since) > STALE) && step != Step::Test {
            return self.discard(secret, version, Failure::Stale).await;
        }
        match step {
            Step::Create => {}
            Step::Set if prepared.has(Section::Signing) => {
                self.publish(&prepared).await?;
                // A cut in between has withdrawn keys that this has published again.
                let (_, current) = self.current(secret).await?;
                if !prepared.follows(&current) {
                    self.publish_only(&current).await?;
                    return self.discard(secret, version, Failure::Overtaken).await;
                }
            }
            Step::Set => {}
            Step::Test => self.examine(&prepared).await?,
            Step::Finish => {
                // From the version that `current` was read from, and no other: a cut in between stands.
                if !self.vault.promote(secret, &at, version).await? {
                    return self.discard(secret, version, Failure::Overtaken).await;
                }
                self.tell(&prepared, |section, kid, next| Event::KeysRotated { section, kid, next });
            }
        }
        Ok(Done { jwks: None })
    }

    /// Ends a rotation that must not be finished. With its label it would be begun again and again.
    async fn discard(&self, secret: &str, version: &str, failure: Failure) -> Result<Done, Failure> {
        self.vault.discard(secret, version).await?;
        Err(failure)
    }

    /// Replaces keys that somebody else has. For a moment verifiers are given both, so that no token meets a verifier that can
    /// not know its key.
    async fn cut(&self, section: Section) -> Result<Done, Failure> {
        let secret = self.config.secret(section);
        let (_, current) = self.current(secret).await?;
        let cut = current.cut(self.config.rules, self.entropy(), self.context.clock.now())?;
        if section == Section::Signing {
            let mut both = cut.clone();
            both.merge(current);
            self.publish(&both).await?;
        }
        // With both labels: a rotation that is under way must not bring back what it was prepared from.
        let stages = [Stage::Current, Stage::Pending];
        self.vault.write(secret, &self.version(), &cut.to_json()?, &stages).await?;
        let jwks = match section {
            Section::Signing => Some(self.publish_only(&cut).await?),
            Section::Refresh | Section::Peppers => None,
        };
        self.tell(&cut, |section, kid, next| Event::KeysCut { section, kid, next });
        Ok(Done { jwks })
    }

    /// Sees to it that all public keys of a document are published, and returns what is.
    async fn publish(&self, document: &Document) -> Result<String, Failure> {
        if let Some(published) = self.published().await?
            && document.jwks().iter().all(|key| published.iter().any(|other| other == key))
        {
            return to_json(&published);
        }
        self.publish_only(document).await
    }

    /// Publishes the public keys of a document and no others.
    async fn publish_only(&self, document: &Document) -> Result<String, Failure> {
        let json = to_json(&document.jwks())?;
        self.vault.write(&self.config.jwks_secret, &self.version(), &json, &[Stage::Current]).await?;
        Ok(json)
    }

    async fn published(&self) -> Result<Option<Jwks>, Failure> {
        let Some((_, value)) = self.vault.read(&self.config.jwks_secret, Which::Current).await? else {
            return Ok(None);
        };
        // One that cannot be read is written anew.
        Ok(Jwks::parse(value.expose()).ok())
    }

    /// The id of the current version, and what it holds.
    async fn current(&self, secret: &str) -> Result<(String, Document), Failure> {
        let read = self.vault.read(secret, Which::Current).await?;
        let (version, value) = read.ok_or_else(|| Failure::NoKeys(secret.to_owned()))?;
        Ok((version, Document::parse(value.expose())?))
    }

    /// Whether the functions can use the prepared keys, and verifiers find the public ones.
    async fn examine(&self, prepared: &Document) -> Result<(), Failure> {
        if prepared.has(Section::Refresh) {
            RefreshKeys::from_document(prepared)?;
        }
        if prepared.has(Section::Peppers) {
            Peppers::from_document(prepared)?;
        }
        if prepared.has(Section::Signing) {
            let signing = SigningKeys::from_document(prepared)?;
            let published = self.published().await?;
            let known = published.is_some_and(|jwks| jwks.iter().any(|key| key.kid() == signing.kid()));
            if !known {
                return Err(Failure::Keys(format!("signing key {} is not published", signing.kid())));
            }
        }
        Ok(())
    }

    fn tell(&self, document: &Document, event: impl Fn(&'static str, String, String) -> Event) {
        let keys = document.summary();
        for section in Section::ALL.into_iter().filter(|section| document.has(*section)) {
            let of = |status| {
                let key = keys.iter().find(|key| key.section == section.name() && key.status == status);
                key.map(|key| key.kid.clone()).unwrap_or_default()
            };
            self.record(&event(section.name(), of(Status::Active), of(Status::Next)));
        }
    }

    fn record(&self, event: &Event) {
        self.context.journal.record(event, &Caller::default());
    }

    fn entropy(&self) -> &dyn Entropy {
        self.context.entropy.as_ref()
    }

    /// An id for a version that is not Secrets Manager's own: 64 characters, which is the most that it takes.
    fn version(&self) -> String {
        HEXLOWER.encode(&random::<32>(self.entropy()))
    }
}

fn to_json(jwks: &Jwks) -> Result<String, Failure> {
    jwks.to_json().map_err(|error| Failure::Keys(error.to_string()))
}

#[cfg(test)]
mod tests;
