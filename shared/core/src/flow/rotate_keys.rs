//! `rotate-keys`: the first key sets of a stack, their rotation in Secrets Manager's four steps, and the cut after a leak.
//!
//! Every step looks at what is there before it writes, and writes one version whole, so each may be repeated or broken off at
//! any point. What verifiers need is published before a key is used: the public half goes into a secret of its own, which
//! holds nothing secret, in the step `setSecret`.

use crate::config::RotateKeysConfig;
use crate::keys::rotation::{KeyRotationError, Section};
use crate::keys::{Document, FactorKeys, KeyError, Peppers, RefreshKeys, SigningKeys, Status};
use crate::ports::context::Context;
use crate::ports::event::Event;
use crate::ports::vault::{Stage, Vault, VaultError, Which};
use data_encoding::HEXLOWER;
use daypass_verifier::base::entropy::{Entropy, random};
use daypass_verifier::jose::jwk::{Jwks, JwksError};
use daypass_verifier::ports::context::Caller;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How long after its first step a rotation may still be finished. The age of a key counts from that step, and this is much less than the
/// time for which keys are published before they are used.
const STALE: Duration = Duration::from_secs(30 * 60);

/// Attempts at a write that others overtake.
const ATTEMPTS: usize = 3;

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
        /// The step to do.
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
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The event is none of those that are known.
    #[error(
        "the event is no rotation step, no custom resource's, and no {{\"cut\":\"signing\"}}, {{\"cut\":\"refresh\"}} or {{\"cut\":\"peppers\"}}"
    )]
    Event,
    /// A document of settings has problems, so the deployment fails before other functions get it.
    #[error("the settings are not usable: {0}")]
    Settings(String),
    /// The secret is none of the stack's.
    #[error("the event names a secret that this function does not rotate")]
    OtherSecret,
    /// The version has no label of a rotation.
    #[error("the version is not AWSPENDING: it belongs to no rotation")]
    NotPending,
    /// The secret has no current version.
    #[error("{0} holds no key set: deploy the stack, which makes the first one")]
    NoKeys(String),
    /// The secret had a value, and has none now.
    #[error(
        "{0} had keys and has no version AWSCURRENT: put the label back (aws secretsmanager list-secret-version-ids, \
         update-secret-version-stage)"
    )]
    Lost(String),
    /// The keys were cut, or others were added, after the rotation had begun. It was discarded.
    #[error(
        "the current keys are not among the prepared ones: they were changed since. The rotation was discarded; begin another"
    )]
    Overtaken,
    /// The rotation began too long ago. It was discarded.
    #[error(
        "the prepared keys are too old to count as just published. The rotation was discarded; begin another"
    )]
    Stale,
    /// Others changed the secret during each of [`ATTEMPTS`].
    #[error("{0} was changed during each attempt: repeat the call")]
    Contended(String),
    /// A prepared key is missing in the JWKS.
    #[error("signing key {0} is not published")]
    Unpublished(String),
    /// Secrets Manager failed or denied a request.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The key set.
    #[error(transparent)]
    Keys(#[from] KeyError),
    /// The key set cannot rotate.
    #[error(transparent)]
    Rotation(#[from] KeyRotationError),
    /// The public keys.
    #[error(transparent)]
    Jwks(#[from] JwksError),
}

/// The response to a call.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Done {
    /// For the stack's attribute `Jwks`: the published JWKS as JSON text, absent where it was not looked at.
    #[serde(rename = "Jwks", skip_serializing_if = "Option::is_none")]
    pub jwks: Option<String>,
    /// For the operator after a replacement of signing keys: the ids of all published keys.
    #[serde(rename = "Published", skip_serializing_if = "Option::is_none")]
    pub published: Option<Vec<String>>,
}

/// The flow with all it needs.
pub struct RotateKeys<V> {
    /// Which secrets, and how they rotate.
    pub config: RotateKeysConfig,
    /// Secrets Manager of the stack's account.
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
            Ok(Call::Stack { delete: true }) => Ok(Done::default()),
            Ok(Call::Stack { delete: false }) => self.first().await,
            Ok(Call::Cut(section)) => self.cut(section).await,
            Err(failure) => Err(failure),
        };
        done.inspect_err(|failure| {
            self.record(&Event::Failure { during: "rotate_keys", detail: failure.to_string() });
        })
    }

    /// Makes the key sets that are missing, at the first deployment. An update replaces no key set. Publishes the keys in use.
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
        Ok(Done { jwks: Some(to_json(&self.publish_in_use().await?)?), published: None })
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
            return Ok(Done::default());
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
            return Ok(Done::default());
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
                self.publish_in_use().await?;
                let (_, current) = self.current(secret).await?;
                if !prepared.follows(&current) {
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
        Ok(Done::default())
    }

    /// Ends a rotation that must not be finished. With its label it would be begun again and again.
    async fn discard(&self, secret: &str, version: &str, failure: Failure) -> Result<Done, Failure> {
        self.vault.discard(secret, version).await?;
        Err(failure)
    }

    /// Replaces leaked keys. For a moment verifiers get the old and the new ones, so that they know the key of each token.
    async fn cut(&self, section: Section) -> Result<Done, Failure> {
        let secret = self.config.secret(section);
        for _ in 0..ATTEMPTS {
            let (at, current) = self.current(secret).await?;
            let cut = current.cut(self.config.rules, self.entropy(), self.context.clock.now())?;
            if section == Section::Signing {
                let mut both = cut.clone();
                both.merge(current);
                self.publish(&both).await?;
            }
            // The label comes from a rotation under way, which must not bring back what it was prepared from.
            let version = self.version();
            self.vault.write(secret, &version, &cut.to_json()?, &[Stage::Pending]).await?;
            // From the version that was read, as at the end of a rotation: whatever came in between is cut too.
            if self.vault.promote(secret, &at, &version).await? {
                self.tell(&cut, |section, kid, next| Event::KeysCut { section, kid, next });
                return match section {
                    Section::Signing => {
                        let jwks = self.publish_in_use().await?;
                        let published = jwks.iter().map(|key| key.kid().to_owned()).collect();
                        Ok(Done { jwks: Some(to_json(&jwks)?), published: Some(published) })
                    }
                    Section::Refresh | Section::Peppers => Ok(Done::default()),
                };
            }
            self.vault.discard(secret, &version).await?;
        }
        Err(Failure::Contended(secret.to_owned()))
    }

    /// Publishes the public keys of the signing document, or of the one that a rotation has prepared from it, and no others.
    async fn publish_in_use(&self) -> Result<Jwks, Failure> {
        let mut read = self.in_use().await?;
        for _ in 0..ATTEMPTS {
            self.publish(&read.1).await?;
            let again = self.in_use().await?;
            if again.0 == read.0 {
                return Ok(read.1.jwks());
            }
            // A cut or a rotation in between: its keys were just withdrawn, or old ones published.
            read = again;
        }
        Err(Failure::Contended(self.config.secret(Section::Signing).to_owned()))
    }

    /// The document whose public keys verifiers need, and the versions on which that depends.
    async fn in_use(&self) -> Result<((String, Option<String>), Document), Failure> {
        let secret = self.config.secret(Section::Signing);
        let (at, current) = self.current(secret).await?;
        let pending = self.vault.read(secret, Which::Pending).await?;
        let Some((pending, value)) = pending else { return Ok(((at, None), current)) };
        let prepared = Document::parse(value.expose()).ok().filter(|prepared| prepared.follows(&current));
        Ok(((at, Some(pending)), prepared.unwrap_or(current)))
    }

    /// Publishes the public keys of a document and no others.
    async fn publish(&self, document: &Document) -> Result<(), Failure> {
        let jwks = document.jwks();
        if self.published().await?.as_ref() != Some(&jwks) {
            let stages = [Stage::Current];
            self.vault.write(&self.config.jwks_secret, &self.version(), &to_json(&jwks)?, &stages).await?;
        }
        Ok(())
    }

    async fn published(&self) -> Result<Option<Jwks>, Failure> {
        let read = self.vault.read(&self.config.jwks_secret, Which::Current).await?;
        // An unreadable one is replaced.
        Ok(read.and_then(|(_, value)| Jwks::parse(value.expose()).ok()))
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
            FactorKeys::from_document(prepared)?;
        }
        if prepared.has(Section::Signing) {
            SigningKeys::from_document(prepared)?;
            let published = self.published().await?.unwrap_or_else(|| Jwks::new(vec![]));
            let jwks = prepared.jwks();
            let missing = jwks.iter().find(|key| published.iter().all(|other| other != *key));
            if let Some(missing) = missing {
                return Err(Failure::Unpublished(missing.kid().to_owned()));
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
    Ok(jwks.to_json()?)
}

#[cfg(test)]
mod tests;
