//! A certificate authority made at start, and a server certificate for this machine signed by it.
//!
//! Nothing is kept: the authority's private key is gone once the server's certificate is signed.

use crate::error::SimError;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use std::sync::Arc;

/// The names clients reach the simulator by.
const SERVER_NAMES: [&str; 2] = ["localhost", "127.0.0.1"];

/// What the servers need, and what clients must trust.
pub struct Identity {
    /// The authority's certificate in PEM.
    pub ca_pem: String,
    /// The TLS settings of the servers.
    pub server: Arc<ServerConfig>,
}

/// Makes an authority and a server certificate.
pub fn make_identity() -> Result<Identity, SimError> {
    let failed = |error: rcgen::Error| SimError::Certificate(error.to_string());
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    authority.distinguished_name.push(DnType::CommonName, "slipstream-sim authority");
    let authority_key = KeyPair::generate().map_err(failed)?;
    let authority_certificate = authority.self_signed(&authority_key).map_err(failed)?;
    let issuer = Issuer::new(authority, authority_key);

    let mut server = CertificateParams::new(SERVER_NAMES.map(str::to_owned)).map_err(failed)?;
    server.distinguished_name.push(DnType::CommonName, "localhost");
    let server_key = KeyPair::generate().map_err(failed)?;
    let certificate = server.signed_by(&server_key, &issuer).map_err(failed)?;

    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(server_key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| {
            builder.with_no_client_auth().with_single_cert(vec![certificate.der().clone()], key)
        })
        .map_err(|error| SimError::Certificate(error.to_string()))?;
    Ok(Identity { ca_pem: authority_certificate.pem(), server: Arc::new(config) })
}
