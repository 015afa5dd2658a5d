//! Plans: put together from their parts, and kept on disk, so that an agent that starts without its hub
//! goes on with what it was told last.

use std::io;
use std::path::PathBuf;

use bellwether_link::private;
use bellwether_model::link::{LinkCheck, PlanHead};
use serde::{Deserialize, Serialize};

use crate::Plan;
use crate::settings::{Local, plan_of};

/// Checks of a plan, at most: what one machine can run is less.
const CHECKS_MAX: usize = 200_000;
const SCHEMA: &str = "bellwether.plan/1";

/// The file that the plan is kept in. It may hold client keys.
#[derive(Clone, Debug)]
pub struct PlanFile(pub PathBuf);

#[derive(Serialize, Deserialize)]
struct Kept {
    schema: String,
    head: PlanHead,
    checks: Vec<LinkCheck>,
}

impl PlanFile {
    /// The plan that was kept; `None` if there was none.
    ///
    /// # Errors
    /// It cannot be read, or gone by any more, in words.
    pub fn load(&self, local: &Local) -> Result<Option<Plan>, String> {
        let text = match std::fs::read(&self.0) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.to_string()),
        };
        let kept: Kept = serde_json::from_slice(&text).map_err(|error| error.to_string())?;
        if kept.schema != SCHEMA {
            return Err(format!("`{}` is not `{SCHEMA}`", kept.schema));
        }
        plan_of(kept.head, kept.checks, local).map(Some)
    }

    fn store(&self, kept: &Kept) -> io::Result<()> {
        private::write(&self.0, &serde_json::to_vec(kept)?)
    }
}

/// A plan of which not all parts have come.
#[derive(Debug, Default)]
pub(super) struct Assembly(Option<(PlanHead, Vec<LinkCheck>)>);

impl Assembly {
    pub(super) fn begin(&mut self, head: PlanHead) {
        self.0 = Some((head, Vec::new()));
    }

    /// # Errors
    /// The part belongs to no plan that was begun, or there are too many.
    pub(super) fn part(&mut self, generation: u64, checks: Vec<LinkCheck>) -> Result<(), String> {
        let (head, all) = self
            .0
            .as_mut()
            .ok_or("a part of a plan that was not begun")?;
        if head.generation != generation {
            return Err(format!(
                "a part of plan {generation} within plan {}",
                head.generation
            ));
        }
        if all.len() + checks.len() > CHECKS_MAX {
            return Err(format!("a plan of more than {CHECKS_MAX} checks"));
        }
        all.extend(checks);
        Ok(())
    }

    /// The whole plan. It is kept in `file` too; where that fails, it is gone by all the same.
    ///
    /// # Errors
    /// Parts are missing, or it cannot be gone by, in words.
    pub(super) fn end(
        &mut self,
        generation: u64,
        count: u64,
        local: &Local,
        file: Option<&PlanFile>,
    ) -> Result<Plan, String> {
        let (head, checks) = self
            .0
            .take()
            .ok_or("the end of a plan that was not begun")?;
        if head.generation != generation || checks.len() as u64 != count {
            let came = checks.len();
            return Err(format!(
                "{came} of {count} checks of plan {generation} came"
            ));
        }
        let kept = Kept {
            schema: SCHEMA.to_owned(),
            head,
            checks,
        };
        let plan = plan_of(kept.head.clone(), kept.checks.clone(), local)?;
        if let Some(file) = file
            && let Err(error) = file.store(&kept)
        {
            tracing::error!(%error, "the plan cannot be kept: after a start without the hub, the one before is gone by");
        }
        Ok(plan)
    }
}
