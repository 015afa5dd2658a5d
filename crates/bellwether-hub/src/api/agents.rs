//! The programs that measure: how they are, and how other machines are made ones.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use bellwether_config::config::AGENTS_LISTEN_DEFAULT;
use bellwether_model::VantageId;
use http::{StatusCode, Uri};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::body::{Fields, Json as Body, MaybeJson};
use super::fleet::{Seen, seen};
use super::incidents::Nothing;
use super::problem::Problem;
use super::query::Query;
use super::{Hub, Parameters};
use crate::access::Caller;
use crate::fleet::TokenError;
use crate::fleet::roster::{Row, State as Standing, roster};
use crate::fleet::sift::Why;

/// Longest name of a vantage, characters: what the configuration takes.
const NAME_LEN_MAX: usize = 64;

/// What stands for the hub's name where it listens everywhere.
const HOST: &str = "HOST";

/// A program that measures. What is null is not known, or not of this agent.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Agent {
    /// Its name: that of its vantage. `local` is built into the hub.
    pub(crate) name: String,
    /// Where it stands.
    vantage: String,
    /// `linked`, `silent` (it has a link, and nothing came over it since `since`), `away` (it was, and is not now), `enrolled` (and never came), `revoked`, `missing` (its
    /// vantage is configured, and nobody was enrolled for it), `unconfigured` (its vantage is no longer).
    #[schema(example = "linked")]
    pub(crate) state: &'static str,
    /// The part of the world it stands in.
    pub(crate) region: Option<String>,
    /// The number of its autonomous system.
    network: Option<u32>,
    /// Its version.
    pub(crate) version: Option<String>,
    /// When it started: the built-in one.
    #[schema(value_type = Option<String>, format = DateTime)]
    started: Option<Timestamp>,
    /// When it was enrolled.
    #[schema(value_type = Option<String>, format = DateTime)]
    enrolled: Option<Timestamp>,
    /// When it was revoked.
    #[schema(value_type = Option<String>, format = DateTime)]
    revoked: Option<Timestamp>,
    /// When its certificate ends. It renews it itself, a third of its life before.
    #[schema(value_type = Option<String>, format = DateTime)]
    certificate_ends: Option<Timestamp>,
    /// Is it linked now?
    linked: bool,
    /// Since when it is, or is not, or is silent, as far as this hub has seen.
    #[schema(value_type = Option<String>, format = DateTime)]
    since: Option<Timestamp>,
    /// When anything was last heard of it.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) heard: Option<Timestamp>,
    /// By how much the hub's clock is ahead of its, milliseconds.
    pub(crate) offset_ms: Option<i64>,
    /// The generation of the configuration that it goes by.
    generation: Option<u64>,
    /// Is that an older one than the one in force?
    pub(crate) behind: bool,
    /// What waits on its disk.
    pub(crate) spool: Option<Spool>,
    /// Runs that it left out for want of room, as counts: ours, and never the targets'.
    thinned: Option<u64>,
    /// Deliveries that never came: ours.
    missing: u64,
    /// What it said and was not taken in since the hub started, by reason.
    refused: BTreeMap<&'static str, u64>,
    /// When two programs were last seen with its key.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) copied: Option<Timestamp>,
    /// Checks that it runs.
    pub(crate) checks: Option<u64>,
    /// When its newest run was due, as far as the hub has it.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) last_run: Option<Timestamp>,
    /// The 99th percentile of how late its runs began in the last minute, milliseconds.
    late_p99_ms: Option<f64>,
    /// What is wrong with it, in words: why it can spool nothing, or cannot go by its plan; that it brings
    /// what it was never given, or names more than its checks can see.
    pub(crate) trouble: Option<String>,
}

/// What waits on an agent's disk.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Spool {
    /// Deliveries.
    pub(crate) deliveries: u64,
    /// Their size.
    bytes: u64,
    /// When the oldest of them was made.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) oldest: Option<Timestamp>,
}

/// Every agent, as it is told.
///
/// # Errors
/// The store cannot be read.
pub(crate) async fn all(hub: &Hub) -> Result<Vec<Agent>, Problem> {
    let rows = hub.ask(roster).await?;
    Ok(told(hub, rows))
}

/// The built-in agent, and these.
pub(crate) fn told(hub: &Hub, rows: Vec<Row>) -> Vec<Agent> {
    let seen = seen(hub);
    let generation = hub.shared.configured.load().generation;
    let mut agents = vec![local(hub, &seen)];
    agents.extend(rows.into_iter().map(|row| {
        let last_run = seen.get(&row.vantage).and_then(|seen| seen.last_run);
        Agent::of(row, last_run, generation)
    }));
    agents
}

/// The one that is built in.
fn local(hub: &Hub, seen: &BTreeMap<VantageId, Seen>) -> Agent {
    let last_run = seen
        .get(&VantageId::new(VantageId::LOCAL))
        .and_then(|seen| seen.last_run);
    let figures = hub.shared.agent.read();
    let figures = figures.unwrap_or_else(std::sync::PoisonError::into_inner);
    let checks = hub.board().checks.len();
    Agent {
        name: VantageId::LOCAL.to_owned(),
        vantage: VantageId::LOCAL.to_owned(),
        state: Standing::Linked.name(),
        region: None,
        network: None,
        version: Some(hub.shared.version.to_owned()),
        started: Some(hub.shared.started),
        enrolled: None,
        revoked: None,
        certificate_ends: None,
        linked: true,
        since: Some(hub.shared.started),
        heard: None,
        offset_ms: None,
        generation: Some(hub.shared.configured.load().generation),
        behind: false,
        spool: None,
        thinned: None,
        missing: 0,
        refused: BTreeMap::new(),
        copied: None,
        checks: u64::try_from(checks).ok(),
        last_run,
        late_p99_ms: Some(figures.lateness_recent.p99 as f64 / 1e3),
        trouble: None,
    }
}

impl Agent {
    fn of(row: Row, last_run: Option<Timestamp>, in_force: u64) -> Self {
        let standing = row.state();
        let troubles = row.troubles();
        let Row {
            vantage,
            configured,
            enrolled,
            presence,
            counts,
        } = row;
        let region = configured.as_ref().and_then(|own| own.region.clone());
        let network = configured.and_then(|own| own.network);
        let program = Some(presence.program).filter(|program| !program.is_empty());
        let kept = enrolled.as_ref().and_then(|it| it.program.clone());
        let seen = enrolled.as_ref().and_then(|it| it.seen);
        let mut refused = BTreeMap::new();
        for (why, count) in Why::ALL.into_iter().zip(counts.refused) {
            refused.insert(why.name(), count);
        }
        refused.insert("broken", counts.broken);
        refused.insert("protocol", counts.protocol);
        refused.retain(|_, count| *count > 0);
        let state = presence.state;
        let generation = Some(presence.generation).filter(|generation| *generation > 0);
        Self {
            name: vantage.to_string(),
            vantage: vantage.to_string(),
            state: standing.name(),
            region,
            network,
            version: program.or(kept),
            started: None,
            enrolled: enrolled.as_ref().map(|it| it.at),
            revoked: enrolled.as_ref().and_then(|it| it.revoked),
            certificate_ends: enrolled.as_ref().and_then(|it| it.ends()),
            linked: presence.is_linked,
            since: presence.since,
            heard: presence.heard.or(seen),
            offset_ms: presence.offset_ms,
            generation,
            behind: presence.is_linked && presence.generation < in_force,
            spool: state.as_ref().map(|state| Spool {
                deliveries: state.spooled,
                bytes: state.spooled_bytes,
                oldest: state.oldest,
            }),
            thinned: state.as_ref().map(|state| state.thinned),
            missing: counts.missing,
            refused,
            copied: counts.copied,
            checks: state.as_ref().map(|state| state.checks),
            last_run: last_run.max(state.as_ref().and_then(|state| state.last_run)),
            late_p99_ms: state.as_ref().map(|state| state.late_p99_us as f64 / 1e3),
            trouble: Some(troubles.join("; ")).filter(|words| !words.is_empty()),
        }
    }
}

/// For whom an enrolment token is.
#[derive(ToSchema)]
#[expect(
    dead_code,
    reason = "the shape that the document shows; bodies are read by `Fields`"
)]
pub(crate) struct NewAgentToken {
    /// The vantage, by its name in `vantages:` of the configuration.
    #[schema(min_length = 1, max_length = 64)]
    vantage: String,
}

/// An enrolment token. It is shown here and nowhere else.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AgentToken {
    /// For which vantage.
    vantage: String,
    /// The token: good once.
    token: String,
    /// Until when.
    #[schema(value_type = String, format = DateTime)]
    ends: Timestamp,
    /// What to type on the other machine. `HOST` in it stands for this hub's name or address.
    command: String,
    /// Where the hub listens for agents.
    listen: String,
    /// Does it listen for agents of this machine alone? Then `hub.agents_listen` names another address.
    loopback: bool,
}

/// Makes an enrolment token: whoever types it on another machine within 15 minutes makes that machine
/// the agent of this vantage, in place of the one that was.
#[utoipa::path(post, path = "/api/v1/agents/tokens", tag = "fleet",
    request_body(content = NewAgentToken),
    responses((status = 201, description = "the token", body = AgentToken)),
    security(("bearer" = ["agents"])))]
pub(crate) async fn token(
    State(hub): State<Arc<Hub>>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
    Body(body): Body,
) -> Result<Response, Problem> {
    Query::none(&uri)?;
    let vantage = wanted(&hub, &body)?;
    let id = VantageId::new(&vantage);
    let mut random = [0; 32];
    aws_lc_rs::rand::fill(&mut random).expect("the system gives random bytes");
    let made = hub.ask(move |shared| Ok(shared.fleet.token(&id, &caller.name, random)));
    let (token, ends) = made.await?.map_err(|error| match error {
        TokenError::Store(error) => Problem::from(error),
        TokenError::Authority(error) => {
            tracing::error!(%error, "the authority that a token names cannot be had");
            Problem::busy("the hub's authority cannot be read or made; the log says why")
        }
    })?;
    let token = token.to_string();
    let configured = hub.shared.configured.load();
    let config = &configured.config;
    let at = hub.shared.fleet.listens();
    let at = at.or_else(|| config.hub.agents_at(&config.vantages));
    let at = at.unwrap_or(AGENTS_LISTEN_DEFAULT);
    let made = AgentToken {
        vantage,
        command: command(at, &token),
        token,
        ends,
        listen: at.to_string(),
        loopback: at.ip().to_canonical().is_loopback(),
    };
    Ok((StatusCode::CREATED, Json(made)).into_response())
}

/// The vantage that a body names, if it is one.
fn wanted(hub: &Hub, body: &Value) -> Result<String, Problem> {
    let mut fields = Fields::default();
    let vantage = fields
        .object(body, "", &["vantage"])
        .and_then(|map| fields.text(map, "", "vantage", NAME_LEN_MAX));
    if let Some(vantage) = &vantage {
        let configured = hub.shared.configured.load();
        let mut all = configured.config.vantages.iter();
        if vantage == VantageId::LOCAL {
            let why = "`local` is built into the hub; name one of `vantages:`";
            fields.wrong("/vantage", why);
        } else if !all.any(|own| own.name == *vantage) {
            let why = "not in the configuration: write `vantages: [{ name: … }]` first";
            fields.wrong("/vantage", why);
        }
    }
    fields.done()?;
    Ok(vantage.expect("what is missing is an error"))
}

/// What to type on the other machine.
fn command(at: SocketAddr, token: &str) -> String {
    let port = at.port();
    let host = match at.ip() {
        ip if ip.is_unspecified() => HOST.to_owned(),
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    };
    format!("bellwether agent enrol --hub https://{host}:{port} --token {token}")
}

/// Revokes the agent of a vantage: its link ends at once, and its certificate opens nothing any more. A
/// second time changes nothing.
#[utoipa::path(post, path = "/api/v1/agents/{vantage}/revoke", tag = "fleet",
    params(("vantage" = String, Path, description = "its vantage", example = "fra")),
    request_body(content = Option<Nothing>, description = "nothing, or `{}`"),
    responses((status = 200, description = "the agent as it is now", body = Agent)),
    security(("bearer" = ["agents"])))]
pub(crate) async fn revoke(
    State(hub): State<Arc<Hub>>,
    Extension(caller): Extension<Caller>,
    names: Parameters<1>,
    uri: Uri,
    MaybeJson(body): MaybeJson,
) -> Result<Json<Agent>, Problem> {
    let Parameters([vantage]) = names;
    Query::none(&uri)?;
    if let Some(body) = body.as_ref().filter(|body| !body.is_null()) {
        let mut fields = Fields::default();
        fields.object(body, "", &[]);
        fields.done()?;
    }
    let id = VantageId::new(&vantage);
    let revoked = id.clone();
    let known = hub.ask(move |shared| {
        shared.fleet.revoke(&revoked, &caller.name)?;
        Ok(shared.fleet.registry.agents()?.contains_key(&revoked))
    });
    if !known.await? {
        return Err(Problem::not_found("agent", &vantage));
    }
    let found = all(&hub)
        .await?
        .into_iter()
        .find(|agent| agent.name == vantage);
    let found = found.filter(|agent| agent.name != VantageId::LOCAL);
    found
        .map(Json)
        .ok_or_else(|| Problem::not_found("agent", &vantage))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_to_be_typed_can_be_typed() {
        for (at, hub) in [
            ("127.0.0.1:8401", "https://127.0.0.1:8401"),
            ("0.0.0.0:8401", "https://HOST:8401"),
            ("[::]:9", "https://HOST:9"),
            ("[2001:db8::1]:9", "https://[2001:db8::1]:9"),
        ] {
            let line = command(at.parse().unwrap(), "bwe_a.b");
            let wanted = format!("bellwether agent enrol --hub {hub} --token bwe_a.b");
            assert_eq!(line, wanted);
        }
    }
}
