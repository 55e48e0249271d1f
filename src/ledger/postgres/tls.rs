//! TLS to PostgreSQL, by rustls with ring as for every other call. The handshake and
//! the binding of the password's proof to the channel are `tokio-postgres-rustls`'s.

use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::place::Trust;
use crate::ledger::LedgerError;

/// What speaks TLS with a server that proves itself as `trust` says.
pub(super) fn connector(trust: &Trust) -> Result<MakeRustlsConnect, LedgerError> {
    let provider = Arc::new(ring::default_provider());
    let verifier: Arc<dyn ServerCertVerifier> = match trust {
        Trust::Anyone => Arc::new(Unproven(Arc::clone(&provider))),
        Trust::System => Arc::new(
            rustls_platform_verifier::Verifier::new(Arc::clone(&provider)).map_err(unusable)?,
        ),
        Trust::Roots(file) => rustls::client::WebPkiServerVerifier::builder_with_provider(
            Arc::new(roots(file)?),
            Arc::clone(&provider),
        )
        .build()
        .map_err(|error| unreadable(file, &error.to_string()))?,
    };
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(unusable)?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}

fn unusable(error: rustls::Error) -> LedgerError {
    LedgerError::Unusable(format!("TLS cannot be set up: {error}"))
}

fn unreadable(file: &Path, why: &str) -> LedgerError {
    LedgerError::Unusable(format!(
        "ledger.url: sslrootcert {} cannot be used: {why}",
        file.display()
    ))
}

fn roots(file: &Path) -> Result<RootCertStore, LedgerError> {
    let mut roots = RootCertStore::empty();
    let found = CertificateDer::pem_file_iter(file)
        .map_err(|error| unreadable(file, &error.to_string()))?;
    for certificate in found {
        let certificate = certificate.map_err(|error| unreadable(file, &error.to_string()))?;
        roots
            .add(certificate)
            .map_err(|error| unreadable(file, &error.to_string()))?;
    }
    Ok(roots)
}

/// Takes whatever certificate the server shows, as `sslmode=require` says. That the
/// server holds its key is still looked at.
#[derive(Debug)]
struct Unproven(Arc<CryptoProvider>);

impl ServerCertVerifier for Unproven {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
