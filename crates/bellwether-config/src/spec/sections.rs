//! The shape of what people write: all sections but `services:`.
//!
//! The doc comments are what `config explain` and editors show: each says what the value means and
//! in which unit it is written.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::place::At;
use crate::secret::Secret;

/// Where the hub listens and keeps its data.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "Hub")]
pub struct HubSpec {
    /// Address and port of the API and the pages. Anything but a loopback address asks everybody
    /// for a token.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "127.0.0.1:8400"))]
    pub listen: Option<At<String>>,
    /// Address and port that agents link to, over TLS by certificates of the hub's own. Left out:
    /// nowhere without `vantages:`, else where only this machine reaches it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "127.0.0.1:8401"))]
    pub agents_listen: Option<At<String>>,
    /// Directory of the data. Left out: what `--data-dir` says, else `/var/lib/bellwether` as a
    /// service, and `$XDG_STATE_HOME/bellwether` for a person.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_dir: Option<At<String>>,
    /// What the data are kept in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub store: Option<StoreSpec>,
}

/// What the data are kept in.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "Store")]
pub struct StoreSpec {
    /// Engine of incidents, evidence and tokens. This version has `embedded`: files in the data
    /// directory.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "embedded", "enum" = ["embedded"]))]
    pub state: Option<At<String>>,
    /// Engine of the results. This version has `embedded`: files in the data directory.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "embedded", "enum" = ["embedded"]))]
    pub observations: Option<At<String>>,
}

/// Whom to trust.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "Trust")]
pub struct TrustSpec {
    /// Files with further trust anchors for TLS, PEM, besides those of the program.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ca_files: Vec<At<String>>,
    /// Root name servers: `shipped`, or a hints file as InterNIC publishes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "shipped"))]
    pub root_hints: Option<At<String>>,
    /// Key of the root: `shipped`, a file with DS or DNSKEY records in zone-file form, or `none`,
    /// which switches the validation of signatures off.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "shipped"))]
    pub trust_anchor: Option<At<String>>,
    /// Table of prefixes, AS numbers and owners: MMDB, or CSV with the header `prefix,asn,owner`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asn_table: Option<At<String>>,
}

/// What checks inherit where neither they nor their service say otherwise.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "Defaults")]
pub struct DefaultsSpec {
    /// How often a check runs, a number with its unit of time: `60s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "60s", "pattern" = crate::units::DURATION_PATTERN))]
    pub every: Option<At<String>>,
    /// How long one attempt may take, a number with its unit of time: `10s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "10s", "pattern" = crate::units::DURATION_PATTERN))]
    pub timeout: Option<At<String>>,
    /// How often a deep trace is made besides on each failure or change, a number with its unit of
    /// time: `15m`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "15m", "pattern" = crate::units::DURATION_PATTERN))]
    pub deep_every: Option<At<String>>,
}

/// Where an agent stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Vantage")]
pub struct VantageSpec {
    /// Its name, unique. `local` is built in: that is the hub itself, and no agent enrols as it.
    pub name: At<String>,
    /// Part of the world: vantages of one region are judged together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<At<String>>,
    /// Its autonomous system: `AS3320`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^AS[0-9]{1,10}$"))]
    pub network: Option<At<String>>,
    /// How it is connected: `eyeball` (as homes and offices are), `cloud` or `transit`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = ["eyeball", "cloud", "transit"]))]
    pub access: Option<At<String>>,
}

/// Who must report in time: exactly one of `every` and `cron`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Heartbeat")]
pub struct HeartbeatSpec {
    /// Its name, unique.
    pub name: At<String>,
    /// Longest time between two reports, a number with its unit of time: `1d`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("pattern" = crate::units::DURATION_PATTERN))]
    pub every: Option<At<String>>,
    /// When it reports, a cron pattern of five fields: `0 3 * * *`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cron: Option<At<String>>,
    /// Time zone of `cron`, a name of the IANA database: `Europe/Berlin`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "UTC"))]
    pub time_zone: Option<At<String>>,
    /// How late it may be, a number with its unit of time: `20m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "5m", "pattern" = crate::units::DURATION_PATTERN))]
    pub grace: Option<At<String>>,
    /// How long one run may take, from the report of its start to that of its end, a number with its
    /// unit of time: `2h`. Without it, a run that was begun must end by the time that it is due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("pattern" = crate::units::DURATION_PATTERN))]
    pub max_run: Option<At<String>>,
    /// Last part of its URL where an old one is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^[a-z0-9][a-z0-9_-]*$"))]
    pub slug: Option<At<String>>,
    /// UUID of its URL where an old one is kept. Never shown: whoever knows it can report.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uuid: Option<At<Secret>>,
    /// Push token of Uptime Kuma where an old URL is kept. Never shown, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<At<Secret>>,
}

/// Who can be told: exactly one of `slack` and `jira`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Receiver")]
pub struct ReceiverSpec {
    /// Its name, unique.
    pub name: At<String>,
    /// A message in Slack.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slack: Option<SlackSpec>,
    /// A ticket in Jira.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jira: Option<JiraSpec>,
}

/// A message in Slack.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Slack")]
pub struct SlackSpec {
    /// URL of the incoming webhook; usually `${env:SLACK_WEBHOOK}`. Never shown.
    pub webhook: At<Secret>,
}

/// A ticket in Jira.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Jira")]
pub struct JiraSpec {
    /// Where Jira is: `https://jira.example.com`.
    pub url: At<String>,
    /// Key of the project: `OPS`.
    pub project: At<String>,
    /// API token; usually `${env:JIRA_TOKEN}`. Never shown.
    pub token: At<Secret>,
}

/// Who is told what.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "Route")]
pub struct RouteSpec {
    /// Which incidents, each a condition on a label: `team="pay"`. The root takes all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub matchers: Vec<At<String>>,
    /// Who is told, a name of `receivers`. A route inherits it from the one around it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub receiver: Option<At<String>>,
    /// Incidents that agree in these are told together: labels, or `cause`, `layer`, `service`,
    /// `severity`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_by: Option<Vec<At<String>>>,
    /// After how long an open incident is told again, a number with its unit of time: `4h`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "4h", "pattern" = crate::units::DURATION_PATTERN))]
    pub repeat_interval: Option<At<String>>,
    /// Who is told besides if nobody acknowledges.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub escalate: Vec<EscalationSpec>,
    /// Routes for some of these incidents; the first that fits is taken.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<At<RouteSpec>>,
}

/// Who is told besides if nobody acknowledges.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Escalation")]
pub struct EscalationSpec {
    /// So long after the first notice, a number with its unit of time: `15m`.
    #[schemars(extend("pattern" = crate::units::DURATION_PATTERN))]
    pub after: At<String>,
    /// Who, a name of `receivers`.
    pub receiver: At<String>,
}

/// When faults of some services are expected.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Maintenance")]
pub struct MaintenanceSpec {
    /// Its name, unique.
    pub name: At<String>,
    /// Of which services, by name; at least one.
    pub services: Vec<At<String>>,
    /// When it begins, a cron pattern of five fields: `0 2 * * Sun`.
    pub cron: At<String>,
    /// Time zone of `cron`, a name of the IANA database: `Europe/Berlin`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "UTC"))]
    pub time_zone: Option<At<String>>,
    /// How long it lasts, a number with its unit of time: `1h`.
    #[serde(rename = "for")]
    #[schemars(extend("pattern" = crate::units::DURATION_PATTERN))]
    pub lasts: At<String>,
}

/// What the public is shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "StatusPage")]
pub struct StatusPageSpec {
    /// Its name, unique.
    pub name: At<String>,
    /// Host name it is served under: `status.shop.example`.
    pub host: At<String>,
    /// What it shows, at least one group.
    pub groups: Vec<At<StatusGroupSpec>>,
    /// How often it is updated during an incident, a number with its unit of time: `30m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "30m", "pattern" = crate::units::DURATION_PATTERN))]
    pub cadence: Option<At<String>>,
}

/// Services under one heading.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "StatusGroup")]
pub struct StatusGroupSpec {
    /// Its heading.
    pub name: At<String>,
    /// Its services, by name; at least one.
    pub services: Vec<At<String>>,
}

/// How long data are kept.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "Retention")]
pub struct RetentionSpec {
    /// Age of single results, a number with its unit of time: `30d`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "30d", "pattern" = crate::units::DURATION_PATTERN))]
    pub raw: Option<At<String>>,
    /// Age of sums over them, a number with its unit of time: `13mo` (a month is 30 days).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "13mo", "pattern" = crate::units::DURATION_PATTERN))]
    pub rollups: Option<At<String>>,
    /// Size of all data, a number with its unit of size (KiB, MiB, GiB): `20GiB`; the oldest go
    /// first.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "20GiB", "pattern" = crate::units::SIZE_PATTERN))]
    pub max_size: Option<At<String>>,
}
