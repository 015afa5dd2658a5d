//! Is silence an answer, or are packets lost?
//!
//! A server that is silent on questions of one kind, and answers all others at once, has something against
//! that kind. Where other questions are lost too, whoever they were for, nothing follows from it.

use bellwether_model::dns::{Exchange, ExchangeResult, Transport};

use crate::picture::{Hop, Picture};

/// Are questions lost beside those of a kind? Servers that answer nothing at all lose none.
pub(super) fn is_any(
    picture: &Picture<'_>,
    hop: &Hop<'_>,
    is_kind: impl Fn(&Exchange) -> bool,
) -> bool {
    let servers = |hop: &Hop<'_>, is_kind: &dyn Fn(&Exchange) -> bool| {
        let mut servers = hop.servers.iter().map(|s| &s.seen.exchanges);
        servers.any(|asked| {
            let answers = asked.iter().any(|e| e.response().is_some());
            answers && asked.iter().any(|e| is_lost(e) && !is_kind(e))
        })
    };
    let zones = picture.hops.iter().chain(&picture.above);
    let mut zones = zones.map(|zone| match zone.seen.zone == hop.seen.zone {
        true => servers(zone, &is_kind),
        false => servers(zone, &|_| false),
    });
    let mut controls = picture.controls.iter().map(|(_, control)| control);
    zones.any(|loses| loses) || controls.any(|c| is_lost(&c.exchange))
}

/// Was it asked in vain, at least once? Over TCP the kernel asks again, and does not say so.
fn is_lost(exchange: &Exchange) -> bool {
    let is_udp = exchange.transport == Transport::Udp && exchange.variant.is_usual();
    is_udp && (exchange.result == ExchangeResult::Silent || exchange.tries > 1)
}
