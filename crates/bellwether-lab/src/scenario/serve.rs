//! Words for a program that runs on while the world changes, and for what is waited for.

use std::collections::BTreeMap;

use bellwether_model::incident::IncidentState;
use bellwether_model::{Cause, Verdict};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::lists::given;
use super::look::{IncidentExpect, MetricExpect, MomentExpect};
use super::vantage::PresenceWord;

/// What is done with the running `serve`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ServeWord {
    /// It is started on the data that it left, with a configuration that the lab writes, and is
    /// waited for until it is ready.
    Start,
    /// It is asked to end (SIGTERM), and must do so within its promise.
    Stop,
    /// It is ended without warning (SIGKILL).
    Kill,
    /// It stands still (SIGSTOP).
    Freeze,
    /// It goes on (SIGCONT).
    Thaw,
    /// One of its worker processes stands still.
    FreezeWorker,
    /// One of its worker processes is ended without warning.
    KillWorker,
    /// For a time (`during`), each of its worker processes that has a connection to an endpoint (`of`)
    /// is ended without warning.
    KillProber,
    /// Its configuration is written anew, and it is told (SIGHUP).
    Reload,
}

impl ServeWord {
    /// The word as written.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Kill => "kill",
            Self::Freeze => "freeze",
            Self::Thaw => "thaw",
            Self::FreezeWorker => "freeze_worker",
            Self::KillWorker => "kill_worker",
            Self::KillProber => "kill_prober",
            Self::Reload => "reload",
        }
    }

    /// Does it write a configuration?
    pub(crate) fn configures(self) -> bool {
        match self {
            Self::Start | Self::Reload => true,
            Self::Stop
            | Self::Kill
            | Self::Freeze
            | Self::Thaw
            | Self::FreezeWorker
            | Self::KillWorker
            | Self::KillProber => false,
        }
    }
}

/// Whether the disk of the running `serve` takes anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DiskWord {
    /// There is no room left on it.
    Full,
    /// There is room again.
    Free,
}

/// What is waited for: all that is given must hold at once.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct UntilSpec {
    /// The service that `verdict` and `cause` speak of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// Its verdict.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
    /// Its cause; `null`: none.
    #[serde(deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub cause: Option<Option<Cause>>,
    /// How many incidents there are, in this `state` if one is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub incidents: Option<usize>,
    /// Where those incidents stand.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<IncidentState>,
    /// What happened to one of the incidents, in this order, among other things.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub timeline: Vec<MomentExpect>,
    /// An incident that there must be, as in `expect`; times and `same_as` are not for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub incident: Option<IncidentExpect>,
    /// How agents are, by vantage.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub agents: BTreeMap<String, PresenceWord>,
    /// Metrics, as in `expect`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub metrics: BTreeMap<String, MetricExpect>,
    /// Was the newest configuration refused?
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<bool>,
}

impl UntilSpec {
    /// What is wrong with it, if anything is.
    pub(crate) fn complaint(&self) -> Option<&'static str> {
        let Self {
            service,
            verdict,
            cause,
            incidents,
            state,
            timeline,
            incident,
            agents,
            metrics,
            refused,
        } = self;
        let of_service = verdict.is_some() || cause.is_some();
        if of_service != service.is_some() {
            return Some("`service` goes with `verdict` or `cause`, and these with it");
        }
        if state.is_some() && incidents.is_none() {
            return Some("`state` goes with `incidents`, the number of those in it");
        }
        if incident
            .as_ref()
            .is_some_and(IncidentExpect::compares_times)
        {
            return Some("times of an `incident` and `same_as` are for a `look`");
        }
        let nothing = service.is_none() && incidents.is_none() && timeline.is_empty();
        let nothing = nothing && incident.is_none() && agents.is_empty();
        if nothing && metrics.is_empty() && refused.is_none() {
            return Some(
                "nothing to wait for; give `service`, `incidents`, `incident`, `timeline`, `agents`, `metrics` or `refused`",
            );
        }
        None
    }
}
