//! Does a certificate name the host? (RFC 9525 section 6)

use std::net::IpAddr;

use crate::cert::Cert;

/// Labels that must follow a wildcard. `*.com` names no one's service, and clients refuse it.
const LABELS_AFTER_WILDCARD_MIN: usize = 2;

/// Only the subject alternative names count: a common name is no identity (section 2).
pub(crate) fn names_host(cert: &Cert<'_>, host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    match host.trim_matches(['[', ']']).parse::<IpAddr>() {
        Ok(address) => cert.addresses.contains(&address),
        Err(_) => cert.dns_names.iter().any(|name| matches(name, host)),
    }
}

/// A wildcard is the whole left-most label and stands for exactly one label (section 6.3).
fn matches(presented: &str, host: &str) -> bool {
    let Some(rest) = presented.strip_prefix("*.") else {
        return !presented.contains('*') && presented.eq_ignore_ascii_case(host);
    };
    let labels = rest.split('.');
    if rest.contains('*') || labels.clone().any(str::is_empty) {
        return false;
    }
    let Some((_, parent)) = host.split_once('.') else {
        return false;
    };
    labels.count() >= LABELS_AFTER_WILDCARD_MIN && rest.eq_ignore_ascii_case(parent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards() {
        for (presented, host, fits) in [
            ("www.svc.test", "WWW.svc.test", true),
            ("*.svc.test", "www.svc.test", true),
            ("*.svc.test", "svc.test", false),
            ("*.svc.test", "a.b.svc.test", false),
            ("w*.svc.test", "www.svc.test", false),
            ("www.*.test", "www.svc.test", false),
            ("*", "localhost", false),
            ("*.com", "example.com", false),
            ("*.svc.test.", "www.svc.test", false),
            ("*.*.test", "a.b.test", false),
            ("", "svc.test", false),
            ("svc.test\0.evil.test", "svc.test", false),
            ("192.0.2.1", "192.0.2.1", true),
        ] {
            assert_eq!(matches(presented, host), fits, "{presented} for {host}");
        }
    }
}
