//! What size of answer arrives, and over what: asked where something suggests that it matters.
//!
//! - A truncated answer is larger than what we offer to take. The same with room for all of it
//!   shows whether the path carries such answers, as resolvers that offer more rely on.
//! - A question that stays without an answer, where others to the same server do not, may have an
//!   answer that is too large for the path. With the least room it comes truncated, and then
//!   over TCP.
//! - Where no server of the zone answers over TCP, some of other zones are asked over TCP: is it
//!   theirs, or is it the path?

use std::collections::BTreeSet;

use bellwether_model::dns::{
    Exchange, ExchangeResult, Question, ServerSeen, Transport, Variant, ZoneSeen,
};
use bellwether_model::observation::{DnsPurpose, DnsSeen};
use bellwether_model::{DnsName, NotRun, NotRunReason, Origin, Outcome, ProbeKind};
use futures_util::future::join_all;

use super::Walk;
use super::judge::is_answered;
use super::level::{Level, Server};
use crate::dns::{Ask, TRIES, ask, waits};

/// Room for every answer that servers send in fragments.
const PAYLOAD_LARGE: u16 = 4096;
/// Room that every server and path has (RFC 1035 section 4.2.1).
const PAYLOAD_LEAST: u16 = 512;
/// Servers of other zones that are asked over TCP.
const ELSEWHERE_MAX: usize = 4;
/// A type that nobody has assigned (RFC 6895 section 3.1: private use).
const UNKNOWN_TYPE: &str = "TYPE65280";

/// Sent with the room that we usually offer, in the usual form?
fn is_usual(exchange: &Exchange) -> bool {
    let is_plain_form = exchange.variant == Variant::Usual && exchange.offered.is_none();
    exchange.transport == Transport::Udp && exchange.edns && is_plain_form
}

impl Level {
    /// How a server takes questions that are a little out of the ordinary: of an unknown type, and
    /// with an unknown option. Asked of the target's own zone alone.
    pub(super) fn ask_variants(&self, server: &Server) -> Vec<Ask> {
        if self.trace.depth > 0 {
            return Vec::new();
        }
        let zone = &self.zone;
        // Without signatures, so that the answers are small: their size is no matter here.
        let option = Ask {
            variant: Variant::UnknownOption,
            signatures: false,
            ..self.ask_of(server, zone, "SOA")
        };
        let rtype = Ask {
            signatures: false,
            ..self.ask_of(server, zone, UNKNOWN_TYPE)
        };
        vec![option, rtype]
    }

    /// Asks again with more or less room, where the answers so far suggest it.
    pub(super) fn climb(&mut self, server: &Server) {
        if !self.full {
            return;
        }
        let Some(exchanges) = self.servers.get(server) else {
            return;
        };
        let mut wanted: Vec<Ask> = Vec::new();
        let truncated = exchanges
            .iter()
            .find(|e| is_usual(e) && e.response().is_some_and(|r| r.flags.tc));
        if let Some(exchange) = truncated
            && self.climbed.insert((server.clone(), None))
        {
            let question = &exchange.question;
            wanted.push(Ask {
                offered: Some(PAYLOAD_LARGE),
                alone: true,
                tries: TRIES,
                ..self.ask_of(server, &question.name, &question.rtype)
            });
        }
        let answers_others = exchanges.iter().any(|e| is_usual(e) && is_answered(e));
        let silent = exchanges
            .iter()
            .filter(|e| is_usual(e) && e.result == ExchangeResult::Silent)
            .filter(|e| e.question.rtype != UNKNOWN_TYPE);
        let again: BTreeSet<Question> = silent.map(|e| e.question.clone()).collect();
        for question in again.into_iter().filter(|_| answers_others) {
            if self
                .climbed
                .insert((server.clone(), Some(question.clone())))
            {
                wanted.push(Ask {
                    offered: Some(PAYLOAD_LEAST),
                    tries: 1,
                    ..self.ask_of(server, &question.name, &question.rtype)
                });
            }
        }
        for ask in wanted {
            self.push_ask(server, ask);
        }
    }
}

impl Walk {
    /// Where the servers of the zone that holds the target's name do not answer over TCP, or nobody
    /// answers over UDP: do those above it, over TCP?
    pub(super) async fn tcp_elsewhere(&self, levels: &[ZoneSeen]) {
        let Some(target) = self.cx().job().target.name() else {
            return;
        };
        let mine = |l: &&ZoneSeen| l.name == *target;
        let own = levels.iter().filter(mine).find(|l| l.holds_name);
        let answers = |l: &ZoneSeen| l.servers.iter().any(ServerSeen::answers);
        let suspected = match own {
            Some(level) => tcp_fails(level),
            None => false,
        };
        let all_silent = !levels.iter().any(answers);
        if !suspected && !all_silent {
            return;
        }
        // Of each zone above one server, then further ones: those that answer over UDP, if any do.
        let above = levels
            .iter()
            .filter(mine)
            .filter(|l| !l.holds_name || all_silent);
        let usable = |s: &&ServerSeen| {
            all_silent && s.exchanges.iter().any(Exchange::was_asked) || s.answers()
        };
        let mut candidates: Vec<(usize, &DnsName, &ServerSeen)> = Vec::new();
        for level in above {
            let servers = level.servers.iter().filter(usable).enumerate();
            candidates.extend(servers.map(|(index, server)| (index, &level.zone, server)));
        }
        candidates.sort_by_key(|(index, zone, _)| (*index, zone.labels().len()));
        let asked = candidates
            .into_iter()
            .take(ELSEWHERE_MAX)
            .map(|(_, zone, server)| self.over_tcp(zone, server));
        join_all(asked).await;
    }

    async fn over_tcp(&self, zone: &DnsName, server: &ServerSeen) {
        let question = Question {
            name: zone.clone(),
            rtype: "SOA".to_owned(),
        };
        let wanted = Ask {
            transport: Transport::Tcp,
            origin: if zone.is_root() {
                Origin::Operator
            } else {
                Origin::Network
            },
            ..Ask::server(self.socket(server.address), question)
        };
        let stand_in = NotRun {
            reason: NotRunReason::WorkerDied,
            detail: String::new(),
            subject: server.label(),
            address: Some(server.address),
            via: None,
        };
        let key = format!("dns {} over TCP", server.label());
        let own = self.cx().for_probe();
        let run = async {
            let exchange = ask(&own, &wanted).await;
            let spent = waits(&exchange);
            let seen = DnsSeen {
                server: server.address,
                purpose: DnsPurpose::Answer,
                exchange,
            };
            (Outcome::Dns(seen), self.inner.waits.get() + spent)
        };
        self.cx().probe(ProbeKind::Dns, key, stand_in, run).await;
    }
}

/// Does no server of the zone that answers over UDP answer over TCP?
fn tcp_fails(level: &ZoneSeen) -> bool {
    let over = |s: &ServerSeen, transport: Transport, answered: bool| {
        let mut all = s.exchanges.iter();
        all.any(|e| {
            e.transport == transport && e.was_asked() && (e.response().is_some() || !answered)
        })
    };
    let mut answering = level
        .servers
        .iter()
        .filter(|s| over(s, Transport::Udp, true) && over(s, Transport::Tcp, false))
        .peekable();
    answering.peek().is_some() && answering.all(|s| !over(s, Transport::Tcp, true))
}
