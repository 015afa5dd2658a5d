//! What is known: typed facts, one module per family, computed from the picture.

pub mod authority;
pub mod caches;
pub mod cert;
pub mod clock;
pub mod delegation;
pub mod dnssec;
pub mod http;
pub mod intercept;
pub mod large;
mod lost;
pub mod monitor;
pub mod net;
pub mod reg;
pub mod resolver;
pub mod steering;
pub mod tls;
pub mod transport;
pub(crate) mod tries;
pub mod wildcard;
pub mod zone;

use std::net::IpAddr;

use bellwether_model::fact::Subject;
use bellwether_model::{DnsName, Fact, FactKind};
use serde_json::Value;

use crate::picture::Picture;

/// A fact with what it speaks of.
#[derive(Clone, Debug, PartialEq)]
pub struct Known {
    /// The kind.
    pub kind: FactKind,
    /// What it speaks of.
    pub subject: Subject,
    /// The zone that the subject belongs to, for zones, name servers and their hosts.
    pub zone: Option<DnsName>,
    /// What exactly was seen.
    pub value: Value,
    /// The observations that prove it, sorted.
    pub from: Vec<String>,
}

impl Known {
    /// As it stands in a report.
    #[must_use]
    pub fn report(&self) -> Fact {
        Fact {
            fact: self.kind,
            value: self.value.clone(),
            from: self.from.clone(),
        }
    }
}

/// All facts of one check.
#[derive(Default)]
pub struct Facts {
    all: Vec<Known>,
}

impl Facts {
    /// Computes every fact.
    #[must_use]
    pub fn of(picture: &Picture<'_>) -> Self {
        let mut facts = Self::default();
        monitor::compute(picture, &mut facts);
        intercept::compute(picture, &mut facts);
        large::compute(picture, &mut facts);
        clock::compute(picture, &mut facts);
        reg::compute(picture, &mut facts);
        delegation::compute(picture, &mut facts);
        authority::compute(picture, &mut facts);
        zone::compute(picture, &mut facts);
        wildcard::compute(picture, &mut facts);
        dnssec::compute(picture, &mut facts);
        resolver::compute(picture, &mut facts);
        transport::compute(picture, &mut facts);
        caches::compute(picture, &mut facts);
        net::compute(picture, &mut facts);
        tls::compute(picture, &mut facts);
        cert::compute(picture, &mut facts);
        http::compute(picture, &mut facts);
        steering::compute(picture, &mut facts);
        tries::compute(picture, &mut facts);
        tls::client_auth(picture, &mut facts);
        facts
    }

    /// All of them.
    #[must_use]
    pub fn all(&self) -> &[Known] {
        &self.all
    }

    fn add<I>(&mut self, kind: FactKind, subject: Subject, value: Value, from: I)
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        self.add_in(None, kind, subject, value, from);
    }

    fn add_in<I>(
        &mut self,
        zone: Option<&DnsName>,
        kind: FactKind,
        subject: Subject,
        value: Value,
        from: I,
    ) where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        let mut from: Vec<String> = from.into_iter().map(Into::into).collect();
        from.sort_by_key(|id| (id.len(), id.clone()));
        from.dedup();
        let zone = match &subject {
            Subject::Zone(zone) => Some(zone.clone()),
            Subject::NameServer(..) => zone.cloned(),
            Subject::Vantage | Subject::Service | Subject::Resolver(_) | Subject::Address(_) => {
                None
            }
        };
        self.all.push(Known {
            kind,
            subject,
            zone,
            value,
            from,
        });
    }

    /// The facts of a kind.
    pub fn of_kind(&self, kind: FactKind) -> impl Iterator<Item = &Known> {
        self.all.iter().filter(move |f| f.kind == kind)
    }

    /// Is there one of this kind about this subject?
    #[must_use]
    pub fn holds(&self, kind: FactKind, subject: &Subject) -> bool {
        self.of_kind(kind).any(|f| f.subject == *subject)
    }

    /// The facts that bear on a subject: its own, its zone's, the service's and the vantage's.
    pub fn bearing_on<'f>(
        &'f self,
        subject: &'f Subject,
        zone: Option<&'f DnsName>,
    ) -> impl Iterator<Item = &'f Known> {
        self.all.iter().filter(move |f| {
            f.subject == *subject
                || match &f.subject {
                    Subject::Vantage | Subject::Service => true,
                    Subject::Zone(z) => Some(z) == zone,
                    Subject::NameServer(..) | Subject::Resolver(_) | Subject::Address(_) => false,
                }
        })
    }
}

/// Names as JSON.
pub(crate) fn names(names: &[DnsName]) -> Value {
    names.iter().map(DnsName::as_str).collect()
}

/// Addresses as JSON.
pub(crate) fn addresses<'a>(all: impl IntoIterator<Item = &'a IpAddr>) -> Value {
    all.into_iter().map(IpAddr::to_string).collect()
}
