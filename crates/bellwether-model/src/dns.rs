//! What was asked of DNS servers and what came back.
//!
//! Questions, answers and exchanges are here; what whole walks, resolvers and controls came to, in
//! a room of its own.

mod seen;

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

pub use self::seen::{
    ControlSeen, ControlVia, HostFailure, HostSeen, ListedBy, ParentSet, ResolverOrigin,
    ResolverSeen, ServerSeen, ZoneSeen,
};
use crate::DnsName;
pub use crate::resolver::ChannelFailure;

/// A DNS response code as it stood on the wire, extended ones included (RFC 6895 section 2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Rcode(pub u16);

impl Rcode {
    /// No error.
    pub const NOERROR: Self = Self(0);
    /// The server could not interpret the query.
    pub const FORMERR: Self = Self(1);
    /// The server failed.
    pub const SERVFAIL: Self = Self(2);
    /// The name does not exist.
    pub const NXDOMAIN: Self = Self(3);
    /// The server does not implement this kind of query.
    pub const NOTIMP: Self = Self(4);
    /// The server refuses by policy.
    pub const REFUSED: Self = Self(5);
    /// The server does not implement the version of EDNS (RFC 6891 section 6.1.3).
    pub const BADVERS: Self = Self(16);
}

/// `SERVFAIL`, or `RCODE17` for what has no name here.
impl std::fmt::Display for Rcode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = match self.0 {
            0 => "NOERROR",
            1 => "FORMERR",
            2 => "SERVFAIL",
            3 => "NXDOMAIN",
            4 => "NOTIMP",
            5 => "REFUSED",
            6 => "YXDOMAIN",
            8 => "NXRRSET",
            9 => "NOTAUTH",
            10 => "NOTZONE",
            16 => "BADVERS",
            23 => "BADCOOKIE",
            other => return write!(f, "RCODE{other}"),
        };
        f.write_str(name)
    }
}

/// A question: name and type, class IN.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Question {
    /// The name asked for.
    pub name: DnsName,
    /// The type's mnemonic, for example `AAAA` or `TYPE65`.
    #[serde(rename = "type")]
    pub rtype: String,
}

/// A resource record in presentation form.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Record {
    /// Owner name.
    pub name: DnsName,
    /// Time to live, seconds, as received.
    pub ttl: u32,
    /// The type's mnemonic.
    #[serde(rename = "type")]
    pub rtype: String,
    /// The data as a zone file writes it; names in it are lower case with the final dot.
    pub data: String,
}

impl Record {
    /// The address of an A or AAAA record.
    #[must_use]
    pub fn address(&self) -> Option<IpAddr> {
        matches!(self.rtype.as_str(), "A" | "AAAA")
            .then(|| self.data.parse().ok())
            .flatten()
    }

    /// The name that an NS or CNAME record points to.
    #[must_use]
    pub fn target(&self) -> Option<DnsName> {
        matches!(self.rtype.as_str(), "NS" | "CNAME" | "DNAME")
            .then(|| self.data.parse().ok())
            .flatten()
    }

    /// Serial number and negative TTL (minimum field) of an SOA record (RFC 1035 section 3.3.13).
    #[must_use]
    pub fn soa(&self) -> Option<Soa> {
        if self.rtype != "SOA" {
            return None;
        }
        let mut fields = self.data.split_ascii_whitespace().skip(2);
        let serial = fields.next()?.parse().ok()?;
        let minimum = fields.nth(3)?.parse().ok()?;
        Some(Soa { serial, minimum })
    }
}

/// What judging needs of an SOA record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Soa {
    /// Serial number.
    pub serial: u32,
    /// Negative TTL in seconds (RFC 2308 section 4).
    pub minimum: u32,
}

/// How the bytes travelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// UDP, port 53.
    Udp,
    /// TCP, port 53.
    Tcp,
    /// TLS, port 853 (RFC 7858).
    Tls,
    /// HTTPS (RFC 8484).
    Https,
}

/// Header flags of a response.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flags {
    /// Authoritative answer.
    #[serde(default)]
    pub aa: bool,
    /// Truncated.
    #[serde(default)]
    pub tc: bool,
    /// Recursion available.
    #[serde(default)]
    pub ra: bool,
    /// Authentic data.
    #[serde(default)]
    pub ad: bool,
}

/// Extended DNS error (RFC 8914).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ExtendedError {
    /// INFO-CODE.
    pub code: u16,
    /// EXTRA-TEXT, as received but for control characters, which are escaped.
    #[serde(default)]
    pub text: String,
}

/// A response that matched its query.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Response {
    /// Response code, the extended bits included.
    pub rcode: Rcode,
    /// Header flags.
    #[serde(default)]
    pub flags: Flags,
    /// Did the response carry an OPT record (RFC 6891)?
    #[serde(default)]
    pub edns: bool,
    /// Extended errors.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub extended_errors: Vec<ExtendedError>,
    /// Answer section.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub answer: Vec<Record>,
    /// Authority section.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub authority: Vec<Record>,
    /// Additional section, without OPT.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub additional: Vec<Record>,
    /// Bytes of the message.
    pub size: usize,
    /// Did the question come back in the case it was sent in (0x20)?
    #[serde(default = "yes")]
    pub case_kept: bool,
    /// The parser's complaint, if a part could not be read; the rest is what could.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub malformed: Option<String>,
    /// The octet of the message, counted from 0, at which reading failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub malformed_at: Option<usize>,
    /// The message, base64; kept where the record above may not tell everything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raw: Option<String>,
}

fn yes() -> bool {
    true
}

/// Longest alias chain read from one response: resolvers stop before 16, and a message full of
/// aliases must not keep a reader busy.
pub const ALIASES_READ_MAX: usize = 32;

/// What is good about a response, for somebody who wants the question answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerKind {
    /// Records of the asked type, or an alias chain that ends in them.
    Positive,
    /// An alias chain whose end is not in this response.
    Alias,
    /// The name exists, the type does not (NODATA, RFC 2308 section 2.2).
    NoData,
    /// The name does not exist.
    NxDomain,
    /// NS records of a zone below, and no authority.
    Referral,
    /// Nothing usable: an error rcode, or a referral to the zone itself or upwards.
    Unusable,
}

impl Response {
    /// One without a record, that came whole and carried OPT; for building others from.
    #[must_use]
    pub fn empty(rcode: Rcode) -> Self {
        Self {
            rcode,
            flags: Flags::default(),
            edns: true,
            extended_errors: Vec::new(),
            answer: Vec::new(),
            authority: Vec::new(),
            additional: Vec::new(),
            size: 0,
            case_kept: true,
            malformed: None,
            malformed_at: None,
            raw: None,
        }
    }

    /// The alias chain from `name`, in order; a loop ends where it would repeat, and every chain
    /// after [`ALIASES_READ_MAX`] names.
    #[must_use]
    pub fn aliases(&self, name: &DnsName) -> Vec<DnsName> {
        let mut chain = vec![name.clone()];
        while chain.len() <= ALIASES_READ_MAX
            && let Some(next) = self
                .answer
                .iter()
                .find(|r| r.rtype == "CNAME" && Some(&r.name) == chain.last())
                .and_then(Record::target)
        {
            let repeats = chain.contains(&next);
            chain.push(next);
            if repeats {
                break;
            }
        }
        chain.remove(0);
        chain
    }

    /// Is this all that a server with authority can say, whatever the rcode? Some say SERVFAIL
    /// behind aliases that lead in a circle.
    #[must_use]
    pub fn is_alias_loop(&self, name: &DnsName) -> bool {
        let chain = self.aliases(name);
        let repeats = |end: &DnsName| end == name || chain[..chain.len() - 1].contains(end);
        self.flags.aa && chain.last().is_some_and(repeats)
    }

    /// The records of the asked type at the end of the alias chain; an alias itself is at its
    /// beginning.
    #[must_use]
    pub fn records(&self, question: &Question) -> Vec<&Record> {
        let end = self.aliases(&question.name).pop();
        let end = end.filter(|_| question.rtype != "CNAME");
        let end = end.unwrap_or_else(|| question.name.clone());
        self.answer
            .iter()
            .filter(|r| r.rtype == question.rtype && r.name == end)
            .collect()
    }

    /// The addresses that answer the question, sorted.
    #[must_use]
    pub fn addresses(&self, question: &Question) -> Vec<IpAddr> {
        let mut found: Vec<IpAddr> = self
            .records(question)
            .into_iter()
            .filter_map(Record::address)
            .collect();
        found.sort();
        found.dedup();
        found
    }

    /// NS names and TTL of a referral to a zone that is an ancestor of `name` or `name` itself.
    #[must_use]
    pub fn referral(&self, name: &DnsName) -> Option<Referral> {
        if self.rcode != Rcode::NOERROR || !self.answer.is_empty() {
            return None;
        }
        let owner = self
            .authority
            .iter()
            .filter(|r| r.rtype == "NS" && name.is_at_or_below(&r.name))
            .map(|r| r.name.clone())
            .max_by_key(|n| n.labels().len())?;
        let records = self
            .authority
            .iter()
            .filter(|r| r.rtype == "NS" && r.name == owner);
        let ttl = records.clone().map(|r| r.ttl).min().unwrap_or(0);
        let mut names: Vec<DnsName> = records.filter_map(Record::target).collect();
        names.sort();
        names.dedup();
        Some(Referral {
            zone: owner,
            names,
            ttl,
        })
    }

    /// Is what was asked for cut away or unreadable, so that nothing follows from its absence?
    #[must_use]
    pub fn is_cut(&self, question: &Question) -> bool {
        let lacks = self.flags.tc || self.malformed.is_some();
        lacks && self.records(question).is_empty() && self.aliases(&question.name).is_empty()
    }

    /// What kind of answer this is to the question, asked of a server of `zone`.
    #[must_use]
    pub fn kind(&self, question: &Question, zone: Option<&DnsName>) -> AnswerKind {
        match self.rcode {
            Rcode::NOERROR if self.is_cut(question) => AnswerKind::Unusable,
            Rcode::NXDOMAIN if self.malformed.is_some() && self.authority.is_empty() => {
                AnswerKind::Unusable
            }
            Rcode::NXDOMAIN => AnswerKind::NxDomain,
            Rcode::SERVFAIL if self.is_alias_loop(&question.name) => AnswerKind::Alias,
            Rcode::NOERROR if !self.records(question).is_empty() => AnswerKind::Positive,
            Rcode::NOERROR if !self.aliases(&question.name).is_empty() => {
                let has_soa = self.authority.iter().any(|r| r.rtype == "SOA");
                if has_soa {
                    AnswerKind::NoData
                } else {
                    AnswerKind::Alias
                }
            }
            Rcode::NOERROR => match self.referral(&question.name) {
                Some(found) if !self.flags.aa => match zone {
                    Some(zone) if found.zone == *zone || !found.zone.is_at_or_below(zone) => {
                        AnswerKind::Unusable
                    }
                    _ => AnswerKind::Referral,
                },
                _ => AnswerKind::NoData,
            },
            _ => AnswerKind::Unusable,
        }
    }
}

/// An NS set handed out by the parent's servers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Referral {
    /// The zone that is delegated.
    pub zone: DnsName,
    /// Its name servers, sorted.
    pub names: Vec<DnsName>,
    /// Least TTL of the set, seconds.
    pub ttl: u32,
}

/// How the reason begins of a question that this machine had no route for.
pub const NO_ROUTE: &str = "the vantage has no ";

/// How one exchange ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ExchangeResult {
    /// A response that matches the query.
    Answered {
        /// The response.
        response: Box<Response>,
    },
    /// Nothing that matches came before the time ran out.
    Silent,
    /// The port is closed: ICMP port unreachable, or a reset.
    Refused,
    /// An ICMP error, or no route.
    Unreachable {
        /// The system's words.
        error: String,
    },
    /// A TCP connection that opened and then ended or stalled.
    Broken {
        /// How.
        error: String,
    },
    /// Reached, and DNS cannot be spoken over the encrypted transport that was asked for. Nothing
    /// was asked over another one instead.
    Channel {
        /// Why not.
        failure: ChannelFailure,
    },
    /// Not asked.
    NotAsked {
        /// Why.
        reason: String,
    },
}

/// Datagrams that came and did not count, by reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Discarded {
    /// Why: `wrong_id`, `wrong_question`, `wrong_source`, `runt`, `not_a_response`.
    pub reason: String,
    /// How many.
    pub count: u32,
}

/// What is out of the ordinary about a question.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Variant {
    /// Nothing.
    #[default]
    Usual,
    /// An EDNS option that nobody has defined (RFC 6891 section 6.1.2: to be ignored).
    UnknownOption,
}

impl Variant {
    /// Is there nothing?
    #[must_use]
    pub fn is_usual(&self) -> bool {
        *self == Self::Usual
    }
}

/// One question to one server over one transport, with the tries it took.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Exchange {
    /// What was asked.
    pub question: Question,
    /// Over what.
    pub transport: Transport,
    /// Was an OPT record sent?
    pub edns: bool,
    /// Was recursion desired?
    #[serde(default)]
    pub recursion: bool,
    /// Octets of an answer over UDP that were offered to be taken, where not the usual 1232.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offered: Option<u16>,
    /// What was out of the ordinary about the question.
    #[serde(default, skip_serializing_if = "Variant::is_usual")]
    pub variant: Variant,
    /// Was the counted try's name in small letters, instead of the random case that tries begin
    /// with?
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub lower_case: bool,
    /// Tries used.
    pub tries: u8,
    /// From sending the counted try to its response, or the whole wait.
    pub took_ms: f64,
    /// How it ended.
    pub result: ExchangeResult,
    /// What else came in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub discarded: Vec<Discarded>,
}

impl Exchange {
    /// A question as it is usually asked of a server of a zone: once, over UDP, with EDNS.
    #[must_use]
    pub fn usual(question: Question, result: ExchangeResult) -> Self {
        Self {
            question,
            transport: Transport::Udp,
            edns: true,
            recursion: false,
            offered: None,
            variant: Variant::Usual,
            lower_case: false,
            tries: 1,
            took_ms: 0.0,
            result,
            discarded: Vec::new(),
        }
    }

    /// The response, if there was one.
    #[must_use]
    pub fn response(&self) -> Option<&Response> {
        match &self.result {
            ExchangeResult::Answered { response } => Some(response),
            ExchangeResult::Silent
            | ExchangeResult::Refused
            | ExchangeResult::Unreachable { .. }
            | ExchangeResult::Broken { .. }
            | ExchangeResult::Channel { .. }
            | ExchangeResult::NotAsked { .. } => None,
        }
    }

    /// Why DNS could not be spoken over the encrypted transport asked for, if it could not.
    #[must_use]
    pub fn channel_failure(&self) -> Option<&ChannelFailure> {
        match &self.result {
            ExchangeResult::Channel { failure } => Some(failure),
            ExchangeResult::Answered { .. }
            | ExchangeResult::Silent
            | ExchangeResult::Refused
            | ExchangeResult::Unreachable { .. }
            | ExchangeResult::Broken { .. }
            | ExchangeResult::NotAsked { .. } => None,
        }
    }

    /// Was it not asked since this machine has no route to it?
    #[must_use]
    pub fn lacked_route(&self) -> bool {
        matches!(&self.result, ExchangeResult::NotAsked { reason } if reason.starts_with(NO_ROUTE))
    }

    /// Was the server asked at all?
    #[must_use]
    pub fn was_asked(&self) -> bool {
        !matches!(self.result, ExchangeResult::NotAsked { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> DnsName {
        DnsName::typed(text).unwrap()
    }

    fn record(owner: &str, rtype: &str, data: &str) -> Record {
        Record {
            name: name(owner),
            ttl: 60,
            rtype: rtype.into(),
            data: data.into(),
        }
    }

    fn response(aa: bool, answer: Vec<Record>, authority: Vec<Record>) -> Response {
        Response {
            flags: Flags {
                aa,
                ..Flags::default()
            },
            answer,
            authority,
            ..Response::empty(Rcode::NOERROR)
        }
    }

    #[test]
    fn a_circle_of_aliases_is_an_answer_whatever_the_rcode() {
        let question = Question {
            name: name("a.test"),
            rtype: "A".into(),
        };
        let kind = |aa, records: &[(&str, &str)]| {
            let records = records.iter().map(|(o, d)| record(o, "CNAME", d)).collect();
            let failed = Response {
                rcode: Rcode::SERVFAIL,
                ..response(aa, records, vec![])
            };
            failed.kind(&question, None)
        };
        let circle = [("a.test", "b.test."), ("b.test", "a.test.")];
        let behind = [
            ("a.test", "b.test."),
            ("b.test", "c.test."),
            ("c.test", "b.test."),
        ];
        assert_eq!(kind(true, &circle), AnswerKind::Alias);
        assert_eq!(kind(true, &behind), AnswerKind::Alias);
        assert_eq!(kind(true, &[("a.test", "a.test.")]), AnswerKind::Alias);
        assert_eq!(kind(true, &circle[..1]), AnswerKind::Unusable);
        assert_eq!(kind(true, &[]), AnswerKind::Unusable);
        assert_eq!(kind(false, &circle), AnswerKind::Unusable);
    }

    #[test]
    fn kinds_of_answers() {
        let question = Question {
            name: name("www.svc.test"),
            rtype: "A".into(),
        };
        let zone = name("svc.test");
        let kind = |r: &Response| r.kind(&question, Some(&zone));
        let positive = response(true, vec![record("www.svc.test", "A", "192.0.2.1")], vec![]);
        assert_eq!(kind(&positive), AnswerKind::Positive);
        let soa = record("svc.test", "SOA", "ns. host. 7 1 2 3 300");
        assert_eq!(
            soa.soa(),
            Some(Soa {
                serial: 7,
                minimum: 300
            })
        );
        assert_eq!(kind(&response(true, vec![], vec![soa])), AnswerKind::NoData);
        let upward = response(
            false,
            vec![],
            vec![record(".", "NS", "a.root-servers.net.")],
        );
        assert_eq!(kind(&upward), AnswerKind::Unusable);
        let below = response(
            false,
            vec![],
            vec![record("www.svc.test", "NS", "ns1.b.test.")],
        );
        assert_eq!(kind(&below), AnswerKind::Referral);
    }

    #[test]
    fn an_alias_loop_ends() {
        let looped = response(
            true,
            vec![
                record("a.test", "CNAME", "b.test."),
                record("b.test", "CNAME", "a.test."),
            ],
            vec![],
        );
        assert_eq!(
            looped.aliases(&name("a.test")),
            [name("b.test"), name("a.test")]
        );
    }
}
