//! From what people write to what the program uses.
//!
//! Every struct of the file is taken apart in full, so that a new key cannot be forgotten here.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bellwether_model::dns::Question;
use bellwether_model::service::{
    AnswerPolicy, BodyExpect, Check, ClientIdentity, Promises, RoleExpect, Service, StatusRange,
};
use bellwether_model::target::{Host, Scheme};
use bellwether_model::{DnsName, Expect, Resolver, ResolverAddress, Target};
use ipnet::IpNet;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::error::{ConfigError, Problem};
use crate::place::{At, Place};
use crate::spec::{
    AddressContractSpec, AddressSpec, AnswerPromiseSpec, BodySpec, CertificatePromiseSpec,
    CheckSpec, DnsSpec, ExpectSpec, HttpSpec, LargeAnswerSpec, PromisesSpec, ResolverSpec,
    RoleSpec, ServiceSpec, StatusSpec, TlsSpec,
};
use crate::substitute::{Lookup, System, substitute};
use crate::units;

/// How often a check runs if nothing else is said.
pub const EVERY_DEFAULT: Duration = Duration::from_secs(60);

/// How long one attempt may take if nothing else is said.
pub const TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);

/// Longest name of a service or check: names become parts of URLs, file names and notices.
const NAME_LEN_MAX: usize = 100;

/// Most names of large answers: each is asked of every resolver.
const LARGE_ANSWERS_MAX: usize = 4;

/// A name that is right, beside which a record type is read.
const SOME_NAME: &str = "shop.example";

/// Longest expected text or pattern; a regular expression's cost grows with it.
const PATTERN_LEN_MAX: usize = 4096;

impl TryFrom<ServiceSpec> for Service {
    type Error = ConfigError;

    /// With the environment and the files of this process for `${…}`.
    fn try_from(spec: ServiceSpec) -> Result<Self, ConfigError> {
        Reading { lookup: &System }.service(spec)
    }
}

/// One service, with the given source for `${…}`.
///
/// # Errors
/// Whatever does not make sense in it, with its place.
pub fn service(spec: ServiceSpec, lookup: &dyn Lookup) -> Result<Service, ConfigError> {
    Reading { lookup }.service(spec)
}

/// One resolver.
///
/// # Errors
/// Whatever does not make sense in it, with its place.
pub fn resolver(spec: ResolverSpec) -> Result<Resolver, ConfigError> {
    let ResolverSpec {
        name,
        address,
        server_name,
        from,
    } = spec;
    let parsed = match address.value.as_str() {
        "system" => None,
        text => Some(
            text.parse::<ResolverAddress>()
                .map_err(|why| ConfigError::value(address.place, "address", why))?,
        ),
    };
    let parsed = match (parsed, server_name) {
        (parsed, None) => parsed,
        (None, Some(named)) => {
            let why = "`system` has no certificate to verify; leave it out";
            return Err(ConfigError::value(named.place, "server_name", why));
        }
        (Some(parsed), Some(named)) => {
            let bad = |why: String| ConfigError::value(named.place, "server_name", why);
            let wanted = DnsName::typed(&named.value).map_err(|e| bad(e.to_string()))?;
            Some(parsed.named(wanted).map_err(bad)?)
        }
    };
    Ok(Resolver {
        name: name.value,
        address: parsed,
        from: from.into_iter().map(|vantage| vantage.value).collect(),
    })
}

/// What a conversion needs besides the spec.
struct Reading<'a> {
    lookup: &'a dyn Lookup,
}

/// What a service hands down to its checks.
struct Inherited {
    every: Duration,
    timeout: Duration,
    expect: Expect,
}

impl Reading<'_> {
    fn service(&self, spec: ServiceSpec) -> Result<Service, ConfigError> {
        let ServiceSpec {
            name,
            url,
            checks,
            labels,
            needs,
            every,
            timeout,
            expect,
            promises,
        } = spec;
        let place = name.place;
        let name = self.name(name)?;
        let promises = self.promises(promises.unwrap_or_default())?;
        let inherited = Inherited {
            every: self.duration("every", every)?.unwrap_or(EVERY_DEFAULT),
            timeout: self
                .duration("timeout", timeout)?
                .unwrap_or(TIMEOUT_DEFAULT),
            expect: self.expect(expect.unwrap_or_default(), promises.answer)?,
        };
        let mut all = Vec::new();
        if let Some(url) = url {
            all.push((url.place, self.main_check(url, &inherited)?));
        }
        for check in checks {
            all.push((check.value.name.place, self.check(check, &inherited)?));
        }
        if all.is_empty() {
            return Err(ConfigError::new(
                place,
                Problem::Missing {
                    key: "url".to_owned(),
                    of: format!("the service `{name}`"),
                    example: "`url: https://www.example.com/`, or `checks:`".to_owned(),
                },
            ));
        }
        once(
            "check",
            all.iter().map(|(place, c)| (*place, c.name.as_str())),
        )?;
        Ok(Service {
            name,
            labels: self.labels(labels, place)?,
            needs: needs
                .into_iter()
                .map(|need| Ok(self.text("needs", need)?.value))
                .collect::<Result<_, ConfigError>>()?,
            checks: all.into_iter().map(|(_, check)| check).collect(),
            promises,
        })
    }

    fn text(&self, key: &str, text: At<String>) -> Result<At<String>, ConfigError> {
        match substitute(&text.value, self.lookup) {
            Ok(value) => Ok(At { value, ..text }),
            Err(why) => Err(ConfigError::value(text.place, key, why)),
        }
    }

    fn name(&self, name: At<String>) -> Result<String, ConfigError> {
        let name = self.text("name", name)?;
        let bad = |c: char| !(c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | ' '));
        let why = match name.value.as_str() {
            "" => "a name has at least one character".to_owned(),
            text if text.chars().count() > NAME_LEN_MAX => {
                format!("a name has at most {NAME_LEN_MAX} characters")
            }
            text => match text.chars().find(|c| bad(*c)) {
                Some(c) => {
                    format!("a name has letters, digits, `-`, `_`, `.` and spaces, not {c:?}")
                }
                None => return Ok(name.value),
            },
        };
        Err(ConfigError::value(name.place, "name", why))
    }

    fn labels(
        &self,
        labels: BTreeMap<String, String>,
        place: Place,
    ) -> Result<BTreeMap<String, String>, ConfigError> {
        labels
            .into_iter()
            .map(|(key, value)| {
                let value = self.text("labels", At { value, place })?.value;
                Ok((key, value))
            })
            .collect()
    }

    fn duration(
        &self,
        key: &str,
        text: Option<At<String>>,
    ) -> Result<Option<Duration>, ConfigError> {
        let Some(text) = text else { return Ok(None) };
        let text = self.text(key, text)?;
        match units::duration(&text.value) {
            Ok(Duration::ZERO) => Err(ConfigError::value(
                text.place,
                key,
                "must be longer than nothing",
            )),
            Ok(duration) => Ok(Some(duration)),
            Err(why) => Err(ConfigError::value(text.place, key, why)),
        }
    }

    /// `url:` of a service: one check called `main`.
    fn main_check(&self, url: At<String>, inherited: &Inherited) -> Result<Check, ConfigError> {
        Ok(Check {
            name: "main".to_owned(),
            target: self.url(url)?,
            icmp_only: false,
            every: inherited.every,
            timeout: inherited.timeout,
            expect: inherited.expect.clone(),
            client_cert: None,
            tries: None,
        })
    }

    fn check(&self, check: At<CheckSpec>, inherited: &Inherited) -> Result<Check, ConfigError> {
        let place = check.place;
        let CheckSpec {
            name,
            every,
            timeout,
            http,
            tcp,
            tls,
            dns,
            icmp,
            tries,
        } = check.value;
        let name = self.name(name)?;
        let kinds: Vec<Kind> = [
            http.map(Kind::Http),
            tcp.map(Kind::Tcp),
            tls.map(Kind::Tls),
            dns.map(Kind::Dns),
            icmp.map(Kind::Icmp),
        ]
        .into_iter()
        .flatten()
        .collect();
        let kind = match <[Kind; 1]>::try_from(kinds) {
            Ok([kind]) => kind,
            Err(kinds) => {
                let has = match kinds.len() {
                    0 => "none".to_owned(),
                    _ => kinds
                        .iter()
                        .map(Kind::key)
                        .collect::<Vec<_>>()
                        .join(" and "),
                };
                let why = format!(
                    "the check `{name}` needs exactly one of http, tcp, tls, dns, icmp; it has {has}"
                );
                return Err(ConfigError::value(place, "checks", why));
            }
        };
        let mut expect = inherited.expect.clone();
        let icmp_only = matches!(kind, Kind::Icmp(_));
        let (target, client_cert) = self.target(kind, &mut expect)?;
        Ok(Check {
            name,
            target,
            icmp_only,
            every: self.duration("every", every)?.unwrap_or(inherited.every),
            timeout: self
                .duration("timeout", timeout)?
                .unwrap_or(inherited.timeout),
            expect,
            client_cert,
            tries: tries.map(tries_within).transpose()?,
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
                let place = url.place;
                let target = self.url(url)?;
                if !target.scheme.has_http() {
                    let why = format!("`{target}` is no URL of HTTP; write https:// or http://");
                    return Err(ConfigError::value(place, "url", why));
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
    fn client_cert(&self, pem: At<String>) -> Result<ClientIdentity, ConfigError> {
        let place = pem.place;
        let pem = self.text("client_cert", pem)?;
        // The complaint must not repeat what may be a key.
        identity(&pem.value).map_err(|why| ConfigError::value(place, "client_cert", why))
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
                let place = name.place;
                let name = self.text("name", name)?.value;
                let rtype = rtype.map(|t| self.text("type", t)).transpose()?;
                for value in values {
                    expect.values.push(self.text("values", value)?.value);
                }
                let rtype = rtype
                    .map(|t| format!("?type={}", t.value))
                    .unwrap_or_default();
                format!("dns://{name}{rtype}")
                    .parse()
                    .map_err(|error| ConfigError::value(place, "name", error))
            }
        }
    }

    fn url(&self, url: At<String>) -> Result<Target, ConfigError> {
        let url = self.text("url", url)?;
        if !url.value.contains("://") {
            let why = format!("`{0}` is no URL; write `https://{0}/`", url.value);
            return Err(ConfigError::value(url.place, "url", why));
        }
        url.value
            .parse()
            .map_err(|error| ConfigError::value(url.place, "url", error))
    }

    /// `address: host:port` of a `tcp` or `tls` check.
    fn aimed(&self, scheme: &str, address: At<String>) -> Result<Target, ConfigError> {
        let address = self.text("address", address)?;
        if address.value.contains("://") {
            let why = format!("`{}` is a URL; write `host:port`", address.value);
            return Err(ConfigError::value(address.place, "address", why));
        }
        format!("{scheme}://{}", address.value)
            .parse()
            .map_err(|error| ConfigError::value(address.place, "address", error))
    }

    /// `address: host` of an `icmp` check. Nothing above the echo is asked, so the target ends
    /// where name resolution does.
    fn echo(&self, address: At<String>) -> Result<Target, ConfigError> {
        let address = self.text("address", address)?;
        let host = match address.value.trim_matches(['[', ']']).parse() {
            Ok(ip) => Host::Address(ip),
            Err(_) => DnsName::typed(&address.value)
                .map(Host::Name)
                .map_err(|error| ConfigError::value(address.place, "address", error))?,
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

    fn expect(&self, spec: ExpectSpec, answer: AnswerPolicy) -> Result<Expect, ConfigError> {
        let ExpectSpec {
            status,
            body,
            within,
            role,
            name_servers,
            large_answers,
            addresses,
            exists,
        } = spec;
        let within = self.duration("within", within)?;
        Ok(Expect {
            status: status
                .into_iter()
                .map(status_range)
                .collect::<Result<_, _>>()?,
            body: body.map(|body| self.body(body)).transpose()?,
            within_ms: within.map(|d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX)),
            role: role.map(|role| self.role(role)).transpose()?,
            name_servers: name_servers
                .into_iter()
                .map(|name| {
                    let name = self.text("name_servers", name)?;
                    DnsName::typed(&name.value)
                        .map_err(|error| ConfigError::value(name.place, "name_servers", error))
                })
                .collect::<Result<_, _>>()?,
            large_answers: self.large_answers(large_answers)?,
            addresses: addresses
                .into_iter()
                .map(|net| network(self.text("addresses", net)?))
                .collect::<Result<_, _>>()?,
            exists: exists.unwrap_or(true),
            values: Vec::new(),
            answer,
        })
    }

    fn large_answers(&self, all: Vec<LargeAnswerSpec>) -> Result<Vec<Question>, ConfigError> {
        if let Some(beyond) = all.get(LARGE_ANSWERS_MAX) {
            let why = format!("more than {LARGE_ANSWERS_MAX} of them");
            return Err(ConfigError::value(beyond.name.place, "large_answers", why));
        }
        // As a check of that name and type is read.
        let read = |name: &str, rtype: &str| -> Option<Question> {
            let target: Target = format!("dns://{name}?type={rtype}").parse().ok()?;
            Some(Question {
                name: target.name()?.clone(),
                rtype: target.rtype?,
            })
        };
        let question = |LargeAnswerSpec { name, rtype }| {
            let (name, rtype) = (self.text("name", name)?, self.text("type", rtype)?);
            if read(SOME_NAME, &rtype.value).is_none() {
                let why = format!("`{}` is no record type", rtype.value);
                return Err(ConfigError::value(rtype.place, "type", why));
            }
            let bad = || {
                let why = format!("`{}` is no name", name.value);
                ConfigError::value(name.place, "name", why)
            };
            read(&name.value, &rtype.value).ok_or_else(bad)
        };
        all.into_iter().map(question).collect()
    }

    fn role(&self, RoleSpec { header, value }: RoleSpec) -> Result<RoleExpect, ConfigError> {
        let header = self.text("header", header)?;
        let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
        if header.value.is_empty() || !header.value.chars().all(token) {
            let why = format!(
                "`{}` is no header name (RFC 9110 section 5.1)",
                header.value
            );
            return Err(ConfigError::value(header.place, "header", why));
        }
        Ok(RoleExpect {
            header: header.value,
            value: self.text("value", value)?.value,
        })
    }

    fn body(&self, body: At<BodySpec>) -> Result<BodyExpect, ConfigError> {
        let place = body.place;
        let BodySpec {
            contains,
            matches,
            json,
        } = body.value;
        match (contains, matches, json) {
            (Some(contains), None, None) => {
                let text = self.text("contains", contains)?;
                short_enough("contains", &text)?;
                Ok(BodyExpect::Contains(text.value))
            }
            (None, Some(matches), None) => {
                let pattern = self.text("matches", matches)?;
                short_enough("matches", &pattern)?;
                regex::Regex::new(&pattern.value).map_err(|error| {
                    let error = error.to_string();
                    let last = error.lines().last().unwrap_or_default();
                    let why = format!("`{}` is no regular expression: {last}", pattern.value);
                    ConfigError::value(pattern.place, "matches", why)
                })?;
                Ok(BodyExpect::Matches(pattern.value))
            }
            (None, None, Some(json)) => Ok(BodyExpect::Json(json)),
            _ => Err(ConfigError::value(
                place,
                "body",
                "needs exactly one of contains, matches, json",
            )),
        }
    }

    fn promises(&self, spec: PromisesSpec) -> Result<Promises, ConfigError> {
        let PromisesSpec {
            certificate,
            answer,
            address_contract,
        } = spec;
        let CertificatePromiseSpec { days_left, tell: _ } = certificate.unwrap_or_default();
        if let Some(AddressContractSpec {
            url,
            notice,
            tell: _,
        }) = address_contract
        {
            self.url(url)?;
            self.duration("notice", notice)?;
        }
        let AnswerPromiseSpec {
            warn_addresses,
            max_addresses,
            max_bytes,
            tell: _,
        } = answer.unwrap_or_default();
        let shipped = AnswerPolicy::default();
        Ok(Promises {
            certificate_days_left: days_left,
            answer: AnswerPolicy {
                warn_addresses: warn_addresses.unwrap_or(shipped.warn_addresses),
                max_addresses: max_addresses.unwrap_or(shipped.max_addresses),
                max_bytes: max_bytes.unwrap_or(shipped.max_bytes),
            },
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

/// Most connections to one address: enough to meet a share of 2 % (149 for 95 % chance).
const TRIES_MAX: u32 = 200;

fn tries_within(tries: At<u32>) -> Result<u32, ConfigError> {
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

/// Refuses a name that stands twice.
pub(crate) fn once<'a>(
    what: &'static str,
    names: impl Iterator<Item = (Place, &'a str)>,
) -> Result<(), ConfigError> {
    let mut seen: BTreeMap<&str, Place> = BTreeMap::new();
    for (place, name) in names {
        if let Some(first) = seen.insert(name, place) {
            let name = name.to_owned();
            return Err(ConfigError::new(
                place,
                Problem::Twice { what, name, first },
            ));
        }
    }
    Ok(())
}

fn short_enough(key: &str, text: &At<String>) -> Result<(), ConfigError> {
    match text.value.len() {
        0 => Err(ConfigError::value(text.place, key, "must not be empty")),
        len if len > PATTERN_LEN_MAX => {
            let why = format!("has {len} bytes; at most {PATTERN_LEN_MAX} are taken");
            Err(ConfigError::value(text.place, key, why))
        }
        _ => Ok(()),
    }
}

fn status_range(status: At<StatusSpec>) -> Result<StatusRange, ConfigError> {
    let range = match &status.value {
        StatusSpec::One(status) => u16::try_from(*status).ok().map(|s| (s, s)),
        StatusSpec::Range(text) => {
            let (low, high) = text.split_once('-').unwrap_or((text, text));
            low.trim().parse().ok().zip(high.trim().parse().ok())
        }
    };
    match range {
        Some((low, high)) if (100..=999).contains(&low) && (low..=999).contains(&high) => {
            Ok(StatusRange { low, high })
        }
        _ => {
            let shown = match status.value {
                StatusSpec::One(status) => status.to_string(),
                StatusSpec::Range(text) => text,
            };
            let why = format!("`{shown}` is no status; write 200 or \"200-399\"");
            Err(ConfigError::value(status.place, "status", why))
        }
    }
}

fn network(text: At<String>) -> Result<IpNet, ConfigError> {
    let parsed = match text.value.parse::<std::net::IpAddr>() {
        Ok(address) => Some(IpNet::from(address)),
        Err(_) => text.value.parse::<IpNet>().ok(),
    };
    let why = match parsed {
        Some(net) if net.trunc() == net => return Ok(net),
        Some(net) => format!(
            "`{net}` has bits behind its prefix; write `{}`",
            net.trunc()
        ),
        None => format!(
            "`{}` is no network; write `198.51.100.0/24`, or an address",
            text.value
        ),
    };
    Err(ConfigError::value(text.place, "addresses", why))
}
