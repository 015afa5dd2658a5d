//! What happens in a scenario, step by step.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::behaviour::{ControlsSpec, ResolverWords, ServerWords};
use super::hostile::PathSpec;
use super::lists::{Delegation, given};
use super::serve::{DiskWord, ServeWord, UntilSpec};
use super::signing::DsWords;
use super::time::Span;
use super::vantage::{AgentWord, Names, PingWord, VantagePatch};
use super::{HostPatch, ZonePatch};

/// One step; exactly one of `check`, `set`, `wait`, `serve`, `agent`, `ping`, `run`, `until` and
/// `look`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct StepSpec {
    /// Run a check; the step's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub check: Option<String>,
    /// Keep the report as the baseline of later check steps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub save: Option<bool>,
    /// `false` leaves the baseline out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub baseline: Option<bool>,
    /// The vantage's address.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub from: Option<IpAddr>,
    /// The check goes by this machine's own clock, not by the world's: from inside the world, a wrong
    /// one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub own_clock: Option<bool>,
    /// The check runs where there is no network: not one packet can leave.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offline: Option<bool>,
    /// The check asks no controls (`--control none`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub without_controls: Option<bool>,
    /// The trust anchor that the check is given is an older key than the root has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outdated_anchor: Option<bool>,
    /// Which service; needed if there are several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// Change the world.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub set: Option<SetSpec>,
    /// Move the world's clock: caches age, no real time passes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wait: Option<Span>,
    /// Do something with the running `serve`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serve: Option<ServeWord>,
    /// Of `serve: start` and `reload`: `defaults: { every: … }` of its configuration; 1 s if left
    /// out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub every: Option<Span>,
    /// Of `serve: start` and `reload`: `defaults: { deep_every: … }` of its configuration; its own
    /// default if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deep_every: Option<Span>,
    /// Of `serve: start` and `reload`: what is put over the configuration that the scenario makes,
    /// as in `bellwether.yaml`: mappings are merged, anything else replaces, `null` removes.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<BTreeMap<String, Value>>")]
    pub config: Option<Map<String, Value>>,
    /// Of the first `serve: start`: its data lie on a disk of their own of so many MiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk: Option<u32>,
    /// Do something with the agent at this vantage, or with those at several; `do` is needed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<Names>,
    /// Of `agent`: what is done.
    #[serde(rename = "do", skip_serializing_if = "Option::is_none")]
    pub deed: Option<AgentWord>,
    /// Of `kill_prober`: the address and port of a host, `192.0.2.1:443`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub of: Option<SocketAddr>,
    /// Of `kill_prober`: how long it goes on; the steps after it do not wait for its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub during: Option<Span>,
    /// Report as the heartbeat of this name, by the URL that the running `serve` tells; or by the
    /// path of a URL that is written here, `/ping/UUID/fail`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ping: Option<String>,
    /// Of `ping`: how it went; `success` if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub how: Option<PingWord>,
    /// Let real time pass.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<Span>,
    /// Wait in real time until the running `serve` says so; `within` is needed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<UntilSpec>,
    /// Of `until`: how long at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub within: Option<Span>,
    /// Take from the running `serve` what it says of services, incidents and itself; the step's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub look: Option<String>,
}

/// A change of the world.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SetSpec {
    /// NS sets at parents, by apex; an empty list removes the delegation.
    pub delegation: BTreeMap<String, Delegation>,
    /// DS sets at parents, by apex: `none`, `right`, `wrong`, or records as
    /// `KEYTAG ALGORITHM DIGESTTYPE DIGEST`.
    pub ds: BTreeMap<String, DsWords>,
    /// Fields of zones, by the zone's name in this file.
    pub zones: BTreeMap<String, ZonePatch>,
    /// Behaviour of DNS servers, by address or name.
    pub servers: BTreeMap<String, ServerWords>,
    /// Behaviour of resolvers, by address as in `world.resolvers`.
    pub resolvers: BTreeMap<String, ResolverWords>,
    /// What the path to port 53 of everybody loses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<PathSpec>,
    /// Behaviour of hosts, by `ADDRESS:PORT`, or `ADDRESS` for all its ports.
    pub hosts: BTreeMap<String, HostPatch>,
    /// What becomes of the packets and the link of vantages, by name; `local` has no link.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub vantages: BTreeMap<String, VantagePatch>,
    /// Room in the folder of the running `serve`'s data; needs `disk` at its start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk: Option<DiskWord>,
    /// Port 53 of every address leads to a resolver that behaves so; `null` ends it.
    #[serde(deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    pub interceptor: Option<Option<ResolverWords>>,
    /// Behaviour of the default controls: the root servers and the public resolvers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub controls: Option<ControlsSpec>,
}

impl StepSpec {
    /// The kinds of step that it is: exactly one, if it is well-formed.
    pub(crate) fn kinds(&self) -> Vec<&'static str> {
        let kinds = [
            ("check", self.check.is_some()),
            ("set", self.set.is_some()),
            ("wait", self.wait.is_some()),
            ("serve", self.serve.is_some()),
            ("agent", self.agent.is_some()),
            ("ping", self.ping.is_some()),
            ("run", self.run.is_some()),
            ("until", self.until.is_some()),
            ("look", self.look.is_some()),
        ];
        let given = kinds.into_iter().filter(|(_, given)| *given);
        given.map(|(kind, _)| kind).collect()
    }

    /// Keys that say more of a step, each with the kind of step that it belongs to.
    pub(crate) fn modifiers(&self) -> Vec<(&'static str, &'static str)> {
        let doer = if self.agent.is_some() {
            "agent"
        } else {
            "serve"
        };
        let all = [
            ("save", "check", self.save.is_some()),
            ("baseline", "check", self.baseline.is_some()),
            ("from", "check", self.from.is_some()),
            ("own_clock", "check", self.own_clock.is_some()),
            ("offline", "check", self.offline.is_some()),
            ("without_controls", "check", self.without_controls.is_some()),
            ("outdated_anchor", "check", self.outdated_anchor.is_some()),
            ("service", "check", self.service.is_some()),
            ("every", "serve", self.every.is_some()),
            ("deep_every", "serve", self.deep_every.is_some()),
            ("config", "serve", self.config.is_some()),
            ("disk", "serve", self.disk.is_some()),
            ("do", "agent", self.deed.is_some()),
            ("of", doer, self.of.is_some()),
            ("during", doer, self.during.is_some()),
            ("how", "ping", self.how.is_some()),
            ("within", "until", self.within.is_some()),
        ];
        let given = all.into_iter().filter(|(_, _, given)| *given);
        given.map(|(key, kind, _)| (key, kind)).collect()
    }
}
