//! Resolvers as people name them: by address, over plain DNS, over TLS or over HTTPS.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::DnsName;
use crate::target::Host;
use crate::tls::CertProblem;

/// Port of plain DNS (RFC 1035 section 4.2).
const PLAIN_PORT: u16 = 53;
/// Port of DNS over TLS (RFC 7858 section 3.1).
const TLS_PORT: u16 = 853;
/// Port of HTTPS.
const HTTPS_PORT: u16 = 443;

/// How a resolver is spoken to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Channel {
    /// UDP, and TCP after truncation.
    #[default]
    Plain,
    /// DNS over TLS (RFC 7858).
    Tls {
        /// Whom the certificate must name.
        host: Host,
    },
    /// DNS over HTTPS (RFC 8484).
    Https {
        /// Whom the certificate must name.
        host: Host,
        /// Where questions are posted to: `/dns-query`.
        path: String,
    },
}

impl Channel {
    /// Is it plain DNS?
    #[must_use]
    pub fn is_plain(&self) -> bool {
        *self == Self::Plain
    }
}

/// A resolver as typed or configured: `9.9.9.9`, `tls://9.9.9.9#dns.quad9.net`,
/// `https://dns.quad9.net/dns-query@9.9.9.9`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResolverAddress {
    /// As written, for reports.
    pub text: String,
    /// Where it is.
    pub address: SocketAddr,
    /// How it is spoken to.
    pub channel: Channel,
}

impl ResolverAddress {
    /// The same with the name that the certificate must have (`server_name` of a configuration).
    ///
    /// # Errors
    /// If plain DNS is spoken, which shows no certificate.
    pub fn named(mut self, name: DnsName) -> Result<Self, String> {
        match &mut self.channel {
            Channel::Plain => {
                return Err(format!(
                    "`{}` is asked in plain DNS, which shows no certificate; write `tls://{}`",
                    self.text, self.text
                ));
            }
            Channel::Tls { host } | Channel::Https { host, .. } => *host = Host::Name(name),
        }
        Ok(self)
    }
}

/// A resolver of a configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolver {
    /// Its name, unique.
    pub name: String,
    /// Where it is; `None` for those of the vantage's system.
    pub address: Option<ResolverAddress>,
    /// The vantages that use it; all if none is named.
    pub from: Vec<String>,
}

impl std::fmt::Display for ResolverAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for ResolverAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(rest) = text.strip_prefix("tls://") {
            return over_tls(text, rest);
        }
        if let Some(rest) = text.strip_prefix("https://") {
            return over_https(text, rest);
        }
        match at(text, PLAIN_PORT) {
            Some(address) => Ok(Self {
                text: match unbracketed(text).parse::<IpAddr>() {
                    Ok(ip) => ip.to_string(),
                    Err(_) => address.to_string(),
                },
                address,
                channel: Channel::Plain,
            }),
            None => Err(format!(
                "`{text}` is no resolver; give an address (`9.9.9.9`), an address with port (`9.9.9.9:5353`, `[2620:fe::fe]:53`), \
                 `tls://9.9.9.9#dns.quad9.net`, `https://dns.quad9.net/dns-query@9.9.9.9`, or `system`"
            )),
        }
    }
}

/// Why DNS cannot be spoken over TLS or HTTPS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "why", rename_all = "snake_case")]
pub enum ChannelFailure {
    /// A strict client refuses the certificate; no question was sent.
    Certificate {
        /// Everything that it refuses.
        problems: Vec<CertProblem>,
    },
    /// The handshake did not complete; no question was sent.
    Handshake {
        /// How it ended.
        error: String,
    },
    /// HTTP was spoken, and what came is no DNS answer.
    Http {
        /// Status code, if there was one.
        #[serde(default)]
        status: Option<u16>,
        /// The media type, if one was named.
        #[serde(default)]
        content_type: Option<String>,
        /// What is wrong with it.
        error: String,
    },
}

fn unbracketed(text: &str) -> &str {
    let inside = text.strip_prefix('[').and_then(|t| t.strip_suffix(']'));
    inside.unwrap_or(text)
}

/// An address, bracketed or not, with or without a port.
fn at(text: &str, port: u16) -> Option<SocketAddr> {
    if let Ok(ip) = unbracketed(text).parse::<IpAddr>() {
        return Some(SocketAddr::new(ip, port));
    }
    text.parse().ok().filter(|at: &SocketAddr| at.port() > 0)
}

fn host_of(text: &str) -> Result<Host, String> {
    let name = DnsName::typed(text).map_err(|error| error.to_string())?;
    Ok(Host::Name(name))
}

/// `ADDRESS[:PORT][#NAME]`.
fn over_tls(text: &str, rest: &str) -> Result<ResolverAddress, String> {
    let (place, name) = match rest.split_once('#') {
        Some((place, name)) => (place, Some(name)),
        None => (rest, None),
    };
    let Some(address) = at(place, TLS_PORT) else {
        return Err(format!(
            "`{text}`: give the address, and the name behind it: `tls://9.9.9.9#dns.quad9.net`"
        ));
    };
    let host = match name {
        Some(name) => host_of(name).map_err(|why| format!("`{text}`: {why}"))?,
        None => Host::Address(address.ip()),
    };
    Ok(ResolverAddress {
        text: text.to_owned(),
        address,
        channel: Channel::Tls { host },
    })
}

/// `HOST[:PORT][/PATH][@ADDRESS]`; a host that is an address needs no other.
fn over_https(text: &str, rest: &str) -> Result<ResolverAddress, String> {
    let (url, bootstrap) = match rest.rsplit_once('@') {
        Some((url, bootstrap)) => (url, Some(bootstrap)),
        None => (rest, None),
    };
    let (authority, path) = match url.find('/') {
        Some(at) => url.split_at(at),
        None => (url, "/dns-query"),
    };
    let is_plain = |c: char| c.is_ascii_graphic() && !matches!(c, '#' | '"' | '<' | '>' | '\\');
    if !path.chars().all(is_plain) {
        return Err(format!(
            "`{text}`: the path `{path}` is not one of a URL; write `/dns-query`"
        ));
    }
    let typed = at(authority, HTTPS_PORT);
    let (host, port) = match typed {
        Some(address) => (Host::Address(address.ip()), address.port()),
        None => {
            let (name, port) = match authority.rsplit_once(':') {
                Some((name, port)) => (name, port.parse().unwrap_or(0)),
                None => (authority, HTTPS_PORT),
            };
            if port == 0 {
                return Err(format!("`{text}`: `{authority}` has no valid port"));
            }
            (
                host_of(name).map_err(|why| format!("`{text}`: {why}"))?,
                port,
            )
        }
    };
    let address = match (bootstrap, typed) {
        (Some(bootstrap), _) => at(bootstrap, port)
            .ok_or_else(|| format!("`{text}`: `{bootstrap}` behind the `@` is no address"))?,
        (None, Some(address)) => address,
        (None, None) => {
            return Err(format!(
                "`{text}`: nobody is asked where `{authority}` is; give its address behind the URL: `{text}@9.9.9.9`"
            ));
        }
    };
    Ok(ResolverAddress {
        text: text.to_owned(),
        address,
        channel: Channel::Https {
            host,
            path: path.to_owned(),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> String {
        match text.parse::<ResolverAddress>() {
            Ok(found) => {
                let how = match &found.channel {
                    Channel::Plain => String::new(),
                    Channel::Tls { host } => format!(" tls {host:?}"),
                    Channel::Https { host, path } => format!(" https {host:?} {path}"),
                };
                format!("{} {}{how}", found.text, found.address)
            }
            Err(why) => why,
        }
    }

    #[test]
    fn resolvers() {
        assert_eq!(read("9.9.9.9"), "9.9.9.9 9.9.9.9:53");
        assert_eq!(read("9.9.9.9:5353"), "9.9.9.9:5353 9.9.9.9:5353");
        assert_eq!(read("[2620:fe::fe]"), "2620:fe::fe [2620:fe::fe]:53");
        assert_eq!(
            read("[2620:fe::fe]:53"),
            "[2620:fe::fe]:53 [2620:fe::fe]:53"
        );
        assert_eq!(
            read("tls://9.9.9.9"),
            "tls://9.9.9.9 9.9.9.9:853 tls Address(9.9.9.9)"
        );
        assert_eq!(
            read("tls://[2620:fe::fe]:8853#dns.quad9.net"),
            "tls://[2620:fe::fe]:8853#dns.quad9.net [2620:fe::fe]:8853 tls Name(DnsName(\"dns.quad9.net.\"))"
        );
        assert_eq!(
            read("https://dns.quad9.net/dns-query@9.9.9.9"),
            "https://dns.quad9.net/dns-query@9.9.9.9 9.9.9.9:443 https Name(DnsName(\"dns.quad9.net.\")) /dns-query"
        );
        assert_eq!(
            read("https://9.9.9.9"),
            "https://9.9.9.9 9.9.9.9:443 https Address(9.9.9.9) /dns-query"
        );
    }

    #[test]
    fn what_is_no_resolver() {
        assert!(read("dns.quad9.net").contains("is no resolver"));
        assert!(read("tls://dns.quad9.net").contains("give the address"));
        assert!(read("https://dns.quad9.net/dns-query").contains("behind the URL"));
        assert!(read("https://dns.quad9.net/a b@9.9.9.9").contains("path"));
        assert!(read("https://dns.quad9.net:0/x@9.9.9.9").contains("no valid port"));
        let plain: ResolverAddress = "9.9.9.9".parse().unwrap();
        assert!(plain.named(DnsName::root()).is_err());
    }
}
