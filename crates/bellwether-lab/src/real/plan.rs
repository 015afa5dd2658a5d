//! What each real server is to serve, and what it cannot be told.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use domain::base::zonefile_fmt::{DisplayKind, ZonefileFmt as _};

use crate::scenario::software::{DNS_PORT, Duty};
use crate::scenario::words::RcodeWord;
use crate::scenario::{Answers, Edns, HostSpec, Software, TcpWord};
use crate::world::World;
use crate::world::topology::Mistake;
use crate::world::zone::{Data, Zone};

/// One server at its place.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Plan {
    pub(super) at: SocketAddr,
    pub(super) software: Software,
    pub(super) serving: Serving,
    /// It runs, and does nothing: connections open, no answer comes.
    pub(super) frozen: bool,
}

/// What a server serves. While this stays the same, the program runs on.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Serving {
    /// It does not run.
    Nothing,
    /// Zones: apex and text of each file.
    Zones { zones: Vec<(String, String)> },
    /// Look-ups for others.
    Recursion {
        validates: bool,
        keeps: bool,
        refuses: bool,
    },
    /// Pages.
    Web { spec: Box<HostSpec> },
}

/// Which words a server's software cannot follow.
pub(crate) fn check(world: &World) -> Result<(), Mistake> {
    for (at, software) in world.software() {
        let word = at.ip().to_string();
        let cannot = |what: &str| {
            let program = software.program();
            Err(Mistake::new(
                &word,
                format!("{program} at {at} cannot {what}"),
            ))
        };
        let duty = duty(world, *at);
        let Some(duty) = duty else {
            let message = format!(
                "no server, resolver or host of the scenario stands at {at}; write the address of a server or resolver, or `192.0.2.1:443` for a host"
            );
            return Err(Mistake::new(&word, message));
        };
        if !software.does(duty) {
            return cannot(match duty {
                Duty::Authority => "serve zones",
                Duty::Resolver => "be a resolver",
                Duty::Web => "be a web server",
            });
        }
        let complaint = match duty {
            Duty::Web => web_complaint(world, *at, *software),
            Duty::Authority | Duty::Resolver => dns_complaint(world, at.ip(), *software),
        };
        if let Some(complaint) = complaint {
            return cannot(complaint);
        }
    }
    Ok(())
}

fn duty(world: &World, at: SocketAddr) -> Option<Duty> {
    if world.hosts.contains_key(&at) {
        return Some(Duty::Web);
    }
    if at.port() != DNS_PORT {
        return None;
    }
    if world.recursor(at.ip()).is_some() {
        return Some(Duty::Resolver);
    }
    (!world.zones_at(at.ip()).is_empty()).then_some(Duty::Authority)
}

fn dns_complaint(world: &World, address: IpAddr, software: Software) -> Option<&'static str> {
    let behaviour = world.server_behaviour(address);
    if behaviour.delay.unwrap_or(Duration::ZERO) > Duration::ZERO {
        return Some("be told a delay");
    }
    if behaviour.edns != Edns::On {
        return Some("be told how to treat EDNS");
    }
    if world.recursor(address).is_some() && world.clock.is_set() {
        return Some("live in a time of the scenario: leave `now` out");
    }
    if let Some(recursor) = world.recursor(address)
        && recursor.bug.is_some()
    {
        return Some("be told a bug");
    }
    let is_authority = world.recursor(address).is_none();
    match behaviour.answers {
        Answers::Normal | Answers::Silent | Answers::Rcode(RcodeWord::Refused) => {}
        Answers::Blank | Answers::Stale(_) if is_authority => {}
        _ => {
            return Some(
                "answer so; it can be normal, silent, {rcode: REFUSED}, and as an authoritative server also blank or stale",
            );
        }
    }
    let signed = world.zones_at(address).iter().any(|z| z.signing.is_some());
    // Its bind backend takes signatures from a database of its own.
    (signed && software == Software::Pdns).then_some("serve a signed zone here")
}

fn web_complaint(world: &World, at: SocketAddr, software: Software) -> Option<&'static str> {
    let host = world.hosts.get(&at)?;
    if host.tcp == Some(TcpWord::Silent) {
        return Some("keep the port silent");
    }
    if host.delay.is_some() {
        return Some("be told a delay");
    }
    let http = host.http.clone().unwrap_or_default();
    if http.delay.is_some() {
        return Some("be told a delay");
    }
    if software == Software::Openssl && (host.tls.is_none() || http != Default::default()) {
        return Some("answer with anything but its status page, or without TLS");
    }
    let without_sni = host
        .tls
        .as_ref()
        .is_some_and(|tls| tls.without_sni.is_some());
    (without_sni && software != Software::Nginx).then_some("show another certificate without SNI")
}

/// Every real server, as the world is now.
pub(super) fn plans(world: &World) -> Vec<Plan> {
    let all = world.software().iter();
    all.map(|(at, software)| plan(world, *at, *software))
        .collect()
}

fn plan(world: &World, at: SocketAddr, software: Software) -> Plan {
    if let Some(host) = world.hosts.get(&at) {
        let serving = match host.tcp.unwrap_or_default() {
            TcpWord::Refused => Serving::Nothing,
            _ => Serving::Web {
                spec: Box::new(host.clone()),
            },
        };
        return Plan {
            at,
            software,
            serving,
            frozen: false,
        };
    }
    let address = at.ip();
    let answers = world.server_behaviour(address).answers;
    let refuses = matches!(answers, Answers::Rcode(_));
    let serving = match world.recursor(address) {
        Some(recursor) => Serving::Recursion {
            validates: recursor.validates,
            keeps: recursor.keeps,
            refuses,
        },
        None if refuses => Serving::Zones { zones: Vec::new() },
        None => {
            let now = world.clock.now().as_second();
            let zones = world.versions_at(address);
            let zones = zones.iter().map(|zone| text(zone, now)).collect();
            Serving::Zones { zones }
        }
    };
    Plan {
        at,
        software,
        serving,
        frozen: answers == Answers::Silent,
    }
}

/// A zone as its file, signatures included.
fn text(zone: &Zone, now: i64) -> (String, String) {
    let mut lines = String::new();
    for rr in zone.whole(now) {
        if let Data::Rrsig(sig) = &rr.data {
            // Moments as dates, for NSD reads no seconds (RFC 4034 section 3.2 allows both).
            let _ = writeln!(
                lines,
                "{} {} IN RRSIG {} {} {} {} {} {} {} {} {}",
                rr.owner.fmt_with_dot(),
                rr.ttl,
                sig.type_covered(),
                sig.algorithm().to_int(),
                sig.labels(),
                sig.original_ttl().as_secs(),
                date(sig.expiration().into_int()),
                date(sig.inception().into_int()),
                sig.key_tag(),
                sig.signer_name().fmt_with_dot(),
                BASE64.encode(sig.signature())
            );
            continue;
        }
        let shown = rr
            .record()
            .display_zonefile(DisplayKind::Simple)
            .to_string();
        // Writing to a string cannot fail.
        let _ = writeln!(lines, "{shown}");
    }
    (zone.apex.fmt_with_dot().to_string(), lines)
}

/// `YYYYMMDDHHmmSS` in UTC.
fn date(second: u32) -> String {
    let moment = jiff::Timestamp::from_second(second.into()).unwrap_or_default();
    moment.strftime("%Y%m%d%H%M%S").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::scenario::parse;

    /// A world with more lines in it.
    fn built(lines: &str) -> Result<World, Mistake> {
        let text = format!(
            r#"
schema: bellwether.scenario/1
name: x
world:
  zones:
    - name: ours
      apex: svc.test
      servers: {{ ns1.dns-a.test: 205.251.192.1, ns2.dns-a.test: 205.251.193.1 }}
      signed: true
      records: ["www 60 A 54.160.170.229"]
  resolvers: [{{ address: 192.0.2.53, bug: {{ nxdomain_above: 20 }} }}]
  hosts: [{{ address: 54.160.170.229, tls: {{ names: [www.svc.test] }} }}]
{lines}
services: [{{ name: www, url: "https://www.svc.test/" }}]
steps: [{{ check: now }}]
"#
        );
        let spec = parse(&text, "x.yaml").unwrap();
        World::build(&spec, Clock::new(spec.now), 1)
    }

    #[test]
    fn what_software_cannot_do_is_said() {
        for (lines, complaint) in [
            (
                "  software: { 205.251.192.1: nginx }",
                "nginx at 205.251.192.1:53 cannot serve zones",
            ),
            ("  software: { 192.0.2.53: nsd }", "cannot be a resolver"),
            (
                "  software: { 192.0.2.53: unbound }",
                "cannot be told a bug",
            ),
            ("  software: { 192.0.2.99: nsd }", "stands at 192.0.2.99:53"),
            (
                "  software: { 205.251.192.1: pdns }",
                "cannot serve a signed zone",
            ),
            (
                "  software: { ns1.dns-a.test: nsd }\n  servers: { ns1.dns-a.test: upward_referral }",
                "cannot answer so",
            ),
        ] {
            let said = built(lines).unwrap_err().message;
            assert!(said.contains(complaint), "{said}");
        }
    }

    #[test]
    fn a_signed_zone_goes_whole_into_its_file() {
        let world = built("  software: { ns1.dns-a.test: nsd }").unwrap();
        let [plan] = plans(&world).try_into().unwrap();
        let Serving::Zones { zones } = plan.serving else {
            panic!("{plan:?}");
        };
        let (apex, text) = &zones[0];
        assert_eq!(apex, "svc.test.");
        for part in [
            "www.svc.test. 60 IN A 54.160.170.229",
            "svc.test. 3600 IN RRSIG SOA 13 2",
            "IN NSEC ",
            "IN DNSKEY 257 3 13",
        ] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
    }
}
