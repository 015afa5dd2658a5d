//! When nobody is heard: nothing is watched, and that is one thing to be told, and an urgent one.

use bellwether_model::VantageId;
use jiff::Timestamp;

use super::{Blind, Change, Vantages, belies, silences};

/// At most so many vantages are told one by one.
const TOLD_MAX: usize = 6;

impl Vantages {
    /// Is anybody left who is heard? While nobody is, what is wrong with single vantages is not told by
    /// itself; once somebody is, what still is wrong is told again.
    pub(super) fn look_who_is_left(&mut self, changes: &mut Vec<Change>) {
        let heard = self.known.iter().find(|(_, k)| k.unheard.is_none());
        let heard = heard.map(|(id, _)| id.clone());
        let is_blind = self.is_many() && heard.is_none();
        let was_blind = std::mem::replace(&mut self.is_blind, is_blind);
        if !is_blind && !was_blind {
            return;
        }
        changes.retain(|change| !is_of_one(change));
        match (was_blind, heard) {
            (true, Some(heard)) => {
                let words = format!("{heard} is heard again, and judges");
                changes.push(Change::Sees { words });
                for (id, known) in &self.known {
                    for (cause, trouble) in &known.troubles {
                        let words = (
                            trouble.since,
                            trouble.summary.clone(),
                            trouble.remedy.clone(),
                        );
                        let mut amiss = super::of(id, *cause, words);
                        if known.votes.stands() == Some(*cause) {
                            amiss.resolvers = known.votes.resolvers().to_vec();
                        }
                        changes.push(Change::Amiss(amiss));
                    }
                }
                self.is_news = true;
            }
            (false, _) => {
                changes.push(Change::Blind(self.blind()));
                self.is_news = true;
            }
            (true, None) => {}
        }
    }

    /// Since when, and by what.
    fn blind(&self) -> Blind {
        let since = self.known.values().filter_map(|k| k.unheard).max();
        let mut why: Vec<String> = Vec::new();
        for (id, known) in self.known.iter().take(TOLD_MAX) {
            let silencing = known.troubles.iter().filter(|(cause, _)| silences(**cause));
            let worst = silencing.min_by_key(|(cause, _)| !belies(**cause));
            why.push(match worst {
                Some((cause, _)) => format!("{id}: {cause}"),
                None => format!("{id}: its agent never came"),
            });
        }
        let more = self.known.len().saturating_sub(TOLD_MAX);
        if more > 0 {
            why.push(format!("and {more} more"));
        }
        let summary = format!(
            "nothing is watched now: none of {} vantages is heard ({}), and what is true of any service is unknown",
            self.known.len(),
            why.join(", ")
        );
        let remedy = format!(
            "Look at this hub first: its load, its network and its clock, since all agents come to it. Then at the vantage that is easiest to mend ({}); as soon as one is heard, services are watched again",
            self.easiest()
        );
        Blind {
            since: since.unwrap_or(Timestamp::UNIX_EPOCH),
            summary,
            remedy,
        }
    }

    /// The hub's own vantage is at hand.
    fn easiest(&self) -> String {
        let local = VantageId::new(VantageId::LOCAL);
        let troubles = self.known.get(&local).map(|known| known.troubles.values());
        let remedy = troubles.into_iter().flatten().map(|t| t.remedy.as_str());
        let remedy = remedy.filter(|remedy| !remedy.is_empty()).min();
        match remedy {
            Some(remedy) => format!("{local}: {}", remedy.trim_end_matches('.')),
            None => local.to_string(),
        }
    }
}

/// Does it tell of one vantage what is wrong with it?
fn is_of_one(change: &Change) -> bool {
    match change {
        Change::Amiss(_) | Change::Mended { .. } | Change::Rejudged { .. } => true,
        Change::Blind(_)
        | Change::Sees { .. }
        | Change::Unheard { .. }
        | Change::Heard { .. }
        | Change::WantTrace { .. } => false,
    }
}
