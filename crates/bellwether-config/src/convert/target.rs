//! What a check aims at.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bellwether_model::service::{Check, ClientIdentity};
use bellwether_model::target::{Host, Scheme};
use bellwether_model::{DnsName, Expect, Target};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::{Inherited, Reading, Text};
use crate::error::ConfigError;
use crate::place::At;
use crate::secret::Secret;
use crate::spec::{AddressSpec, CheckSpec, DnsSpec, HttpSpec, TlsSpec};

impl Reading<'_> {
    /// `url:` of a service: one check called `main`.
    pub(super) fn main_check(
        &self,
        url: At<String>,
        inherited: &Inherited,
    ) -> Result<Check, ConfigError> {
        Ok(Check {
            name: "main".to_owned(),
            target: self.url(url)?,
            icmp_only: false,
            every: inherited.defaults.every,
            timeout: inherited.defaults.timeout,
            deep_every: inherited.defaults.deep_every,
            expect: inherited.expect.clone(),
            client_cert: None,
            tries: None,
        })
    }

    /// What is wrong is noted.
    pub(super) fn check(&self, check: At<CheckSpec>, inherited: &Inherited) -> Option<Check> {
        let place = check.place;
        let CheckSpec {
            name,
            every,
            timeout,
            deep_every,
            http,
            tcp,
            tls,
            dns,
            icmp,
            tries,
        } = check.value;
        let name = self.keep(self.name(name));
        let kinds = [
            http.map(Kind::Http),
            tcp.map(Kind::Tcp),
            tls.map(Kind::Tls),
            dns.map(Kind::Dns),
            icmp.map(Kind::Icmp),
        ];
        let kinds: Vec<Kind> = kinds.into_iter().flatten().collect();
        let shown = name.as_deref().unwrap_or("?");
        let kind = match only(kinds) {
            Ok(kind) => Some(kind),
            Err(has) => {
                let why = format!(
                    "the check `{shown}` needs exactly one of http, tcp, tls, dns, icmp; it has {has}"
                );
                self.lacks(ConfigError::value(place, "checks", why))
            }
        };
        let mut expect = inherited.expect.clone();
        let icmp_only = matches!(kind, Some(Kind::Icmp(_)));
        let cadence = self.cadence(every, timeout, deep_every, inherited.defaults);
        let target = kind.and_then(|kind| self.keep(self.target(kind, &mut expect)));
        let tries = tries.map(|tries| self.keep(tries_within(&tries)));
        let (target, client_cert) = target?;
        Some(Check {
            name: name?,
            target,
            icmp_only,
            every: cadence.every,
            timeout: cadence.timeout,
            deep_every: cadence.deep_every,
            expect,
            client_cert,
            tries: match tries {
                Some(tries) => Some(tries?),
                None => None,
            },
        })
    }

    /// What a check aims at, with the client certificate to show there.
    fn target(
        &self,
        kind: Kind,
        expect: &mut Expect,
    ) -> Result<(Target, Option<ClientIdentity>), ConfigError> {
        let (target, client_cert) = match kind {
            Kind::Http(HttpSpec { url, client_cert }) => {
                let url = self.text("url", url)?;
                let target = aim(&url)?;
                if !target.scheme.has_http() {
                    let why = format!("`{target}` is no URL of HTTP; write https:// or http://");
                    return Err(url.bad("url", why));
                }
                if let Some(client_cert) = client_cert.as_ref().filter(|_| !target.scheme.has_tls())
                {
                    let why = "nobody asks for a client certificate without TLS; write https://";
                    return Err(ConfigError::value(client_cert.place, "client_cert", why));
                }
                (target, client_cert)
            }
            Kind::Tls(TlsSpec {
                address,
                client_cert,
            }) => (self.aimed("tls", address)?, client_cert),
            other => return Ok((self.plain_target(other, expect)?, None)),
        };
        let client_cert = client_cert.map(|pem| self.client_cert(pem)).transpose()?;
        Ok((target, client_cert))
    }

    /// PEM with certificates and a private key.
    fn client_cert(&self, pem: At<Secret>) -> Result<ClientIdentity, ConfigError> {
        let place = pem.place;
        let pem = self.secret("client_cert", pem)?;
        // The complaint must not repeat what may be a key.
        identity(pem.expose()).map_err(|why| ConfigError::value(place, "client_cert", why))
    }

    fn plain_target(&self, kind: Kind, expect: &mut Expect) -> Result<Target, ConfigError> {
        match kind {
            Kind::Http(HttpSpec { url, .. }) => self.url(url),
            Kind::Tls(TlsSpec { address, .. }) => self.aimed("tls", address),
            Kind::Tcp(AddressSpec { address }) => self.aimed("tcp", address),
            Kind::Icmp(AddressSpec { address }) => self.echo(address),
            Kind::Dns(DnsSpec {
                name,
                rtype,
                values,
            }) => {
                let name = self.text("name", name)?;
                let rtype = rtype.map(|t| self.text("type", t)).transpose()?;
                for value in values {
                    expect.values.push(self.text("values", value)?.value);
                }
                let typed = match &rtype {
                    Some(rtype) => format!("dns://{}?type={}", name.value, rtype.value),
                    None => format!("dns://{}", name.value),
                };
                typed.parse().map_err(|error| match &rtype {
                    Some(rtype) if format!("dns://{}", name.value).parse::<Target>().is_ok() => {
                        rtype.bad("type", error)
                    }
                    _ => name.bad("name", error),
                })
            }
        }
    }

    fn url(&self, url: At<String>) -> Result<Target, ConfigError> {
        aim(&self.text("url", url)?)
    }

    /// A URL that is not checked but asked by ourselves: `https://…` or `http://…`.
    pub(super) fn web_url(&self, key: &str, url: At<String>) -> Result<String, ConfigError> {
        let url = self.text(key, url)?;
        let target: Result<Target, _> = url.value.parse();
        match target {
            Ok(target) if target.scheme.has_http() && url.value.contains("://") => Ok(url.value),
            Ok(_) => Err(url.bad(key, format!("`{}` is no URL; write `https://…`", url.value))),
            Err(error) => Err(url.bad(key, error)),
        }
    }

    /// `address: host:port` of a `tcp` or `tls` check.
    fn aimed(&self, scheme: &str, address: At<String>) -> Result<Target, ConfigError> {
        let address = self.text("address", address)?;
        if address.value.contains("://") {
            let why = format!("`{}` is a URL; write `host:port`", address.value);
            return Err(address.bad("address", why));
        }
        format!("{scheme}://{}", address.value)
            .parse()
            .map_err(|error| address.bad("address", error))
    }

    /// `address: host` of an `icmp` check. Nothing above the echo is asked, so the target ends
    /// where name resolution does.
    fn echo(&self, address: At<String>) -> Result<Target, ConfigError> {
        let address = self.text("address", address)?;
        let host = match address.value.trim_matches(['[', ']']).parse() {
            Ok(ip) => Host::Address(ip),
            Err(_) => DnsName::typed(&address.value)
                .map(Host::Name)
                .map_err(|error| address.bad("address", error))?,
        };
        let shown = match &host {
            Host::Name(name) => name.without_dot().to_owned(),
            Host::Address(ip) => ip.to_string(),
        };
        Ok(Target {
            text: format!("icmp://{shown}"),
            scheme: Scheme::Dns,
            host,
            port: 53,
            path: String::new(),
            rtype: None,
        })
    }
}

/// The one kind key of a check.
enum Kind {
    Http(HttpSpec),
    Tcp(AddressSpec),
    Tls(TlsSpec),
    Dns(DnsSpec),
    Icmp(AddressSpec),
}

impl Kind {
    fn key(&self) -> &'static str {
        match self {
            Self::Http(_) => "http",
            Self::Tcp(_) => "tcp",
            Self::Tls(_) => "tls",
            Self::Dns(_) => "dns",
            Self::Icmp(_) => "icmp",
        }
    }
}

/// The only one, or which ones there are.
fn only(kinds: Vec<Kind>) -> Result<Kind, String> {
    <[Kind; 1]>::try_from(kinds)
        .map(|[kind]| kind)
        .map_err(|kinds| match kinds.len() {
            0 => "none".to_owned(),
            _ => kinds
                .iter()
                .map(Kind::key)
                .collect::<Vec<_>>()
                .join(" and "),
        })
}

fn aim(url: &Text) -> Result<Target, ConfigError> {
    if !url.value.contains("://") {
        let why = format!("`{0}` is no URL; write `https://{0}/`", url.value);
        return Err(url.bad("url", why));
    }
    url.value.parse().map_err(|error| url.bad("url", error))
}

/// Most connections to one address: enough to meet a share of 2 % (149 for 95 % chance).
const TRIES_MAX: u32 = 200;

fn tries_within(tries: &At<u32>) -> Result<u32, ConfigError> {
    if (1..=TRIES_MAX).contains(&tries.value) {
        return Ok(tries.value);
    }
    let why = format!("is {}; at least 1 and at most {TRIES_MAX}", tries.value);
    Err(ConfigError::value(tries.place, "tries", why))
}

/// The certificates and the first private key of a PEM text.
fn identity(pem: &str) -> Result<ClientIdentity, String> {
    let chain: Result<Vec<String>, _> = CertificateDer::pem_slice_iter(pem.as_bytes())
        .map(|cert| cert.map(|der| STANDARD.encode(der)))
        .collect();
    let chain = chain.map_err(|_| "holds a certificate that is no PEM".to_owned())?;
    if chain.is_empty() {
        return Err(
            "holds no certificate; give PEM with `-----BEGIN CERTIFICATE-----` and the private key"
                .to_owned(),
        );
    }
    let key = PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|_| {
        "holds no private key; add it, unencrypted, below the certificate".to_owned()
    })?;
    Ok(ClientIdentity {
        chain,
        key: STANDARD.encode(key.secret_der()),
    })
}
