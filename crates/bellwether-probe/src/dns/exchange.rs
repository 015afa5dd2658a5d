//! Tries, time limits, and what stands in the record.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bellwether_model::dns::{
    Exchange, ExchangeResult, Question, Rcode, Response, Transport, Variant,
};
use bellwether_model::job::ResolverAsk;
use bellwether_model::{Channel, Origin};

use super::late::Kept;
use super::message::{Query, QueryFlags, Raw, decode, encode};
use super::reply::Discards;
use super::{secure, tcp, udp};
use crate::cx::Cx;

/// Tries over UDP: one lost packet must not make a server silent.
pub const TRIES: u8 = 2;
/// How long one try waits: longer than any path of the Internet takes, and two of them end well
/// within a check's deadline.
pub const TRY_WAIT: Duration = Duration::from_secs(2);
/// How long a question over TLS or HTTPS may take: connection, handshake and answer.
pub const SECURE_WAIT: Duration = Duration::from_secs(4);
/// How long before the check's deadline the last wait ends, so that what was seen is reported.
const REPORT_MARGIN: Duration = Duration::from_millis(250);
/// A wait that the deadline cut below this says nothing about the server.
const WAIT_MIN: Duration = Duration::from_secs(1);

/// One question to one server.
#[derive(Clone, Debug)]
pub struct Ask {
    /// The server.
    pub server: SocketAddr,
    /// Who named its address.
    pub origin: Origin,
    /// The question.
    pub question: Question,
    /// Over what.
    pub transport: Transport,
    /// With an OPT record?
    pub edns: bool,
    /// Asking for signatures (DO, RFC 3225); only with an OPT record.
    pub signatures: bool,
    /// Asking a resolver not to check them (CD, RFC 4035 section 3.2.2).
    pub unchecked: bool,
    /// Desiring recursion?
    pub recursion: bool,
    /// Keep the raw response?
    pub raw: Raw,
    /// Listen for further answers until the check ends, over UDP?
    pub hears_on: bool,
    /// Tries, at most; over TCP always one.
    pub tries: u8,
    /// How the server is spoken to, if not in plain DNS.
    pub channel: Channel,
    /// Octets of an answer over UDP to offer to take, if not the usual ones.
    pub offered: Option<u16>,
    /// What is out of the ordinary about it.
    pub variant: Variant,
    /// In small letters from the first try on?
    pub lower_case: bool,
    /// Whatever comes is the end of it: nothing follows, neither TCP nor a question without EDNS.
    pub alone: bool,
}

impl Ask {
    /// A question to an authoritative server over UDP.
    #[must_use]
    pub fn server(server: SocketAddr, question: Question) -> Self {
        Self {
            server,
            origin: Origin::Network,
            question,
            transport: Transport::Udp,
            edns: true,
            signatures: false,
            unchecked: false,
            recursion: false,
            raw: Raw::IfMalformed,
            hears_on: false,
            tries: TRIES,
            channel: Channel::Plain,
            offered: None,
            variant: Variant::Usual,
            lower_case: false,
            alone: false,
        }
    }

    /// A question to a resolver, which the operator named, over the transport that he named.
    #[must_use]
    pub fn resolver(resolver: &ResolverAsk, question: Question) -> Self {
        let transport = match resolver.channel {
            Channel::Plain => Transport::Udp,
            Channel::Tls { .. } => Transport::Tls,
            Channel::Https { .. } => Transport::Https,
        };
        Self {
            transport,
            channel: resolver.channel.clone(),
            ..Self::desiring_recursion(resolver.address, question)
        }
    }

    /// A question for recursion to an address that the operator named, in plain DNS.
    #[must_use]
    pub fn desiring_recursion(server: SocketAddr, question: Question) -> Self {
        Self {
            origin: Origin::Operator,
            recursion: true,
            raw: Raw::Keep,
            ..Self::server(server, question)
        }
    }

    /// The flags of the try of this number. A server that drops names in mixed case shows by
    /// answering the repetition.
    fn flags(&self, number: u8) -> QueryFlags {
        QueryFlags {
            edns: self.edns,
            signatures: self.signatures,
            recursion: self.recursion,
            unchecked: self.unchecked,
            offered: self.offered,
            unknown_option: self.variant == Variant::UnknownOption,
            lower_case: self.lower_case || number > 1,
        }
    }

    /// The exchange of a question that was not asked.
    #[must_use]
    pub fn not_asked(&self, reason: impl Into<String>) -> Exchange {
        self.ended(
            0,
            Duration::ZERO,
            ExchangeResult::NotAsked {
                reason: reason.into(),
            },
        )
    }

    fn ended(&self, tries: u8, took: Duration, result: ExchangeResult) -> Exchange {
        Exchange {
            question: self.question.clone(),
            transport: self.transport,
            edns: self.edns,
            recursion: self.recursion,
            offered: self.offered,
            variant: self.variant,
            lower_case: self.lower_case || tries > 1,
            tries,
            took_ms: took.as_secs_f64() * 1000.0,
            result,
            discarded: Vec::new(),
        }
    }
}

/// Sequential waits for the network that an exchange took; a repetition after silence does not
/// count.
#[must_use]
pub fn waits(exchange: &Exchange) -> u32 {
    match (&exchange.result, exchange.transport) {
        (ExchangeResult::NotAsked { .. }, _) => 0,
        (_, Transport::Udp) => 1,
        // The connection, then the question.
        (_, Transport::Tcp) => 2,
        // The handshake between them.
        (_, Transport::Tls | Transport::Https) => 3,
    }
}

/// Asks once, with the tries allowed.
pub async fn ask(cx: &Cx, ask: &Ask) -> Exchange {
    if let Err(reason) = cx.dialer().permits(ask.server.ip(), ask.origin) {
        return ask.not_asked(reason);
    }
    let source = cx.dialer().source(ask.server.ip());
    let mut random = fastrand::Rng::new();
    let mut discards = Discards::default();
    let mut waited = Duration::ZERO;
    let mut exchange = ask.not_asked("the check's time ran out first");
    let mut is_cut = false;
    let tries = match ask.transport {
        Transport::Udp => ask.tries,
        Transport::Tcp | Transport::Tls | Transport::Https => 1,
    };
    let wait_max = match ask.transport {
        Transport::Udp | Transport::Tcp => TRY_WAIT,
        Transport::Tls | Transport::Https => SECURE_WAIT,
    };
    for number in 1..=tries {
        let query = match encode(&ask.question, ask.flags(number), &mut random) {
            Ok(query) => query,
            Err(reason) => return ask.not_asked(reason),
        };
        let wait = wait_max.min(cx.left().saturating_sub(REPORT_MARGIN));
        if wait.is_zero() {
            break;
        }
        is_cut = wait < wait_max;
        cx.count_query();
        let start = Instant::now();
        let outcome = match ask.transport {
            Transport::Udp => {
                let taken = udp::attempt(cx, ask.server, source, &query, wait, &mut discards).await;
                taken.map(|(octets, socket)| {
                    if ask.hears_on {
                        let asked = ask.ended(number, start.elapsed(), ExchangeResult::Silent);
                        cx.hear_on(Kept {
                            socket,
                            server: ask.server,
                            query: query.clone(),
                            taken: octets.clone(),
                            exchange: asked,
                        });
                    }
                    octets
                })
            }
            Transport::Tcp => tcp::attempt(ask.server, source, &query, wait, &mut discards).await,
            // On the heap: it is large and rare, and would lie in every question.
            Transport::Tls | Transport::Https => {
                Box::pin(secure::attempt(cx, ask, &query, wait, &mut discards)).await
            }
        };
        waited += start.elapsed();
        let is_silent = outcome == Err(ExchangeResult::Silent);
        let took = if is_silent { waited } else { start.elapsed() };
        exchange = ask.ended(number, took, result(ask, &query, outcome));
        if !is_silent {
            break;
        }
    }
    if is_open(cx, &exchange.result, is_cut) && waited < WAIT_MIN {
        let reason = format!(
            "the check's time ran out after {} ms without an answer",
            waited.as_millis()
        );
        exchange = ask.not_asked(reason);
    }
    exchange.discarded = discards.list();
    exchange
}

/// Might an answer have come yet, had the wait been longer? `is_cut` if the check's end was
/// nearer than that.
fn is_open(cx: &Cx, result: &ExchangeResult, is_cut: bool) -> bool {
    match result {
        ExchangeResult::Silent => true,
        // The connection opened, and the check ended before an answer.
        ExchangeResult::Broken { .. } => is_cut && cx.left() <= REPORT_MARGIN,
        ExchangeResult::Answered { .. }
        | ExchangeResult::Refused
        | ExchangeResult::Unreachable { .. }
        | ExchangeResult::Channel { .. }
        | ExchangeResult::NotAsked { .. } => false,
    }
}

fn result(ask: &Ask, query: &Query, outcome: Result<Vec<u8>, ExchangeResult>) -> ExchangeResult {
    match outcome {
        Ok(bytes) => ExchangeResult::Answered {
            response: Box::new(decode(query, &bytes, ask.raw)),
        },
        Err(ended) => ended,
    }
}

/// Asks as a resolver or stub would: over TCP after a truncated answer (RFC 7766 section 5), and
/// without EDNS where EDNS may be what the server stumbles over (RFC 6891 section 7). Returns the
/// exchanges in order and the sequential waits.
pub async fn ask_whole(cx: &Cx, wanted: &Ask) -> (Vec<Exchange>, u32) {
    let first = ask(cx, wanted).await;
    let mut spent = waits(&first);
    let response = first.response().filter(|_| !wanted.alone);
    let follow_up = response.and_then(|r| follow_up(wanted, r));
    let mut exchanges = vec![first];
    if let Some(next) = follow_up {
        let exchange = ask(cx, &next).await;
        spent += waits(&exchange);
        let is_truncated = exchange.response().is_some_and(|r| r.flags.tc);
        exchanges.push(exchange);
        if is_truncated && next.transport == Transport::Udp {
            let over_tcp = Ask {
                transport: Transport::Tcp,
                ..next
            };
            let exchange = ask(cx, &over_tcp).await;
            spent += waits(&exchange);
            exchanges.push(exchange);
        }
    }
    (exchanges, spent)
}

/// The question that follows an answer which settles nothing.
fn follow_up(asked: &Ask, response: &Response) -> Option<Ask> {
    if response.flags.tc && asked.transport == Transport::Udp {
        return Some(Ask {
            transport: Transport::Tcp,
            ..asked.clone()
        });
    }
    let no_edns = matches!(response.rcode, Rcode::FORMERR | Rcode::NOTIMP) && !response.edns;
    (asked.edns && no_edns && asked.variant == Variant::Usual).then(|| Ask {
        edns: false,
        ..asked.clone()
    })
}
