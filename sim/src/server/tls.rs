//! A certificate authority made at start, and server certificates signed by it: a right one and two wrong ones.
//!
//! Nothing is kept: the authority's private key is gone once the server's certificate is signed.

use crate::error::SimError;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose, date_time_ymd,
};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use std::sync::Arc;

/// The names clients reach the simulator by.
const SERVER_NAMES: [&str; 2] = ["localhost", "127.0.0.1"];

/// A name no client asks for.
const WRONG_NAME: &str = "elsewhere.invalid";

/// What the servers need, and what clients must trust.
pub struct Identity {
    /// The authority's certificate in PEM.
    pub ca_pem: String,
    /// The TLS settings of the servers.
    pub server: Arc<Settings>,
}

/// The TLS settings of a server, as they should be and as faults have them.
pub struct Settings {
    /// As they should be.
    pub right: Arc<ServerConfig>,
    /// With a certificate for another name.
    pub wrong_name: Arc<ServerConfig>,
    /// With a certificate that expired years ago.
    pub expired: Arc<ServerConfig>,
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

    let serve = |names: &[&str], expired: bool| {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut server = CertificateParams::new(names).map_err(failed)?;
        server.distinguished_name.push(DnType::CommonName, "localhost");
        if expired {
            server.not_before = date_time_ymd(2020, 1, 1);
            server.not_after = date_time_ymd(2021, 1, 1);
        }
        let key = KeyPair::generate().map_err(failed)?;
        let certificate = server.signed_by(&key, &issuer).map_err(failed)?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .and_then(|builder| {
                builder.with_no_client_auth().with_single_cert(vec![certificate.der().clone()], key)
            })
            .map_err(|error| SimError::Certificate(error.to_string()))?;
        Ok(Arc::new(config))
    };
    let settings = Settings {
        right: serve(&SERVER_NAMES, false)?,
        wrong_name: serve(&[WRONG_NAME], false)?,
        expired: serve(&SERVER_NAMES, true)?,
    };
    Ok(Identity { ca_pem: authority_certificate.pem(), server: Arc::new(settings) })
}
