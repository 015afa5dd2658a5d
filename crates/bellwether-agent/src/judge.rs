//! From the records of a visit to what it came to, in short. The same in a worker, which judges what it
//! saw itself, and here, where one says only what it saw.

use std::hash::{DefaultHasher, Hash, Hasher as _};

use bellwether_diagnose::visit::{self, Judged};
use bellwether_model::job::CheckAsk;
use bellwether_model::run::RunOutcome;
use bellwether_model::{Brief, Layer, Observation};
use jiff::Timestamp;

/// How each word begins that says why nothing can be said.
const MONITOR: &str = "monitor.";

/// What a visit at `now` came to, with its records as they are judged: for a worker, see
/// [`serve_many_judged`](bellwether_probe::worker::serve_many_judged).
#[must_use]
pub fn judge(
    ask: &CheckAsk,
    observations: Vec<Observation>,
    now: Timestamp,
) -> (Brief, Vec<Observation>) {
    let (judged, situation) = visit::row_and_situation(ask, observations, now);
    (brief(judged), situation.observations)
}

fn brief(judged: Judged) -> Brief {
    let Judged {
        outcome,
        layer,
        symptom,
        not_run,
        address,
        status,
        size,
        certificate,
        certificate_ends,
        phases,
        answers,
        owners,
    } = judged;
    Brief {
        outcome,
        layer,
        symptom: symptom.map(Into::into),
        not_run,
        address,
        status,
        size,
        certificate,
        certificate_ends,
        phases,
        answers: (!answers.is_empty()).then(|| hash(&answers)),
        owners: (!owners.is_empty()).then(|| hash(&owners)),
    }
}

/// Could this have been judged by our own code? A worker reads what strangers send.
pub(crate) fn is_sound(brief: &Brief) -> bool {
    match (brief.outcome, &brief.symptom) {
        (RunOutcome::Ok, None) => brief.layer.is_none(),
        (RunOutcome::Ok, Some(_)) => false,
        (RunOutcome::NotRun, symptom) => {
            let is_ours = |word: &str| word.starts_with(MONITOR) && visit::is_known(word);
            brief.layer == Some(Layer::Monitor) && symptom.as_deref().is_some_and(is_ours)
        }
        (RunOutcome::Wrong | RunOutcome::Failed, symptom) => {
            brief.layer.is_some_and(|layer| layer != Layer::Monitor)
                && symptom.as_deref().is_some_and(visit::is_known)
        }
    }
}

fn hash(values: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    values.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Seen, planned, told, visit_of};

    fn judged(seen: Seen) -> Brief {
        let ask = planned(0, 60).ask;
        let records = told(1, &visit_of(&ask), seen).observations;
        judge(&ask, records, Timestamp::UNIX_EPOCH).0
    }

    #[test]
    fn what_our_own_code_says_is_sound() {
        let briefs = [Seen::Ok, Seen::Refused, Seen::Nxdomain].map(judged);
        for brief in &briefs {
            assert!(is_sound(brief), "{brief:?}");
        }
        assert!(is_sound(&Brief::unknown("monitor.limit".into())));
        let [ok, refused, _] = briefs;
        let nonsense = [
            Brief {
                symptom: Some("tcp.refused".into()),
                ..ok
            },
            Brief {
                symptom: None,
                ..refused.clone()
            },
            Brief {
                symptom: Some("<script>".into()),
                ..refused.clone()
            },
            Brief {
                symptom: Some("http.status_<script>".into()),
                ..refused.clone()
            },
            Brief {
                outcome: RunOutcome::NotRun,
                ..refused.clone()
            },
            Brief {
                layer: Some(Layer::Dns),
                ..Brief::unknown("monitor.limit".into())
            },
            Brief::unknown("tcp.refused".into()),
            Brief {
                layer: Some(Layer::Monitor),
                ..refused.clone()
            },
            Brief {
                layer: None,
                ..refused
            },
        ];
        for brief in nonsense {
            assert!(!is_sound(&brief), "{brief:?}");
        }
    }

    #[test]
    fn looks_differ_by_what_was_seen() {
        assert_eq!(judged(Seen::Ok).look(), judged(Seen::Ok).look());
        let others = [Seen::Refused, Seen::Nxdomain, Seen::Certificate(7)];
        for other in others {
            assert_ne!(judged(other).look(), judged(Seen::Ok).look(), "{other:?}");
        }
    }
}
