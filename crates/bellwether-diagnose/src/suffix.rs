//! Where registration happens: the public suffix of a name.

use bellwether_model::DnsName;

/// The part of a name under which names are registered, by the ICANN part of the Public Suffix
/// List; the top-level domain for what the list does not know.
///
/// The list's private part (`github.io`) names zones whose owner hands out hosts: nothing is
/// registered, and no delegation is due there.
#[must_use]
pub fn public_suffix(name: &DnsName) -> DnsName {
    let listed = psl::suffix(name.without_dot().as_bytes())
        .and_then(|s| Some((std::str::from_utf8(s.as_bytes()).ok()?, s.typ())));
    match listed {
        Some((text, Some(psl::Type::Private))) => DnsName::presentation(text)
            .ok()
            .and_then(|n| n.parent())
            .map_or_else(|| name.last_labels(1), |above| public_suffix(&above)),
        Some((text, _)) => DnsName::presentation(text).unwrap_or_else(|_| name.last_labels(1)),
        None => name.last_labels(1),
    }
}

/// The name below its public suffix under which it was registered: `example.co.uk.` of
/// `www.example.co.uk.`.
#[must_use]
pub fn registered(name: &DnsName) -> DnsName {
    let labels = |name: &DnsName| name.labels().len();
    name.last_labels(labels(&public_suffix(name)) + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_registered_below_their_suffix() {
        let suffix = |text: &str| public_suffix(&DnsName::typed(text).unwrap()).to_string();
        assert_eq!(suffix("www.example.com"), "com.");
        assert_eq!(suffix("www.example.co.uk"), "co.uk.");
        assert_eq!(suffix("www.svc.test"), "test.");
        assert_eq!(suffix("someone.github.io"), "io.");
        let registered = |text: &str| registered(&DnsName::typed(text).unwrap()).to_string();
        assert_eq!(registered("www.shop.example.co.uk"), "example.co.uk.");
        assert_eq!(registered("test"), "test.");
    }
}
