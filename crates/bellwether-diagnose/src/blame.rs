//! Which failures a fired rule explains.

use std::collections::BTreeSet;
use std::net::IpAddr;

use bellwether_model::Cause;
use bellwether_model::dns::{AnswerKind, Transport};
use bellwether_model::fact::Subject;

use crate::picture::dnssec::Why;
use crate::picture::{ChainState, Hop, Picture, ResolverStatus, ServerStatus, ServerView};
use crate::rules::Blame;
use crate::units::Unit;

/// What a fired rule speaks of.
#[derive(Clone, Debug, Default)]
pub struct Group {
    /// Subjects that the rule fired for.
    pub subjects: BTreeSet<Subject>,
}

impl Group {
    /// Labels of the name servers in it, `NAME@ADDRESS`.
    #[must_use]
    pub fn servers(&self) -> BTreeSet<String> {
        let labels = self.subjects.iter().filter_map(|s| match s {
            Subject::NameServer(name, Some(address)) => Some(format!("{name}@{address}")),
            Subject::NameServer(name, None) => Some(name.to_string()),
            Subject::Vantage
            | Subject::Zone(_)
            | Subject::Resolver(_)
            | Subject::Address(_)
            | Subject::Service => None,
        });
        labels.collect()
    }

    fn resolvers(&self) -> BTreeSet<&str> {
        let labels = self.subjects.iter().filter_map(|s| match s {
            Subject::Resolver(label) => Some(label.as_str()),
            Subject::Vantage
            | Subject::Zone(_)
            | Subject::NameServer(..)
            | Subject::Address(_)
            | Subject::Service => None,
        });
        labels.collect()
    }

    fn addresses(&self) -> BTreeSet<IpAddr> {
        let found = self.subjects.iter().filter_map(|s| match s {
            Subject::Address(address) => Some(*address),
            Subject::Vantage
            | Subject::Zone(_)
            | Subject::NameServer(..)
            | Subject::Resolver(_)
            | Subject::Service => None,
        });
        found.collect()
    }

    fn is_about(&self, hop: &Hop<'_>) -> bool {
        self.subjects
            .contains(&Subject::Zone(hop.seen.zone.clone()))
    }
}

/// The failures, of all there are, that this explains.
#[must_use]
pub fn explained(
    picture: &Picture<'_>,
    failing: &BTreeSet<Unit>,
    blame: Blame,
    cause: Cause,
    group: &Group,
) -> BTreeSet<Unit> {
    match blame {
        Blame::Nobody => BTreeSet::new(),
        Blame::WrongSide => wrong_side(picture, failing, group),
        Blame::Resolution => resolution(picture, failing),
        Blame::UnusableServers => unusable(picture, failing, group),
        Blame::DenyingServers => denying(picture, failing, group),
        Blame::AnswersOfServers => of_servers(picture, failing, group),
        Blame::ZoneData => zone_data(picture, failing, group),
        Blame::Port53 => port53(picture, failing),
        Blame::StrictResolvers => strict(picture, failing, group),
        Blame::Validation => validation(picture, failing, group),
        Blame::Resolvers => of_resolvers(picture, failing, cause, group),
        Blame::Addresses => {
            let mine = group.addresses();
            only(
                failing,
                |u| matches!(u, Unit::Address(a) if mine.contains(a)),
            )
        }
    }
}

fn only(failing: &BTreeSet<Unit>, wanted: impl Fn(&Unit) -> bool) -> BTreeSet<Unit> {
    failing.iter().filter(|u| wanted(u)).cloned().collect()
}

/// Servers that the parent gives and something else does not know.
#[must_use]
pub fn wrong_servers<'p, 'a>(
    picture: &'p Picture<'a>,
    group: &Group,
) -> Vec<(&'p Hop<'a>, BTreeSet<String>)> {
    let hops = picture.hops.iter().filter(|h| group.is_about(h));
    let sided = hops.filter_map(|hop| {
        let sides = hop.sides.as_ref().or(hop.undecided.as_ref())?;
        Some((hop, sides.wrong.iter().cloned().collect()))
    });
    sided.collect()
}

fn wrong_side(picture: &Picture<'_>, failing: &BTreeSet<Unit>, group: &Group) -> BTreeSet<Unit> {
    let mut units = BTreeSet::new();
    for (hop, wrong) in wrong_servers(picture, group) {
        // Where nothing tells which side is wrong, neither side's answers are left for others to
        // explain.
        let undecided = hop.undecided.iter().flat_map(|s| &s.right).cloned();
        let doubtful: BTreeSet<String> = wrong.iter().cloned().chain(undecided).collect();
        units.extend(answers_of(picture, failing, &doubtful));
        let unusable = |s: &&crate::picture::ServerView<'_>| s.status != ServerStatus::Answers;
        let some_fail = hop
            .delegated()
            .any(|s| wrong.contains(&s.label) && unusable(&s));
        let none_asked = wrong.is_empty();
        if some_fail || none_asked {
            units.extend(only(failing, |u| {
                matches!(u, Unit::Resolver(_) | Unit::Own)
            }));
        }
        units.extend(only(
            failing,
            |u| matches!(u, Unit::Server(l) if wrong.contains(l)),
        ));
        units.extend(wrong_values(picture, failing, hop, &wrong));
        if is_unsigned_elsewhere(picture, hop) {
            units.extend(validation(picture, failing, group));
        }
    }
    units
}

/// Do the servers that the parent leads to lack what its DS records promise of this very zone?
fn is_unsigned_elsewhere(picture: &Picture<'_>, hop: &Hop<'_>) -> bool {
    let chains = picture.chains_of_hops();
    let mut problems = chains.filter_map(|chain| match &chain.state {
        ChainState::Bogus(problem) => Some(problem),
        ChainState::Secure | ChainState::Insecure | ChainState::Unknown => None,
    });
    problems.any(|p| p.zone == hop.seen.zone && matches!(p.why, Why::NoKeys | Why::OtherKeys))
}

/// Look-ups of other record types that end with what only the wrong servers give.
fn wrong_values(
    picture: &Picture<'_>,
    failing: &BTreeSet<Unit>,
    hop: &Hop<'_>,
    wrong: &BTreeSet<String>,
) -> BTreeSet<Unit> {
    if picture.context.target.rtype.is_none() {
        return BTreeSet::new();
    }
    let of = |is_wrong: bool| -> BTreeSet<&String> {
        let servers = hop.servers.iter();
        let servers = servers.filter(|s| wrong.contains(&s.label) == is_wrong);
        servers.flat_map(|s| s.values.iter()).collect()
    };
    let theirs: BTreeSet<&String> = of(true).difference(&of(false)).copied().collect();
    let ends_there = |label: &str| {
        let found = picture.resolvers.iter().find(|r| r.label == label);
        found.is_some_and(|r| r.values.iter().any(|v| theirs.contains(v)))
    };
    only(failing, |u| match u {
        Unit::Own => !theirs.is_empty(),
        Unit::Resolver(label) => ends_there(label),
        Unit::Server(_) | Unit::Address(_) => false,
    })
}

fn resolution(picture: &Picture<'_>, failing: &BTreeSet<Unit>) -> BTreeSet<Unit> {
    let ends_without_address = |label: &str| {
        let found = picture.resolvers.iter().find(|r| r.label == label);
        found.is_some_and(|r| !r.is_usable() && r.controls_work != Some(false))
    };
    only(failing, |u| match u {
        Unit::Own => true,
        Unit::Resolver(label) => ends_without_address(label),
        Unit::Server(_) | Unit::Address(_) => false,
    })
}

/// Resolvers in plain DNS that give nothing, and our own iteration.
fn port53(picture: &Picture<'_>, failing: &BTreeSet<Unit>) -> BTreeSet<Unit> {
    let all_silent = !picture
        .hops
        .iter()
        .any(|h| h.delegated().any(|s| !s.status.is_unusable()));
    let needs_it = |label: &str| {
        let found = picture.resolvers.iter().find(|r| r.label == label);
        found.is_some_and(|r| {
            let gives_up = matches!(r.status, ResolverStatus::Error(_)) && all_silent;
            let gets_nothing = r.truncated || r.status == ResolverStatus::Silent || gives_up;
            r.seen.channel.is_plain() && gets_nothing
        })
    };
    only(failing, |u| match u {
        Unit::Own => all_silent,
        Unit::Resolver(label) => needs_it(label),
        Unit::Server(_) | Unit::Address(_) => false,
    })
}

/// Resolvers that fail the name and nothing else, where every server breaks the protocol: those
/// that go on with the next server find none.
fn strict(picture: &Picture<'_>, failing: &BTreeSet<Unit>, group: &Group) -> BTreeSet<Unit> {
    let mine = group.servers();
    let breaks_all = |h: &&Hop<'_>| {
        let mut servers = h.delegated().peekable();
        servers.peek().is_some() && servers.all(|s| mine.contains(&s.label))
    };
    if !picture.hops.iter().any(|h| breaks_all(&h)) {
        return BTreeSet::new();
    }
    // Without EDNS no signatures come: who validates a zone that the parent vouches for finds none.
    let hops = picture.hops.iter();
    let without_edns = hops
        .filter(breaks_all)
        .any(|h| h.delegated().all(lacks_edns));
    let gives_up = |label: &str| {
        let found = picture.resolvers.iter().find(|r| r.label == label);
        found.is_some_and(|r| {
            matches!(r.status, ResolverStatus::Error(_) | ResolverStatus::Silent)
                && r.controls_work != Some(false)
                && (!crate::facts::dnssec::fails_checked(r)
                    || without_edns && !picture.is_bogus() && !picture.validates())
        })
    };
    only(
        failing,
        |u| matches!(u, Unit::Resolver(label) if gives_up(label)),
    )
}

/// Does it answer questions without EDNS only?
fn lacks_edns(server: &ServerView<'_>) -> bool {
    let answers = |edns: bool| {
        let over_udp = server.seen.exchanges.iter();
        let mut over_udp = over_udp.filter(|e| e.transport == Transport::Udp);
        over_udp.any(|e| e.edns == edns && e.response().is_some())
    };
    answers(false) && !answers(true)
}

/// What fails by a check of signatures. Of resolvers named in the group only those.
fn validation(picture: &Picture<'_>, failing: &BTreeSet<Unit>, group: &Group) -> BTreeSet<Unit> {
    let named = group.resolvers();
    let refuses = |label: &str| {
        let found = picture.resolvers.iter().find(|r| r.label == label);
        let is_named = named.is_empty() || named.contains(label);
        is_named && found.is_some_and(|r| crate::facts::dnssec::fails_checked(r))
    };
    only(failing, |u| match u {
        Unit::Own => named.is_empty() && picture.is_bogus(),
        Unit::Resolver(label) => refuses(label),
        Unit::Server(_) | Unit::Address(_) => false,
    })
}

/// Servers without a usable answer hurt only where no other gives one. Then the largest group of
/// one kind is told as the cause.
fn unusable(picture: &Picture<'_>, failing: &BTreeSet<Unit>, group: &Group) -> BTreeSet<Unit> {
    let mine = group.servers();
    let hop = picture.hops.iter().find(|h| {
        h.servers.iter().any(|s| mine.contains(&s.label))
            || h.seen
                .hosts
                .iter()
                .any(|host| mine.contains(host.name.as_str()))
    });
    let Some(hop) = hop else {
        return BTreeSet::new();
    };
    if !hop.all_unusable() {
        return BTreeSet::new();
    }
    let all = hop.delegated().count()
        + hop
            .seen
            .hosts
            .iter()
            .filter(|h| h.findable().is_empty() || mine.contains(h.name.as_str()))
            .count();
    if mine.len() * 2 < all {
        return BTreeSet::new();
    }
    let unhelped = |label: &str| {
        let found = picture.resolvers.iter().find(|r| r.label == label);
        found.is_some_and(|r| {
            matches!(
                r.status,
                ResolverStatus::Error(_)
                    | ResolverStatus::Silent
                    | ResolverStatus::Denies(AnswerKind::NoData)
            ) && r.controls_work != Some(false)
        })
    };
    only(failing, |u| match u {
        Unit::Own => true,
        Unit::Resolver(label) => unhelped(label),
        Unit::Server(_) | Unit::Address(_) => false,
    })
}

fn denying(picture: &Picture<'_>, failing: &BTreeSet<Unit>, group: &Group) -> BTreeSet<Unit> {
    let mine = group.servers();
    let denies = |label: &str| {
        let found = picture.resolvers.iter().find(|r| r.label == label);
        found.is_some_and(|r| {
            matches!(r.status, ResolverStatus::Denies(_)) && r.controls_work != Some(false)
        })
    };
    only(failing, |u| match u {
        Unit::Server(label) => mine.contains(label),
        Unit::Resolver(label) => denies(label),
        Unit::Own | Unit::Address(_) => false,
    })
}

/// What these servers answer, and where one of them denies the name, the resolvers that believe it.
fn of_servers(picture: &Picture<'_>, failing: &BTreeSet<Unit>, group: &Group) -> BTreeSet<Unit> {
    let mut units = answers_of(picture, failing, &group.servers());
    if units.iter().any(|u| matches!(u, Unit::Server(_))) {
        units.extend(denying(picture, failing, group));
    }
    units
}

/// Addresses that these servers give and no other delegated server does, and denials of theirs.
fn answers_of(
    picture: &Picture<'_>,
    failing: &BTreeSet<Unit>,
    mine: &BTreeSet<String>,
) -> BTreeSet<Unit> {
    // Others are those that are asked the same: a server that an alias of theirs leads to says
    // only what they made it asked.
    let hops = picture.hops.iter();
    let hops = hops.filter(|h| h.servers.iter().any(|s| mine.contains(&s.label)));
    let (mut theirs, mut others) = (BTreeSet::new(), BTreeSet::new());
    for hop in hops {
        for server in &hop.servers {
            if mine.contains(&server.label) {
                theirs.extend(server.leads_to.iter().copied());
            } else if server.delegated {
                others.extend(server.leads_to.iter().copied());
            }
        }
    }
    let theirs: BTreeSet<IpAddr> = theirs.difference(&others).copied().collect();
    only(failing, |u| match u {
        Unit::Address(a) => theirs.contains(a),
        Unit::Server(label) => mine.contains(label),
        Unit::Resolver(_) | Unit::Own => false,
    })
}

fn zone_data(picture: &Picture<'_>, failing: &BTreeSet<Unit>, group: &Group) -> BTreeSet<Unit> {
    let hop = picture.hops.iter().find(|h| group.is_about(h));
    let agreed: BTreeSet<IpAddr> = picture
        .hops
        .iter()
        .flat_map(|h| h.delegated())
        .flat_map(|s| s.addresses.iter().copied())
        .collect();
    let Some(_) = hop else { return BTreeSet::new() };
    let mut units = only(
        failing,
        |u| matches!(u, Unit::Address(a) if agreed.contains(a)),
    );
    // What signatures alone make fail is no matter of the data.
    if failing.contains(&Unit::Own) && !picture.is_bogus() {
        units.extend(resolution(picture, failing));
        if !picture.context.expect.exists || !picture.context.expect.values.is_empty() {
            units.extend(only(failing, |u| matches!(u, Unit::Resolver(_))));
        }
    }
    units
}

/// The resolvers themselves, and addresses that they give and no delegated name server does. An
/// old answer is to blame for what its addresses do only if the present one leads to better.
fn of_resolvers(
    picture: &Picture<'_>,
    failing: &BTreeSet<Unit>,
    cause: Cause,
    group: &Group,
) -> BTreeSet<Unit> {
    let mine = group.resolvers();
    let authority: BTreeSet<IpAddr> = picture
        .hops
        .iter()
        .flat_map(|h| h.delegated())
        .flat_map(|s| s.leads_to.iter().copied())
        .collect();
    let theirs: BTreeSet<IpAddr> = picture
        .resolvers
        .iter()
        .filter(|r| mine.contains(r.label.as_str()))
        .flat_map(|r| r.addresses.iter().copied())
        .filter(|a| !authority.contains(a))
        .collect();
    let now_fails = |a: &IpAddr| picture.addresses.get(a).is_some_and(|v| v.attempt.fails());
    let is_no_better = cause == Cause::DnsResolverStaleCache
        && !authority.is_empty()
        && authority.iter().all(now_fails);
    only(failing, |u| match u {
        Unit::Resolver(label) => mine.contains(label.as_str()),
        Unit::Address(a) => theirs.contains(a) && !is_no_better,
        Unit::Server(_) | Unit::Own => false,
    })
}
