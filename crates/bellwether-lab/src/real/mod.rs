//! Real servers: programs of others, started in the box with what the world would have served.
//!
//! - `plan`: what each is to serve, and what it cannot be told
//! - `dns`: configuration and zone files
//! - `web`: configuration of web servers
//! - `child`: one running program

mod child;
mod dns;
mod plan;
mod web;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use crate::LabError;
use crate::netns;
use crate::scenario::Software;
use crate::service::ca::Authorities;
use crate::world::{Shared, lock};
use child::Running;
pub(crate) use child::{find, tail};
pub(crate) use plan::check;
use plan::{Plan, Serving};

/// The real servers of a world.
pub(crate) struct Reals {
    world: Shared,
    folder: PathBuf,
    /// Where clients dial from.
    vantage: Ipv4Addr,
    running: BTreeMap<SocketAddr, Running>,
}

/// How to start a program.
struct Recipe {
    arguments: Vec<String>,
    /// Files by their names in the program's folder.
    files: Vec<(String, String)>,
}

impl Reals {
    /// `folder` is the world's own: root hints and the trust anchor lie there.
    pub(crate) fn new(world: Shared, folder: &Path, vantage: Ipv4Addr) -> Self {
        Self {
            world,
            folder: folder.to_owned(),
            vantage,
            running: BTreeMap::new(),
        }
    }

    /// Starts, restarts, freezes and stops programs as the world says.
    pub(crate) async fn follow(&mut self, authorities: &Authorities) -> Result<(), LabError> {
        let (plans, now) = {
            let world = lock(&self.world);
            (plan::plans(&world), world.clock.now())
        };
        for plan in plans {
            let known = self.running.remove(&plan.at);
            let same = known
                .as_ref()
                .is_some_and(|k| k.plan.serving == plan.serving);
            if let Some(mut known) = known {
                if same {
                    known.freeze(plan.frozen)?;
                    known.plan = plan.clone();
                    self.running.insert(plan.at, known);
                    continue;
                }
                known.stop().await;
            }
            if matches!(plan.serving, Serving::Nothing) {
                continue;
            }
            let home = self.home(&plan)?;
            let recipe = match &plan.serving {
                Serving::Web { spec } => web::recipe(&plan, spec, authorities, now, &home)?,
                Serving::Nothing | Serving::Zones { .. } | Serving::Recursion { .. } => {
                    dns::recipe(&plan, &self.folder, &home)?
                }
            };
            if plan.software == Software::Named {
                // It listens at addresses of interfaces alone.
                netns::give_address(plan.at.ip(), self.vantage).await?;
            }
            let running = Running::start(plan.clone(), recipe, &home).await?;
            self.running.insert(plan.at, running);
        }
        Ok(())
    }

    /// Empties the caches of resolvers that keep nothing from one check to the next.
    pub(crate) async fn forget(&mut self, authorities: &Authorities) -> Result<(), LabError> {
        let forgetful = |running: &Running| {
            matches!(
                running.plan.serving,
                Serving::Recursion { keeps: false, .. }
            )
        };
        let places: Vec<SocketAddr> = self
            .running
            .iter()
            .filter(|(_, running)| forgetful(running))
            .map(|(at, _)| *at)
            .collect();
        for at in places {
            if let Some(running) = self.running.remove(&at) {
                running.stop().await;
            }
        }
        self.follow(authorities).await
    }

    fn home(&self, plan: &Plan) -> Result<PathBuf, LabError> {
        let name = format!("{}-{}", plan.software.program(), plan.at.port());
        let home = self.folder.join(name).join(plan.at.ip().to_string());
        std::fs::create_dir_all(&home).map_err(|source| LabError::File {
            doing: "write",
            path: home.clone(),
            source,
        })?;
        Ok(home)
    }
}
