//! Trust anchors.

use std::collections::{HashMap, HashSet};
use std::sync::OnceLock;

use rustls_pki_types::{CertificateDer, TrustAnchor};
use sha2::{Digest, Sha256};

use crate::cert::organisations;
use crate::signature::{Check, Signatures, Signed};

/// The roots that a chain may lead to.
#[derive(Debug, Default)]
pub struct Anchors {
    all: Vec<TrustAnchor<'static>>,
    by_subject: HashMap<Vec<u8>, Vec<usize>>,
    /// Beside `all`: where each comes from.
    kinds: Vec<Kinds>,
    organisations: HashSet<String>,
    digest: OnceLock<[u8; 32]>,
}

/// Whose root it is; it may be several's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Kinds {
    /// Among those that browsers trust.
    pub(crate) public: bool,
    /// Given by the operator.
    pub(crate) given: bool,
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
            let kinds = Kinds {
                public: true,
                given: false,
            };
            anchors.push(anchor.clone(), kinds);
        }
        anchors
    }

    /// Adds a certificate of this host's store; one that is there already changes nothing.
    ///
    /// # Errors
    /// If the bytes are no certificate.
    pub fn add(&mut self, der: &[u8]) -> Result<(), AnchorError> {
        self.add_as(der, Kinds::default())
    }

    /// Adds a certificate that the operator gave.
    ///
    /// # Errors
    /// If the bytes are no certificate.
    pub fn add_given(&mut self, der: &[u8]) -> Result<(), AnchorError> {
        let kinds = Kinds {
            public: false,
            given: true,
        };
        self.add_as(der, kinds)
    }

    /// Adds a certificate.
    pub(crate) fn add_as(&mut self, der: &[u8], kinds: Kinds) -> Result<(), AnchorError> {
        let der = CertificateDer::from(der);
        let anchor =
            webpki::anchor_from_trusted_cert(&der).map_err(|e| AnchorError(e.to_string()))?;
        self.push(anchor.to_owned(), kinds);
        Ok(())
    }

    /// A name for this set of roots: what is remembered of a chain counts for one set alone.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        *self.digest.get_or_init(|| self.digested())
    }

    fn digested(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        let mut part = |bytes: &[u8]| {
            hash.update(bytes.len().to_le_bytes());
            hash.update(bytes);
        };
        for (anchor, kinds) in self.all.iter().zip(&self.kinds) {
            let constraints = anchor.name_constraints.as_ref();
            part(anchor.subject.as_ref());
            part(anchor.subject_public_key_info.as_ref());
            part(constraints.map_or(&[], |constraints| constraints.as_ref()));
            part(&[
                u8::from(constraints.is_some()),
                u8::from(kinds.public),
                u8::from(kinds.given),
            ]);
        }
        hash.finalize().into()
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

    fn push(&mut self, anchor: TrustAnchor<'static>, kinds: Kinds) {
        self.digest.take();
        let subject = anchor.subject.as_ref().to_vec();
        let known = self.by_subject.entry(subject).or_default();
        let spki = anchor.subject_public_key_info.as_ref();
        let same = |at: &&usize| self.all[**at].subject_public_key_info.as_ref() == spki;
        if let Some(at) = known.iter().find(same) {
            self.kinds[*at].public |= kinds.public;
            self.kinds[*at].given |= kinds.given;
            return;
        }
        known.push(self.all.len());
        self.kinds.push(kinds);
        self.organisations
            .extend(organisations(anchor.subject.as_ref()));
        self.all.push(anchor);
    }

    pub(crate) fn all(&self) -> &[TrustAnchor<'static>] {
        &self.all
    }

    /// Did an anchor with this name sign it? `None` if none has the name; the best result of those
    /// that have, else.
    pub(crate) fn signed(
        &self,
        issuer: &[u8],
        signed: &Signed<'_>,
        signatures: &Signatures,
    ) -> Option<Check> {
        let known = self.by_subject.get(issuer)?;
        known
            .iter()
            .map(|at| signatures.check(signed, self.all[*at].subject_public_key_info.as_ref()))
            .min()
    }

    /// The keys of the anchors with this name.
    pub(crate) fn keys(&self, subject: &[u8]) -> Vec<&[u8]> {
        let known = self.by_subject.get(subject).into_iter().flatten();
        known
            .map(|at| self.all[*at].subject_public_key_info.as_ref())
            .collect()
    }

    /// Whose the anchors with this name are.
    pub(crate) fn kinds(&self, subject: &[u8]) -> Kinds {
        let known = self.by_subject.get(subject).into_iter().flatten();
        known.fold(Kinds::default(), |sum, at| Kinds {
            public: sum.public || self.kinds[*at].public,
            given: sum.given || self.kinds[*at].given,
        })
    }

    /// Did the operator give any?
    pub(crate) fn has_given(&self) -> bool {
        self.kinds.iter().any(|kinds| kinds.given)
    }

    /// Does an anchor belong to one of these organisations?
    pub(crate) fn has_organisation(&self, names: &[String]) -> bool {
        names.iter().any(|name| self.organisations.contains(name))
    }
}
