//! From what a person types to a target. Strict where a URL parser forgives: what is probed is what
//! was meant, or the complaint says what to write.

use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use url::{Host as UrlHost, ParseError, Url};

use super::{Host, Scheme, Target};
use crate::name::NameError;
use crate::{DnsName, rtype};

/// Schemes that a target may have.
const SCHEMES: &str = "https://, http://, tls://, tcp://, dns://";

/// Why a text is no target.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// Nothing there.
    #[error("the target is empty; give a host, host:port or a URL ({SCHEMES})")]
    Empty,
    /// A scheme that is not checked.
    #[error("`{0}://` cannot be checked; use one of {SCHEMES}")]
    Scheme(String),
    /// A scheme without its slashes.
    #[error("`{text}` lacks the slashes of a URL; write `{cure}`")]
    Slashes {
        /// As typed.
        text: String,
        /// With them.
        cure: String,
    },
    /// A character that neither a host nor a URL holds.
    #[error(
        "{text:?} holds {character:?}, which no host and no URL holds; in a path write it as %{code:02X}",
        code = u32::from(*character)
    )]
    Character {
        /// As typed.
        text: String,
        /// The character.
        character: char,
    },
    /// A malformed host name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// No host where one is needed.
    #[error("`{0}` names no host; write it as `https://www.example.com/`")]
    NoHost(String),
    /// The root, or a wildcard: names that nobody connects to.
    #[error("`{0}` is no host that can be connected to; its records are checked by `dns://{0}`")]
    NotAHost(String),
    /// What looks like an address and is none.
    #[error(
        "`{0}` is no address; write IPv4 as `192.0.2.1`, IPv6 as `2001:db8::1`, with a port as `[2001:db8::1]:443`"
    )]
    Address(String),
    /// A port that is no number of 1 to 65535.
    #[error("`{0}` is no port; a port is a number from 1 to 65535")]
    Port(String),
    /// No port where one is needed.
    #[error("`{0}` needs a port, for example `{0}:443`")]
    NoPort(String),
    /// A path without a scheme.
    #[error("`{text}` has a path, so it must be a whole URL; write `{cure}`")]
    BarePath {
        /// As typed.
        text: String,
        /// As a URL.
        cure: String,
    },
    /// A path where there can be none.
    #[error("`{0}` has a path; only http:// and https:// targets have one")]
    Path(String),
    /// A server in a `dns` target.
    #[error(
        "`{0}` is more than a name; write `dns://NAME?type=TYPE`, and give a server by `--resolver`"
    )]
    DnsServer(String),
    /// An address in a `dns` target.
    #[error("`{0}` is an address, not a name; for the name behind it ask for type=PTR of {1}")]
    DnsAddress(String, String),
    /// Something else than a type behind the name of a `dns` target.
    #[error("`{0}` is no part of a dns target; only `type=` may follow the name")]
    DnsKey(String),
    /// A record type that has no number.
    #[error("`{0}` is no record type; give one like `MX`, or by number like `TYPE65280`")]
    Type(String),
    /// A URL that cannot be parsed.
    #[error("`{text}` is no URL: {why}")]
    Url {
        /// As typed.
        text: String,
        /// The parser's complaint.
        why: ParseError,
    },
    /// Credentials in the URL.
    #[error(
        "the target holds a user name or password; those do not belong there, since targets are printed and stored"
    )]
    Credentials,
}

impl FromStr for Target {
    type Err = TargetError;

    /// `host`, `host:port`, or a URL.
    ///
    /// A bare host is checked as `https://host/`; port 443 means HTTPS, 80 HTTP, any other port TCP.
    fn from_str(text: &str) -> Result<Self, TargetError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(TargetError::Empty);
        }
        // The URL parser drops or turns these without a word.
        let odd = |c: &char| c.is_control() || c.is_whitespace() || *c == '\\';
        if let Some(character) = text.chars().find(odd) {
            return Err(TargetError::Character {
                text: text.to_owned(),
                character,
            });
        }
        let is_scheme = |s: &str| !s.contains(['/', '?', '#']);
        match text.split_once("://") {
            Some((scheme, rest)) if is_scheme(scheme) => {
                match scheme.to_ascii_lowercase().as_str() {
                    "https" => from_url(text, rest, Scheme::Https),
                    "http" => from_url(text, rest, Scheme::Http),
                    "tls" => from_authority(text, rest, Scheme::Tls),
                    "tcp" => from_authority(text, rest, Scheme::Tcp),
                    "dns" => from_dns(text, rest),
                    other => Err(TargetError::Scheme(other.to_owned())),
                }
            }
            _ => from_bare(text),
        }
    }
}

fn from_url(text: &str, rest: &str, scheme: Scheme) -> Result<Target, TargetError> {
    let typed = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if typed.is_empty() {
        return Err(TargetError::NoHost(text.to_owned()));
    }
    if typed.contains('@') {
        return Err(TargetError::Credentials);
    }
    let url = Url::parse(text).map_err(|source| match source {
        ParseError::InvalidPort => TargetError::Port(after_colon(typed)),
        ParseError::InvalidIpv4Address | ParseError::InvalidIpv6Address => {
            TargetError::Address(typed.to_owned())
        }
        ParseError::EmptyHost => TargetError::NoHost(text.to_owned()),
        why => TargetError::Url {
            text: text.to_owned(),
            why,
        },
    })?;
    let host = match url.host() {
        // The URL standard reads `192.0.2` and `0x7f.1` too, as addresses that few would expect.
        Some(UrlHost::Ipv4(a)) => match without_port(typed).parse::<Ipv4Addr>() {
            Ok(_) => Host::Address(a.into()),
            Err(_) => return Err(TargetError::Address(typed.to_owned())),
        },
        Some(UrlHost::Ipv6(a)) => Host::Address(a.into()),
        Some(UrlHost::Domain(name)) => named(name)?,
        None => return Err(TargetError::NoHost(text.to_owned())),
    };
    let default = if scheme == Scheme::Https { 443 } else { 80 };
    let port = url.port().unwrap_or(default);
    if port == 0 {
        return Err(TargetError::Port("0".to_owned()));
    }
    let query = url.query().map(|q| format!("?{q}")).unwrap_or_default();
    let path = format!("{}{query}", url.path());
    let shown = authority(&host, (port != default).then_some(port));
    let text = format!("{}://{shown}{path}", scheme.name());
    Ok(Target {
        text,
        scheme,
        host,
        port,
        path,
        rtype: None,
    })
}

fn from_authority(text: &str, rest: &str, scheme: Scheme) -> Result<Target, TargetError> {
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    if rest.is_empty() {
        return Err(TargetError::NoHost(text.to_owned()));
    }
    if rest.contains('@') {
        return Err(TargetError::Credentials);
    }
    if rest.contains(['/', '?', '#']) {
        return Err(TargetError::Path(text.to_owned()));
    }
    let (host, port) = split_port(rest)?;
    let port = match (port, scheme) {
        (Some(port), _) => port,
        (None, Scheme::Tls) => 443,
        (None, _) => return Err(TargetError::NoPort(text.to_owned())),
    };
    let shown = authority(&host, Some(port));
    let text = format!("{}://{shown}", scheme.name());
    Ok(Target {
        text,
        scheme,
        host,
        port,
        path: String::new(),
        rtype: None,
    })
}

/// `dns://NAME[?type=TYPE]`, after RFC 4501.
fn from_dns(text: &str, rest: &str) -> Result<Target, TargetError> {
    let (name, query) = rest.split_once('?').unwrap_or((rest, ""));
    let name = name.strip_suffix('/').unwrap_or(name);
    if name.is_empty() {
        return Err(TargetError::NoHost(text.to_owned()));
    }
    if let Ok(address) = name.trim_matches(['[', ']']).parse::<IpAddr>() {
        return Err(TargetError::DnsAddress(text.to_owned(), reverse(address)));
    }
    // A slash is part of the names of delegated reverse zones (RFC 2317).
    let is_reverse = name.trim_end_matches('.').ends_with(".in-addr.arpa");
    if name.contains([':', '@', '#']) || (name.contains('/') && !is_reverse) {
        return Err(TargetError::DnsServer(text.to_owned()));
    }
    let name = if name.is_ascii() {
        DnsName::typed(name)?
    } else {
        DnsName::typed(&idna(name)?)?
    };
    let mut rtype = None;
    for part in query.split(['&', ';']).filter(|part| !part.is_empty()) {
        match part.split_once('=') {
            Some((key, word)) if key.eq_ignore_ascii_case("type") => {
                let known = rtype::typed(word);
                rtype = Some(known.ok_or_else(|| TargetError::Type(word.to_owned()))?);
            }
            _ => return Err(TargetError::DnsKey(part.to_owned())),
        }
    }
    let suffix = rtype
        .as_ref()
        .map(|t| format!("?type={t}"))
        .unwrap_or_default();
    let text = format!("dns://{}{suffix}", name.without_dot());
    Ok(Target {
        text,
        scheme: Scheme::Dns,
        host: Host::Name(name),
        port: 53,
        path: String::new(),
        rtype,
    })
}

fn from_bare(text: &str) -> Result<Target, TargetError> {
    if text.contains('@') {
        return Err(TargetError::Credentials);
    }
    if let Some((scheme, rest)) = text.split_once(':')
        && matches!(
            scheme.to_ascii_lowercase().as_str(),
            "https" | "http" | "tls" | "tcp" | "dns"
        )
        && !rest.starts_with(|c: char| c.is_ascii_digit())
    {
        return Err(TargetError::Slashes {
            text: text.to_owned(),
            cure: format!("{scheme}://{}", rest.trim_start_matches('/')),
        });
    }
    if text.contains(['/', '?', '#']) {
        return Err(TargetError::BarePath {
            text: text.to_owned(),
            cure: format!("https://{}", text.trim_start_matches('/')),
        });
    }
    let (host, port) = split_port(text)?;
    let (rest, scheme) = match port {
        None | Some(443) => (authority(&host, None), Scheme::Https),
        Some(80) => (authority(&host, None), Scheme::Http),
        Some(port) => (authority(&host, Some(port)), Scheme::Tcp),
    };
    match scheme {
        Scheme::Tcp => from_authority(text, &rest, scheme),
        _ => from_url(&format!("{}://{rest}/", scheme.name()), &rest, scheme),
    }
}

fn split_port(text: &str) -> Result<(Host, Option<u16>), TargetError> {
    let no_address = || TargetError::Address(text.to_owned());
    if let Ok(address) = text.parse::<Ipv6Addr>() {
        return Ok((Host::Address(address.into()), None));
    }
    let (host, port) = match text.strip_prefix('[') {
        Some(inside) => {
            let (inside, after) = inside.split_once(']').ok_or_else(no_address)?;
            let address: Ipv6Addr = inside.parse().map_err(|_| no_address())?;
            let port = match after.strip_prefix(':') {
                None if after.is_empty() => None,
                None => return Err(no_address()),
                port => port,
            };
            (Host::Address(address.into()), port)
        }
        None => match text.split_once(':') {
            Some((_, port)) if port.contains(':') => return Err(no_address()),
            Some((host, port)) => (host_of(host)?, Some(port)),
            None => (host_of(text)?, None),
        },
    };
    Ok((host, port.map(|digits| port_of(text, digits)).transpose()?))
}

fn port_of(text: &str, digits: &str) -> Result<u16, TargetError> {
    if digits.is_empty() {
        return Err(TargetError::NoPort(text.trim_end_matches(':').to_owned()));
    }
    let is_number = digits.bytes().all(|b| b.is_ascii_digit());
    match digits.parse() {
        Ok(port) if is_number && port > 0 => Ok(port),
        _ => Err(TargetError::Port(digits.to_owned())),
    }
}

fn host_of(text: &str) -> Result<Host, TargetError> {
    if let Ok(address) = text.parse::<Ipv4Addr>() {
        return Ok(Host::Address(address.into()));
    }
    // No top-level domain has digits alone, so that it is an address with something wrong
    // (RFC 3696 section 2).
    let last = text.trim_end_matches('.').rsplit('.').next();
    if last.is_some_and(|l| !l.is_empty() && l.bytes().all(|b| b.is_ascii_digit())) {
        return Err(TargetError::Address(text.to_owned()));
    }
    named(text)
}

/// The name of a host to connect to.
fn named(text: &str) -> Result<Host, TargetError> {
    let name = if text.is_ascii() && !text.to_ascii_lowercase().contains("xn--") {
        DnsName::typed(text)?
    } else {
        DnsName::typed(&idna(text)?)?
    };
    if let Some(character) = text.chars().find(|c| *c == '/') {
        return Err(TargetError::Character {
            text: text.to_owned(),
            character,
        });
    }
    if name.is_root() || name.labels().contains(&"*") {
        return Err(TargetError::NotAHost(text.to_owned()));
    }
    Ok(Host::Name(name))
}

/// The URL parser knows IDNA; names outside of URLs go through it too.
fn idna(name: &str) -> Result<String, TargetError> {
    match UrlHost::parse(name) {
        Ok(host) => Ok(host.to_string()),
        Err(why) => Err(TargetError::Url {
            text: name.to_owned(),
            why,
        }),
    }
}

fn authority(host: &Host, port: Option<u16>) -> String {
    let host = match host {
        Host::Name(name) => name.without_dot().to_owned(),
        Host::Address(IpAddr::V6(a)) => format!("[{a}]"),
        Host::Address(a) => a.to_string(),
    };
    port.map_or(host.clone(), |port| format!("{host}:{port}"))
}

fn without_port(authority: &str) -> &str {
    authority
        .rsplit_once(':')
        .map_or(authority, |(host, _)| host)
}

fn after_colon(authority: &str) -> String {
    let (_, port) = authority.rsplit_once(':').unwrap_or_default();
    port.to_owned()
}

/// The name that a reverse look-up asks for (RFC 1035 section 3.5, RFC 3596 section 2.5).
fn reverse(address: IpAddr) -> String {
    match address {
        IpAddr::V4(a) => {
            let [a, b, c, d] = a.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa")
        }
        IpAddr::V6(a) => {
            let mut name = String::new();
            for octet in a.octets().iter().rev() {
                let _ = write!(name, "{:x}.{:x}.", octet & 15, octet >> 4);
            }
            name + "ip6.arpa"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_of_a_target() {
        let longest = format!("{0}.{0}.{0}.{1}", "a".repeat(63), "a".repeat(61));
        let long_url = format!("https://{longest}/");
        for (typed, url) in [
            ("example.com", "https://example.com/"),
            ("Example.COM.", "https://example.com/"),
            ("HTTPS://EXAMPLE.com/A", "https://example.com/A"),
            ("example.com:443", "https://example.com/"),
            ("example.com:80", "http://example.com/"),
            ("example.com:22", "tcp://example.com:22"),
            ("example.com:65535", "tcp://example.com:65535"),
            (
                "https://example.com:8443/a?b=c#d",
                "https://example.com:8443/a?b=c",
            ),
            (
                "https://example.com/?u=http://x",
                "https://example.com/?u=http://x",
            ),
            ("tls://mq.example.com:5671", "tls://mq.example.com:5671"),
            ("tls://example.com", "tls://example.com:443"),
            ("tcp://example.com:22/", "tcp://example.com:22"),
            ("dns://example.com?type=mx", "dns://example.com?type=MX"),
            ("dns://example.com", "dns://example.com"),
            ("dns://*.example.com", "dns://*.example.com"),
            ("dns://.?type=NS", "dns://.?type=NS"),
            (
                "dns://example.com?type=TYPE65",
                "dns://example.com?type=HTTPS",
            ),
            (
                "dns://example.com?type=TYPE65280",
                "dns://example.com?type=TYPE65280",
            ),
            (
                "dns://0/25.2.0.192.in-addr.arpa?type=NS",
                "dns://0/25.2.0.192.in-addr.arpa?type=NS",
            ),
            ("192.0.2.1", "https://192.0.2.1/"),
            ("192.0.2.1:8443", "tcp://192.0.2.1:8443"),
            ("http://192.0.2.1:8080/", "http://192.0.2.1:8080/"),
            ("2001:db8::1", "https://[2001:db8::1]/"),
            ("[2001:db8::1]", "https://[2001:db8::1]/"),
            ("[2001:db8::1]:22", "tcp://[2001:db8::1]:22"),
            ("tls://[2001:db8::1]", "tls://[2001:db8::1]:443"),
            ("_dmarc.example.com", "https://_dmarc.example.com/"),
            ("BÜCHER.example.", "https://xn--bcher-kva.example/"),
            ("https://bücher.example/", "https://xn--bcher-kva.example/"),
            ("tls://bücher.example", "tls://xn--bcher-kva.example:443"),
            ("dns://bücher.example", "dns://xn--bcher-kva.example"),
            (&longest, &long_url),
        ] {
            let shown = typed.parse::<Target>().map(|t| t.text);
            assert_eq!(shown.map_err(|e| e.to_string()).as_deref(), Ok(url));
        }
    }

    #[test]
    fn what_is_no_target_says_what_to_write() {
        let (label, name) = ("a".repeat(64), format!("{}example", "a.".repeat(124)));
        for (bad, words) in [
            ("", "is empty"),
            ("  ", "is empty"),
            ("ftp://example.com/", "use one of https://"),
            ("://example.com", "use one of https://"),
            ("https:example.com", "write `https://example.com`"),
            ("https:/example.com", "write `https://example.com`"),
            ("example.com:0", "1 to 65535"),
            ("example.com:65536", "`65536` is no port"),
            ("https://example.com:65536/", "`65536` is no port"),
            ("https://example.com:0/", "1 to 65535"),
            ("example.com:+80", "`+80` is no port"),
            ("example.com:", "`example.com:443`"),
            ("[2001:db8::1]:", "`[2001:db8::1]:443`"),
            ("tcp://example.com", "`tcp://example.com:443`"),
            ("example.com:80:80", "is no address"),
            ("a..b", "empty label"),
            (&label, "longer than 63"),
            (&name, "longer than 255"),
            ("https://", "names no host"),
            ("https:///example.com", "names no host"),
            ("https://:443/", "names no host"),
            ("tcp://", "names no host"),
            ("dns://", "names no host"),
            (".", "dns://."),
            ("*.example.com", "dns://*.example.com"),
            ("https://*.example.com/", "dns://*.example.com"),
            ("https://user:pw@example.com/", "user name or password"),
            ("tcp://user:pw@example.com:22", "user name or password"),
            ("user@example.com", "user name or password"),
            ("exa mple.com", "' '"),
            ("https://exa mple/", "' '"),
            ("https://exam\nple.com/", "'\\n'"),
            ("https://example.com\\a", "'\\\\'"),
            ("exam,ple.com", "the character ','"),
            ("xn--a.example", "is no URL"),
            ("tls://xn--a.example", "is no URL"),
            ("example.com/a", "write `https://example.com/a`"),
            ("//example.com/a", "write `https://example.com/a`"),
            ("example.com?a", "write `https://example.com?a`"),
            ("192.0.2.0/24", "write `https://192.0.2.0/24`"),
            ("tls://example.com/a", "has a path"),
            ("tcp://example.com:22?a", "has a path"),
            ("192.0.2", "`192.0.2` is no address"),
            ("192.0.2.300", "is no address"),
            ("tcp://192.0.2.300:22", "is no address"),
            ("https://0x7f.1/", "is no address"),
            ("https://2130706433/", "is no address"),
            ("[2001:db8::1", "is no address"),
            ("2001:db8::1]", "is no address"),
            ("[2001:db8::1]x", "is no address"),
            ("[example.com]:80", "is no address"),
            ("[fe80::1%2]:80", "is no address"),
            ("https://[fe80::1%252]/", "is no address"),
            ("dns://192.0.2.1", "type=PTR of 1.2.0.192.in-addr.arpa"),
            ("dns://192.0.2.53/example.com", "--resolver"),
            ("dns://example.com:53", "--resolver"),
            ("dns://example.com?type=BOGUS", "`BOGUS` is no record type"),
            ("dns://example.com?type=", "`` is no record type"),
            ("dns://example.com?tpye=MX", "`tpye=MX`"),
        ] {
            let why = bad.parse::<Target>().map(|t| t.text).unwrap_err();
            assert!(why.to_string().contains(words), "{bad}: {why}");
            assert!(!why.to_string().contains("pw"), "{bad}: {why}");
        }
    }

    #[test]
    fn names_behind_addresses() {
        let shown = reverse("2001:db8::1".parse().unwrap());
        assert!(shown.starts_with("1.0.0.0.") && shown.ends_with(".8.b.d.0.1.0.0.2.ip6.arpa"));
    }
}
