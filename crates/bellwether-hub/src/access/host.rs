//! Whom a request believes to talk to, and which site it comes from.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName, Uri, header};

/// Says who caused a request; only browsers send it, and no script can forge it.
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Says what a request is for; only browsers send it, and no script can forge it.
const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");

/// Does the request name this machine by a loopback name or address? A browser that was led here
/// by a rebound name (DNS rebinding) names the stranger's host instead.
#[must_use]
pub fn is_loopback(headers: &HeaderMap, uri: &Uri) -> bool {
    // With a target in absolute form the Host header is to be ignored (RFC 9112 section 3.2.2):
    // here both must fit.
    let named = uri.host().is_none_or(is_loopback_name);
    let mut hosts = headers.get_all(header::HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else {
        return false;
    };
    named
        && host
            .to_str()
            .is_ok_and(|host| is_loopback_name(without_port(host)))
}

/// Is the request for a page that a person goes to?
#[must_use]
pub fn is_navigation(headers: &HeaderMap) -> bool {
    headers
        .get(SEC_FETCH_MODE)
        .is_some_and(|mode| mode == "navigate")
}

/// Was the request caused by a page of another site? What says nothing is no browser.
#[must_use]
pub fn is_cross_site(headers: &HeaderMap) -> bool {
    if let Some(site) = headers.get(SEC_FETCH_SITE)
        && site != "same-origin"
        && site != "none"
    {
        return true;
    }
    let Some(origin) = headers.get(header::ORIGIN) else {
        return false;
    };
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    let origin = origin.to_str().ok().and_then(|origin| {
        let (_, authority) = origin.split_once("://")?;
        Some(authority)
    });
    origin.is_none() || origin != host
}

fn without_port(host: &str) -> &str {
    let end = match host.rfind(']') {
        Some(bracket) => bracket + 1,
        None => host.find(':').unwrap_or(host.len()),
    };
    let (name, port) = host.split_at(end);
    let is_port = |port: &str| port.len() <= 5 && port.bytes().all(|b| b.is_ascii_digit());
    match port.strip_prefix(':') {
        Some(port) if is_port(port) => name,
        None if port.is_empty() => name,
        _ => host,
    }
}

fn is_loopback_name(name: &str) -> bool {
    if name.eq_ignore_ascii_case("localhost") {
        return true;
    }
    let bare = name
        .strip_prefix('[')
        .and_then(|name| name.strip_suffix(']'));
    let address = bare.unwrap_or(name).parse::<IpAddr>();
    address.is_ok_and(|address| address.is_ipv6() == bare.is_some() && address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(host: &str) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, host.parse().unwrap());
        is_loopback(&headers, &Uri::from_static("/"))
    }

    #[test]
    fn only_loopback_names_pass() {
        for host in [
            "localhost",
            "LOCALHOST:8400",
            "127.0.0.1:8400",
            "127.9.9.9",
            "[::1]",
            "[::1]:8400",
        ] {
            assert!(with(host), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "0.0.0.0",
            "::1",
            "[::1].evil.example",
            "[::ffff:7f00:1]",
            "localhost:8400:1",
            "localhost:x",
            "a@localhost",
            "127.1",
            "2130706433",
            "10.0.0.1",
            "localhost.",
            "[127.0.0.1]",
        ] {
            assert!(!with(host), "{host}");
        }
        assert!(
            !is_loopback(&HeaderMap::new(), &Uri::from_static("/")),
            "no Host at all"
        );
    }

    #[test]
    fn two_hosts_or_another_target_are_refused() {
        let mut headers = HeaderMap::new();
        headers.append(header::HOST, "localhost".parse().unwrap());
        assert!(!is_loopback(
            &headers,
            &Uri::from_static("http://evil.example/")
        ));
        headers.append(header::HOST, "localhost".parse().unwrap());
        assert!(!is_loopback(&headers, &Uri::from_static("/")));
    }

    #[test]
    fn another_site_is_seen() {
        let cross = |pairs: &[(&'static str, &str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.insert(*name, value.parse().unwrap());
            }
            is_cross_site(&headers)
        };
        assert!(!cross(&[]), "no browser");
        assert!(!cross(&[("sec-fetch-site", "same-origin")]));
        assert!(!cross(&[
            ("host", "localhost:1"),
            ("origin", "http://localhost:1")
        ]));
        assert!(cross(&[("sec-fetch-site", "cross-site")]));
        assert!(cross(&[("sec-fetch-site", "same-site")]));
        assert!(cross(&[
            ("host", "localhost:1"),
            ("origin", "http://evil.example")
        ]));
        assert!(cross(&[("host", "localhost:1"), ("origin", "null")]));
    }
}
