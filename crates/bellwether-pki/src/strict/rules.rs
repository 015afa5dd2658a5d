//! What a certificate must be at its place in a path.

use jiff::Timestamp;

use super::Peer;
use super::cert::{ANY_POLICY, ANY_PURPOSE, Cert, DIGITAL_SIGNATURE, KEY_CERT_SIGN, SERVER_AUTH};
use super::name::{self, GeneralName, attributes};
use super::read::Complaint;
use crate::key::{KeyKind, signature_name, signature_weakness};

/// `commonName`.
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
/// Longest serial number, octets (RFC 5280 section 4.1.2.2).
const SERIAL_LEN_MAX: usize = 20;

/// Where a certificate stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// The server's own.
    Server,
    /// Between the server's and the trusted one.
    Between,
    /// The trusted one.
    Trusted,
}

/// A whole path, the server's certificate first, the trusted one last; signatures hold.
pub(super) fn check(
    path: &[&Cert<'_>],
    at: Timestamp,
    peer: Option<&Peer>,
    depth_max: Option<usize>,
) -> Result<(), Complaint> {
    for (index, cert) in path.iter().enumerate() {
        let place = match index {
            0 => Place::Server,
            _ if index + 1 == path.len() => Place::Trusted,
            _ => Place::Between,
        };
        one(cert, place, at).map_err(|complaint| match place {
            Place::Server => format!("the server's certificate: {complaint}"),
            Place::Between => format!("certificate {index} of the path: {complaint}"),
            Place::Trusted => format!("the trusted certificate: {complaint}"),
        })?;
    }
    lengths(path, depth_max)?;
    super::constraints::check(path)?;
    policies(path)?;
    match peer {
        None => Ok(()),
        Some(peer) => identity(path[0], peer),
    }
}

fn one(cert: &Cert<'_>, place: Place, at: Timestamp) -> Result<(), Complaint> {
    validity(cert, at)?;
    form(cert, place)?;
    key(cert, place)?;
    key_identifiers(cert, place)?;
    if place == Place::Server {
        return server(cert);
    }
    authority(cert, place)
}

/// Both ends belong to the validity (RFC 5280 section 4.1.2.5); it counts in whole seconds.
fn validity(cert: &Cert<'_>, at: Timestamp) -> Result<(), Complaint> {
    let second = at.as_second();
    if cert.not_after < cert.not_before {
        return Err("it ends before it begins".to_owned());
    }
    if second < cert.not_before.as_second() {
        return Err(format!("it begins {}", cert.not_before));
    }
    if cert.not_after.as_second() < second {
        return Err(format!("it ended {}", cert.not_after));
    }
    Ok(())
}

fn form(cert: &Cert<'_>, place: Place) -> Result<(), Complaint> {
    // What is trusted is trusted by configuration; old roots have serial number 0.
    if place != Place::Trusted {
        serial(cert.serial)?;
    }
    if cert.algorithms.0 != cert.algorithms.1 {
        return Err("two different signature algorithms stand in it (section 4.1.1.2)".to_owned());
    }
    if cert.issuer.is_empty() {
        return Err("its issuer has no name (section 4.1.2.4)".to_owned());
    }
    if let Some(oid) = &cert.unknown_critical {
        return Err(format!(
            "critical extension {oid} is not known (section 4.2)"
        ));
    }
    if let Some(what) = cert.wrongly_critical.first() {
        return Err(format!("{what} must not be critical"));
    }
    if let Some(what) = cert.wrongly_lax.first() {
        return Err(format!("{what} must be critical"));
    }
    if cert.usage == Some(0) {
        return Err("key usage without any usage (section 4.2.1.3)".to_owned());
    }
    for name in cert.names.iter().flat_map(|n| &n.all) {
        name.check()?;
    }
    Ok(())
}

fn serial(serial: &[u8]) -> Result<(), Complaint> {
    if serial.first().is_some_and(|b| b & 0x80 != 0) {
        return Err("its serial number is negative".to_owned());
    }
    if serial.iter().all(|b| *b == 0) {
        return Err("its serial number is zero".to_owned());
    }
    if serial.len() > SERIAL_LEN_MAX {
        return Err(format!("its serial number has {} octets", serial.len()));
    }
    Ok(())
}

/// BR 6.1.5 and 7.1.3.
fn key(cert: &Cert<'_>, place: Place) -> Result<(), Complaint> {
    let key = KeyKind::of(cert.spki);
    if let Some(weakness) = key.weakness() {
        return Err(weakness);
    }
    match key {
        KeyKind::Unreadable => return Err("its key cannot be read".to_owned()),
        KeyKind::Rsa(bits) if bits % 8 != 0 => {
            return Err(format!(
                "an RSA key of {bits} bits, which is no multiple of 8"
            ));
        }
        KeyKind::Rsa(_) | KeyKind::Ecdsa(_) | KeyKind::Ed25519 | KeyKind::Other(_) => {}
    }
    // Nobody needs the signature of a trusted certificate.
    if place == Place::Trusted {
        return Ok(());
    }
    match signature_weakness(&signature_name(cert.algorithms.1)) {
        Some(weakness) => Err(weakness),
        None => Ok(()),
    }
}

/// RFC 5280 sections 4.2.1.1 and 4.2.1.2, BR 7.1.2.1.3.
fn key_identifiers(cert: &Cert<'_>, place: Place) -> Result<(), Complaint> {
    let own = cert.subject_key.as_ref().map(|id| id.key);
    if place != Place::Server && own.is_none_or(<[u8]>::is_empty) {
        return Err("a CA without subject key identifier".to_owned());
    }
    let is_root = place == Place::Trusted && cert.is_self_issued();
    let Some(id) = &cert.authority_key else {
        // A root is its own authority and may leave it out.
        return if is_root {
            Ok(())
        } else {
            Err("no authority key identifier".to_owned())
        };
    };
    if id.key.is_none() {
        return Err("an authority key identifier without key".to_owned());
    }
    if id.names_issuer {
        return Err("an authority key identifier with issuer or serial number".to_owned());
    }
    if is_root && id.key != own {
        return Err("a root whose authority key identifier is not its own key's".to_owned());
    }
    Ok(())
}

/// The server's own (BR 7.1.2.7).
fn server(cert: &Cert<'_>) -> Result<(), Complaint> {
    if cert.basic.as_ref().is_some_and(|b| b.ca) {
        return Err("a CA's certificate at the server's place".to_owned());
    }
    if cert.usage.is_some_and(|bits| bits & KEY_CERT_SIGN != 0) {
        return Err("its key may sign certificates, and it is no CA".to_owned());
    }
    if cert.basic.as_ref().is_some_and(|b| b.path_len.is_some()) {
        return Err("a path length, and it is no CA".to_owned());
    }
    if cert.constraints.is_some() {
        return Err("name constraints, and it is no CA (section 4.2.1.10)".to_owned());
    }
    let is_for_signing = |bits: u16| bits & DIGITAL_SIGNATURE != 0;
    let is_rsa = matches!(KeyKind::of(cert.spki), KeyKind::Rsa(_));
    if !is_rsa && cert.usage.is_some_and(|bits| !is_for_signing(bits)) {
        return Err("its key usage does not allow signatures".to_owned());
    }
    let Some(extended) = &cert.extended else {
        return Err("no extended key usage (BR 7.1.2.7.6)".to_owned());
    };
    if extended.critical {
        return Err("extended key usage must not be critical (BR 7.1.2.7.6)".to_owned());
    }
    if extended.purposes.contains(&ANY_PURPOSE) {
        return Err("extended key usage allows everything (BR 7.1.2.7.10)".to_owned());
    }
    if !extended.purposes.contains(&SERVER_AUTH) {
        return Err("extended key usage does not allow servers".to_owned());
    }
    alternative_names(cert)
}

fn alternative_names(cert: &Cert<'_>) -> Result<(), Complaint> {
    let Some(names) = &cert.names else {
        return Err("no subject alternative name".to_owned());
    };
    if names.critical != cert.subject.is_empty() {
        return Err(if names.critical {
            "alternative names are critical although there is a subject (BR 7.1.2.7.12)".to_owned()
        } else {
            "alternative names are not critical although there is no subject".to_owned()
        });
    }
    for name in &names.all {
        if let GeneralName::Dns(name) = name
            && name::is_public_wildcard(name)
        {
            let shown = bellwether_model::text::inert_bytes(name, 64);
            return Err(format!("`{shown}` stands for names of many (BR 3.2.2.6)"));
        }
    }
    common_name(cert, &names.all)
}

/// A common name copies one of the alternative names, character for character (BR 7.1.4.3).
///
/// Let pass is a host of the same registered domain, or one beside addresses alone: the letter
/// forbids it, the purpose does not, since the CA has proof of control of it or clients have no use
/// for it.
fn common_name(cert: &Cert<'_>, names: &[GeneralName<'_>]) -> Result<(), Complaint> {
    let all = attributes(cert.subject)?;
    let mut common = all.iter().filter(|(kind, _)| *kind == COMMON_NAME);
    let Some((_, value)) = common.next() else {
        return Ok(());
    };
    if common.next().is_some() {
        return Err("more than one common name".to_owned());
    }
    let hosts: Vec<&[u8]> = names.iter().filter_map(dns_name).collect();
    let addresses: Vec<String> = names.iter().filter_map(address).collect();
    let is_copied = hosts.contains(value) || addresses.iter().any(|text| text.as_bytes() == *value);
    // Whom a directory name names is no web server.
    if is_copied || hosts.is_empty() && addresses.is_empty() {
        return Ok(());
    }
    let is_variant = hosts.iter().any(|host| host.eq_ignore_ascii_case(value));
    let is_related = hosts.is_empty()
        || hosts
            .iter()
            .any(|host| name::are_of_one_domain(host, value));
    if name::is_dns(value) && !is_variant && is_related {
        return Ok(());
    }
    let shown = bellwether_model::text::inert_bytes(value, 64);
    Err(format!(
        "common name `{shown}` is none of its alternative names (BR 7.1.4.3)"
    ))
}

fn dns_name<'a>(name: &GeneralName<'a>) -> Option<&'a [u8]> {
    match name {
        GeneralName::Dns(name) => Some(name),
        GeneralName::Address(_)
        | GeneralName::Email(_)
        | GeneralName::Directory(_)
        | GeneralName::Uri(_)
        | GeneralName::Other(_) => None,
    }
}

/// As BR 7.1.4.3 wants it written: RFC 3986 section 3.2.2, RFC 5952.
fn address(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::Address(bytes) => crate::cert::address(bytes).map(|a| a.to_string()),
        GeneralName::Dns(_)
        | GeneralName::Email(_)
        | GeneralName::Directory(_)
        | GeneralName::Uri(_)
        | GeneralName::Other(_) => None,
    }
}

/// Whoever issues (RFC 5280 sections 4.2.1.3 and 4.2.1.9, BR 7.1.2.1 to 7.1.2.6).
fn authority(cert: &Cert<'_>, place: Place) -> Result<(), Complaint> {
    if cert.subject.is_empty() {
        return Err("a CA without name (section 4.1.2.6)".to_owned());
    }
    let Some(basic) = &cert.basic else {
        return Err("a CA without basic constraints".to_owned());
    };
    if !basic.ca {
        return Err("it issued another certificate and is no CA".to_owned());
    }
    if !basic.critical {
        return Err("basic constraints must be critical in a CA".to_owned());
    }
    let may_sign = cert.usage.is_none_or(|bits| bits & KEY_CERT_SIGN != 0);
    if !may_sign {
        return Err("a CA whose key usage does not allow to sign certificates".to_owned());
    }
    let is_root = place == Place::Trusted && cert.is_self_issued();
    match &cert.extended {
        Some(_) if is_root => Err("a root with extended key usage (BR 7.1.2.1.2)".to_owned()),
        Some(extended)
            if !extended.purposes.contains(&SERVER_AUTH)
                && !extended.purposes.contains(&ANY_PURPOSE) =>
        {
            Err("a CA whose extended key usage does not allow servers".to_owned())
        }
        Some(_) | None => Ok(()),
    }
}

/// Self-issued certificates in between are not counted (RFC 5280 section 4.2.1.9).
fn lengths(path: &[&Cert<'_>], depth_max: Option<usize>) -> Result<(), Complaint> {
    let mut between = 0usize;
    for cert in &path[1..] {
        let limit = cert.basic.as_ref().and_then(|b| b.path_len);
        let limit = limit.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX));
        if limit.is_some_and(|limit| between > limit) {
            return Err("the path is longer than a CA in it allows".to_owned());
        }
        if !cert.is_self_issued() {
            between += 1;
        }
    }
    // The last one counted is the trusted one, if it is not self-issued.
    let last_counts = path.len() > 1 && !path[path.len() - 1].is_self_issued();
    let between = between - usize::from(last_counts);
    if depth_max.is_some_and(|max| between > max) {
        return Err("the path is longer than asked for".to_owned());
    }
    Ok(())
}

/// Where a CA requires a policy, one must hold along the whole path below (RFC 5280 section 6.1).
/// Mappings are not followed: a path that needs them is refused.
fn policies(path: &[&Cert<'_>]) -> Result<(), Complaint> {
    let mut left: Option<u32> = None;
    // `None` stands for any policy.
    let mut valid: Option<Vec<&[u8]>> = None;
    for cert in path[..path.len() - 1].iter().rev() {
        let listed = cert.policies.clone().unwrap_or_default();
        if !listed.contains(&ANY_POLICY) {
            valid = Some(match valid {
                None => listed,
                Some(known) => known.into_iter().filter(|p| listed.contains(p)).collect(),
            });
        }
        left = left.map(|n| n.saturating_sub(u32::from(!cert.is_self_issued())));
        let constraints = cert.policy_constraints.as_ref();
        left = match (left, constraints.and_then(|c| c.require_explicit)) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        let holds = valid.as_ref().is_none_or(|known| !known.is_empty());
        if left == Some(0) && (!holds || cert.has_policy_mappings) {
            return Err("a CA requires a policy that does not hold along the path".to_owned());
        }
    }
    Ok(())
}

fn identity(cert: &Cert<'_>, peer: &Peer) -> Result<(), Complaint> {
    let names = cert.names.iter().flat_map(|names| &names.all);
    if names.into_iter().any(|name| name::means(name, peer)) {
        return Ok(());
    }
    Err("the certificate does not name the host (RFC 9525 section 6)".to_owned())
}
