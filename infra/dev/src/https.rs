//! HTTPS of the local stack: a certificate of a local authority, and TLS in front of the plain servers.
//!
//! The authority signs one certificate, and nothing stores its private key: see `docs/adr/0097-local-certificate-authority.md`.

use super::console::Console;
use super::error::StackError;
use super::keys::write_private;
use daypass_runtime::SystemClock;
use daypass_testkit::tls;
use daypass_verifier::base::time::{Clock, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{RootCertStore, ServerConfig};
use std::fmt::Display;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use time::OffsetDateTime;

/// Certificate of the authority, which browsers must trust.
const AUTHORITY: &str = "https-ca.pem";
/// Certificate of the servers and its private key.
const SERVER: &str = "https.pem";
/// Name of the authority in the lists of browsers and systems.
const NAME: &str = "Daypass cargo dev";
/// Names of the servers. The first is that of the URLs.
const NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];
const DAY: Duration = Duration::from_secs(86_400);
/// Lifetime of the certificates, in days. Apple rejects more than 825: <https://support.apple.com/en-us/103769>.
const LIFETIME: u32 = 820;
/// Days before their end at which the certificates are replaced.
const RESERVE: u32 = 30;

/// The certificate of the servers.
pub(super) struct Https {
    config: Arc<ServerConfig>,
    authority: PathBuf,
}

/// TLS at a port, in front of a plain server.
pub(super) struct Front {
    listener: TcpListener,
    config: Arc<ServerConfig>,
    plain: SocketAddr,
}

impl Https {
    /// Reads the certificate from the folder. Replaces one that is missing, unusable or near its end.
    pub(super) fn load_or_make(folder: &Path, console: Console) -> Result<Self, StackError> {
        let (authority, server) = (folder.join(AUTHORITY), folder.join(SERVER));
        let now = SystemClock.now();
        let usable = || read(&authority, &server, now + DAY * RESERVE);
        if let Some(config) = usable() {
            return Ok(Self { config, authority });
        }
        let failed = |error: &dyn Display| {
            StackError::new(
                format!("the certificate in {} cannot be made: {error}", folder.display()),
                "correct the owner and permissions of the folder, or start without --https",
            )
        };
        let (its_certificate, certificate) = make(now).map_err(|error| failed(&error))?;
        std::fs::write(&authority, its_certificate).map_err(|error| failed(&error))?;
        write_private(&server, &certificate).map_err(|error| failed(&error))?;
        console.say("made a certificate authority for HTTPS: your browser must trust it (see below)");
        let config = usable().ok_or_else(|| failed(&"it is not valid"))?;
        Ok(Self { config, authority })
    }

    /// File with the certificate of the authority.
    pub(super) fn authority(&self) -> &Path {
        &self.authority
    }

    /// TLS at `listener`, in front of the plain server at `plain`.
    pub(super) fn front(&self, listener: TcpListener, plain: SocketAddr) -> Front {
        Front { listener, config: Arc::clone(&self.config), plain }
    }
}

impl Front {
    /// Serves until the future is dropped.
    pub(super) async fn serve(self) {
        let Ok(listener) = tokio::net::TcpListener::from_std(self.listener) else { return };
        tls::forward(listener, self.config, Arc::new(OnceLock::from(self.plain))).await;
    }
}

/// Makes the certificate of an authority, and a certificate of this authority with its private key, as PEM.
fn make(now: Timestamp) -> Result<(String, String), rcgen::Error> {
    let mut authority = params(&[], now)?;
    authority.distinguished_name.push(DnType::CommonName, NAME);
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let issuer_key = KeyPair::generate()?;
    let its_certificate = authority.self_signed(&issuer_key)?.pem();

    let mut server = params(&NAMES, now)?;
    server.distinguished_name.push(DnType::CommonName, NAMES[0]);
    server.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    server.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate()?;
    let certificate = server.signed_by(&key, &Issuer::new(authority, issuer_key))?;
    Ok((its_certificate, certificate.pem() + &key.serialize_pem()))
}

fn params(names: &[&str], now: Timestamp) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    let now = OffsetDateTime::UNIX_EPOCH + Duration::from_millis(now.millis());
    // A browser on another machine clock, such as that of a virtual machine, may be behind.
    params.not_before = now - DAY;
    params.not_after = params.not_before + DAY * LIFETIME;
    Ok(params)
}

/// TLS with the certificate of the files; `None` if a browser that trusts the authority would reject it at `time`.
fn read(authority: &Path, server: &Path, time: Timestamp) -> Option<Arc<ServerConfig>> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(authority).ok()?).ok()?;
    let certificate = CertificateDer::from_pem_file(server).ok()?;
    let verifier =
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build().ok()?;
    let time = UnixTime::since_unix_epoch(Duration::from_millis(time.millis()));
    for name in NAMES {
        let name = ServerName::try_from(name).ok()?;
        verifier.verify_server_cert(&certificate, &[], &name, &[], time).ok()?;
    }
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().ok()?;
    let key = PrivateKeyDer::from_pem_file(server).ok()?;
    config.with_no_client_auth().with_single_cert(vec![certificate], key).ok().map(Arc::new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    /// invariant: `cargo dev --https` keeps its certificate authority, and no file has its private key.
    #[test]
    fn the_authority_is_kept_and_signs_once() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
        let files = || [file(AUTHORITY), file(SERVER)];
        Https::load_or_make(folder.path(), Console::Quiet).unwrap();
        let first = files();
        Https::load_or_make(folder.path(), Console::Quiet).unwrap();
        assert_eq!(files(), first);
        assert_eq!(fs::metadata(folder.path().join(SERVER)).unwrap().permissions().mode() & 0o777, 0o600);
        let keys: usize = first.iter().map(|file| file.matches("PRIVATE KEY-----").count()).sum();
        assert_eq!((keys, fs::read_dir(folder.path()).unwrap().count()), (2, 2), "begin and end of one key");

        // Another authority did not sign the certificate.
        let (other, _) = make(SystemClock.now()).unwrap();
        fs::write(folder.path().join(AUTHORITY), other).unwrap();
        Https::load_or_make(folder.path(), Console::Quiet).unwrap();
        assert_ne!(file(SERVER), first[1]);
        fs::write(folder.path().join(SERVER), "no certificate").unwrap();
        Https::load_or_make(folder.path(), Console::Quiet).unwrap();
        assert!(file(SERVER).contains("PRIVATE KEY-----"));
    }

    #[test]
    fn certificates_are_replaced_before_their_end() {
        let folder = tempfile::tempdir().unwrap();
        let (authority, server) = (folder.path().join(AUTHORITY), folder.path().join(SERVER));
        let now = SystemClock.now();
        let (its_certificate, certificate) = make(now).unwrap();
        fs::write(&authority, its_certificate).unwrap();
        fs::write(&server, certificate).unwrap();
        let valid = |time| read(&authority, &server, time).is_some();
        assert!(valid(now) && valid(now + DAY * (LIFETIME - 2)));
        assert!(!valid(now + DAY * LIFETIME) && !valid(now.before(DAY * 2)));
    }
}
