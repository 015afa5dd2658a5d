//! A rotation hands out its members in turn: is each declared one among them?

use std::net::IpAddr;

use bellwether_model::net::Family;

use super::level::{Level, Server};

/// Questions by which a rotation is seen whole: a member that stands in one of ten answers is
/// missed by so many once in eight times, one of a pool of five hardly ever.
const TURNS: usize = 20;

impl Level {
    /// Asks on if a declared single address stands in no answer so far. `true` if it does; it does
    /// so once.
    pub(super) fn ask_pool(&mut self) -> bool {
        if !self.holds || std::mem::replace(&mut self.pool_asked, true) {
            return false;
        }
        let seen = self.answered();
        let rtypes: Vec<&str> = [(Family::V4, "A"), (Family::V6, "AAAA")]
            .into_iter()
            .filter(|(family, _)| self.lacks_member(*family, &seen))
            .map(|(_, rtype)| rtype)
            .filter(|rtype| self.trace.rtypes.iter().any(|t| t == rtype))
            .collect();
        let servers = self.answering();
        if rtypes.is_empty() || servers.is_empty() {
            return false;
        }
        let name = self.trace.name.clone();
        for (turn, rtype) in (0..TURNS).zip(rtypes.iter().cycle()) {
            let server = &servers[turn % servers.len()];
            let ask = self.ask_of(server, &name, rtype);
            self.push_ask(server, ask);
        }
        true
    }

    /// Addresses that the zone's servers gave for the name.
    fn answered(&self) -> Vec<IpAddr> {
        let all = self.servers.values().flatten();
        let about = all.filter(|e| e.question.name == self.trace.name);
        about
            .filter_map(|e| Some(e.response()?.addresses(&e.question)))
            .flatten()
            .collect()
    }

    /// Is some single address of this family declared that was not seen, beside one that was?
    fn lacks_member(&self, family: Family, seen: &[IpAddr]) -> bool {
        let declared = &self.walk.cx().job().expect.addresses;
        let single = declared
            .iter()
            .filter(|net| net.prefix_len() == net.max_prefix_len());
        let members: Vec<IpAddr> = single
            .map(ipnet::IpNet::addr)
            .filter(|a| Family::of(*a) == family)
            .collect();
        let is_seen = |a: &IpAddr| seen.contains(a);
        members.iter().any(is_seen) && !members.iter().all(is_seen)
    }

    /// Servers that gave an address.
    fn answering(&self) -> Vec<Server> {
        let gives = |exchanges: &[bellwether_model::dns::Exchange]| {
            exchanges.iter().any(|e| {
                let response = e.response().filter(|r| r.flags.aa);
                response.is_some_and(|r| !r.addresses(&e.question).is_empty())
            })
        };
        let servers = self.servers.iter().filter(|(_, seen)| gives(seen));
        servers.map(|(server, _)| server.clone()).collect()
    }
}
