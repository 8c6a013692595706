//! The port to Secrets Manager.

use crate::secret::Secret;
use std::error::Error;
use std::future::Future;

/// A label of a version of a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// `AWSCURRENT`: what readers get.
    Current,
    /// `AWSPENDING`: what a rotation prepares.
    Pending,
}

/// Which version of a secret is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which<'a> {
    /// That with the label `AWSCURRENT`.
    Current,
    /// That with the label `AWSPENDING`.
    Pending,
    /// That with this id.
    Version(&'a str),
}

/// A failed request to Secrets Manager: one line for the operator, without any value.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// The role may not do it. AWS can need seconds until it knows a new role everywhere.
    #[error("{operation} {secret}: access is denied")]
    Denied {
        /// The request, as the API of Secrets Manager names it.
        operation: &'static str,
        /// The secret that the request names.
        secret: String,
        /// The error of the client, without a response body.
        source: Box<dyn Error + Send + Sync>,
    },
    /// Anything else: the secret is not there, or Secrets Manager is busy, slow or out of reach.
    #[error("{operation} {secret}: {reason}")]
    Failed {
        /// As for [`VaultError::Denied`].
        operation: &'static str,
        /// As for [`VaultError::Denied`].
        secret: String,
        /// The error code, or the state of the connection.
        reason: String,
        /// As for [`VaultError::Denied`].
        source: Box<dyn Error + Send + Sync>,
    },
}

/// Secrets Manager, as a rotation uses it. Every verb is safe to repeat.
pub trait Vault {
    /// The labels of a version; `None` when the secret has no version of that id.
    fn stages(
        &self,
        secret: &str,
        version: &str,
    ) -> impl Future<Output = Result<Option<Vec<Stage>>, VaultError>> + Send;

    /// A value and the id of its version, or `None` when there is no such version or it has no value.
    fn read(
        &self,
        secret: &str,
        which: Which<'_>,
    ) -> impl Future<Output = Result<Option<(String, Secret)>, VaultError>> + Send;

    /// Whether the secret never had a value.
    fn is_new(&self, secret: &str) -> impl Future<Output = Result<bool, VaultError>> + Send;

    /// Writes a value as the version of that id, and moves the labels there. A version that has its value already keeps it.
    fn write(
        &self,
        secret: &str,
        version: &str,
        value: &str,
        stages: &[Stage],
    ) -> impl Future<Output = Result<(), VaultError>> + Send;

    /// Moves the label `AWSCURRENT` from one version to another. A repeat is a success. Returns `false` if another version has
    /// the label.
    fn promote(
        &self,
        secret: &str,
        from: &str,
        to: &str,
    ) -> impl Future<Output = Result<bool, VaultError>> + Send;

    /// Takes the label `AWSPENDING` off a version.
    fn discard(&self, secret: &str, version: &str) -> impl Future<Output = Result<(), VaultError>> + Send;
}
