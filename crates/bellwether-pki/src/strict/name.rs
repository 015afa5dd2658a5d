//! Names in certificates: their forms, and who is meant by them.

use std::net::IpAddr;

use super::Peer;
use super::read::{Complaint, OID, SEQUENCE, SET, Strict};
use crate::der::Element;

/// Longest name of the DNS, characters (RFC 1035 section 2.3.4).
const DNS_LEN_MAX: usize = 253;
/// Longest label.
const LABEL_LEN_MAX: usize = 63;

/// One name of any kind (RFC 5280 section 4.2.1.6), as it stands there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum GeneralName<'a> {
    Email(&'a [u8]),
    Dns(&'a [u8]),
    /// Content of the RDNSequence.
    Directory(&'a [u8]),
    Uri(&'a [u8]),
    Address(&'a [u8]),
    /// Another kind, by its tag: X.400, EDI, registered, or one's own.
    Other(u8),
}

impl<'a> GeneralName<'a> {
    pub(super) fn of(element: &Element<'a>) -> Result<Self, Complaint> {
        let content = element.content;
        Ok(match element.tag {
            0x81 => Self::Email(content),
            0x82 => Self::Dns(content),
            0x86 => Self::Uri(content),
            0x87 => Self::Address(content),
            0xa4 => {
                let name = Strict::only(content, SEQUENCE, "a directory name")?;
                check(name)?;
                Self::Directory(name)
            }
            tag @ (0xa0 | 0xa3 | 0xa5 | 0x88) => Self::Other(tag),
            tag => return Err(format!("a name has the tag {tag:#04x}")),
        })
    }

    /// Kinds are constrained apart from each other.
    pub(super) fn kind(&self) -> u8 {
        match self {
            Self::Email(_) => 0x81,
            Self::Dns(_) => 0x82,
            Self::Directory(_) => 0xa4,
            Self::Uri(_) => 0x86,
            Self::Address(_) => 0x87,
            Self::Other(tag) => *tag,
        }
    }

    /// Is it a name at all, at the place of a name?
    pub(super) fn check(&self) -> Result<(), Complaint> {
        let shown = |bytes: &[u8]| bellwether_model::text::inert_bytes(bytes, 64);
        match self {
            Self::Dns(name) if !is_presented_dns(name) => {
                Err(format!("`{}` is no DNS name", shown(name)))
            }
            Self::Address(bytes) if !matches!(bytes.len(), 4 | 16) => {
                Err(format!("an address of {} bytes", bytes.len()))
            }
            Self::Email(mailbox) if !is_mailbox(mailbox) => {
                Err(format!("`{}` is no mailbox", shown(mailbox)))
            }
            Self::Uri(uri) if !uri.is_ascii() || !uri.contains(&b':') => {
                Err(format!("`{}` is no URI", shown(uri)))
            }
            _ => Ok(()),
        }
    }
}

/// The names in an extension that holds nothing else.
pub(super) fn list<'a>(
    value: &'a [u8],
    what: &'static str,
) -> Result<Vec<GeneralName<'a>>, Complaint> {
    let mut reader = Strict::new(Strict::only(value, SEQUENCE, what)?, what);
    let mut all = Vec::new();
    while !reader.is_at_end() {
        all.push(GeneralName::of(&reader.any()?)?);
    }
    if all.is_empty() {
        return Err(format!("{what} are empty"));
    }
    Ok(all)
}

/// A distinguished name: sets of attributes, each a type and a value.
pub(super) fn check(name: &[u8]) -> Result<(), Complaint> {
    attributes(name).map(|_| ())
}

/// Type and value of an attribute, content only.
pub(super) type Attribute<'a> = (&'a [u8], &'a [u8]);

/// Every attribute of a distinguished name.
pub(super) fn attributes(name: &[u8]) -> Result<Vec<Attribute<'_>>, Complaint> {
    const WHAT: &str = "a distinguished name";
    let mut reader = Strict::new(name, WHAT);
    let mut all = Vec::new();
    while !reader.is_at_end() {
        let mut set = Strict::new(reader.tagged(SET)?, WHAT);
        if set.is_at_end() {
            return Err("a distinguished name has an empty part".to_owned());
        }
        while !set.is_at_end() {
            let mut one = Strict::new(set.tagged(SEQUENCE)?, WHAT);
            let kind = one.tagged(OID)?;
            let value = one.any()?.content;
            one.end()?;
            all.push((kind, value));
        }
    }
    Ok(all)
}

/// The parts of a distinguished name, one by one, in full.
pub(super) fn parts(name: &[u8]) -> Vec<&[u8]> {
    let mut reader = Strict::new(name, "a distinguished name");
    std::iter::from_fn(|| reader.any().ok().map(|set| set.whole)).collect()
}

/// A name of the DNS in the preferred syntax, underscores allowed, as it stands in a certificate:
/// a wildcard may be its whole left-most label (RFC 9525 section 6.3).
fn is_presented_dns(name: &[u8]) -> bool {
    is_dns(name.strip_prefix(b"*.").unwrap_or(name))
}

/// The same without wildcard. An address is no name (RFC 5280 section 4.2.1.6), also in the other
/// forms that resolvers take for one: what ends in a number.
pub(super) fn is_dns(name: &[u8]) -> bool {
    let is_label = |label: &[u8]| {
        let edge = |b: Option<&u8>| b.is_some_and(|b| *b != b'-');
        (1..=LABEL_LEN_MAX).contains(&label.len())
            && edge(label.first())
            && edge(label.last())
            && label
                .iter()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    let last = name.rsplit(|b| *b == b'.').next();
    name.len() <= DNS_LEN_MAX
        && name.split(|b| *b == b'.').all(is_label)
        && !last.is_some_and(is_number)
}

/// Decimal, or hexadecimal behind `0x`.
fn is_number(label: &[u8]) -> bool {
    let hexadecimal = label.strip_prefix(b"0x").or(label.strip_prefix(b"0X"));
    label.iter().all(u8::is_ascii_digit)
        || hexadecimal.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
}

/// Do both belong to one registered domain? A wildcard belongs where the rest does.
pub(super) fn are_of_one_domain(one: &[u8], other: &[u8]) -> bool {
    let domain = |name: &[u8]| {
        let name = name
            .strip_prefix(b"*.")
            .unwrap_or(name)
            .to_ascii_lowercase();
        psl::domain(&name).map(|domain| domain.as_bytes().to_vec())
    };
    domain(one).is_some_and(|of_one| domain(other) == Some(of_one))
}

pub(super) fn is_mailbox(text: &[u8]) -> bool {
    let Some(at) = text.iter().position(|b| *b == b'@') else {
        return false;
    };
    text.is_ascii() && at > 0 && is_dns(&text[at + 1..])
}

/// May a certificate be issued for this wildcard? Not where the rest is a public suffix: the names
/// below it belong to many (BR 3.2.2.6).
pub(super) fn is_public_wildcard(name: &[u8]) -> bool {
    let Some(rest) = name.strip_prefix(b"*.") else {
        return name == b"*";
    };
    let rest = rest.to_ascii_lowercase();
    psl::suffix(&rest).is_none_or(|suffix| suffix.as_bytes() == rest.as_slice())
}

/// Does this name mean the peer?
pub(super) fn means(name: &GeneralName<'_>, peer: &Peer) -> bool {
    match (name, peer) {
        (GeneralName::Dns(presented), Peer::Name(host)) => names_host(presented, host.as_bytes()),
        (GeneralName::Address(bytes), Peer::Address(address)) => match address {
            IpAddr::V4(v4) => *bytes == v4.octets(),
            IpAddr::V6(v6) => *bytes == v6.octets(),
        },
        _ => false,
    }
}

fn names_host(presented: &[u8], host: &[u8]) -> bool {
    let host = host.strip_suffix(b".").unwrap_or(host);
    let Some(rest) = presented.strip_prefix(b"*.") else {
        return presented.eq_ignore_ascii_case(host);
    };
    let dot = host.iter().position(|b| *b == b'.');
    dot.is_some_and(|dot| rest.eq_ignore_ascii_case(&host[dot + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_of_dns_names() {
        for (name, fits) in [
            ("example.com", true),
            ("_dmarc.example.com", true),
            ("*.example.com", true),
            ("xn--bliss-1b3c148a.example.com", true),
            ("xn--*-1b3c148a.example.com", false),
            ("*example.com", false),
            ("foo.*.example.com", false),
            (".example.com", false),
            ("example.com.", false),
            ("-a.example.com", false),
            ("192.0.2.1", false),
            ("0xC0000201", false),
            ("😜.example.com", false),
            ("a..example.com", false),
            ("", false),
            ("*", false),
        ] {
            assert_eq!(is_presented_dns(name.as_bytes()), fits, "{name}");
        }
    }

    #[test]
    fn wildcards_over_public_suffixes() {
        for (name, is_public) in [
            ("*.com", true),
            ("*.co.uk", true),
            ("*.s3.amazonaws.com", true),
            ("*.example.com", false),
            ("*.svc.test", false),
            ("example.com", false),
        ] {
            assert_eq!(is_public_wildcard(name.as_bytes()), is_public, "{name}");
        }
    }
}
