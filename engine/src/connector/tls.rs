//! Whom to trust: the system's roots, or a file's in their place.

use rustls::ClientConfig;
use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use thiserror::Error;

/// Why there is nobody to trust.
#[derive(Debug, Error)]
pub enum TrustError {
    /// The system has none.
    #[error(
        "the system has no trusted root certificates (install the package ca-certificates, or set tls_ca_file){0}"
    )]
    NoSystemRoots(String),
    /// The file cannot be read.
    #[error("tls_ca_file {}: {reason}", file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The library refuses.
    #[error("setting up TLS: {0}")]
    Library(#[from] rustls::Error),
}

/// What a venue's connections trust, for WebSocket and REST alike.
#[derive(Clone, Debug)]
pub struct Trust {
    /// For the connector.
    pub config: Arc<ClientConfig>,
    /// The same roots, for the fetcher.
    pub roots: Arc<Vec<CertificateDer<'static>>>,
    /// The cryptography, for the fetcher.
    pub provider: Arc<CryptoProvider>,
}

impl Trust {
    /// Trust in the certificates of `ca_file`, or else in the system's.
    ///
    /// # Errors
    /// See [`TrustError`].
    pub fn load(ca_file: Option<&Path>) -> Result<Self, TrustError> {
        let roots = match ca_file {
            Some(file) => from_file(file)?,
            None => from_system()?,
        };
        let mut store = RootCertStore::empty();
        let (added, _) = store.add_parsable_certificates(roots.iter().cloned());
        if added == 0 {
            return Err(match ca_file {
                Some(file) => no_use(file, "it holds no certificate that can be read"),
                None => TrustError::NoSystemRoots(String::new()),
            });
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(store)
            .with_no_client_auth();
        Ok(Self { config: Arc::new(config), roots: Arc::new(roots), provider })
    }
}

fn no_use(file: &Path, reason: impl ToString) -> TrustError {
    TrustError::File { file: file.to_owned(), reason: reason.to_string() }
}

fn from_file(file: &Path) -> Result<Vec<CertificateDer<'static>>, TrustError> {
    let certificates: Result<Vec<_>, _> =
        CertificateDer::pem_file_iter(file).map_err(|error| no_use(file, error))?.collect();
    let certificates = certificates.map_err(|error| no_use(file, format!("not PEM: {error}")))?;
    if certificates.is_empty() {
        return Err(no_use(file, "it holds no certificate"));
    }
    Ok(certificates)
}

fn from_system() -> Result<Vec<CertificateDer<'static>>, TrustError> {
    let found = rustls_native_certs::load_native_certs();
    if found.certs.is_empty() {
        let why = found.errors.first().map_or(String::new(), |error| format!(": {error}"));
        return Err(TrustError::NoSystemRoots(why));
    }
    Ok(found.certs)
}
