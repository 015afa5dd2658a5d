//! An incident of the store becomes a matter again: with what is remembered of it, or without.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bellwether_model::incident::{AffectedCheck, IncidentState, Moment, MomentKind};
use bellwether_model::report::Severity;
use bellwether_model::{CheckId, Digest, Incident, VantageId};
use jiff::Timestamp;

use super::{Failure, Matter, Member, Remembered, Sort, Unkept};
use crate::incidents::brief::{Blamed, Controls};
use crate::incidents::damp::Damp;
use crate::incidents::party::{self, Party};
use crate::incidents::{Key, phrase, vantage};

impl Remembered {
    /// Checks of which something is remembered.
    pub(in super::super) fn checks(&self) -> impl Iterator<Item = &CheckId> {
        self.members.iter().map(|(check, _, _)| check)
    }
}

impl Matter {
    /// What is remembered besides the incident.
    pub(in super::super) fn remembered(&self) -> Remembered {
        let members = self.members.iter();
        let pending = self.pending.iter();
        Remembered {
            sort: self.sort,
            members: members
                .map(|((c, v), m)| (c.clone(), v.clone(), m.clone()))
                .collect(),
            parties: self.parties.clone(),
            proven: self.proven.clone(),
            first: self.first.clone(),
            damp: self.damp.clone(),
            healed_at: self.healed_at,
            mitigated_told: self.mitigated_told,
            pending: pending.map(|(text, kind)| (*kind, text.clone())).collect(),
            last_told: self.last_told,
            lines: self.lines.clone(),
            shown: self.shown.clone(),
            shared: self.shared.clone(),
            stale: self.stale,
            split_from: self.split_from.clone(),
            tried: self.tried,
            ended: self.ended.clone(),
            returned: self.returned.clone(),
        }
    }

    /// An incident of the store with what is remembered for it. The incident may be the newer one: checks
    /// that joined since, of which nothing is remembered anywhere (`held` are those of which something is),
    /// are members as it tells, as is what healed, and what it names as evidence stays named.
    pub(in super::super) fn recalled(
        incident: Incident,
        mut kept: Remembered,
        held: &BTreeSet<CheckId>,
    ) -> Self {
        let members = kept.members.into_iter();
        let mut members: BTreeMap<Key, Member> = members.map(|(c, v, m)| ((c, v), m)).collect();
        let is_healed = incident.state == IncidentState::Mitigated && kept.healed_at.is_none();
        for affected in &incident.checks {
            let Some(check) = CheckId::parse(&affected.check) else {
                continue;
            };
            if !held.contains(&check) {
                let key = (check, vantage_of(&incident));
                let member = member_of(&incident, affected, kept.sort, &key);
                members.insert(key, member);
            } else if is_healed {
                let of_it = members.iter_mut().filter(|((one, _), _)| *one == check);
                of_it.for_each(|(_, member)| member.until = member.until.or(affected.until));
            }
        }
        if is_healed {
            kept.healed_at = incident.mitigated;
            kept.mitigated_told = true;
        }
        for (_, check, digest) in shown_of(&incident) {
            if kept.shown.iter().all(|(_, _, known)| *known != digest) {
                kept.shown.push((incident.updated, check, digest));
            }
        }
        kept.shown.sort();
        let pending = kept.pending.into_iter();
        Self {
            incident,
            sort: kept.sort,
            members,
            parties: kept.parties,
            proven: kept.proven,
            first: kept.first,
            damp: kept.damp,
            healed_at: kept.healed_at,
            mitigated_told: kept.mitigated_told,
            pending: pending.map(|(kind, text)| (text, kind)).collect(),
            last_told: kept.last_told,
            lines: kept.lines,
            shown: kept.shown,
            shared: kept.shared,
            stale: kept.stale,
            split_from: kept.split_from,
            tried: kept.tried,
            ended: kept.ended,
            returned: kept.returned,
            fresh_until: Unkept::default(),
        }
    }

    /// An incident of the store of which nothing more is remembered.
    pub(in super::super) fn rebuilt(incident: Incident) -> Self {
        let sort = match (
            party::is_ours(incident.cause, incident.layer),
            incident.severity,
        ) {
            (true, _) => vantage::sort_of(incident.cause),
            (false, Severity::Critical) => Sort::Fault,
            (false, Severity::Warning | Severity::Notice) => Sort::Warning,
        };
        let mut members = BTreeMap::new();
        for affected in &incident.checks {
            let Some(check) = CheckId::parse(&affected.check) else {
                continue;
            };
            let key = (check, vantage_of(&incident));
            members.insert(key.clone(), member_of(&incident, affected, sort, &key));
        }
        if members.is_empty() && party::is_ours(incident.cause, incident.layer) {
            // A vantage as a whole.
            let vantage = vantage_of(&incident);
            let key = vantage::whole(&vantage);
            let affected = AffectedCheck {
                check: key.0.to_string(),
                since: incident.began,
                until: incident.mitigated,
                scope: incident.scope.clone(),
            };
            let member = member_of(&incident, &affected, sort, &key);
            members.insert(key, member);
        }
        let parties = members
            .values()
            .flat_map(|m: &Member| m.blamed.parties.clone())
            .collect();
        let is_first = |m: &&Moment| m.kind == MomentKind::FirstFailure;
        let first = incident.timeline.iter().find(is_first);
        Self {
            first: Failure {
                at: incident.began,
                text: first.map(|m| m.text.clone()).unwrap_or_default(),
            },
            sort,
            members,
            parties,
            proven: BTreeSet::new(),
            damp: Damp::new(incident.began),
            healed_at: incident.mitigated,
            mitigated_told: incident.mitigated.is_some(),
            pending: BTreeMap::new(),
            last_told: incident.updated,
            lines: BTreeMap::new(),
            shown: shown_of(&incident),
            shared: None,
            stale: false,
            split_from: None,
            tried: 0,
            ended: None,
            returned: None,
            fresh_until: Unkept::default(),
            incident,
        }
    }
}

/// The evidence that a stored incident names, in its order.
fn shown_of(incident: &Incident) -> Vec<(Timestamp, CheckId, Digest)> {
    let check = incident
        .checks
        .iter()
        .find_map(|c| CheckId::parse(&c.check));
    let Some(check) = check else {
        return Vec::new();
    };
    let at = |n: usize| {
        let step = std::time::Duration::from_micros(u64::try_from(n).unwrap_or(0));
        incident.began.checked_add(step).unwrap_or(incident.began)
    };
    let digests = incident.evidence.iter().enumerate();
    digests.map(|(n, d)| (at(n), check.clone(), *d)).collect()
}

/// Where a stored incident was seen first.
fn vantage_of(incident: &Incident) -> VantageId {
    let vantages = &incident.scope.vantages;
    VantageId::new(vantages.first().map_or(VantageId::LOCAL, String::as_str))
}

/// A check of a stored incident as a member again.
fn member_of(incident: &Incident, affected: &AffectedCheck, sort: Sort, key: &Key) -> Member {
    let (check, vantage) = key;
    let scope = &affected.scope;
    let summary = phrase::plain(&incident.summary);
    let finding = bellwether_model::Finding {
        cause: incident.cause,
        layer: incident.layer,
        role: bellwether_model::report::Role::Root,
        severity: incident.severity,
        confidence: incident.confidence,
        scope: scope.clone(),
        summary: summary.clone(),
        remedy: String::new(),
        see: None,
        facts: Vec::new(),
        evidence: Vec::new(),
    };
    let mut parties = party::of_finding(&finding, check, vantage);
    if sort == Sort::Slow {
        parties = BTreeSet::from([Party::Check(check.to_string())]);
    }
    Member {
        since: affected.since,
        until: affected.until,
        joined: affected.since,
        last: incident.updated,
        good: 0,
        good_since: None,
        doubted: None,
        unlike: None,
        blamed: Arc::new(Blamed {
            cause: incident.cause,
            layer: incident.layer,
            severity: incident.severity,
            verdict: incident.verdict,
            confidence: incident.confidence,
            summary,
            remedy: phrase::plain_remedy(&incident.remedy),
            see: incident.see.clone(),
            consequences: incident.consequences.clone(),
            scope: scope.clone(),
            parties,
        }),
        seen: Arc::default(),
        controls: Controls::default(),
    }
}
