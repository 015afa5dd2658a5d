//! Addresses of name servers' names, by our own iteration.

use std::net::IpAddr;

use bellwether_model::DnsName;
use bellwether_model::dns::{AnswerKind, HostFailure};
use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;

use super::Walk;
use super::iterate::Errand;

/// What the own zone of a name server's name says of it.
#[derive(Clone, Debug, Default)]
pub(super) struct HostAnswer {
    pub(super) addresses: Vec<IpAddr>,
    pub(super) alias_of: Option<DnsName>,
    pub(super) failure: Option<HostFailure>,
    /// Sequential waits until it was known.
    pub(super) waits: u32,
}

impl Walk {
    /// Looks up a name server's name for the level that lists it; `base` waits are behind it.
    pub(super) fn host(&self, name: DnsName, base: u32) -> LocalBoxFuture<'static, HostAnswer> {
        self.host_within(name, base, Errand::new())
    }

    /// Looks up a name server's name within a larger errand, whose names must not come back.
    pub(super) fn host_within(
        &self,
        name: DnsName,
        base: u32,
        mut errand: Errand,
    ) -> LocalBoxFuture<'static, HostAnswer> {
        let walk = self.clone();
        async move {
            if let Some(known) = walk.inner.hosts.borrow().get(&name) {
                return known.clone();
            }
            if let Some(at) = errand.stack.iter().position(|n| *n == name) {
                return failed(HostFailure::Cycle {
                    names: errand.stack[at..].to_vec(),
                });
            }
            if !errand.take_host() {
                return failed(HostFailure::Limit);
            }
            let is_outermost = errand.stack.is_empty();
            errand.stack.push(name.clone());
            let answer = walk.host_fresh(&name, base, errand).await;
            // What failed inside a circle may work when begun elsewhere.
            if answer.failure.is_none() || is_outermost {
                let mut hosts = walk.inner.hosts.borrow_mut();
                hosts.insert(name, answer.clone());
            }
            answer
        }
        .boxed_local()
    }

    async fn host_fresh(&self, name: &DnsName, base: u32, errand: Errand) -> HostAnswer {
        let rtypes = ["A".to_owned(), "AAAA".to_owned()];
        let found = match self.descend(name, &rtypes, base, errand).await {
            Ok(found) => found,
            Err(failure) => return failed(failure),
        };
        let mut answer = HostAnswer {
            waits: found.waits,
            ..HostAnswer::default()
        };
        let mut is_denied = false;
        for exchange in &found.exchanges {
            let Some(response) = exchange.response() else {
                continue;
            };
            answer
                .addresses
                .extend(response.addresses(&exchange.question));
            let alias = response.aliases(name).into_iter().next();
            answer.alias_of = answer.alias_of.or(alias);
            let kind = response.kind(&exchange.question, Some(&found.zone));
            is_denied |= kind == AnswerKind::NxDomain;
        }
        if answer.alias_of.is_some() {
            // RFC 2181 section 10.3 forbids it, and many resolvers go no further.
            answer.addresses.clear();
        } else if answer.addresses.is_empty() {
            answer.failure = Some(match is_denied {
                true => HostFailure::NxDomain,
                false => HostFailure::NoData,
            });
        }
        answer
    }
}

fn failed(failure: HostFailure) -> HostAnswer {
    HostAnswer {
        failure: Some(failure),
        ..HostAnswer::default()
    }
}
