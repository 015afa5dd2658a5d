//! Name constraints (RFC 5280 section 4.2.1.10).

use super::cert::{Cert, Constraints};
use super::name::{self, GeneralName, attributes};
use super::read::Complaint;

/// Comparisons of names for one path: names and constraints multiply, and the peer writes both.
const COMPARISONS_MAX: usize = 250_000;

/// `emailAddress` in a distinguished name.
const EMAIL: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x01];

/// Checks every name below against the constraints of every certificate above it.
///
/// `path` begins with the server's certificate. What is self-issued in between is exempt (section
/// 6.1.3 b).
pub(super) fn check(path: &[&Cert<'_>]) -> Result<(), Complaint> {
    let mut left = COMPARISONS_MAX;
    for (place, authority) in path.iter().enumerate().skip(1) {
        let Some(constraints) = &authority.constraints else {
            continue;
        };
        let all = constraints.permitted.iter().chain(&constraints.excluded);
        for constraint in all {
            is_constraint(constraint)?;
        }
        for (below, cert) in path[..place].iter().enumerate() {
            if below == 0 || !cert.is_self_issued() {
                let names = names_of(cert);
                let count = constraints.permitted.len() + constraints.excluded.len();
                left = left
                    .checked_sub(names.len().saturating_mul(count))
                    .ok_or("the chain asks for too many comparisons of names")?;
                one(&names, constraints)?;
            }
        }
    }
    Ok(())
}

/// Alternative names and subject; mailboxes in the subject count where no other is there.
fn names_of<'a>(cert: &Cert<'a>) -> Vec<GeneralName<'a>> {
    let mut all: Vec<GeneralName<'a>> = cert.names.iter().flat_map(|n| n.all.clone()).collect();
    let has_mailbox = all.iter().any(|n| matches!(n, GeneralName::Email(_)));
    if !has_mailbox {
        let parts = attributes(cert.subject).unwrap_or_default();
        let mailboxes = parts.iter().filter(|(kind, _)| *kind == EMAIL);
        all.extend(mailboxes.map(|(_, value)| GeneralName::Email(value)));
    }
    if !cert.subject.is_empty() {
        all.push(GeneralName::Directory(cert.subject));
    }
    all
}

fn one(names: &[GeneralName<'_>], constraints: &Constraints<'_>) -> Result<(), Complaint> {
    for name in names {
        let of_kind = |c: &&GeneralName<'_>| c.kind() == name.kind();
        let excluded = constraints.excluded.iter().find(of_kind);
        let mut permitted = constraints.permitted.iter().filter(of_kind).peekable();
        if excluded.is_none() && permitted.peek().is_none() {
            continue;
        }
        // A constraint on a kind that we cannot compare binds all the same (section 6.1.3).
        if matches!(name, GeneralName::Other(_)) {
            return Err("a name of a kind that is constrained and not known".to_owned());
        }
        let mut all_excluded = constraints.excluded.iter().filter(of_kind);
        if all_excluded.any(|c| may_be_within(name, c)) {
            return Err("a CA in the chain may not issue for one of the names".to_owned());
        }
        if permitted.peek().is_some() && !permitted.any(|c| is_within(name, c)) {
            return Err("a CA in the chain may issue for other names only".to_owned());
        }
    }
    Ok(())
}

/// Is it a constraint at all?
fn is_constraint(constraint: &GeneralName<'_>) -> Result<(), Complaint> {
    let fits = match constraint {
        GeneralName::Dns(name) => name.is_empty() || name::is_dns(name),
        GeneralName::Address(bytes) => network(bytes).is_some(),
        GeneralName::Email(text) => {
            let host = text.strip_prefix(b".").unwrap_or(text);
            name::is_mailbox(text) || name::is_dns(host)
        }
        GeneralName::Uri(text) => name::is_dns(text.strip_prefix(b".").unwrap_or(text)),
        GeneralName::Directory(_) | GeneralName::Other(_) => true,
    };
    if fits {
        return Ok(());
    }
    Err("a name constraint is none".to_owned())
}

/// Is every host that the name can mean within the subtree?
fn is_within(name: &GeneralName<'_>, subtree: &GeneralName<'_>) -> bool {
    match (name, subtree) {
        (GeneralName::Dns(name), GeneralName::Dns(tree)) => {
            is_below(name.strip_prefix(b"*.").unwrap_or(name), tree)
        }
        _ => is_in(name, subtree),
    }
}

/// Can the name mean a host within the subtree? A wildcard means every name one label longer, and
/// so one that may be excluded.
fn may_be_within(name: &GeneralName<'_>, subtree: &GeneralName<'_>) -> bool {
    match (name, subtree) {
        (GeneralName::Dns(name), GeneralName::Dns(tree)) => match name.strip_prefix(b"*.") {
            None => is_below(name, tree),
            Some(rest) => is_below(rest, tree) || parent(tree).eq_ignore_ascii_case(rest),
        },
        _ => is_in(name, subtree),
    }
}

fn is_in(name: &GeneralName<'_>, subtree: &GeneralName<'_>) -> bool {
    match (name, subtree) {
        (GeneralName::Email(name), GeneralName::Email(tree)) => is_mailbox_in(name, tree),
        (GeneralName::Uri(uri), GeneralName::Uri(tree)) => is_host_in(host_of(uri), tree),
        (GeneralName::Address(bytes), GeneralName::Address(tree)) => is_address_in(bytes, tree),
        (GeneralName::Directory(name), GeneralName::Directory(tree)) => {
            let (name, tree) = (name::parts(name), name::parts(tree));
            name.starts_with(&tree)
        }
        _ => false,
    }
}

/// The name itself, or labels in front of it; everything is below the empty name.
fn is_below(name: &[u8], tree: &[u8]) -> bool {
    let Some(front) = name.len().checked_sub(tree.len()) else {
        return false;
    };
    let fits = name[front..].eq_ignore_ascii_case(tree);
    fits && (tree.is_empty() || front == 0 || name[front - 1] == b'.')
}

fn parent(name: &[u8]) -> &[u8] {
    let dot = name.iter().position(|b| *b == b'.');
    dot.map_or(&[], |dot| &name[dot + 1..])
}

/// A mailbox is one mailbox, a host all mailboxes there, `.host` all those at hosts below; no
/// character stands for others.
fn is_mailbox_in(name: &[u8], tree: &[u8]) -> bool {
    let split = |text: &[u8]| text.iter().rposition(|b| *b == b'@');
    let Some(at) = split(name) else {
        return false;
    };
    match split(tree) {
        Some(tree_at) => {
            name[..at] == tree[..tree_at] && name[at..].eq_ignore_ascii_case(&tree[tree_at..])
        }
        None => is_host_in(Some(&name[at + 1..]), tree),
    }
}

/// The host itself; `.host` means all hosts below.
fn is_host_in(host: Option<&[u8]>, tree: &[u8]) -> bool {
    let Some(host) = host else {
        return false;
    };
    match tree.strip_prefix(b".") {
        Some(rest) => is_below(host, rest) && host.len() > rest.len(),
        None => host.eq_ignore_ascii_case(tree),
    }
}

/// The host of a URI, if its authority has one.
fn host_of(uri: &[u8]) -> Option<&[u8]> {
    let slashes = uri.windows(3).position(|w| w == b"://")?;
    let rest = &uri[slashes + 3..];
    let end = rest.iter().position(|b| matches!(b, b'/' | b'?' | b'#'));
    let authority = &rest[..end.unwrap_or(rest.len())];
    let from = authority
        .iter()
        .rposition(|b| *b == b'@')
        .map_or(0, |at| at + 1);
    let host = &authority[from..];
    let end = host.iter().position(|b| *b == b':').unwrap_or(host.len());
    Some(&host[..end]).filter(|host| name::is_dns(host))
}

/// Address and mask, the mask without gaps (section 4.2.1.10, RFC 4632).
fn network(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    if !matches!(bytes.len(), 8 | 32) {
        return None;
    }
    let (address, mask) = bytes.split_at(bytes.len() / 2);
    let ones: u32 = mask
        .iter()
        .map(|b| b.leading_ones())
        .take_while(|n| *n > 0)
        .sum();
    let all: u32 = mask.iter().map(|b| b.count_ones()).sum();
    let first_gap = mask.iter().position(|b| *b != 0xff).unwrap_or(mask.len());
    let is_whole = mask.iter().skip(first_gap + 1).all(|b| *b == 0);
    (ones == all && is_whole).then_some((address, mask))
}

fn is_address_in(bytes: &[u8], tree: &[u8]) -> bool {
    let Some((address, mask)) = network(tree) else {
        return false;
    };
    let both = bytes.iter().zip(address).zip(mask);
    bytes.len() == address.len() && both.into_iter().all(|((a, b), m)| a & m == b & m)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_below_names() {
        for (name, tree, within, may_be) in [
            ("example.com", "example.com", true, true),
            ("a.example.com", "example.com", true, true),
            ("notexample.com", "example.com", false, false),
            ("*.example.com", "example.com", true, true),
            ("*.example.com", "foo.example.com", false, true),
            ("*.example.com", "a.foo.example.com", false, false),
            ("*.foo.com", "com", true, true),
            ("com", "", true, true),
        ] {
            let (n, t) = (
                GeneralName::Dns(name.as_bytes()),
                GeneralName::Dns(tree.as_bytes()),
            );
            assert_eq!(is_within(&n, &t), within, "{name} within {tree}");
            assert_eq!(may_be_within(&n, &t), may_be, "{name} may be within {tree}");
        }
    }

    #[test]
    fn mailboxes_and_hosts() {
        for (name, tree, fits) in [
            ("user@example.com", "user@EXAMPLE.com", true),
            ("USER@example.com", "user@example.com", false),
            ("user@example.com", "*@example.com", false),
            ("user@example.com", "example.com", true),
            ("user@a.example.com", "example.com", false),
            ("user@a.example.com", ".example.com", true),
            ("user@example.com", ".example.com", false),
        ] {
            assert_eq!(
                is_mailbox_in(name.as_bytes(), tree.as_bytes()),
                fits,
                "{name} in {tree}"
            );
        }
        assert_eq!(
            host_of(b"https://u@host.test:8443/x"),
            Some(&b"host.test"[..])
        );
        assert_eq!(host_of(b"urn:x"), None);
    }

    #[test]
    fn networks() {
        assert!(network(&[192, 0, 2, 0, 255, 255, 255, 0]).is_some());
        assert!(network(&[192, 0, 2, 0, 255, 0, 255, 0]).is_none());
        assert!(network(&[192, 0, 2, 0, 255, 253, 0, 0]).is_none());
        assert!(network(&[192, 0, 2, 0]).is_none());
        assert!(is_address_in(
            &[192, 0, 2, 9],
            &[192, 0, 2, 0, 255, 255, 255, 0]
        ));
        assert!(!is_address_in(
            &[192, 0, 3, 9],
            &[192, 0, 2, 0, 255, 255, 255, 0]
        ));
    }
}
