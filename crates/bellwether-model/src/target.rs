//! What a check aims at.

use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use url::Url;

use crate::DnsName;
use crate::name::NameError;

/// Schemes that a target may have.
const SCHEMES: &str = "https://, http://, tls://, tcp://, dns://";

/// How far up a check goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    /// HTTP over TLS.
    Https,
    /// HTTP without TLS.
    Http,
    /// A TLS handshake.
    Tls,
    /// A TCP connection.
    Tcp,
    /// Name resolution alone.
    Dns,
}

impl Scheme {
    /// The name before `://`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Https => "https",
            Self::Http => "http",
            Self::Tls => "tls",
            Self::Tcp => "tcp",
            Self::Dns => "dns",
        }
    }

    /// Does a check of this scheme shake hands?
    #[must_use]
    pub fn has_tls(self) -> bool {
        matches!(self, Self::Https | Self::Tls)
    }

    /// Does a check of this scheme send a request?
    #[must_use]
    pub fn has_http(self) -> bool {
        matches!(self, Self::Https | Self::Http)
    }

    /// Does a check of this scheme connect?
    #[must_use]
    pub fn has_tcp(self) -> bool {
        !matches!(self, Self::Dns)
    }
}

/// A name or an address.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Host {
    /// A domain name.
    Name(DnsName),
    /// An address: nothing to resolve.
    Address(IpAddr),
}

/// One name, address and port aimed at.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Target {
    /// As it stands in reports: a URL.
    pub text: String,
    /// How far up to go.
    pub scheme: Scheme,
    /// Where to.
    pub host: Host,
    /// The port; 53 for `dns`.
    pub port: u16,
    /// Path and query of an HTTP request.
    pub path: String,
    /// The record type that a `dns` target asks for; A and AAAA for all others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rtype: Option<String>,
}

/// Why a text is no target.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// Nothing there.
    #[error("the target is empty; give a host, host:port or a URL ({SCHEMES})")]
    Empty,
    /// A scheme that is not checked.
    #[error("`{0}://` cannot be checked; use one of {SCHEMES}")]
    Scheme(String),
    /// A malformed host name.
    #[error("`{text}` is no target: {source}")]
    Name {
        /// As typed.
        text: String,
        /// What is wrong with the name.
        #[source]
        source: NameError,
    },
    /// A port that is no number of 1 to 65535.
    #[error("`{0}` is no port; a port is a number from 1 to 65535")]
    Port(String),
    /// No port where one is needed.
    #[error("`{0}` needs a port, for example `{0}:443`")]
    NoPort(String),
    /// A URL that cannot be parsed.
    #[error("`{text}` is no URL: {source}")]
    Url {
        /// As typed.
        text: String,
        /// The parser's complaint.
        #[source]
        source: url::ParseError,
    },
    /// A path where none belongs.
    #[error(
        "`{0}` has a path, and a dns target has none; a record type is given as `dns://NAME?type=MX`"
    )]
    Path(String),
    /// Credentials in the URL.
    #[error(
        "`{0}` holds a user name or password; those do not belong into a target, which is printed and stored"
    )]
    Credentials(String),
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
        match text.split_once("://") {
            Some((scheme, rest)) => match scheme.to_ascii_lowercase().as_str() {
                "https" => from_url(text, Scheme::Https),
                "http" => from_url(text, Scheme::Http),
                "tls" => from_authority(text, rest, Scheme::Tls),
                "tcp" => from_authority(text, rest, Scheme::Tcp),
                "dns" => from_dns(text, rest),
                other => Err(TargetError::Scheme(other.to_owned())),
            },
            None => from_bare(text),
        }
    }
}

impl Target {
    /// The name to resolve, if there is one.
    #[must_use]
    pub fn name(&self) -> Option<&DnsName> {
        match &self.host {
            Host::Name(name) => Some(name),
            Host::Address(_) => None,
        }
    }

    /// The host as TLS and HTTP want it: no final dot, no brackets.
    #[must_use]
    pub fn host_text(&self) -> String {
        match &self.host {
            Host::Name(name) => name.without_dot().to_owned(),
            Host::Address(address) => address.to_string(),
        }
    }

    /// The record types that a user's client asks for.
    #[must_use]
    pub fn rtypes(&self) -> Vec<String> {
        match &self.rtype {
            Some(rtype) => vec![rtype.clone()],
            None => vec!["A".to_owned(), "AAAA".to_owned()],
        }
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

fn from_url(text: &str, scheme: Scheme) -> Result<Target, TargetError> {
    let url = Url::parse(text).map_err(|source| TargetError::Url {
        text: text.to_owned(),
        source,
    })?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(TargetError::Credentials(text.to_owned()));
    }
    let host = match url.host() {
        Some(url::Host::Ipv4(a)) => Host::Address(a.into()),
        Some(url::Host::Ipv6(a)) => Host::Address(a.into()),
        Some(url::Host::Domain(name)) => named(text, name)?,
        None => return Err(TargetError::Empty),
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
    let (host, port) = split_port(text, rest.trim_end_matches('/'))?;
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
    let rtype = query
        .split(['&', ';'])
        .find_map(|part| {
            part.strip_prefix("type=")
                .or_else(|| part.strip_prefix("TYPE="))
        })
        .map(str::to_ascii_uppercase);
    let name = name.trim_matches('/');
    // Labels may hold a slash (RFC 2317 section 4); the last of a name that is looked up never does.
    if name
        .rsplit_once('/')
        .is_some_and(|(_, last)| !last.contains('.'))
    {
        return Err(TargetError::Path(text.to_owned()));
    }
    let host = named(text, name)?;
    let suffix = rtype
        .as_ref()
        .map(|t| format!("?type={t}"))
        .unwrap_or_default();
    let text = format!("dns://{}{suffix}", authority(&host, None));
    Ok(Target {
        text,
        scheme: Scheme::Dns,
        host,
        port: 53,
        path: String::new(),
        rtype,
    })
}

fn from_bare(text: &str) -> Result<Target, TargetError> {
    if let Ok(address) = text.trim_matches(['[', ']']).parse::<IpAddr>() {
        return from_url(
            &format!("https://{}/", authority(&Host::Address(address), None)),
            Scheme::Https,
        );
    }
    let (host, port) = split_port(text, text)?;
    match port {
        None | Some(443) => from_url(
            &format!("https://{}/", authority(&host, None)),
            Scheme::Https,
        ),
        Some(80) => from_url(&format!("http://{}/", authority(&host, None)), Scheme::Http),
        Some(port) => from_authority(text, &authority(&host, Some(port)), Scheme::Tcp),
    }
}

fn split_port(text: &str, rest: &str) -> Result<(Host, Option<u16>), TargetError> {
    let (host, port) = match rest.strip_prefix('[').and_then(|r| r.split_once(']')) {
        Some((inside, after)) => (inside, after.strip_prefix(':')),
        None => match rest.split_once(':') {
            Some((host, port)) if !port.contains(':') => (host, Some(port)),
            _ => (rest, None),
        },
    };
    let port = match port {
        None => None,
        Some(digits) => match digits.parse::<u16>() {
            Ok(port) if port > 0 => Some(port),
            _ => return Err(TargetError::Port(digits.to_owned())),
        },
    };
    let host = match host.parse::<IpAddr>() {
        Ok(address) => Host::Address(address),
        Err(_) => named(text, host)?,
    };
    Ok((host, port))
}

fn named(text: &str, name: &str) -> Result<Host, TargetError> {
    // The URL parser knows IDNA; names outside of URLs go through it too.
    let ascii = if name.is_ascii() {
        name.to_owned()
    } else {
        url::Host::parse(name)
            .map_err(|source| TargetError::Url {
                text: text.to_owned(),
                source,
            })?
            .to_string()
    };
    let name = DnsName::typed(&ascii).map_err(|source| TargetError::Name {
        text: text.to_owned(),
        source,
    })?;
    Ok(Host::Name(name))
}

fn authority(host: &Host, port: Option<u16>) -> String {
    let host = match host {
        Host::Name(name) => name.without_dot().to_owned(),
        Host::Address(IpAddr::V6(a)) => format!("[{a}]"),
        Host::Address(a) => a.to_string(),
    };
    port.map_or(host.clone(), |port| format!("{host}:{port}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_of_a_target() {
        let shown = |text: &str| {
            text.parse::<Target>()
                .map(|t| t.text)
                .map_err(|e| e.to_string())
        };
        for (typed, url) in [
            ("example.com", "https://example.com/"),
            ("Example.COM.", "https://example.com/"),
            ("example.com:443", "https://example.com/"),
            ("example.com:80", "http://example.com/"),
            ("example.com:22", "tcp://example.com:22"),
            (
                "https://example.com:8443/a?b=c#d",
                "https://example.com:8443/a?b=c",
            ),
            ("tls://mq.example.com:5671", "tls://mq.example.com:5671"),
            ("tls://example.com", "tls://example.com:443"),
            ("dns://example.com?type=mx", "dns://example.com?type=MX"),
            ("192.0.2.1", "https://192.0.2.1/"),
            ("2001:db8::1", "https://[2001:db8::1]/"),
            ("[2001:db8::1]:22", "tcp://[2001:db8::1]:22"),
            ("https://bücher.example/", "https://xn--bcher-kva.example/"),
        ] {
            assert_eq!(shown(typed).as_deref(), Ok(url), "{typed}");
        }
    }

    #[test]
    fn what_is_no_target_says_why() {
        for bad in [
            "",
            "ftp://example.com/",
            "example.com:0",
            "example.com:99999",
            "a..b",
            "https://",
            "https://user:pw@example.com/",
            "tcp://example.com",
            "exa mple.com",
            "https://exa mple/",
        ] {
            assert!(bad.parse::<Target>().is_err(), "{bad} was taken");
        }
    }
}
