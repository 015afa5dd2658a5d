//! What a step must find.

use std::collections::BTreeMap;

use bellwether_model::{Cause, FactKind, Layer, Verdict};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::lists::given;
use super::look::{IncidentExpect, MetricExpect, ServiceExpect};
use super::vantage::{PresenceWord, RunsExpect};

/// What a step must find. What is left out is not compared. `services`, `incidents`, `metrics`,
/// `agents`, `runs`, `no_target` and `refused` are for a `look`, `nothing_else` for both, the others for a `check`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ExpectSpec {
    /// The verdict.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
    /// The diagnosis's cause, or else that of the first warning; `null`: neither.
    #[serde(deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub cause: Option<Option<Cause>>,
    /// Causes of other roots.
    #[schemars(with = "Vec<String>")]
    pub also: Vec<Cause>,
    /// The layer of the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layer: Option<Layer>,
    /// Causes listed as consequences, among others.
    #[schemars(with = "Vec<String>")]
    pub consequences: Vec<Cause>,
    /// Facts that something was concluded from, among others.
    #[schemars(with = "Vec<String>")]
    pub facts: Vec<FactKind>,
    /// Who is affected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<ScopeExpect>,
    /// The diagnosis may not be surer than this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confidence_at_most: Option<f64>,
    /// DNS queries sent may not be more than this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queries_at_most: Option<u32>,
    /// Of a check: no root and no consequence besides those named, and no warning if no cause is
    /// named. Of a look: no incident besides those listed.
    pub nothing_else: bool,
    /// Of a look: no incident of a target besides those listed. What else there is is trouble of
    /// the monitor's own.
    #[serde(skip_serializing_if = "is_false")]
    pub no_target: bool,
    /// How services stand, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub services: BTreeMap<String, ServiceExpect>,
    /// Incidents that there are, in any order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub incidents: Option<Vec<IncidentExpect>>,
    /// Metrics: `NAME` or `NAME{label="value"}`; what fits is summed up.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub metrics: BTreeMap<String, MetricExpect>,
    /// How agents are, by vantage.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub agents: BTreeMap<String, PresenceWord>,
    /// What is kept of runs, by `service/check` and vantage.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub runs: BTreeMap<String, BTreeMap<String, RunsExpect>>,
    /// Was the newest configuration refused?
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<bool>,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde asks with a reference"
)]
fn is_false(flag: &bool) -> bool {
    !*flag
}

impl ExpectSpec {
    /// A word of it that is for a `check`, if there is one.
    pub(crate) fn word_of_check(&self) -> Option<&'static str> {
        let given = [
            ("verdict", self.verdict.is_some()),
            ("cause", self.cause.is_some()),
            ("also", !self.also.is_empty()),
            ("layer", self.layer.is_some()),
            ("consequences", !self.consequences.is_empty()),
            ("facts", !self.facts.is_empty()),
            ("scope", self.scope.is_some()),
            ("confidence_at_most", self.confidence_at_most.is_some()),
            ("queries_at_most", self.queries_at_most.is_some()),
        ];
        given.into_iter().find(|(_, there)| *there).map(|(w, _)| w)
    }

    /// A word of it that is for a `look`, if there is one.
    pub(crate) fn word_of_look(&self) -> Option<&'static str> {
        let given = [
            ("services", !self.services.is_empty()),
            ("incidents", self.incidents.is_some()),
            ("metrics", !self.metrics.is_empty()),
            ("no_target", self.no_target),
            ("agents", !self.agents.is_empty()),
            ("runs", !self.runs.is_empty()),
            ("refused", self.refused.is_some()),
        ];
        given.into_iter().find(|(_, there)| *there).map(|(w, _)| w)
    }
}

/// Keys of a scope; each that is given equals as a set.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ScopeExpect {
    /// Vantages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vantages: Option<Vec<String>>,
    /// Resolvers, as asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resolvers: Option<Vec<String>>,
    /// Name servers, `NAME@ADDRESS` or `NAME`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name_servers: Option<Vec<String>>,
    /// Addresses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub addresses: Option<Vec<String>>,
    /// Address families.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub families: Option<Vec<String>>,
    /// Client profiles.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profiles: Option<Vec<String>>,
    /// Owners.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owners: Option<Vec<String>>,
    /// The chance that a user's attempt fails, to two places.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub share: Option<f64>,
    /// Since when, RFC 3339; `null` if unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
}
