//! What is expected and what was promised.

use std::time::Duration;

use bellwether_model::dns::Question;
use bellwether_model::service::{
    AddressContract, AnswerPolicy, BodyExpect, Promises, RoleExpect, StatusRange,
};
use bellwether_model::{DnsName, Expect, Target};
use ipnet::IpNet;

use super::{AGE_MAX, Reading, Text};
use crate::error::ConfigError;
use crate::place::At;
use crate::spec::{
    AddressContractSpec, AnswerPromiseSpec, BodySpec, CertificatePromiseSpec, ExpectSpec,
    LargeAnswerSpec, PromisesSpec, RoleSpec, StatusSpec,
};

/// Most names of large answers: each is asked of every resolver.
const LARGE_ANSWERS_MAX: usize = 4;

/// A name that is right, beside which a record type is read.
const SOME_NAME: &str = "shop.example";

/// Longest expected text or pattern; a regular expression's cost grows with it.
const PATTERN_LEN_MAX: usize = 4096;

/// Longest time for an answer: a check is over long before.
const WITHIN_MAX: Duration = Duration::from_secs(600);

impl Reading<'_> {
    pub(super) fn expect(&self, spec: ExpectSpec, answer: AnswerPolicy) -> Expect {
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
        let within = self.span("within", within, (Duration::ZERO, WITHIN_MAX));
        let name_server = |name| {
            let name = self.text("name_servers", name)?;
            DnsName::typed(&name.value).map_err(|error| name.bad("name_servers", error))
        };
        Expect {
            status: self.each(status, |status| status_range(&status)),
            body: body.and_then(|body| self.body(body)),
            within_ms: within.map(|d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX)),
            role: role.and_then(|role| self.keep(self.role(role))),
            name_servers: self.each(name_servers, name_server),
            large_answers: self
                .keep(self.large_answers(large_answers))
                .unwrap_or_default(),
            addresses: self.each(addresses, |net| {
                network("addresses", &self.text("addresses", net)?)
            }),
            exists: exists.unwrap_or(true),
            values: Vec::new(),
            answer,
        }
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
                return Err(rtype.bad("type", why));
            }
            let bad = || {
                let why = format!("`{}` is no name", name.value);
                name.bad("name", why)
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
            return Err(header.bad("header", why));
        }
        Ok(RoleExpect {
            header: header.value,
            value: self.text("value", value)?.value,
        })
    }

    fn body(&self, body: At<BodySpec>) -> Option<BodyExpect> {
        let place = body.place;
        let BodySpec {
            contains,
            matches,
            json,
        } = body.value;
        match (contains, matches, json) {
            (Some(contains), None, None) => self.keep(self.contained(contains)),
            (None, Some(matches), None) => self.keep(self.pattern(matches)),
            (None, None, Some(json)) => Some(BodyExpect::Json(json)),
            _ => {
                let why = "needs exactly one of contains, matches, json";
                self.lacks(ConfigError::value(place, "body", why))
            }
        }
    }

    fn contained(&self, contains: At<String>) -> Result<BodyExpect, ConfigError> {
        let text = self.text("contains", contains)?;
        short_enough("contains", &text)?;
        Ok(BodyExpect::Contains(text.value))
    }

    fn pattern(&self, matches: At<String>) -> Result<BodyExpect, ConfigError> {
        let pattern = self.text("matches", matches)?;
        short_enough("matches", &pattern)?;
        regex::Regex::new(&pattern.value).map_err(|error| {
            let error = error.to_string();
            let last = error.lines().last().unwrap_or_default();
            let why = format!("`{}` is no regular expression: {last}", pattern.value);
            pattern.bad("matches", why)
        })?;
        Ok(BodyExpect::Matches(pattern.value))
    }

    pub(super) fn promises(&self, spec: PromisesSpec) -> Promises {
        let PromisesSpec {
            certificate,
            answer,
            address_contract,
        } = spec;
        let CertificatePromiseSpec {
            days_left,
            tell: certificate_tell,
        } = certificate.unwrap_or_default();
        let AnswerPromiseSpec {
            warn_addresses,
            max_addresses,
            max_bytes,
            tell: answer_tell,
        } = answer.unwrap_or_default();
        let shipped = AnswerPolicy::default();
        Promises {
            certificate_days_left: days_left,
            certificate_tell: certificate_tell.map(|tell| tell.value),
            answer: AnswerPolicy {
                warn_addresses: warn_addresses.unwrap_or(shipped.warn_addresses),
                max_addresses: max_addresses.unwrap_or(shipped.max_addresses),
                max_bytes: max_bytes.unwrap_or(shipped.max_bytes),
            },
            answer_tell: answer_tell.map(|tell| tell.value),
            address_contract: address_contract.and_then(|contract| self.contract(contract)),
        }
    }

    fn contract(&self, spec: AddressContractSpec) -> Option<AddressContract> {
        let AddressContractSpec { url, notice, tell } = spec;
        let notice = self.span("notice", notice, (Duration::ZERO, AGE_MAX));
        let url = self.keep(self.web_url("url", url));
        Some(AddressContract {
            url: url?,
            notice,
            tell: tell.map(|tell| tell.value),
        })
    }
}

fn short_enough(key: &str, text: &Text) -> Result<(), ConfigError> {
    match text.value.len() {
        0 => Err(text.bad(key, "must not be empty")),
        len if len > PATTERN_LEN_MAX => {
            let why = format!("has {len} bytes; at most {PATTERN_LEN_MAX} are taken");
            Err(text.bad(key, why))
        }
        _ => Ok(()),
    }
}

fn status_range(status: &At<StatusSpec>) -> Result<StatusRange, ConfigError> {
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
            let shown = match &status.value {
                StatusSpec::One(status) => status.to_string(),
                StatusSpec::Range(text) => text.clone(),
            };
            let why = format!("`{shown}` is no status; write 200 or \"200-399\"");
            Err(ConfigError::value(status.place, "status", why))
        }
    }
}

pub(super) fn network(key: &str, text: &Text) -> Result<IpNet, ConfigError> {
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
    Err(text.bad(key, why))
}
