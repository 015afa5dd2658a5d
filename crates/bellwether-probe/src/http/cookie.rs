//! Cookies between the hops of one chain of redirects (RFC 6265bis, sections 5.6 to 5.8): a login or
//! a consent page that sets one and sends the client back would otherwise look like a circle.
//!
//! A jar lives as long as its chain. What a site sets goes back to that site alone.

use std::net::IpAddr;

use jiff::Timestamp;
use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use url::{Host, Url};

use super::head::Head;

/// Cookies that are kept, the newest; browsers keep 180 of a site, which few servers would take.
const COOKIES_MAX: usize = 64;
/// Longest name and value together, bytes (RFC 6265bis section 5.6).
const COOKIE_LEN_MAX: usize = 4096;
/// Longest attribute that is read, bytes (the same section).
const ATTRIBUTE_LEN_MAX: usize = 1024;
/// Bytes of all cookies that are sent: servers refuse header lines that are much longer.
const SENT_LEN_MAX: usize = 16 * 1024;
const MONTHS: [&[u8]; 12] = [
    b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov", b"dec",
];

/// What the hops of one chain have set.
#[derive(Default)]
pub(crate) struct Jar {
    /// In the order in which they were first set.
    cookies: Vec<Cookie>,
}

#[derive(Clone, Debug)]
struct Cookie {
    name: Vec<u8>,
    value: Vec<u8>,
    /// The host that set it, or the domain that it named.
    domain: String,
    host_only: bool,
    path: String,
    secure: bool,
}

impl Jar {
    /// Keeps what a response of `url` sets, and drops what it takes back.
    pub(crate) fn keep(&mut self, url: &Url, head: &Head, now: Timestamp) {
        for line in head.values("set-cookie") {
            let Some((cookie, is_over)) = parse(url, line, now) else {
                continue;
            };
            self.set(url, cookie, is_over);
        }
    }

    fn set(&mut self, url: &Url, cookie: Cookie, is_over: bool) {
        // What was set under TLS is not replaced without it (section 5.7 step 16).
        let stands_over = |old: &Cookie| {
            let related =
                in_domain(&old.domain, &cookie.domain) || in_domain(&cookie.domain, &old.domain);
            old.secure && old.name == cookie.name && related && in_path(&cookie.path, &old.path)
        };
        if url.scheme() != "https" && self.cookies.iter().any(stands_over) {
            return;
        }
        let same = self.cookies.iter().position(|old| {
            (&old.name, &old.domain, &old.path, old.host_only)
                == (&cookie.name, &cookie.domain, &cookie.path, cookie.host_only)
        });
        match same {
            Some(at) if is_over => {
                self.cookies.remove(at);
            }
            Some(at) => self.cookies[at] = cookie,
            None if is_over => {}
            None => {
                if self.cookies.len() == COOKIES_MAX {
                    self.cookies.remove(0);
                }
                self.cookies.push(cookie);
            }
        }
    }

    /// The value of the `Cookie` header for a request, if any cookie goes there.
    pub(crate) fn header(&self, url: &Url) -> Option<Vec<u8>> {
        let host = host(url)?;
        let goes_there = |cookie: &&Cookie| {
            let is_host = if cookie.host_only {
                cookie.domain == host
            } else {
                in_domain(&host, &cookie.domain)
            };
            is_host && in_path(url.path(), &cookie.path) && (!cookie.secure || is_secure(url))
        };
        let mut cookies: Vec<&Cookie> = self.cookies.iter().filter(goes_there).collect();
        // Longer paths first; of the same length, those set first (section 5.8.3).
        cookies.sort_by_key(|cookie| std::cmp::Reverse(cookie.path.len()));
        let mut value = Vec::new();
        for cookie in cookies {
            let len = cookie.name.len() + cookie.value.len() + 3;
            if value.len() + len > SENT_LEN_MAX {
                break;
            }
            if !value.is_empty() {
                value.extend_from_slice(b"; ");
            }
            if !cookie.name.is_empty() {
                value.extend_from_slice(&cookie.name);
                value.push(b'=');
            }
            value.extend_from_slice(&cookie.value);
        }
        (!value.is_empty()).then_some(value)
    }
}

/// A cookie, and whether it is over already, which takes it back.
fn parse(url: &Url, line: &[u8], now: Timestamp) -> Option<(Cookie, bool)> {
    let is_control = |b: &u8| *b == 0x7f || *b < 0x20 && *b != b'\t';
    let mut parts = line.split(|b| *b == b';');
    let pair = parts.next()?;
    let (name, value) = cut(pair).unwrap_or((b"", pair.trim_ascii()));
    let is_empty = name.is_empty() && value.is_empty();
    if is_empty || line.iter().any(is_control) || name.len() + value.len() > COOKIE_LEN_MAX {
        return None;
    }
    let host = host(url)?;
    let mut cookie = Cookie {
        name: name.to_vec(),
        value: value.to_vec(),
        domain: host.clone(),
        host_only: true,
        path: default_path(url),
        secure: false,
    };
    let (mut has_root_path, mut needs_secure) = (false, false);
    let (mut expires, mut max_age) = (None, None);
    for part in parts {
        let (name, value) = cut(part).unwrap_or((part.trim_ascii(), b""));
        if value.len() > ATTRIBUTE_LEN_MAX {
            continue;
        }
        let text = String::from_utf8_lossy(value);
        match name.to_ascii_lowercase().as_slice() {
            b"domain" if !text.is_empty() => {
                let domain = text.strip_prefix('.').unwrap_or(&text);
                cookie.domain = domain.to_ascii_lowercase();
                cookie.host_only = false;
            }
            b"path" if text.starts_with('/') => {
                has_root_path = text == "/";
                cookie.path = text.into_owned();
            }
            b"path" => {
                has_root_path = false;
                cookie.path = default_path(url);
            }
            b"secure" => cookie.secure = true,
            b"samesite" => needs_secure = text.eq_ignore_ascii_case("none"),
            b"expires" => expires = date(value).map(|until| until <= now),
            b"max-age" => max_age = over_by_age(&text).or(max_age),
            _ => {}
        }
    }
    if !cookie.host_only {
        take_domain(&mut cookie, &host)?;
    }
    if needs_secure && !cookie.secure || cookie.secure && !is_secure(url) {
        return None;
    }
    let begins = |prefix: &[u8]| {
        let begin = cookie.name.get(..prefix.len());
        begin.is_some_and(|begin| begin.eq_ignore_ascii_case(prefix))
    };
    let is_host_bound = cookie.secure && cookie.host_only && has_root_path;
    if begins(b"__secure-") && !cookie.secure || begins(b"__host-") && !is_host_bound {
        return None;
    }
    // Max-Age wins over Expires (section 5.7 step 3).
    Some((cookie, max_age.or(expires).unwrap_or(false)))
}

/// May `host` set a cookie for the domain that it named? A suffix under which strangers register
/// gives none, unless it is the host itself, which then keeps it to itself.
fn take_domain(cookie: &mut Cookie, host: &str) -> Option<()> {
    let is_suffix = psl::suffix(cookie.domain.as_bytes())
        .is_none_or(|suffix| suffix.as_bytes() == cookie.domain.as_bytes());
    let is_address = host.parse::<IpAddr>().is_ok() || host.starts_with('[');
    if is_suffix || is_address {
        cookie.host_only = true;
        return (cookie.domain == host).then_some(());
    }
    in_domain(host, &cookie.domain).then_some(())
}

/// `NAME=VALUE`, without the blanks around both.
fn cut(pair: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = pair.iter().position(|b| *b == b'=')?;
    Some((pair[..at].trim_ascii(), pair[at + 1..].trim_ascii()))
}

/// Says `Max-Age` that the cookie is over? `None` if it is no number.
fn over_by_age(text: &str) -> Option<bool> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let is_number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    let is_zero = digits.bytes().all(|b| b == b'0');
    is_number.then(|| text.starts_with('-') || is_zero)
}

fn host(url: &Url) -> Option<String> {
    Some(match url.host()? {
        Host::Domain(name) => name.trim_end_matches('.').to_ascii_lowercase(),
        Host::Ipv4(address) => address.to_string(),
        Host::Ipv6(address) => format!("[{address}]"),
    })
}

fn is_secure(url: &Url) -> bool {
    url.scheme() == "https"
}

/// Is `host` the domain or below it (section 5.1.3)?
fn in_domain(host: &str, domain: &str) -> bool {
    let above = host.strip_suffix(domain);
    above.is_some_and(|above| above.is_empty() || above.ends_with('.'))
}

/// Is `path` the cookie's path or below it (section 5.1.4)?
fn in_path(path: &str, of: &str) -> bool {
    let rest = path.strip_prefix(of);
    rest.is_some_and(|rest| rest.is_empty() || of.ends_with('/') || rest.starts_with('/'))
}

/// The directory of the URL (section 5.1.4).
fn default_path(url: &Url) -> String {
    let path = url.path();
    match path.rfind('/') {
        Some(at) if at > 0 => path[..at].to_owned(),
        _ => "/".to_owned(),
    }
}

/// A date as cookies write it (section 5.1.1): any order, any delimiters.
fn date(text: &[u8]) -> Option<Timestamp> {
    let is_part = |b: &u8| b.is_ascii_alphanumeric() || *b == b':' || *b >= 0x7f;
    let (mut time, mut day, mut month, mut year) = (None, None, None, None);
    for token in text.split(|b| !is_part(b)).filter(|t| !t.is_empty()) {
        if time.is_none() {
            time = time_of_day(token);
            if time.is_some() {
                continue;
            }
        }
        let number = number(token);
        if day.is_none() && matches!(number, Some((_, 1 | 2))) {
            day = number.and_then(|(day, _)| i8::try_from(day).ok());
        } else if month.is_none()
            && let Some(at) = MONTHS.iter().position(|month| begins(token, month))
        {
            month = i8::try_from(at + 1).ok();
        } else if year.is_none()
            && let Some((number, 2 | 4)) = number
        {
            year = i16::try_from(number).ok();
        }
    }
    let year = match year? {
        year @ 70..=99 => year + 1900,
        year @ 0..=69 => year + 2000,
        year => year,
    };
    let date = Date::new(year, month?, day?).ok()?;
    let moment = date.to_datetime(time?).to_zoned(TimeZone::UTC).ok()?;
    Some(moment.timestamp())
}

fn begins(token: &[u8], month: &[u8]) -> bool {
    token
        .get(..3)
        .is_some_and(|t| t.eq_ignore_ascii_case(month))
}

/// The number at the beginning of a token, and its digits.
fn number(token: &[u8]) -> Option<(u32, usize)> {
    let len = token.iter().take_while(|b| b.is_ascii_digit()).count();
    let text = std::str::from_utf8(token.get(..len)?).ok()?;
    Some((text.parse().ok()?, len))
}

/// `HH:MM:SS`.
fn time_of_day(token: &[u8]) -> Option<Time> {
    let mut parts = token.splitn(3, |b| *b == b':');
    let mut part = || {
        let (number, len) = number(parts.next()?)?;
        (len <= 2).then(|| i8::try_from(number).ok())?
    };
    Time::new(part()?, part()?, part()?, 0).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "2026-06-01T00:00:00Z";

    /// What goes to `to` after `from` set these cookies.
    fn sent(from: &str, lines: &[&str], to: &str) -> String {
        let mut jar = Jar::default();
        let lines = lines.iter().map(|line| format!("Set-Cookie: {line}\r\n"));
        let text = format!("HTTP/1.1 302 Found\r\n{}\r\n", lines.collect::<String>());
        let head = Head::parse(text.as_bytes()).unwrap();
        jar.keep(&from.parse().unwrap(), &head, NOW.parse().unwrap());
        let value = jar.header(&to.parse().unwrap()).unwrap_or_default();
        String::from_utf8(value).unwrap()
    }

    #[test]
    fn a_cookie_goes_back_to_its_host_alone() {
        let own = "https://www.svc.test/a/b";
        for (to, expected) in [
            ("https://www.svc.test/a/c", "s=1"),
            ("https://www.svc.test:8443/a/c", "s=1"),
            ("https://www.svc.test/", ""),
            ("https://www.svc.test/ab", ""),
            ("https://svc.test/a/b", ""),
            ("https://api.www.svc.test/a/b", ""),
            ("https://other.test/a/b", ""),
            ("https://xwww.svc.test/a/b", ""),
        ] {
            assert_eq!(sent(own, &["s=1"], to), expected, "{to}");
        }
    }

    #[test]
    fn a_domain_is_the_hosts_own_and_no_suffix() {
        let own = "https://www.svc.test/";
        for (domain, to, expected) in [
            ("svc.test", "https://login.svc.test/", "s=1"),
            (".SVC.test", "https://svc.test/", "s=1"),
            ("svc.test", "https://xsvc.test/", ""),
            ("login.svc.test", "https://login.svc.test/", ""),
            ("other.test", "https://other.test/", ""),
            ("test", "https://other.test/", ""),
            ("test", "https://www.svc.test/", ""),
        ] {
            let line = format!("s=1; Domain={domain}");
            assert_eq!(sent(own, &[&line], to), expected, "{domain} {to}");
        }
        let line = "s=1; domain=github.io";
        assert_eq!(
            sent("https://a.github.io/", &[line], "https://b.github.io/"),
            ""
        );
        assert_eq!(
            sent("https://github.io/", &[line], "https://github.io/"),
            "s=1"
        );
        assert_eq!(
            sent("https://github.io/", &[line], "https://b.github.io/"),
            ""
        );
        let line = "s=1; domain=0.0.1";
        assert_eq!(sent("http://127.0.0.1/", &[line], "http://10.0.0.1/"), "");
        assert_eq!(
            sent("http://127.0.0.1/", &["s=1"], "http://127.0.0.1/"),
            "s=1"
        );
    }

    #[test]
    fn what_is_secure_stays_under_tls() {
        let (tls, plain) = ("https://svc.test/", "http://svc.test/");
        assert_eq!(sent(tls, &["s=1; secure"], tls), "s=1");
        assert_eq!(sent(tls, &["s=1; secure"], plain), "");
        assert_eq!(sent(plain, &["s=1; secure"], tls), "");
        assert_eq!(sent(tls, &["s=1; SameSite=None"], tls), "");
        assert_eq!(sent(tls, &["__Host-s=1; Secure"], "https://svc.test/"), "");
        assert_eq!(
            sent(tls, &["__Host-s=1; Secure; Path=/"], tls),
            "__Host-s=1"
        );
        assert_eq!(sent(tls, &["__Secure-s=1"], tls), "");
        let mut jar = Jar::default();
        for (url, line) in [(tls, "s=1; secure"), (plain, "s=2")] {
            let text = format!("HTTP/1.1 200 OK\r\nSet-Cookie: {line}\r\n\r\n");
            let head = Head::parse(text.as_bytes()).unwrap();
            jar.keep(&url.parse().unwrap(), &head, NOW.parse().unwrap());
        }
        assert_eq!(jar.header(&tls.parse().unwrap()).unwrap(), b"s=1");
    }

    #[test]
    fn the_newest_counts_and_what_is_over_goes() {
        let url = "https://svc.test/";
        for (lines, expected) in [
            (&["s=1", "s=2"][..], "s=2"),
            (&["a=1", "b=2"], "a=1; b=2"),
            (&["a=1; Path=/", "a=2; Path=/x", "a=3; path=x"], "a=3"),
            (&["s=1", "s=; Max-Age=0"], ""),
            (&["s=1; Max-Age=-5"], ""),
            (
                &["s=1; Max-Age=60; Expires=Thu, 01 Jan 1970 00:00:00 GMT"],
                "s=1",
            ),
            (&["s=1", "s=1; Expires=Thu, 01-Jan-70 00:00:01 GMT"], ""),
            (&["s=1; expires=Sun May 31 23:59:59 2026"], ""),
            (&["s=1; expires=Mon, 01 Jun 2026 00:00:01 GMT"], "s=1"),
            (&["s=1; expires=soon"], "s=1"),
            (&["s"], "s"),
            (&["=; Path=/", " = "], ""),
            (&["s=a=b; HttpOnly"], "s=a=b"),
        ] {
            assert_eq!(sent(url, lines, url), expected, "{lines:?}");
        }
        let (a, b) = ("a=1; Path=/", "b=2; Path=/x/");
        assert_eq!(sent(url, &[a, b], "https://svc.test/x/y"), "b=2; a=1");
    }

    #[test]
    fn their_number_and_size_are_bounded() {
        let url = "https://svc.test/";
        let long = format!("s={}", "x".repeat(COOKIE_LEN_MAX));
        assert_eq!(sent(url, &[&long], url), "");
        let many: Vec<String> = (0..100).map(|n| format!("c{n}=v")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let value = sent(url, &many, url);
        assert_eq!(value.split("; ").count(), COOKIES_MAX);
        assert!(value.ends_with("c99=v"));
        let large: Vec<String> = (0..20)
            .map(|n| format!("c{n}={}", "v".repeat(2000)))
            .collect();
        let large: Vec<&str> = large.iter().map(String::as_str).collect();
        assert!(sent(url, &large, url).len() <= SENT_LEN_MAX);
    }
}
