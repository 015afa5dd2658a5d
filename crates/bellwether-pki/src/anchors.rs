//! Trust anchors.

use std::collections::{HashMap, HashSet};

use rustls_pki_types::{CertificateDer, TrustAnchor};

use crate::cert::organisations;
use crate::signature::{Check, Signed, check};

/// The roots that a chain may lead to.
#[derive(Debug, Default)]
pub struct Anchors {
    all: Vec<TrustAnchor<'static>>,
    by_subject: HashMap<Vec<u8>, Vec<usize>>,
    organisations: HashSet<String>,
}

/// A root that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("this is no certificate that can be a trust anchor: {0}")]
pub struct AnchorError(String);

impl Anchors {
    /// No anchor at all: nothing is trusted.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// The roots that Mozilla trusts for servers, as shipped with this program.
    #[must_use]
    pub fn mozilla() -> Self {
        let mut anchors = Self::none();
        for anchor in webpki_roots::TLS_SERVER_ROOTS {
            anchors.push(anchor.clone());
        }
        anchors
    }

    /// Adds a certificate; one that is there already changes nothing.
    ///
    /// # Errors
    /// If the bytes are no certificate.
    pub fn add(&mut self, der: &[u8]) -> Result<(), AnchorError> {
        let der = CertificateDer::from(der);
        let anchor =
            webpki::anchor_from_trusted_cert(&der).map_err(|e| AnchorError(e.to_string()))?;
        self.push(anchor.to_owned());
        Ok(())
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Is there none?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    fn push(&mut self, anchor: TrustAnchor<'static>) {
        let subject = anchor.subject.as_ref().to_vec();
        let known = self.by_subject.entry(subject).or_default();
        let spki = anchor.subject_public_key_info.as_ref();
        if known
            .iter()
            .any(|at| self.all[*at].subject_public_key_info.as_ref() == spki)
        {
            return;
        }
        known.push(self.all.len());
        self.organisations
            .extend(organisations(anchor.subject.as_ref()));
        self.all.push(anchor);
    }

    pub(crate) fn all(&self) -> &[TrustAnchor<'static>] {
        &self.all
    }

    /// Did an anchor with this name sign it? `None` if none has the name; the best result of those
    /// that have, else.
    pub(crate) fn signed(&self, issuer: &[u8], signed: &Signed<'_>) -> Option<Check> {
        let known = self.by_subject.get(issuer)?;
        known
            .iter()
            .map(|at| check(signed, self.all[*at].subject_public_key_info.as_ref()))
            .min()
    }

    /// Does an anchor belong to one of these organisations?
    pub(crate) fn has_organisation(&self, names: &[String]) -> bool {
        names.iter().any(|name| self.organisations.contains(name))
    }
}
