//! What one visit came to, as a row: did it work, and if not, which step failed and how.
//!
//! A visit is what one user does once, so the picture has one resolver and one address at most, and
//! what became of them is judged where that is judged of a trace: in [`picture`](crate::picture).
//! Here it gets its stable words. A symptom is no cause: that takes a trace.

mod steps;
mod symptoms;

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use bellwether_model::dns::{Exchange, ResolverOrigin, ResolverSeen};
use bellwether_model::http::HttpSeen;
use bellwether_model::job::CheckAsk;
use bellwether_model::net::{IcmpResult, TcpResult};
use bellwether_model::observation::{DnsPurpose, DnsSeen, NotRun};
use bellwether_model::report::Context;
use bellwether_model::run::{Phases, RunOutcome};
use bellwether_model::target::Scheme;
use bellwether_model::{Channel, Digest, Layer, NotRunReason, Observation, Outcome, ProbeKind};
use jiff::Timestamp;

pub use steps::{Symptom, not_run};
pub use symptoms::{SYMPTOMS, is_known};

use crate::Situation;
use crate::picture::{AddressView, Attempt, Picture, ResolverStatus, ResolverView};

/// What one visit came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Judged {
    /// Would a user have been served?
    pub outcome: RunOutcome,
    /// The lowest layer that failed, where one did; [`Layer::Monitor`] if the visit itself failed.
    pub layer: Option<Layer>,
    /// What was seen there, one of [`SYMPTOMS`].
    pub symptom: Option<Symptom>,
    /// Why nothing can be said, where a probe said why.
    pub not_run: Option<NotRunReason>,
    /// The address that was dialled, or was to be.
    pub address: Option<IpAddr>,
    /// HTTP status of the last answer, or the rcode of a `dns` check.
    pub status: Option<u16>,
    /// Bytes of body, or of the DNS answer.
    pub size: Option<u32>,
    /// The server's own certificate.
    pub certificate: Option<Digest>,
    /// When it ends.
    pub certificate_ends: Option<Timestamp>,
    /// How long each step took.
    pub phases: Phases,
    /// What the resolver gave: addresses, or the record data of a `dns` check, sorted.
    pub answers: BTreeSet<String>,
    /// Who owns the addresses given, as far as a table was there, sorted.
    pub owners: BTreeSet<String>,
}

/// What came of one step, as far as it decides.
enum Step {
    Works,
    Fails(RunOutcome, Layer, Symptom),
    Unknown(Symptom, Option<NotRunReason>),
}

/// Judges the records of one visit. `now` is when the visit was made.
#[must_use]
pub fn row(ask: &CheckAsk, observations: Vec<Observation>, now: Timestamp) -> Judged {
    row_and_situation(ask, observations, now).0
}

/// [`row`], with what it was judged from, for whoever keeps that as evidence. The vantage is left
/// empty.
#[must_use]
pub fn row_and_situation(
    ask: &CheckAsk,
    observations: Vec<Observation>,
    now: Timestamp,
) -> (Judged, Situation) {
    let timed = Timed::of(ask, &observations);
    let context = Context {
        target: ask.target.clone(),
        expect: ask.expect.clone(),
        vantage: String::new(),
        now,
        time_given: false,
        family: None,
        baseline: None,
    };
    let situation = Situation {
        context,
        observations: with_resolver(ask, observations),
    };
    let picture = Picture::of(&situation);
    let visit = Visit {
        ask,
        picture: &picture,
        timed: &timed,
    };
    let mut judged = visit.described();
    judged.phases = timed.phases();
    match visit.step() {
        Step::Works => {}
        Step::Fails(outcome, layer, symptom) => {
            judged.outcome = outcome;
            judged.layer = Some(layer);
            judged.symptom = Some(symptom);
        }
        Step::Unknown(symptom, reason) => {
            judged.outcome = RunOutcome::NotRun;
            judged.layer = Some(Layer::Monitor);
            judged.symptom = Some(symptom);
            judged.not_run = reason;
        }
    }
    (judged, situation)
}

/// The question for the target's own name: redirects ask for others.
fn own_question<'o>(ask: &CheckAsk, observation: &'o Observation) -> Option<&'o DnsSeen> {
    let Outcome::Dns(seen) = &observation.outcome else {
        return None;
    };
    let is_own = ask.target.name() == Some(&seen.exchange.question.name);
    (is_own && seen.purpose == DnsPurpose::Answer).then_some(seen)
}

/// Questions to a resolver outside a matrix are read as one: of a visit they are the same thing.
fn with_resolver(ask: &CheckAsk, observations: Vec<Observation>) -> Vec<Observation> {
    let is_asked = |o: &Observation| own_question(ask, o).is_some();
    if !observations.iter().any(is_asked) {
        return observations;
    }
    let (asked, mut rest): (Vec<Observation>, Vec<Observation>) =
        observations.into_iter().partition(is_asked);
    let mut all: Vec<(IpAddr, Exchange)> = Vec::new();
    let mut first = None;
    for observation in asked {
        let Observation {
            id,
            began,
            took_ms,
            waits,
            outcome: Outcome::Dns(DnsSeen {
                server, exchange, ..
            }),
            ..
        } = observation
        else {
            continue;
        };
        all.push((server, exchange));
        first.get_or_insert((id, began, took_ms, waits));
    }
    let server = all.first().map(|(server, _)| *server);
    if let (Some((id, began, took_ms, waits)), Some(server)) = (first, server) {
        let seen = ResolverSeen {
            resolver: server.to_string(),
            origin: ResolverOrigin::Given,
            address: SocketAddr::new(server, 53),
            channel: Channel::default(),
            answers: all.into_iter().map(|(_, exchange)| exchange).collect(),
            zone_ns: None,
            sibling: None,
            unchecked: Vec::new(),
            ancestors: Vec::new(),
            zone_ds: None,
            large: Vec::new(),
        };
        rest.push(Observation {
            id,
            probe: ProbeKind::ResolverMatrix,
            began,
            took_ms,
            waits,
            outcome: Outcome::ResolverMatrix(Box::new(seen)),
        });
    }
    rest
}

struct Visit<'a> {
    ask: &'a CheckAsk,
    picture: &'a Picture<'a>,
    timed: &'a Timed,
}

impl Visit<'_> {
    /// The lowest step that does not work; it decides the layer, and the worst one the outcome.
    fn step(&self) -> Step {
        let named = self.ask.target.name().is_some();
        let resolver = self.picture.resolvers.first();
        if named {
            match resolver {
                None => return self.nothing(&[ProbeKind::ResolverMatrix, ProbeKind::Dns]),
                Some(view) => match self.looked_up(view) {
                    Step::Works => {}
                    other => return other,
                },
            }
        }
        if !self.ask.expect.exists {
            return Step::Works;
        }
        let above = self.above();
        // An answer that leads elsewhere is below whatever comes of going there.
        if let (Some(symptom), Some(view)) = (resolver.and_then(|v| self.misleads(v)), resolver)
            && view.is_usable()
        {
            let outcome = match above {
                Step::Fails(RunOutcome::Failed, ..) => RunOutcome::Failed,
                Step::Fails(..) | Step::Works | Step::Unknown(..) => RunOutcome::Wrong,
            };
            return Step::Fails(outcome, Layer::Dns, symptom);
        }
        above
    }

    /// What the resolver says, and whether it should.
    fn looked_up(&self, view: &ResolverView<'_>) -> Step {
        let expects = &self.ask.expect;
        let is_denied = matches!(view.status, ResolverStatus::Denies(_));
        // Where one type has none, and the other could not be asked, nothing is known.
        let mut asked = view.seen.answers.iter();
        let is_half = !view.is_whole && asked.all(|e| e.response().is_some());
        if view.status == ResolverStatus::Silent && is_half {
            return self.nothing(&[ProbeKind::Dns]);
        }
        match (expects.exists, view.is_usable()) {
            (true, true) => Step::Works,
            (false, true) => Step::Fails(RunOutcome::Wrong, Layer::Dns, "dns.exists".into()),
            (false, false) if is_denied => Step::Works,
            (_, false) => {
                let wants_addresses = self.ask.target.rtype.is_none();
                match steps::resolver(view, wants_addresses) {
                    Some(symptom) => Step::Fails(RunOutcome::Failed, Layer::Dns, symptom),
                    None => self.nothing(&[ProbeKind::ResolverMatrix, ProbeKind::Dns]),
                }
            }
        }
    }

    /// Does the answer hold what it must not, or lack what it must hold?
    fn misleads(&self, view: &ResolverView<'_>) -> Option<Symptom> {
        if !crate::units::has_values(self.picture, &view.values) {
            return Some("dns.values_differ".into());
        }
        let declared = &self.ask.expect.addresses;
        let is_outside = |a: &IpAddr| !declared.iter().any(|net| net.contains(a));
        let outside = !declared.is_empty() && view.addresses.iter().any(is_outside);
        outside.then_some("dns.address_outside".into())
    }

    /// What came of the address.
    fn above(&self) -> Step {
        if self.ask.icmp_only {
            return self.echo();
        }
        let scheme = self.ask.target.scheme;
        if !scheme.has_tcp() {
            return self.in_time(Layer::Dns, "dns.slow");
        }
        let Some(view) = self.dialled() else {
            return self.nothing(&[ProbeKind::Tcp, ProbeKind::Addresses]);
        };
        match &view.attempt {
            Attempt::Works => match scheme {
                // Held against what was declared where the answer was read.
                Scheme::Http | Scheme::Https | Scheme::Dns => Step::Works,
                Scheme::Tls => self.in_time(Layer::Tls, "tls.slow"),
                Scheme::Tcp => self.in_time(Layer::Net, "tcp.slow"),
            },
            Attempt::Fails(layer) => {
                let (outcome, symptom) = steps::above_dns(&self.ask.expect, view);
                Step::Fails(outcome, *layer, symptom)
            }
            Attempt::Unjudged(_) => match view.tcp.map(|(_, tcp)| &tcp.result) {
                Some(result @ (TcpResult::NoRoute | TcpResult::Error { .. })) => {
                    let reason = (*result == TcpResult::NoRoute).then_some(NotRunReason::NoRoute);
                    Step::Unknown(steps::connection(result), reason)
                }
                Some(_) | None => self.nothing(&[ProbeKind::Tcp, ProbeKind::Tls, ProbeKind::Http]),
            },
        }
    }

    fn echo(&self) -> Step {
        match &self.timed.echo {
            Some((_, IcmpResult::Reply)) => self.in_time(Layer::Net, "icmp.slow"),
            Some((_, IcmpResult::Silent)) => {
                Step::Fails(RunOutcome::Failed, Layer::Net, "icmp.silent".into())
            }
            Some((_, IcmpResult::Error { .. })) => {
                Step::Fails(RunOutcome::Failed, Layer::Net, "icmp.error".into())
            }
            None => self.nothing(&[ProbeKind::Icmp]),
        }
    }

    /// It works; did it so in the time declared?
    fn in_time(&self, layer: Layer, word: &'static str) -> Step {
        let took = self.timed.phases().total();
        let declared = self.ask.expect.within_ms.map(|ms| ms.saturating_mul(1000));
        match declared {
            Some(within) if took > within => Step::Fails(RunOutcome::Wrong, layer, word.into()),
            Some(_) | None => Step::Works,
        }
    }

    /// Nothing can be said: why did the probe not run that is missing?
    fn nothing(&self, kinds: &[ProbeKind]) -> Step {
        let all = &self.picture.not_run;
        let of_kind = all.iter().find(|(_, kind, _)| kinds.contains(kind));
        match of_kind.or(all.first()) {
            Some((_, _, NotRun { reason, .. })) => {
                Step::Unknown(steps::not_run(*reason).into(), Some(*reason))
            }
            None => Step::Unknown("monitor.not_asked".into(), None),
        }
    }

    /// The address that was gone to: the others were only found.
    fn dialled(&self) -> Option<&AddressView<'_>> {
        let views = || self.picture.addresses.values();
        let refused = |view: &&AddressView<'_>| {
            let mut all = self.picture.not_run.iter();
            all.any(|(_, _, n)| n.address == Some(view.address))
        };
        views()
            .find(|view| view.tcp.is_some())
            .or_else(|| views().find(refused))
            .or_else(|| views().find(|view| view.attempt.fails()))
    }

    /// Everything of a row but what it came to.
    fn described(&self) -> Judged {
        let resolver = self.picture.resolvers.first();
        let view = self.dialled();
        let certificate = view.and_then(|view| view.chain().first());
        let last = view
            .and_then(|view| view.http.last())
            .map(|(_, last)| *last);
        let asked = resolver.filter(|_| !self.ask.target.scheme.has_tcp());
        let answer = asked.and_then(|r| r.seen.answers.iter().rev().find_map(Exchange::response));
        let refused = self.picture.not_run.iter().find_map(|(_, _, n)| n.address);
        let values = resolver.map(|view| match self.ask.target.rtype {
            Some(_) => view.values.clone(),
            None => view.addresses.iter().map(ToString::to_string).collect(),
        });
        let owners = self.picture.addresses.values();
        let owners = owners.filter_map(|view| view.owner.as_ref());
        Judged {
            outcome: RunOutcome::Ok,
            layer: None,
            symptom: None,
            not_run: None,
            address: match &self.timed.echo {
                Some((address, _)) => Some(*address),
                None => view.map(|view| view.address).or(refused),
            },
            status: answer
                .map(|response| response.rcode.0)
                .or(last.and_then(|last| last.status)),
            size: answer
                .map(|response| response.size as u64)
                .or(last
                    .and_then(|last| last.body.as_ref())
                    .map(|body| body.size))
                .map(|size| u32::try_from(size).unwrap_or(u32::MAX)),
            certificate: certificate.and_then(|cert| Digest::parse(&cert.sha256)),
            certificate_ends: certificate.and_then(|cert| cert.not_after),
            phases: Phases::default(),
            answers: values.unwrap_or_default(),
            owners: owners.map(ToString::to_string).collect(),
        }
    }
}

/// How long the steps took, before the records are put in order: a picture keeps no times.
#[derive(Default)]
struct Timed {
    dns_ms: Option<f64>,
    connect_ms: Option<f64>,
    tls_ms: Option<f64>,
    first_byte_ms: Option<f64>,
    transfer_ms: Option<f64>,
    echo: Option<(IpAddr, IcmpResult)>,
}

impl Timed {
    fn of(ask: &CheckAsk, observations: &[Observation]) -> Self {
        let mut timed = Self::default();
        for observation in observations {
            if own_question(ask, observation).is_some() {
                // Both types are asked at the same time.
                let took = timed.dns_ms.unwrap_or(0.0).max(observation.took_ms);
                timed.dns_ms = Some(took);
            }
            timed.add(observation);
        }
        timed
    }

    fn add(&mut self, observation: &Observation) {
        match &observation.outcome {
            Outcome::ResolverMatrix(_) => self.dns_ms = Some(observation.took_ms),
            Outcome::Tcp(seen) if seen.result == TcpResult::Connected => {
                self.connect_ms = Some(seen.connect_ms.unwrap_or(observation.took_ms));
            }
            Outcome::Tls(seen) if seen.purpose == bellwether_model::tls::TlsPurpose::User => {
                let completed = seen.result == bellwether_model::tls::TlsResult::Completed;
                self.tls_ms = completed.then_some(seen.handshake_ms);
            }
            Outcome::Http(seen) if seen.status.is_some() => self.exchange(seen),
            Outcome::Icmp(seen) => {
                self.connect_ms = seen.rtt_ms;
                self.echo = Some((seen.address, seen.result.clone()));
            }
            Outcome::Dns(_)
            | Outcome::Tcp(_)
            | Outcome::Tls(_)
            | Outcome::Http(_)
            | Outcome::Delegation(_)
            | Outcome::Dnssec(_)
            | Outcome::Addresses(_)
            | Outcome::Tries(_)
            | Outcome::Control(_)
            | Outcome::NotRun(_) => {}
        }
    }

    /// Redirects add up; what they take to connect is a wait for the first byte, too.
    fn exchange(&mut self, seen: &HttpSeen) {
        let phases = &seen.phases;
        let ways = if seen.hop > 0 {
            phases.connect_ms + phases.tls_ms
        } else {
            0.0
        };
        *self.first_byte_ms.get_or_insert(0.0) += phases.wait_ms + ways;
        *self.transfer_ms.get_or_insert(0.0) += phases.transfer_ms;
    }

    fn phases(&self) -> Phases {
        let all = [
            self.dns_ms,
            self.connect_ms,
            self.tls_ms,
            self.first_byte_ms,
            self.transfer_ms,
        ];
        Phases::of(all.map(|ms| ms.map(micros)))
    }
}

/// Whole microseconds of milliseconds; an hour is the most that fits, and no probe takes as long.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to what fits"
)]
fn micros(ms: f64) -> u32 {
    (ms * 1000.0).round().clamp(0.0, f64::from(u32::MAX)) as u32
}
