//! What an agent elsewhere is to do, in messages that fit into frames.

use bellwether_agent::settings::{SettingsError, link_plan};
use bellwether_model::VantageId;
use bellwether_model::link::{LinkCheck, ToAgent};
use bellwether_store::StoreError;

use crate::judge;
use crate::shared::{Configured, Shared};

/// Bytes of checks in one part, about: on a slow line each takes seconds, and what else is to be said
/// waits behind one of them.
const PART_LEN: usize = 16 * 1024;

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub(super) enum PlanError {
    /// A file that the configuration names.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A check that cannot be written down.
    #[error("a check cannot be told")]
    Json(#[from] serde_json::Error),
}

/// The messages that tell a vantage what to do. Blocks.
pub(super) fn messages(
    shared: &Shared,
    configured: &Configured,
    vantage: &VantageId,
) -> Result<Vec<ToAgent>, PlanError> {
    let baselines = judge::baselines(&*shared.state, &configured.config, vantage)?;
    let generation = configured.generation;
    let (head, checks) = link_plan(&configured.config, generation, vantage, &baselines)?;
    let count = u64::try_from(checks.len()).unwrap_or(u64::MAX);
    let mut messages = vec![ToAgent::Plan(head)];
    let mut part: Vec<LinkCheck> = Vec::new();
    let mut len = 0;
    for check in checks {
        let of_check = serde_json::to_vec(&check)?.len();
        if len + of_check > PART_LEN && !part.is_empty() {
            let checks = std::mem::take(&mut part);
            messages.push(ToAgent::PlanPart { generation, checks });
            len = 0;
        }
        len += of_check;
        part.push(check);
    }
    if !part.is_empty() {
        let checks = part;
        messages.push(ToAgent::PlanPart { generation, checks });
    }
    messages.push(ToAgent::PlanEnd {
        generation,
        checks: count,
    });
    Ok(messages)
}

#[cfg(test)]
mod tests {
    use bellwether_link::frame;
    use jiff::Timestamp;

    use super::*;
    use crate::testing;

    #[test]
    fn a_large_plan_comes_in_frames() {
        let mut text = "vantages: [{ name: fra }]\nservices:\n".to_owned();
        for n in 0..3_000 {
            text += &format!(
                "  - {{ name: s{n}, url: \"https://s{n}.example/{}\" }}\n",
                "x".repeat(200)
            );
        }
        let hub = testing::hub(Timestamp::UNIX_EPOCH, &text);
        let configured = hub.shared.configured.load_full();
        let told = messages(&hub.shared, &configured, &VantageId::new("fra")).unwrap();
        assert!(told.len() > 3, "{}", told.len());
        assert!(told.iter().all(|message| frame::encode(message).is_ok()));
        let checks = told.iter().map(|message| match message {
            ToAgent::PlanPart { checks, .. } => checks.len(),
            _ => 0,
        });
        assert_eq!(checks.sum::<usize>(), 3_000);
        assert!(matches!(
            told.last(),
            Some(ToAgent::PlanEnd { checks: 3_000, .. })
        ));
    }
}
