//! Words for what is wrong, or odd, with a host's certificate and what goes with it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a host's certificate is like beyond names, validity and issuer. What is left out is as it
/// should be.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CertificateSpec {
    /// What is sent besides the host's own certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chain: Option<ChainWord>,
    /// Certificates sent on top of the chain, all of them the intermediate's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub more_links: Option<u16>,
    /// The public key in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<KeyWord>,
    /// How its issuer signed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signature: Option<SignatureWord>,
    /// Does it demand a stapled OCSP response (RFC 7633)?
    #[serde(skip_serializing_if = "Option::is_none")]
    pub must_staple: Option<bool>,
    /// The OCSP response sent along.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub staple: Option<StapleWord>,
    /// Signed certificate timestamps in it (RFC 6962); none of a log that exists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scts: Option<u8>,
    /// The shape of its bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub form: Option<FormWord>,
    /// Names below the first one's domain that it carries besides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub more_names: Option<u32>,
    /// DNS names that it carries besides, byte for byte as they stand here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub raw_names: Option<Vec<String>>,
    /// Common name of its subject, as it stands here; the first name if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Organisation of its subject, as it stands here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub organisation: Option<String>,
    /// What its key may be used for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage: Option<UsageWord>,
    /// Does it have a critical extension that nobody knows?
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unknown_critical: Option<bool>,
    /// Domains that its intermediate, one of its own then, may issue for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub permits: Option<Vec<String>>,
    /// Domains that its intermediate, one of its own then, may not issue for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub excludes: Option<Vec<String>>,
    /// Does each connection see another certificate, equal but for key and serial number?
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rotates: Option<bool>,
}

/// What is sent besides the host's own certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ChainWord {
    /// What leads to the root, without the root.
    #[default]
    Whole,
    /// Nothing.
    LeafOnly,
    /// The intermediate in an earlier edition, which ended a day ago.
    ExpiredIntermediate,
    /// The intermediate, and in front of it that earlier edition.
    BesideExpired,
    /// The intermediate and the root.
    WithRoot,
    /// The root, then the intermediate.
    Unordered,
}

/// A public key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum KeyWord {
    /// ECDSA on P-256.
    #[default]
    P256,
    /// RSA of 1,024 bits. Nobody holds the private half: clients refuse it before they would ask.
    Rsa1024,
}

/// How a certificate is signed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SignatureWord {
    /// ECDSA with SHA-256.
    #[default]
    Sha256,
    /// Says ECDSA with SHA-1; clients refuse it by that word, before they would verify it.
    Sha1,
    /// Says RSA with MD5, likewise.
    Md5,
}

/// An OCSP response sent along with the handshake (RFC 6066 section 8).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StapleWord {
    /// None.
    #[default]
    None,
    /// The issuer's word that the certificate is good, of this hour and for a week.
    Good,
    /// The same, and its week ended a day ago.
    Stale,
    /// The issuer's word that the certificate is revoked.
    Revoked,
    /// The issuer does not know the certificate.
    Unknown,
    /// Bytes that are no response.
    Garbage,
}

/// The shape of a certificate's bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FormWord {
    /// As it should be.
    #[default]
    WellFormed,
    /// No byte at all.
    Empty,
    /// The first half.
    Cut,
    /// Random bytes.
    Garbage,
    /// A serial number below zero.
    NegativeSerial,
    /// It ends on 29 February 2025, a day that was not.
    BadDate,
    /// A length that is given by an end mark, which BER has and DER has not.
    IndefiniteLength,
    /// A subject of 10,000 sequences inside each other.
    Nested,
    /// The alternative names stand there twice.
    DoubleExtension,
    /// Ten bytes follow its end.
    Trailing,
}

/// What a certificate's key may be used for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum UsageWord {
    /// Servers.
    #[default]
    Server,
    /// Clients only.
    Client,
}

impl CertificateSpec {
    /// These words, and the earlier ones where nothing is said.
    #[must_use]
    pub fn over(self, old: Self) -> Self {
        Self {
            chain: self.chain.or(old.chain),
            more_links: self.more_links.or(old.more_links),
            key: self.key.or(old.key),
            signature: self.signature.or(old.signature),
            must_staple: self.must_staple.or(old.must_staple),
            staple: self.staple.or(old.staple),
            scts: self.scts.or(old.scts),
            form: self.form.or(old.form),
            more_names: self.more_names.or(old.more_names),
            raw_names: self.raw_names.or(old.raw_names),
            subject: self.subject.or(old.subject),
            organisation: self.organisation.or(old.organisation),
            usage: self.usage.or(old.usage),
            unknown_critical: self.unknown_critical.or(old.unknown_critical),
            permits: self.permits.or(old.permits),
            excludes: self.excludes.or(old.excludes),
            rotates: self.rotates.or(old.rotates),
        }
    }
}
