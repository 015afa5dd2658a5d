//! How each agent elsewhere is, as API, page and metrics tell it.

use std::collections::BTreeSet;

use bellwether_config::config::Vantage;
use bellwether_model::VantageId;
use bellwether_model::text::inert;
use bellwether_store::StoreError;

use super::counts::Counts;
use super::registry::Enrolled;
use super::sift::Why;
use crate::links::Presence;
use crate::shared::Shared;

/// Longest name of a check that is told, characters.
const NAME_LEN_MAX: usize = 128;

/// The agent of a vantage.
#[derive(Clone, Debug)]
pub struct Row {
    /// Where it stands.
    pub vantage: VantageId,
    /// What the configuration says of that, if it does.
    pub configured: Option<Vantage>,
    /// Who was made its agent, if anybody was.
    pub enrolled: Option<Enrolled>,
    /// How it is; nothing, where it was not seen since the hub started.
    pub presence: Presence,
    /// What became of what it said.
    pub counts: Counts,
}

/// In a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It is linked.
    Linked,
    /// It has a link, and nothing came over it for long.
    Silent,
    /// It is not, and was before.
    Away,
    /// It was enrolled, and never came.
    Enrolled,
    /// It was revoked.
    Revoked,
    /// Its vantage is configured, and nobody was enrolled for it.
    Missing,
    /// It was enrolled for a vantage that is no longer configured.
    Unconfigured,
}

impl State {
    /// The word.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Linked => "linked",
            Self::Silent => "silent",
            Self::Away => "away",
            Self::Enrolled => "enrolled",
            Self::Revoked => "revoked",
            Self::Missing => "missing",
            Self::Unconfigured => "unconfigured",
        }
    }
}

impl Row {
    /// What is wrong with it, in words; nothing, where nothing is known to be.
    #[must_use]
    pub fn troubles(&self) -> Vec<String> {
        let mut troubles = Vec::new();
        let state = self.presence.state.as_ref();
        troubles.extend(state.and_then(|state| state.trouble.clone()));
        if let Some(why) = &self.presence.unplanned {
            troubles.push(format!("it cannot go by its plan: {why}"));
        }
        let refused = |why: Why| self.counts.refused[why as usize];
        if let Some(check) = &self.counts.never_given {
            let (count, check) = (refused(Why::Check), inert(check.as_str(), NAME_LEN_MAX));
            troubles.push(format!(
                "it brought {count} results of checks that it was never given, the last of `{check}`"
            ));
        }
        let left_out = refused(Why::Word);
        if left_out > 0 {
            troubles.push(format!(
                "it named more addresses, certificates and resolvers than its checks can see: {left_out} were left out"
            ));
        }
        troubles
    }

    /// In a word.
    #[must_use]
    pub fn state(&self) -> State {
        let Some(enrolled) = &self.enrolled else {
            return State::Missing;
        };
        if enrolled.revoked.is_some() {
            State::Revoked
        } else if self.configured.is_none() {
            State::Unconfigured
        } else if self.presence.is_linked {
            State::Linked
        } else if self.presence.is_silent {
            State::Silent
        } else if enrolled.seen.is_some() {
            State::Away
        } else {
            State::Enrolled
        }
    }
}

/// Every agent elsewhere that is configured or enrolled, by vantage. Blocks where the store was not
/// read yet.
///
/// # Errors
/// The store cannot be read.
pub fn roster(shared: &Shared) -> Result<Vec<Row>, StoreError> {
    let mut enrolled = shared.fleet.registry.agents()?;
    let mut presences = shared.links.all();
    let mut counts = shared.fleet.tally.agents();
    let configured = shared.configured.load_full();
    let wanted = &configured.config.vantages;
    let mut all: BTreeSet<VantageId> = enrolled.keys().cloned().collect();
    all.extend(wanted.iter().map(|vantage| VantageId::new(&vantage.name)));
    let rows = all.into_iter().map(|vantage| Row {
        configured: wanted
            .iter()
            .find(|own| own.name == vantage.as_str())
            .cloned(),
        enrolled: enrolled.remove(&vantage),
        presence: presences.remove(&vantage).unwrap_or_default(),
        counts: counts.remove(&vantage).unwrap_or_default(),
        vantage,
    });
    Ok(rows.collect())
}
