//! An ordinary command that shows the same. It is pasted into a shell, and holds names that
//! strangers wrote: whatever a shell could read otherwise is quoted.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use bellwether_model::dns::{ChannelFailure, ControlVia, Exchange};
use bellwether_model::fact::Subject;
use bellwether_model::net::Family;
use bellwether_model::target::{Host, Target};
use bellwether_model::{Cause, Channel, DnsName, FactKind, Layer};

use super::read::{fact, strings, value};
use crate::candidates::Candidate;
use crate::facts::delegation::OWN_ZONE_FAILS;
use crate::facts::http::over_h2_fails;
use crate::picture::addresses::tls_fails;
use crate::picture::{Attempt, Picture};
use crate::rules::Over;
use crate::units::Unit;

/// A `dig`, `openssl` or `curl` line.
#[must_use]
pub fn see(picture: &Picture<'_>, candidate: &Candidate) -> Option<String> {
    let cause = candidate.rule.cause;
    match cause.layer() {
        Some(Layer::Monitor) => control(picture, candidate),
        Some(Layer::Dns) if cause.code().starts_with("dns.steering.") => at_address(
            picture,
            first_address(candidate)?,
            Layer::Http,
            Some(candidate),
        ),
        Some(Layer::Reg | Layer::Dns) => dns(picture, candidate),
        Some(Layer::Promise) if cause == Cause::PromiseRedundancy => {
            let zone = candidate.zone.as_ref()?;
            Some(format!("dig {} NS", asked(zone.as_str())))
        }
        Some(Layer::Http) if unresolved(candidate).is_some() => unresolved(candidate),
        Some(layer @ (Layer::Net | Layer::Route | Layer::Tls | Layer::Http)) => {
            let address = first_address(candidate)?;
            at_address(picture, address, layer, Some(candidate))
        }
        Some(Layer::App | Layer::Promise) => Some(question(picture, None, None)),
        None => dns(picture, candidate),
    }
}

/// The name of a redirect's host, where that leads to no address.
fn unresolved(candidate: &Candidate) -> Option<String> {
    let known = fact(candidate, FactKind::RedirectFails)?;
    let target: Target = value(known, "location").parse().ok()?;
    Some(format!("dig {} A", asked(target.name()?.as_str())))
}

/// The command for a failure that no rule explains: asks again what failed lowest.
pub(super) fn unexplained(
    picture: &Picture<'_>,
    left: &BTreeSet<Unit>,
    layer: Layer,
) -> Option<String> {
    left.iter()
        .find_map(|unit| match unit {
            Unit::Address(address) => {
                let view = picture.addresses.get(address)?;
                let here = matches!(view.attempt, Attempt::Fails(at) if at == layer);
                here.then(|| at_address(picture, *address, layer, None))?
            }
            Unit::Resolver(label) => Some(question(picture, Some(label), None)),
            Unit::Server(label) => {
                let (_, address) = label.rsplit_once('@')?;
                let address: IpAddr = address.parse().ok()?;
                Some(format!("{} +norec", question(picture, None, Some(address))))
            }
            Unit::Own => None,
        })
        .or_else(|| {
            let name = picture.context.target.name()?;
            Some(format!(
                "dig {} {} +trace",
                asked(name.as_str()),
                rtype(picture, None)
            ))
        })
}

/// What fails at an address.
fn at_address(
    picture: &Picture<'_>,
    address: IpAddr,
    layer: Layer,
    about: Option<&Candidate>,
) -> Option<String> {
    let cause = about.map(|candidate| candidate.rule.cause);
    let led = led_to(picture, address, layer, about);
    let (target, at) = match &led {
        Some((target, at)) => (target, at.ip()),
        None => (&picture.context.target, address),
    };
    let port = target.port;
    match layer {
        // A packet that just fits the usual path, not to be cut on the way.
        Layer::Net if cause == Some(Cause::NetPathPmtuBlackhole) => {
            let payload = if at.is_ipv6() { 1452 } else { 1472 };
            Some(format!("ping -c 3 -M do -s {payload} {at}"))
        }
        Layer::Net if cause == Some(Cause::NetTcpMidstreamStall) => {
            at_address(picture, address, Layer::Http, about)
        }
        // That it opens is not the question.
        Layer::Net if cause == Some(Cause::NetTcpResetFlap) && target.scheme.has_http() => {
            at_address(picture, address, Layer::Http, about)
        }
        Layer::Net if cause == Some(Cause::NetTcpResetFlap) && target.scheme.has_tls() => {
            Some(tls(target, at, about))
        }
        Layer::Net if cause == Some(Cause::NetTcpResetFlap) => {
            Some(format!("nc -v -w 4 {at} {port} </dev/null"))
        }
        Layer::Net | Layer::Route => Some(format!("nc -vz -w 4 {at} {port}")),
        Layer::Tls => Some(tls(target, at, about)),
        Layer::Http => {
            let show = match cause {
                // There is nothing to show but how it ends.
                _ if about.is_some_and(|c| fact(c, FactKind::HttpClosed).is_some()) => {
                    "-sv -o /dev/null"
                }
                // What is in the body is the fault.
                Some(Cause::HttpWrongContent) => "-si",
                Some(Cause::HttpH2Broken) => "-sv --http2 -o /dev/null",
                Some(Cause::DnsSteeringStaleFailover) => "-s -o /dev/null -D -",
                _ => "-sv -o /dev/null",
            };
            let resolve = match &target.host {
                Host::Name(name) => format!(
                    "--resolve {} ",
                    word(&format!("{}:{port}:{}", name.without_dot(), bracketed(at)))
                ),
                Host::Address(_) => String::new(),
            };
            Some(format!("curl {show} {resolve}{}", word(&target.text)))
        }
        Layer::Monitor | Layer::Reg | Layer::Dns | Layer::App | Layer::Promise => None,
    }
}

/// The redirect's host at which an attempt failed, where it failed there and not at the target's
/// own.
fn led_to(
    picture: &Picture<'_>,
    address: IpAddr,
    layer: Layer,
    about: Option<&Candidate>,
) -> Option<(Target, SocketAddr)> {
    let view = picture.addresses.get(&address)?;
    let cause = about.map(|candidate| candidate.rule.cause);
    let hops = || view.http.iter().map(|(_, hop)| *hop);
    let own_fails = || view.tls.is_none_or(|(_, tls)| tls_fails(tls));
    let hop = match (layer, cause) {
        // The whole way took that long, and the role is that of the first answer.
        (_, Some(cause)) if cause.code().starts_with("dns.steering.") => None,
        (Layer::Http, Some(Cause::HttpSlowFirstByte))
            if about.is_some_and(|c| fact(c, FactKind::SlowerThanDeclared).is_some()) =>
        {
            None
        }
        (Layer::Http, Some(Cause::HttpH2Broken)) => hops().find(|hop| over_h2_fails(hop)),
        (Layer::Http, _) => view.led_to(),
        (Layer::Net, Some(cause)) if cause != Cause::NetTcpMidstreamStall => {
            view.led_to().filter(|hop| hop.connection.is_some())
        }
        (Layer::Tls, _) if picture.context.target.scheme.has_tls() && own_fails() => None,
        (Layer::Tls, _) => view.led_to(),
        _ => None,
    }?;
    // A URL that was too long to be kept whole would ask for something else.
    let url = Some(&hop.url).filter(|url| !url.ends_with('…'))?;
    let target = url.parse().ok()?;
    (hop.hop > 0).then_some((target, hop.address))
}

fn tls(target: &Target, address: IpAddr, about: Option<&Candidate>) -> String {
    let cause = about.map(|candidate| candidate.rule.cause);
    let at = word(&format!("{}:{}", bracketed(address), target.port));
    let sni = match &target.host {
        Host::Name(name) => format!("-servername {}", word(name.without_dot())),
        Host::Address(_) => "-noservername".to_owned(),
    };
    let shown = match cause {
        Some(Cause::CertExpired | Cause::CertNotYetValid) => {
            " | openssl x509 -noout -subject -dates"
        }
        Some(Cause::CertMixedFleet) => " | openssl x509 -noout -serial -dates",
        Some(Cause::CertPolicyRejected) => " | openssl x509 -noout -text",
        Some(Cause::TlsNameMismatch) => " | openssl x509 -noout -subject -ext subjectAltName",
        _ => "",
    };
    // The whole chain where a link of it is the fault.
    let chain = match cause {
        Some(Cause::TlsClientCertRejected) => " -cert CLIENT.pem -key CLIENT.pem",
        Some(
            Cause::CertUntrustedRoot | Cause::CertChainIncomplete | Cause::CertChainExpiredLink,
        ) => " -showcerts",
        _ => "",
    };
    // Some 1,500 octets of made-up protocols fill a second segment.
    let stalls = about.and_then(|candidate| fact(candidate, FactKind::TlsLargeHelloStalls));
    let hello = match stalls {
        Some(_) => " -alpn http/1.1,$(seq -s, 1000 1300)",
        None => "",
    };
    let staple = match cause {
        Some(Cause::CertRevoked | Cause::CertRevocationUnavailable) => " -status",
        _ => "",
    };
    format!("openssl s_client -connect {at} {sni}{chain}{staple}{hello} </dev/null{shown}")
}

/// A control that fails, asked again.
fn control(picture: &Picture<'_>, candidate: &Candidate) -> Option<String> {
    if let Some(resolver) = fact(candidate, FactKind::ResolverFailsControls) {
        return Some(question(picture, Some(value(resolver, "resolver")), None));
    }
    match candidate.rule.cause {
        Cause::MonitorVantageIntercepted => {
            let known = fact(candidate, FactKind::CanaryResolves);
            let is_finer =
                known.is_none() && fact(candidate, FactKind::RootAnswersItself).is_none();
            if let Some(of_name) =
                fact(candidate, FactKind::RegistryAnswersItself).filter(|_| is_finer)
            {
                let server = strings(Some(of_name), "/servers").into_iter().next()?;
                let name = value(of_name, "name");
                return Some(format!("dig @{} {} A +norec", word(&server), word(name)));
            }
            let server = known.map_or("198.41.0.4", |k| value(k, "server"));
            return Some(format!(
                "dig @{} nothing-here.invalid A +norec",
                word(server)
            ));
        }
        Cause::MonitorClockSkew => return Some("date -u; dig . SOA +dnssec".to_owned()),
        Cause::MonitorFalseSignal => return Some("dig . DNSKEY".to_owned()),
        _ => {}
    }
    let failed = picture.controls.iter().filter(|(_, c)| !c.ok);
    let address = failed
        .filter(|(_, c)| c.via == ControlVia::Address)
        .find_map(|(_, c)| c.control.parse::<IpAddr>().ok())?;
    Some(format!("dig @{address} . NS +norec"))
}

fn first_address(candidate: &Candidate) -> Option<IpAddr> {
    candidate.group.subjects.iter().find_map(|s| match s {
        Subject::Address(address) => Some(*address),
        Subject::Vantage
        | Subject::Zone(_)
        | Subject::NameServer(..)
        | Subject::Resolver(_)
        | Subject::Service => None,
    })
}

fn bracketed(address: IpAddr) -> String {
    if address.is_ipv6() {
        format!("[{address}]")
    } else {
        address.to_string()
    }
}

/// The type to ask for: the target's own, or the one of the family that fails.
fn rtype(picture: &Picture<'_>, address: Option<IpAddr>) -> String {
    if let Some(rtype) = &picture.context.target.rtype {
        return word(rtype);
    }
    let families = match address {
        Some(address) => vec![Family::of(address)],
        None => picture.families(),
    };
    match families.as_slice() {
        [Family::V6] => "AAAA".to_owned(),
        _ => "A".to_owned(),
    }
}

/// The target's question to a resolver, to a server, or to whom the system asks.
fn question(picture: &Picture<'_>, resolver: Option<&str>, server: Option<IpAddr>) -> String {
    let name = picture
        .context
        .target
        .name()
        .map_or_else(|| ".".to_owned(), |n| asked(n.as_str()));
    let whom = match (resolver, server) {
        (Some(label), _) => to_resolver(picture, label),
        (None, Some(address)) => format!("@{address} "),
        (None, None) => String::new(),
    };
    format!("dig {whom}{name} {}", rtype(picture, None))
}

/// `@8.8.8.8 `, and what else leads there.
fn to_resolver(picture: &Picture<'_>, label: &str) -> String {
    let view = picture.resolvers.iter().find(|r| r.label == label);
    view.map_or_else(String::new, |v| {
        let port = match (v.seen.address.port(), &v.seen.channel) {
            (53, Channel::Plain) | (853, Channel::Tls { .. }) | (443, Channel::Https { .. }) => {
                String::new()
            }
            (port, _) => format!("-p {port} "),
        };
        let over = match &v.seen.channel {
            Channel::Plain => String::new(),
            Channel::Tls { .. } => "+tls ".to_owned(),
            Channel::Https { path, .. } => format!("{} ", word(&format!("+https={path}"))),
        };
        format!("@{} {port}{over}", v.seen.address.ip())
    })
}

/// The large answer that a resolver does not bring.
fn large(picture: &Picture<'_>, candidate: &Candidate) -> Option<String> {
    let known = fact(candidate, FactKind::ResolverLosesLarge)?;
    let whom = to_resolver(picture, value(known, "resolver"));
    let (name, rtype) = (asked(value(known, "name")), word(value(known, "type")));
    Some(format!("dig {whom}{name} {rtype} +dnssec"))
}

/// Sizes, protocols, and questions out of the ordinary.
fn transport(candidate: &Candidate) -> Option<String> {
    let at = |label: &str| Some(label.rsplit_once('@')?.1.to_owned());
    if let Some(known) = fact(candidate, FactKind::Port53TcpFails) {
        let server = at(known.value.pointer("/name_servers/0")?.as_str()?)?;
        let zone = asked(value(known, "zone"));
        return Some(format!("dig @{server} {zone} SOA +tcp +norec"));
    }
    if fact(candidate, FactKind::Port53Dead).is_some() {
        return Some("dig @198.41.0.4 . NS +norec".to_owned());
    }
    if let Some(known) = fact(candidate, FactKind::NsLargeUdpLost) {
        let server = at(value(known, "name_server"))?;
        return Some(format!(
            "dig @{server} {} {} +norec +dnssec +ignore +bufsize={}",
            asked(value(known, "name")),
            word(value(known, "type")),
            known.value["offered"]
        ));
    }
    if let Some(known) = fact(candidate, FactKind::NsDeniesByType) {
        let server = at(value(known, "name_server"))?;
        let rtype = known.value.pointer("/types/0")?.as_str()?;
        return Some(format!(
            "dig @{server} {} {} +norec",
            asked(value(known, "name")),
            word(rtype)
        ));
    }
    let known = fact(candidate, FactKind::NsVariantFails)?;
    let server = at(value(known, "name_server"))?;
    let zone = candidate.zone.as_ref()?;
    let zone = asked(zone.as_str());
    Some(match value(known, "variant") {
        "with an unknown EDNS option" => {
            format!("dig @{server} {zone} SOA +norec +ednsopt=65001:62777472")
        }
        "for NS records" => format!("dig @{server} {zone} NS +norec"),
        _ => format!("dig @{server} {zone} TYPE65280 +norec"),
    })
}

/// What a resolver over TLS or HTTPS shows, or answers.
fn encrypted(picture: &Picture<'_>, label: &str) -> Option<String> {
    let seen = picture.resolvers.iter().find(|r| r.label == label)?.seen;
    let failure = seen.answers.iter().find_map(Exchange::channel_failure)?;
    let (Channel::Tls { host } | Channel::Https { host, .. }) = &seen.channel else {
        return None;
    };
    if let (ChannelFailure::Http { .. }, Channel::Https { path, .. }) = (failure, &seen.channel) {
        let (name, resolve) = match host {
            Host::Name(name) => {
                let name = name.without_dot();
                let at = format!(
                    "{name}:{}:{}",
                    seen.address.port(),
                    bracketed(seen.address.ip())
                );
                (name.to_owned(), format!("--resolve {} ", word(&at)))
            }
            Host::Address(address) => (bracketed(*address), String::new()),
        };
        // `dns=` holds the question for the root's NS set (RFC 8484 section 4.1).
        let url = format!(
            "https://{name}:{}{path}?dns=AAABAAABAAAAAAAAAAACAAE",
            seen.address.port()
        );
        return Some(format!("curl -si {resolve}{}", word(&url)));
    }
    let at = word(&format!(
        "{}:{}",
        bracketed(seen.address.ip()),
        seen.address.port()
    ));
    let sni = match host {
        Host::Name(name) => format!("-servername {}", word(name.without_dot())),
        Host::Address(_) => "-noservername".to_owned(),
    };
    Some(format!(
        "openssl s_client -connect {at} {sni} </dev/null | openssl x509 -noout -subject -dates -ext subjectAltName"
    ))
}

/// The same with signatures, at the server that gave them, or through the resolver.
fn signatures(picture: &Picture<'_>, candidate: &Candidate) -> Option<String> {
    if let Some(Subject::Resolver(label)) = candidate.group.subjects.first()
        && candidate
            .facts
            .iter()
            .any(|f| f.kind == FactKind::FailsOnlyChecked)
    {
        return Some(format!("{} +cd", question(picture, Some(label), None)));
    }
    let chain = picture.chains_of_hops().next()?;
    let known = candidate.facts.iter().find(|f| {
        let value = |key| f.value.get(key).is_some();
        f.from.iter().any(|id| id == chain.id) && value("name_servers") && value("type")
    })?;
    let text = |key: &str| known.value.get(key)?.as_str();
    let server = known.value.pointer("/name_servers/0")?.as_str()?;
    let address = server.rsplit_once('@')?.1;
    Some(format!(
        "dig @{address} {} {} +dnssec +norec",
        asked(text("name")?),
        word(text("type")?)
    ))
}

fn dns(picture: &Picture<'_>, candidate: &Candidate) -> Option<String> {
    let subject = candidate.group.subjects.iter().next()?;
    if let Some(line) = transport(candidate) {
        return Some(line);
    }
    if candidate.rule.cause == Cause::DnsDelegationMissing
        || candidate.rule.over == Over::Zones && is_delegation(candidate)
        || fact(candidate, FactKind::GlueAstray).is_some()
    {
        let parent = parent_server(picture, candidate)?;
        let gone = fact(candidate, FactKind::DelegationGone);
        let zone = fact(candidate, FactKind::ParentNxdomain)
            .or(gone)
            .map(|f| value(f, "zone").to_owned())
            .or_else(|| candidate.zone.as_ref().map(ToString::to_string))?;
        return Some(format!("dig @{parent} {} NS +norec", asked(&zone)));
    }
    if let Some(dangling) = fact(candidate, FactKind::CnameTargetMissing) {
        let target = asked(value(dangling, "target"));
        return Some(format!("dig {target} {}", rtype(picture, None)));
    }
    if let (Some(_), Subject::Resolver(label)) =
        (fact(candidate, FactKind::ResolverHoldsOldDs), subject)
        && let Some(hop) = picture.own_hop()
    {
        let view = picture.resolvers.iter().find(|r| r.label == *label)?;
        let (server, zone) = (view.seen.address.ip(), asked(hop.seen.zone.as_str()));
        return Some(format!("dig @{server} {zone} DS +cd"));
    }
    if let Some(line) = signatures(picture, candidate) {
        return Some(line);
    }
    if fact(candidate, FactKind::ResolverChannelFails).is_some()
        && let Subject::Resolver(label) = subject
        && let Some(line) = encrypted(picture, label)
    {
        return Some(line);
    }
    match subject {
        Subject::NameServer(_, Some(address)) => Some(server(picture, candidate, *address)),
        Subject::NameServer(host, None) => Some(without_address(picture, candidate, host)),
        Subject::Resolver(label) => {
            large(picture, candidate).or_else(|| Some(question(picture, Some(label), None)))
        }
        Subject::Zone(_) => {
            let hop = picture
                .hops
                .iter()
                .find(|h| Some(&h.seen.zone) == candidate.zone.as_ref())?;
            let address = hop.delegated().next()?.seen.address;
            let name = asked(hop.seen.name.as_str());
            Some(format!(
                "dig @{address} {name} {} +norec",
                rtype(picture, None)
            ))
        }
        Subject::Address(_) => Some(question(picture, None, None)),
        Subject::Vantage | Subject::Service => None,
    }
}

/// A name server's name that has no address: the delegation without glue, or the name itself.
fn without_address(picture: &Picture<'_>, candidate: &Candidate, host: &DnsName) -> String {
    let zone = candidate.zone.as_ref();
    let of_parent = [FactKind::NsCycle, FactKind::NsNameDoubled];
    if of_parent
        .iter()
        .any(|kind| fact(candidate, *kind).is_some())
        && let (Some(parent), Some(zone)) = (parent_server(picture, candidate), zone)
    {
        return format!("dig @{parent} {} NS +norec", asked(zone.as_str()));
    }
    let missing = fact(candidate, FactKind::NsAddressMissing);
    let trace = match missing.map(|k| value(k, "because")) {
        Some(OWN_ZONE_FAILS) => " +trace",
        Some(_) | None => "",
    };
    format!("dig {} A{trace}", asked(host.as_str()))
}

/// What a name server at fault is asked.
fn server(picture: &Picture<'_>, candidate: &Candidate, address: IpAddr) -> String {
    let hop = picture
        .hops
        .iter()
        .find(|h| Some(&h.seen.zone) == candidate.zone.as_ref());
    let name = hop
        .map(|h| &h.seen.name)
        .or_else(|| picture.context.target.name());
    let name = name.map_or_else(|| ".".to_owned(), |n| asked(n.as_str()));
    let has = |kind: FactKind| fact(candidate, kind).is_some();
    let gives_old = picture.addresses.values().any(|v| {
        v.servers
            .iter()
            .any(|s| s.ends_with(&format!("@{address}")))
            && v.attempt.fails()
    });
    if has(FactKind::SerialBehind)
        && !gives_old
        && let Some(hop) = hop
    {
        return format!(
            "dig @{address} {} SOA +norec",
            asked(hop.seen.zone.as_str())
        );
    }
    let how = match () {
        () if has(FactKind::NsTcpFails) => " +tcp",
        () if has(FactKind::NsEdnsFails) => " +edns=0",
        () => "",
    };
    format!("dig @{address} {name} {} +norec{how}", rtype(picture, None))
}

fn is_delegation(candidate: &Candidate) -> bool {
    candidate.rule.cause.code().starts_with("dns.delegation.")
        || candidate.rule.cause == Cause::Unknown
}

/// An address of a server of the zone above, one that answers.
fn parent_server(picture: &Picture<'_>, candidate: &Candidate) -> Option<IpAddr> {
    if candidate.rule.cause == Cause::DnsDelegationMissing {
        return picture
            .own_hop()?
            .delegated()
            .next()
            .map(|s| s.seen.address);
    }
    let hop = picture
        .hops
        .iter()
        .find(|h| Some(&h.seen.zone) == candidate.zone.as_ref())?;
    let giver = hop.seen.parent_sets.first()?.given_by.first()?;
    giver.rsplit_once('@')?.1.parse().ok()
}

/// A name as an argument of `dig`, which takes one that begins with a sign for an option.
fn asked(name: &str) -> String {
    if name.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.') {
        word(name)
    } else {
        format!("-q {}", word(name))
    }
}

/// One word for a shell.
fn word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._:/@+-,%=".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_reads_one_word() {
        assert_eq!(word("www.a.test."), "www.a.test.");
        assert_eq!(word("[2001:db8::1]:443"), "'[2001:db8::1]:443'");
        assert_eq!(word("$(reboot).a.test."), "'$(reboot).a.test.'");
        assert_eq!(word("https://a.test/?q=1&r"), "'https://a.test/?q=1&r'");
        assert_eq!(word("a'b"), r"'a'\''b'");
        assert_eq!(asked("-f/etc/passwd."), "-q -f/etc/passwd.");
    }
}
