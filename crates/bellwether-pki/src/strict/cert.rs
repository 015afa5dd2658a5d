//! A certificate in full (RFC 5280 section 4.1); anything out of shape is a complaint.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::name::{self, GeneralName};
use super::read::{
    self, BIT_STRING, BOOLEAN, Complaint, INTEGER, OCTET_STRING, OID, SEQUENCE, Strict, small,
};
use crate::signature::Signed;

/// Largest certificate that is read, bytes: as everywhere in this crate.
const LEN_MAX: usize = 256 * 1024;
/// Extensions of one certificate. Real ones have about ten.
const EXTENSIONS_MAX: usize = 64;

const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// One certificate.
pub(super) struct Cert<'a> {
    pub(super) der: &'a [u8],
    pub(super) tbs: &'a [u8],
    /// Algorithm as signed, and as it stands beside the signature.
    pub(super) algorithms: (&'a [u8], &'a [u8]),
    pub(super) signature: &'a [u8],
    pub(super) serial: &'a [u8],
    /// Contents of the name's SEQUENCE, as those of subject and key.
    pub(super) issuer: &'a [u8],
    pub(super) not_before: Timestamp,
    pub(super) not_after: Timestamp,
    pub(super) subject: &'a [u8],
    pub(super) spki: &'a [u8],
    pub(super) basic: Option<Basic>,
    /// Bits of key usage, the first one highest.
    pub(super) usage: Option<u16>,
    pub(super) extended: Option<Extended<'a>>,
    pub(super) names: Option<Names<'a>>,
    pub(super) authority_key: Option<AuthorityKey<'a>>,
    pub(super) subject_key: Option<SubjectKey<'a>>,
    pub(super) constraints: Option<Constraints<'a>>,
    pub(super) policy_constraints: Option<PolicyConstraints>,
    pub(super) policies: Option<Vec<&'a [u8]>>,
    pub(super) has_policy_mappings: bool,
    /// Extensions marked critical that must not be.
    pub(super) wrongly_critical: Vec<&'static str>,
    /// Extensions not marked critical that must be.
    pub(super) wrongly_lax: Vec<&'static str>,
    /// A critical extension that nobody knows.
    pub(super) unknown_critical: Option<String>,
}

/// Basic constraints.
pub(super) struct Basic {
    pub(super) critical: bool,
    pub(super) ca: bool,
    pub(super) path_len: Option<u32>,
}

/// Extended key usage.
pub(super) struct Extended<'a> {
    pub(super) critical: bool,
    pub(super) purposes: Vec<&'a [u8]>,
}

/// Subject alternative names.
pub(super) struct Names<'a> {
    pub(super) critical: bool,
    pub(super) all: Vec<GeneralName<'a>>,
}

/// Authority key identifier.
pub(super) struct AuthorityKey<'a> {
    pub(super) key: Option<&'a [u8]>,
    pub(super) names_issuer: bool,
}

/// Subject key identifier.
pub(super) struct SubjectKey<'a> {
    pub(super) key: &'a [u8],
}

/// Name constraints.
#[derive(Default)]
pub(super) struct Constraints<'a> {
    pub(super) permitted: Vec<GeneralName<'a>>,
    pub(super) excluded: Vec<GeneralName<'a>>,
}

/// Policy constraints.
pub(super) struct PolicyConstraints {
    pub(super) require_explicit: Option<u32>,
}

pub(super) const DIGITAL_SIGNATURE: u16 = 1 << 15;
pub(super) const KEY_CERT_SIGN: u16 = 1 << 10;

pub(super) const SERVER_AUTH: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x01];
pub(super) const ANY_PURPOSE: &[u8] = &[0x55, 0x1d, 0x25, 0x00];
pub(super) const ANY_POLICY: &[u8] = &[0x55, 0x1d, 0x20, 0x00];

/// `id-pe-authorityInfoAccess`.
const AUTHORITY_INFO: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x01, 0x01];

impl<'a> Cert<'a> {
    pub(super) fn read(der: &'a [u8]) -> Result<Self, Complaint> {
        if der.len() > LEN_MAX {
            return Err(format!("a certificate is larger than {LEN_MAX} bytes"));
        }
        read::check(der)?;
        let mut outer = Strict::new(
            Strict::only(der, SEQUENCE, "the certificate")?,
            "the certificate",
        );
        let tbs = outer.any()?;
        let beside = outer.tagged(SEQUENCE)?;
        let signature = whole_bytes(outer.tagged(BIT_STRING)?)?;
        outer.end()?;
        if tbs.tag != SEQUENCE {
            return Err("the certificate has no signed part".to_owned());
        }
        let mut inner = Strict::new(tbs.content, "the certificate");
        let version = inner.optional(0xa0)?;
        let serial = inner.tagged(INTEGER)?;
        let signed = inner.tagged(SEQUENCE)?;
        let issuer = inner.tagged(SEQUENCE)?;
        let mut validity = Strict::new(inner.tagged(SEQUENCE)?, "the validity");
        let (not_before, not_after) = (time(&mut validity)?, time(&mut validity)?);
        validity.end()?;
        let subject = inner.tagged(SEQUENCE)?;
        let spki = inner.tagged(SEQUENCE)?;
        // Unique identifiers of issuer and subject are of version 2, and nobody uses them (section
        // 4.1.2.8).
        inner.optional(0x81)?;
        inner.optional(0x82)?;
        let extensions = inner.optional(0xa3)?;
        inner.end()?;
        let is_v3 = version.is_some_and(|v| v == [INTEGER, 1, 2]);
        if !is_v3 {
            return Err("X.509 version 1 or 2".to_owned());
        }
        name::check(issuer)?;
        name::check(subject)?;
        let mut cert = Self {
            der,
            tbs: tbs.whole,
            algorithms: (signed, beside),
            signature,
            serial,
            issuer,
            not_before,
            not_after,
            subject,
            spki,
            basic: None,
            usage: None,
            extended: None,
            names: None,
            authority_key: None,
            subject_key: None,
            constraints: None,
            policy_constraints: None,
            policies: None,
            has_policy_mappings: false,
            wrongly_critical: Vec::new(),
            wrongly_lax: Vec::new(),
            unknown_critical: None,
        };
        if let Some(extensions) = extensions {
            cert.take_extensions(extensions)?;
        }
        Ok(cert)
    }

    pub(super) fn signed(&self) -> Signed<'a> {
        Signed {
            message: self.tbs,
            algorithm: self.algorithms.1,
            signature: self.signature,
        }
    }

    pub(super) fn is_self_issued(&self) -> bool {
        self.issuer == self.subject
    }

    fn take_extensions(&mut self, content: &'a [u8]) -> Result<(), Complaint> {
        let list = Strict::only(content, SEQUENCE, "the list of extensions")?;
        let mut list = Strict::new(list, "the list of extensions");
        let mut known: Vec<&[u8]> = Vec::new();
        while !list.is_at_end() {
            let mut one = Strict::new(list.tagged(SEQUENCE)?, "an extension");
            let oid = one.tagged(OID)?;
            let critical = one.optional(BOOLEAN)?.is_some_and(|b| b == [0xff]);
            let value = one.tagged(OCTET_STRING)?;
            one.end()?;
            if known.contains(&oid) {
                let oid = crate::key::dotted(oid);
                return Err(format!("extension {oid} stands twice"));
            }
            known.push(oid);
            if known.len() > EXTENSIONS_MAX {
                return Err(format!("more than {EXTENSIONS_MAX} extensions"));
            }
            self.take_extension(oid, critical, value)?;
        }
        if known.is_empty() {
            return Err("the list of extensions is empty".to_owned());
        }
        Ok(())
    }

    fn take_extension(
        &mut self,
        oid: &[u8],
        critical: bool,
        value: &'a [u8],
    ) -> Result<(), Complaint> {
        // What must be marked critical, and what must not be, is a rule, not a matter of reading.
        let mut never_critical = |what| {
            if critical {
                self.wrongly_critical.push(what);
            }
        };
        let mut always_critical = |what| {
            if !critical {
                self.wrongly_lax.push(what);
            }
        };
        match oid {
            AUTHORITY_INFO => {
                never_critical("authority information access");
                authority_info(value)?;
            }
            [0x55, 0x1d, 14] => {
                never_critical("subject key identifier");
                let key = Strict::only(value, OCTET_STRING, "the subject key identifier")?;
                self.subject_key = Some(SubjectKey { key });
            }
            [0x55, 0x1d, 15] => self.usage = Some(key_usage(value)?),
            [0x55, 0x1d, 17] => {
                let all = name::list(value, "the alternative names")?;
                self.names = Some(Names { critical, all });
            }
            [0x55, 0x1d, 18] => {
                name::list(value, "the issuer's alternative names")?;
            }
            [0x55, 0x1d, 19] => self.basic = Some(basic(value, critical)?),
            [0x55, 0x1d, 30] => self.constraints = Some(name_constraints(value)?),
            // CRL distribution points: only says where lists are to be had.
            [0x55, 0x1d, 31] => {
                Strict::only(value, SEQUENCE, "the CRL distribution points")?;
            }
            [0x55, 0x1d, 32] => self.policies = Some(policies(value)?),
            [0x55, 0x1d, 33] => self.has_policy_mappings = true,
            [0x55, 0x1d, 35] => {
                never_critical("authority key identifier");
                self.authority_key = Some(authority_key(value)?);
            }
            [0x55, 0x1d, 36] => {
                always_critical("policy constraints");
                self.policy_constraints = Some(policy_constraints(value)?);
            }
            [0x55, 0x1d, 37] => {
                let purposes = purposes(value)?;
                self.extended = Some(Extended { critical, purposes });
            }
            [0x55, 0x1d, 54] => {
                always_critical("inhibit any-policy");
                Strict::only(value, INTEGER, "inhibit any-policy")?;
            }
            _ if critical => self.unknown_critical = Some(crate::key::dotted(oid)),
            _ => {}
        }
        Ok(())
    }
}

fn whole_bytes(content: &[u8]) -> Result<&[u8], Complaint> {
    match content.split_first() {
        Some((0, bytes)) => Ok(bytes),
        _ => Err("the signature is no number of whole bytes".to_owned()),
    }
}

/// Until 2049 UTCTime, from 2050 on GeneralizedTime, both with seconds and in UTC (RFC 5280 section
/// 4.1.2.5).
fn time(reader: &mut Strict<'_>) -> Result<Timestamp, Complaint> {
    let element = reader.any()?;
    let wrong = || {
        let text = bellwether_model::text::inert_bytes(element.content, 32);
        format!("`{text}` is no time as RFC 5280 wants it")
    };
    let digits: Vec<i16> = match element.content.split_last() {
        Some((b'Z', digits)) if digits.iter().all(u8::is_ascii_digit) => {
            digits.iter().map(|d| i16::from(d - b'0')).collect()
        }
        _ => return Err(wrong()),
    };
    let two = |at: usize| digits[at] * 10 + digits[at + 1];
    let (year, rest) = match (element.tag, digits.len()) {
        (UTC_TIME, 12) if two(0) >= 50 => (1900 + two(0), 2),
        (UTC_TIME, 12) => (2000 + two(0), 2),
        (GENERALIZED_TIME, 14) => (two(0) * 100 + two(2), 4),
        _ => return Err(wrong()),
    };
    if element.tag == GENERALIZED_TIME && year < 2050 {
        return Err(wrong());
    }
    let part = |at: usize| i8::try_from(two(rest + at)).unwrap_or_default();
    // "No end" (section 4.1.2.5) lies behind what our timestamps reach.
    if element.content == b"99991231235959Z" {
        return Ok(Timestamp::MAX);
    }
    let date = DateTime::new(year, part(0), part(2), part(4), part(6), part(8), 0);
    let zoned = date.and_then(|date| date.to_zoned(TimeZone::UTC));
    zoned.map(|time| time.timestamp()).map_err(|_| wrong())
}

fn basic(value: &[u8], critical: bool) -> Result<Basic, Complaint> {
    let content = Strict::only(value, SEQUENCE, "the basic constraints")?;
    let mut reader = Strict::new(content, "the basic constraints");
    let ca = reader.optional(BOOLEAN)?.is_some_and(|b| b == [0xff]);
    let path_len = match reader.optional(INTEGER)? {
        None => None,
        Some(bytes) => Some(small(bytes).ok_or("the path length is no length")?),
    };
    reader.end()?;
    Ok(Basic {
        critical,
        ca,
        path_len,
    })
}

fn key_usage(value: &[u8]) -> Result<u16, Complaint> {
    let content = Strict::only(value, BIT_STRING, "the key usage")?;
    match content {
        [0..=7, first] => Ok(u16::from(*first) << 8),
        [0..=7, first, second] => Ok((u16::from(*first) << 8) | u16::from(*second)),
        _ => Err("the key usage is no set of bits".to_owned()),
    }
}

fn purposes(value: &[u8]) -> Result<Vec<&[u8]>, Complaint> {
    let content = Strict::only(value, SEQUENCE, "the extended key usage")?;
    let mut reader = Strict::new(content, "the extended key usage");
    let mut all = Vec::new();
    while !reader.is_at_end() {
        all.push(reader.tagged(OID)?);
    }
    if all.is_empty() {
        return Err("the extended key usage is empty".to_owned());
    }
    Ok(all)
}

fn authority_key(value: &[u8]) -> Result<AuthorityKey<'_>, Complaint> {
    let content = Strict::only(value, SEQUENCE, "the authority key identifier")?;
    let mut reader = Strict::new(content, "the authority key identifier");
    let key = reader.optional(0x80)?;
    let issuer = reader.optional(0xa1)?;
    let serial = reader.optional(0x82)?;
    reader.end()?;
    Ok(AuthorityKey {
        key,
        names_issuer: issuer.is_some() || serial.is_some(),
    })
}

fn authority_info(value: &[u8]) -> Result<(), Complaint> {
    let content = Strict::only(value, SEQUENCE, "the authority information access")?;
    let mut reader = Strict::new(content, "the authority information access");
    if reader.is_at_end() {
        return Err("the authority information access is empty".to_owned());
    }
    while !reader.is_at_end() {
        let mut one = Strict::new(reader.tagged(SEQUENCE)?, "the authority information access");
        one.tagged(OID)?;
        GeneralName::of(&one.any()?)?;
        one.end()?;
    }
    Ok(())
}

fn name_constraints(value: &[u8]) -> Result<Constraints<'_>, Complaint> {
    let content = Strict::only(value, SEQUENCE, "the name constraints")?;
    let mut reader = Strict::new(content, "the name constraints");
    let permitted = reader.optional(0xa0)?;
    let excluded = reader.optional(0xa1)?;
    reader.end()?;
    if permitted.is_none() && excluded.is_none() {
        return Err("the name constraints are empty".to_owned());
    }
    Ok(Constraints {
        permitted: permitted.map_or(Ok(Vec::new()), name_subtrees)?,
        excluded: excluded.map_or(Ok(Vec::new()), name_subtrees)?,
    })
}

/// Minimum and maximum are not used: zero, and absent (RFC 5280 section 4.2.1.10).
fn name_subtrees(content: &[u8]) -> Result<Vec<GeneralName<'_>>, Complaint> {
    let mut reader = Strict::new(content, "the name constraints");
    let mut all = Vec::new();
    while !reader.is_at_end() {
        let mut one = Strict::new(reader.tagged(SEQUENCE)?, "a name constraint");
        all.push(GeneralName::of(&one.any()?)?);
        one.end()?;
    }
    if all.is_empty() {
        return Err("a list of name constraints is empty".to_owned());
    }
    Ok(all)
}

fn policies(value: &[u8]) -> Result<Vec<&[u8]>, Complaint> {
    let content = Strict::only(value, SEQUENCE, "the certificate policies")?;
    let mut reader = Strict::new(content, "the certificate policies");
    let mut all: Vec<&[u8]> = Vec::new();
    while !reader.is_at_end() {
        let mut one = Strict::new(reader.tagged(SEQUENCE)?, "a certificate policy");
        let oid = one.tagged(OID)?;
        if all.contains(&oid) {
            return Err("a certificate policy stands twice".to_owned());
        }
        all.push(oid);
    }
    if all.is_empty() {
        return Err("the certificate policies are empty".to_owned());
    }
    Ok(all)
}

fn policy_constraints(value: &[u8]) -> Result<PolicyConstraints, Complaint> {
    let content = Strict::only(value, SEQUENCE, "the policy constraints")?;
    let mut reader = Strict::new(content, "the policy constraints");
    let explicit = reader.optional(0x80)?;
    let mapping = reader.optional(0x81)?;
    reader.end()?;
    if explicit.is_none() && mapping.is_none() {
        return Err("the policy constraints are empty".to_owned());
    }
    let require_explicit = match explicit {
        None => None,
        Some(bytes) => Some(small(bytes).ok_or("a policy constraint is no number")?),
    };
    Ok(PolicyConstraints { require_explicit })
}
