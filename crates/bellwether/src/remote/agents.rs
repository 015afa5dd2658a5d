//! `agents`: the programs that measure, from a running hub; how another machine is made one.

use std::fmt::Write as _;

use anyhow::{Context as _, Result};
use bellwether_model::text::inert;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::client::Client;
use super::when::{clock, span};
use crate::cli::{AgentsArgs, AgentsCommand, RemoteFormat};
use crate::exit::Exit;
use crate::output;

/// Longest name that is shown whole.
const NAME_SHOWN_MAX: usize = 40;
/// Longest sentence that is shown.
const WORDS_SHOWN_MAX: usize = 300;
/// Longest words about what is wrong with an agent: all that may be at once.
const TROUBLE_SHOWN_MAX: usize = 1_500;
/// A clock that is off by less is right, milliseconds.
const OFFSET_RIGHT_MAX: u64 = 1_000;

/// What is said where an answer has another shape.
const NO_HUB: &str = "the answer is not what a hub answers; is it one, of a like version?";

/// Agents, as the API has them.
#[derive(Deserialize)]
struct Agents {
    agents: Vec<Agent>,
    #[serde(default)]
    listen: Option<String>,
}

/// An agent, as far as it is shown.
#[derive(Deserialize)]
struct Agent {
    name: String,
    state: String,
    #[serde(default)]
    version: Option<String>,
    #[serde(default)]
    heard: Option<Timestamp>,
    #[serde(default)]
    offset_ms: Option<i64>,
    #[serde(default)]
    behind: bool,
    #[serde(default)]
    spool: Option<Spool>,
    #[serde(default)]
    thinned: Option<u64>,
    #[serde(default)]
    missing: u64,
    #[serde(default)]
    refused: std::collections::BTreeMap<String, u64>,
    #[serde(default)]
    copied: Option<Timestamp>,
    #[serde(default)]
    checks: Option<u64>,
    #[serde(default)]
    trouble: Option<String>,
}

/// What waits on an agent's disk.
#[derive(Deserialize)]
struct Spool {
    deliveries: u64,
    #[serde(default)]
    oldest: Option<Timestamp>,
}

/// An enrolment token.
#[derive(Deserialize, Serialize)]
struct Token {
    vantage: String,
    token: String,
    ends: Timestamp,
    command: String,
    listen: String,
    loopback: bool,
}

/// Runs the command.
pub(crate) fn run(args: &AgentsArgs) -> Result<Exit> {
    let client = Client::new(&args.hub)?;
    let now = Timestamp::now();
    match args.command.as_ref().unwrap_or(&AgentsCommand::List) {
        AgentsCommand::List => {
            let answer: serde_json::Value = client.get("/api/v1/agents")?;
            let agents = Agents::deserialize(&answer).context(NO_HUB)?;
            match args.format {
                RemoteFormat::Text => output::print(&list(&agents, client.place(), now))?,
                RemoteFormat::Json => output::json(&answer)?,
            }
            let is_well = |agent: &Agent| ["linked", "revoked"].contains(&agent.state.as_str());
            Ok(match agents.agents.iter().all(is_well) {
                true => Exit::Fine,
                false => Exit::Broken,
            })
        }
        AgentsCommand::Token { vantage } => {
            let body = serde_json::json!({ "vantage": vantage });
            let token: Token = client.post("/api/v1/agents/tokens", &body)?;
            match args.format {
                RemoteFormat::Text => output::print(&to_type(&token, now))?,
                RemoteFormat::Json => output::json(&token)?,
            }
            Ok(Exit::Fine)
        }
        AgentsCommand::Revoke { vantage } => {
            let name: String = url::form_urlencoded::byte_serialize(vantage.as_bytes()).collect();
            // A space is `+` in a form, and not in a path.
            let path = format!("/api/v1/agents/{}/revoke", name.replace('+', "%20"));
            let agent: serde_json::Value = client.post(&path, &serde_json::json!({}))?;
            match args.format {
                RemoteFormat::Text => output::print(&format!(
                    "the agent of `{}` is revoked; a token for a new one: bellwether agents token {}\n",
                    inert(vantage, NAME_SHOWN_MAX),
                    quoted(vantage)
                ))?,
                RemoteFormat::Json => output::json(&agent)?,
            }
            Ok(Exit::Fine)
        }
    }
}

/// What to type on the other machine.
fn to_type(token: &Token, now: Timestamp) -> String {
    let Token {
        vantage,
        ends,
        command,
        listen,
        loopback,
        ..
    } = token;
    let mut text = format!(
        "type this on the machine that is to be `{}`, until {} UTC ({}); it is good once:\n\n  {}\n\n",
        inert(vantage, NAME_SHOWN_MAX),
        clock(*ends, now),
        span(now, *ends),
        inert(command, WORDS_SHOWN_MAX),
    );
    text.push_str("and then, for as long as it is to measure:  bellwether agent run\n");
    if command.contains("https://HOST:") {
        text.push_str(
            "HOST stands for the name or address by which that machine reaches this hub.\n",
        );
    }
    if *loopback {
        let _ = writeln!(
            text,
            "! the hub listens for agents at {} alone, which no other machine reaches: write\n    hub: {{ agents_listen: 0.0.0.0:8401 }}\n  into its configuration",
            inert(listen, NAME_SHOWN_MAX)
        );
    }
    text
}

/// The columns of the list.
const HEAD: [&str; 7] = [
    "vantage", "state", "version", "heard", "clock", "spool", "checks",
];

fn list(agents: &Agents, place: &str, now: Timestamp) -> String {
    let mut text = match &agents.listen {
        Some(at) => format!(
            "hub {place}, agents link to {}\n",
            inert(at, NAME_SHOWN_MAX)
        ),
        None => format!("hub {place}, no agents elsewhere: write `vantages:` for some\n"),
    };
    let mut rows = vec![HEAD.map(str::to_owned)];
    rows.extend(agents.agents.iter().map(|agent| cells(agent, now)));
    let width = |column: usize| {
        let widths = rows.iter().map(|row| row[column].chars().count());
        widths.max().unwrap_or_default()
    };
    let widths: [usize; HEAD.len()] = std::array::from_fn(width);
    for row in &rows {
        let mut line = String::from(" ");
        for (cell, width) in row.iter().zip(widths) {
            let _ = write!(line, " {cell:<width$} ");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    for agent in &agents.agents {
        for note in notes(agent, now) {
            let _ = writeln!(text, "! {}: {note}", inert(&agent.name, NAME_SHOWN_MAX));
        }
    }
    text
}

fn cells(agent: &Agent, now: Timestamp) -> [String; HEAD.len()] {
    let none = || "–".to_owned();
    let spool = |spool: &Spool| match spool.oldest {
        Some(oldest) if spool.deliveries > 0 => {
            format!("{}, oldest {}", spool.deliveries, span(oldest, now))
        }
        _ => spool.deliveries.to_string(),
    };
    [
        inert(&agent.name, NAME_SHOWN_MAX),
        inert(&agent.state, NAME_SHOWN_MAX),
        agent
            .version
            .as_ref()
            .map_or_else(none, |version| inert(version, 20)),
        agent
            .heard
            .map_or_else(none, |at| format!("{} ago", span(at, now))),
        agent.offset_ms.map_or_else(none, offset),
        agent.spool.as_ref().map_or_else(none, spool),
        agent.checks.map_or_else(none, |checks| checks.to_string()),
    ]
}

/// A name as a shell takes it for one word. Names hold no quotes.
fn quoted(name: &str) -> String {
    let name = inert(name, NAME_SHOWN_MAX);
    match name.contains(' ') {
        true => format!("'{name}'"),
        false => name,
    }
}

/// By how much an agent's clock is off, in words.
fn offset(offset_ms: i64) -> String {
    let off = offset_ms.unsigned_abs();
    let seconds = off as f64 / 1e3;
    match offset_ms {
        _ if off < OFFSET_RIGHT_MAX => "right".to_owned(),
        0.. => format!("{seconds:.1} s behind"),
        _ => format!("{seconds:.1} s ahead"),
    }
}

/// What somebody should know of an agent.
fn notes(agent: &Agent, now: Timestamp) -> Vec<String> {
    let mut notes = Vec::new();
    match agent.state.as_str() {
        "missing" => notes.push(format!(
            "nobody measures from there: bellwether agents token {}",
            quoted(&agent.name)
        )),
        "silent" => notes.push(match agent.heard {
            Some(at) => format!("silent since {} ago, though it has a link", span(at, now)),
            None => "silent, though it has a link".to_owned(),
        }),
        "away" => notes.push(match agent.heard {
            Some(at) => format!("not linked; last heard {} ago", span(at, now)),
            None => "not linked".to_owned(),
        }),
        "enrolled" => {
            notes.push("enrolled, and never came: `bellwether agent run` there".to_owned())
        }
        "unconfigured" => notes.push("its vantage is no longer in `vantages:`".to_owned()),
        _ => {}
    }
    if agent.behind {
        notes.push("not by the configuration in force yet".to_owned());
    }
    if let Some(at) = agent.copied {
        notes.push(format!(
            "two programs linked with its key, {} ago: enrol one of them as another vantage",
            span(at, now)
        ));
    }
    if let Some(trouble) = &agent.trouble {
        notes.push(inert(trouble, TROUBLE_SHOWN_MAX));
    }
    if let Some(thinned) = agent.thinned.filter(|thinned| *thinned > 0) {
        notes.push(format!("left out {thinned} runs for want of room"));
    }
    if agent.missing > 0 {
        notes.push(format!("{} deliveries never came", agent.missing));
    }
    for (reason, count) in &agent.refused {
        let reason = inert(reason, NAME_SHOWN_MAX);
        notes.push(format!(
            "{count} refused ({reason}): the hub's log says more"
        ));
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        "2026-11-22T11:00:00Z".parse().unwrap()
    }

    #[test]
    fn a_list_is_a_table_with_what_is_wrong_below() {
        let agents = serde_json::json!({ "listen": "0.0.0.0:8401", "agents": [
            { "name": "local", "state": "linked", "version": "0.1.0", "checks": 3 },
            { "name": "fra", "state": "linked", "version": "0.1.0", "checks": 3, "offset_ms": -61_000,
              "heard": "2026-11-22T10:59:58Z",
              "spool": { "deliveries": 4, "oldest": "2026-11-22T10:55:00Z" } },
            { "name": "n yc", "state": "missing", "refused": { "vantage": 2 } },
        ] });
        let agents: Agents = serde_json::from_value(agents).unwrap();
        let wanted = "\
hub 127.0.0.1:8400, agents link to 0.0.0.0:8401
  vantage  state    version  heard    clock         spool            checks
  local    linked   0.1.0    –        –             –                3
  fra      linked   0.1.0    2 s ago  61.0 s ahead  4, oldest 5 min  3
  n yc     missing  –        –        –             –                –
! n yc: nobody measures from there: bellwether agents token 'n yc'
! n yc: 2 refused (vantage): the hub's log says more
";
        assert_eq!(list(&agents, "127.0.0.1:8400", now()), wanted);
    }

    #[test]
    fn a_token_says_what_to_type_and_what_is_in_the_way() {
        let token = |listen: &str, host: &str, loopback| Token {
            vantage: "fra".to_owned(),
            token: "bwe_a.b".to_owned(),
            ends: "2026-11-22T11:15:00Z".parse().unwrap(),
            command: format!("bellwether agent enrol --hub https://{host}:8401 --token bwe_a.b"),
            listen: listen.to_owned(),
            loopback,
        };
        let far = to_type(&token("0.0.0.0:8401", "HOST", false), now());
        assert!(far.contains("until 11:15:00 UTC (15 min)") && far.contains("HOST stands for"));
        assert!(!far.contains("no other machine"), "{far}");
        let near = to_type(&token("127.0.0.1:8401", "127.0.0.1", true), now());
        assert!(near.contains("agents_listen: 0.0.0.0:8401"), "{near}");
    }
}
