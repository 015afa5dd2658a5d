//! Reports as traces of a small service come to: a zone with two name servers, two resolvers, an address.

use std::net::{IpAddr, Ipv4Addr};

use bellwether_model::dns::{
    Exchange, ExchangeResult, Flags, ParentSet, Question, Rcode, Record, ResolverOrigin,
    ResolverSeen, Response, ServerSeen, Transport, Variant, ZoneSeen,
};
use bellwether_model::net::{TcpResult, TcpSeen};
use bellwether_model::observation::{AddressSeen, AddressesSeen};
use bellwether_model::report::{
    ControlReport, ControlState, REPORT_SCHEMA, Role, Severity, Verdict,
};
use bellwether_model::{
    Cause, DnsName, Finding, Observation, Outcome, Owner, ProbeKind, Report, Scope,
};
use jiff::Timestamp;

/// Services stand at so many addresses, all of one owner.
pub(crate) const ADDRESSES: usize = 16;
/// So many ways to fail: at the address itself, as many may that share it, each by itself, and in a way
/// that no rule explains.
pub(crate) const WAYS: usize = 4;
const OWNER: &str = "AS64500 Cloud";

/// One of the addresses.
pub(crate) fn address(number: usize) -> IpAddr {
    let last = u8::try_from(number % ADDRESSES).unwrap() + 1;
    IpAddr::V4(Ipv4Addr::new(203, 0, 113, last))
}

/// What does not change from one report to the next.
pub(crate) struct Reports {
    zone: DnsName,
}

impl Reports {
    pub(crate) fn new() -> Self {
        Self {
            zone: DnsName::typed("bench.test").unwrap(),
        }
    }

    /// The report of a check that fails in this way, or does not.
    pub(crate) fn of(&self, way: Option<usize>, number: usize, began: Timestamp) -> Report {
        let service = number / 5;
        let name = DnsName::typed(&format!("s{service:05}.bench.test")).unwrap();
        let address = address(service);
        let control = |name: &str| ControlReport {
            name: name.to_owned(),
            state: ControlState::Ok,
        };
        Report {
            schema: REPORT_SCHEMA.to_owned(),
            version: "0.0.0".to_owned(),
            target: format!("https://{name}/"),
            began,
            took_ms: 12.0,
            verdict: way.map_or(Verdict::Healthy, |_| Verdict::Broken),
            diagnosis: None,
            findings: way
                .map(|way| finding(way, &name, address))
                .into_iter()
                .collect(),
            layers: Vec::new(),
            controls: ["a", "b", "c"].map(control).into(),
            critical_path: 5,
            queries: 9,
            peak_kib: None,
            context: None,
            observations: self.observed(&name, address, way, began),
        }
    }

    fn observed(
        &self,
        name: &DnsName,
        address: IpAddr,
        way: Option<usize>,
        began: Timestamp,
    ) -> Vec<Observation> {
        let tcp = TcpSeen {
            address: (address, 443).into(),
            result: match way {
                Some(0) => TcpResult::TimedOut,
                _ => TcpResult::Connected,
            },
            connect_ms: Some(1.0),
            info: None,
        };
        let addresses = AddressesSeen {
            found: vec![AddressSeen {
                address,
                sources: vec![],
                owner: Some(Owner {
                    asn: None,
                    name: OWNER.to_owned(),
                    prefix: String::new(),
                }),
                not_dialled: None,
            }],
            ..AddressesSeen::default()
        };
        let mut outcomes = vec![
            (
                ProbeKind::Delegation,
                Outcome::Delegation(self.delegation(name, address)),
            ),
            (ProbeKind::Addresses, Outcome::Addresses(addresses)),
            (ProbeKind::Tcp, Outcome::Tcp(tcp)),
        ];
        for label in ["192.0.2.53", "192.0.2.54"] {
            let seen = Box::new(resolver(label, name, address));
            outcomes.push((ProbeKind::ResolverMatrix, Outcome::ResolverMatrix(seen)));
        }
        let observed = outcomes.into_iter().enumerate();
        let observed = observed.map(|(i, (probe, outcome))| Observation {
            id: format!("e{i}"),
            probe,
            began,
            took_ms: 1.0,
            waits: 1,
            outcome,
        });
        observed.collect()
    }

    fn delegation(&self, name: &DnsName, address: IpAddr) -> ZoneSeen {
        let server = |n: u8| ServerSeen {
            name: DnsName::typed(&format!("ns{n}.dns-operator.test")).unwrap(),
            address: IpAddr::V4(Ipv4Addr::new(198, 51, 100, n)),
            owner: None,
            exchanges: vec![exchange(name, address)],
        };
        let servers = vec![server(1), server(2)];
        ZoneSeen {
            zone: self.zone.clone(),
            parent: Some(DnsName::typed("test").unwrap()),
            name: name.clone(),
            holds_name: true,
            parent_sets: vec![ParentSet {
                names: servers.iter().map(|s| s.name.clone()).collect(),
                ttl: 1500,
                given_by: vec![],
            }],
            hosts: vec![],
            servers,
            canary: None,
            stopped: None,
        }
    }
}

fn finding(way: usize, name: &DnsName, address: IpAddr) -> Finding {
    let cause = [
        Cause::NetTcpFiltered,
        Cause::HttpStatus5xx,
        Cause::TlsHandshakeStall,
        Cause::Unknown,
    ][way];
    let scope = Scope {
        resolvers: vec!["192.0.2.53".to_owned(), "192.0.2.54".to_owned()],
        addresses: if way == 3 { vec![] } else { vec![address] },
        families: vec!["v4".to_owned()],
        owners: vec![OWNER.to_owned()],
        share: 1.0,
        ..Scope::default()
    };
    Finding {
        cause,
        layer: cause.layer().unwrap_or(bellwether_model::Layer::Http),
        role: Role::Root,
        severity: Severity::Critical,
        confidence: 0.9,
        scope,
        summary: format!("{name} at {address} fails as {cause} for every user"),
        remedy: "look at the host, and at what stands before it".to_owned(),
        see: Some(format!("curl -v https://{name}/")),
        facts: vec![],
        evidence: vec!["e2".to_owned()],
    }
}

fn exchange(name: &DnsName, address: IpAddr) -> Exchange {
    let response = Response {
        rcode: Rcode::NOERROR,
        flags: Flags::default(),
        edns: true,
        extended_errors: vec![],
        answer: vec![Record {
            name: name.clone(),
            ttl: 60,
            rtype: "A".to_owned(),
            data: address.to_string(),
        }],
        authority: vec![],
        additional: vec![],
        size: 100,
        case_kept: true,
        malformed: None,
        malformed_at: None,
        raw: None,
    };
    Exchange {
        question: Question {
            name: name.clone(),
            rtype: "A".to_owned(),
        },
        transport: Transport::Udp,
        edns: true,
        recursion: false,
        offered: None,
        variant: Variant::Usual,
        lower_case: false,
        tries: 1,
        took_ms: 1.0,
        result: ExchangeResult::Answered {
            response: Box::new(response),
        },
        discarded: vec![],
    }
}

fn resolver(label: &str, name: &DnsName, address: IpAddr) -> ResolverSeen {
    ResolverSeen {
        resolver: label.to_owned(),
        origin: ResolverOrigin::Given,
        address: format!("{label}:53").parse().unwrap(),
        channel: bellwether_model::Channel::Plain,
        answers: vec![exchange(name, address)],
        zone_ns: None,
        sibling: None,
        unchecked: vec![],
        ancestors: vec![],
        zone_ds: None,
        large: vec![],
    }
}
