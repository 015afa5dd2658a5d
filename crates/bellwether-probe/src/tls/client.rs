//! The client certificate: shown to the target where it asks, and to nobody else.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bellwether_model::job::Job;
use bellwether_model::service::ClientIdentity;
use bellwether_model::tls::TlsPurpose;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use super::Ask;

/// Can this be shown: is its key of a kind that we can sign with, and the certificate's own?
///
/// # Errors
/// In words, without any of the key.
pub fn fits(identity: &ClientIdentity) -> Result<(), String> {
    let certified = certified(identity)?;
    match certified.keys_match() {
        Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::KeyMismatch)) => {
            Err("the private key is not that of the first certificate".to_owned())
        }
        // A key that does not tell its public half signs nevertheless; and what a certificate is
        // worth, the server judges: some private authorities still issue version 1.
        Ok(()) | Err(_) => Ok(()),
    }
}

fn certified(identity: &ClientIdentity) -> Result<CertifiedKey, String> {
    let bytes = |text: &String| {
        STANDARD
            .decode(text)
            .map_err(|_| "it is no base64".to_owned())
    };
    let chain: Result<Vec<CertificateDer<'static>>, String> = identity
        .chain
        .iter()
        .map(|cert| bytes(cert).map(CertificateDer::from))
        .collect();
    let key = PrivateKeyDer::try_from(bytes(&identity.key)?)
        .map_err(|_| "the private key is of no known form".to_owned())?;
    let key = aws_lc_rs::sign::any_supported_type(&key)
        .map_err(|_| "the private key is of a kind that cannot sign for TLS".to_owned())?;
    Ok(CertifiedKey::new(chain?, key))
}

/// The identity to show in this handshake. A redirect may lead elsewhere: it is shown to the
/// target's own host and port alone.
fn of_target<'a>(job: &'a Job, ask: &Ask) -> Option<&'a ClientIdentity> {
    let target = &job.target;
    let is_its = ask.host == target.host
        && ask.address.port() == target.port
        && ask.purpose == TlsPurpose::User;
    job.client_cert.as_ref().filter(|_| is_its)
}

pub(super) fn to_show(job: &Job, ask: &Ask) -> Option<Arc<CertifiedKey>> {
    let identity = of_target(job, ask)?;
    certified(identity).ok().map(Arc::new)
}

/// The certificates of the same, DER.
pub(super) fn chain_to_show(job: &Job, ask: &Ask) -> Vec<Vec<u8>> {
    let chain = of_target(job, ask).map_or(&[][..], |identity| &identity.chain);
    chain
        .iter()
        .filter_map(|text| STANDARD.decode(text).ok())
        .collect()
}
