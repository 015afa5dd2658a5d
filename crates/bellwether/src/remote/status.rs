//! `status`: what is true now, from a running hub.

use std::fmt::Write as _;

use anyhow::Result;
use bellwether_diagnose::words::count;
use bellwether_model::incident::AffectedCheck;
use bellwether_model::report::Severity;
use bellwether_model::text::inert;
use bellwether_model::{Incident, Verdict};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::client::{Client, Page};
use super::heartbeats::{self, Heartbeat};
use super::incidents::Incidents;
use super::troubles::{self, Trouble};
use super::when::{clock, span};
use crate::cli::{RemoteFormat, StatusArgs};
use crate::exit::Exit;
use crate::output;

/// Longest name that is shown whole.
const NAME_SHOWN_MAX: usize = 60;

/// A page of services.
#[derive(Deserialize)]
struct Services {
    services: Vec<Service>,
    next: Option<String>,
}

/// A service, as far as it is shown.
#[derive(Deserialize, Serialize)]
struct Service {
    name: String,
    verdict: Verdict,
    cause: Option<String>,
    since: Option<Timestamp>,
    judged_at: Option<Timestamp>,
    stale: bool,
    #[serde(default)]
    maintenance: Option<Maintenance>,
}

/// Why faults are expected.
#[derive(Deserialize, Serialize)]
struct Maintenance {
    name: String,
    until: Timestamp,
}

impl Page for Services {
    type Row = Service;

    fn into_rows(self) -> (Vec<Service>, Option<String>) {
        (self.services, self.next)
    }
}

/// The configuration in force, as far as it is shown.
#[derive(Deserialize)]
struct Configuration {
    generation: u64,
    since: Timestamp,
    #[serde(default)]
    refused: Option<Refused>,
    /// Receivers: with none, nobody is told.
    #[serde(default)]
    receivers: Option<usize>,
}

#[derive(Deserialize)]
struct Refused {
    at: Timestamp,
    problems: Vec<String>,
}

/// Runs the command.
pub(crate) fn run(args: &StatusArgs) -> Result<Exit> {
    let client = Client::new(&args.hub)?;
    let mut services = client.all::<Services>("/api/v1/services?limit=1000")?;
    let open = client.all::<Incidents>("/api/v1/incidents?state=unresolved&limit=1000")?;
    for service in &mut services {
        service.since = began(service, &open).or(service.since);
    }
    let troubles = troubles::ask(&client)?;
    let heartbeats = heartbeats::ask(&client)?;
    let exit = exit(&services, &heartbeats, &troubles, &open);
    if args.format == RemoteFormat::Json {
        output::json(&serde_json::json!({
            "services": services,
            "heartbeats": heartbeats,
            "troubles": troubles,
        }))?;
        return Ok(exit);
    }
    let configuration: Configuration = client.get("/api/v1/configuration?brief=true")?;
    let now = Timestamp::now();
    let mut text = text(
        client.place(),
        &troubles,
        &services,
        &configuration,
        &open,
        now,
    );
    text.push_str(&heartbeats::broken(&heartbeats, now));
    output::print(&text)?;
    Ok(exit)
}

/// Since when a service fails, as its incident has it: the first failing run. The service's own time is
/// that of the verdict, which took some runs and a trace to come to.
fn began(service: &Service, open: &[Incident]) -> Option<Timestamp> {
    let of_service = |check: &&AffectedCheck| {
        let name = check.check.strip_prefix(service.name.as_str());
        check.until.is_none() && name.is_some_and(|rest| rest.starts_with('/'))
    };
    let since = |incident: &Incident| {
        let checks = incident.checks.iter().filter(of_service);
        checks.map(|check| check.since).min()
    };
    let is_same = |i: &&Incident| Some(i.cause.code()) == service.cause.as_deref();
    let same = open.iter().filter(is_same).filter_map(since).min();
    let is_fault = |i: &&Incident| i.severity == Severity::Critical;
    let critical = || open.iter().filter(is_fault).filter_map(since).min();
    same.or_else(critical)
}

/// 1 where users or jobs fail, 3 where nothing is known or the hub itself is in trouble, 0 where all is well.
fn exit(
    services: &[Service],
    heartbeats: &[Heartbeat],
    troubles: &[Trouble],
    open: &[Incident],
) -> Exit {
    // What fails in maintenance is expected to, unless an incident was open before.
    let expected = |s: &Service| {
        let has_incident = open
            .iter()
            .any(|incident| began(s, std::slice::from_ref(incident)).is_some());
        s.maintenance.is_some() && !has_incident
    };
    let any = |wanted: &[Verdict]| {
        let mut all = services.iter();
        all.any(|s| wanted.contains(&s.verdict) && !expected(s))
    };
    // One that never reported yet is no trouble of its service.
    let fails = heartbeats.iter().any(|one| one.verdict == Verdict::Broken);
    if fails || any(&[Verdict::Broken, Verdict::Degraded]) {
        Exit::Broken
    } else if any(&[Verdict::Unknown]) || !troubles.is_empty() {
        Exit::Ourselves
    } else {
        Exit::Fine
    }
}

fn text(
    place: &str,
    troubles: &[Trouble],
    services: &[Service],
    configuration: &Configuration,
    open: &[Incident],
    now: Timestamp,
) -> String {
    let mut text = String::new();
    let _ = writeln!(
        text,
        "hub {place}, configuration {} in force since {} UTC",
        configuration.generation,
        clock(configuration.since, now)
    );
    text.push_str(&troubles::lines(troubles, now, output::style().width));
    if let Some(Refused { at, problems }) = &configuration.refused {
        let at = clock(*at, now);
        let _ = writeln!(
            text,
            "! a newer configuration was REFUSED at {at} UTC; the old one runs on:"
        );
        for problem in problems {
            let _ = writeln!(text, "    {}", inert(problem, 500));
        }
    }
    if configuration.receivers == Some(0) {
        let _ = writeln!(text, "! no receiver is configured: nobody is told");
    }
    let shown = |service: &Service| inert(&service.name, NAME_SHOWN_MAX);
    let width = services.iter().map(|s| shown(s).chars().count()).max();
    let width = width.unwrap_or(0);
    for service in services {
        let _ = writeln!(text, "{}", line(service, &shown(service), width, now));
    }
    let of = |verdict| services.iter().filter(|s| s.verdict == verdict).count();
    let counts: Vec<String> = [
        Verdict::Healthy,
        Verdict::Degraded,
        Verdict::Broken,
        Verdict::Unknown,
    ]
    .into_iter()
    .filter(|v| of(*v) > 0)
    .map(|v| format!("{} {}", of(v), v.name()))
    .collect();
    // Where jobs alone are watched there is none.
    if !counts.is_empty() {
        let number = count(services.len(), "service");
        let _ = writeln!(text, "{number}: {}", counts.join(", "));
    }
    for incident in open {
        let _ = writeln!(
            text,
            "incident {}, {}: {} since {} UTC ({}): bellwether incidents show {}",
            incident.id,
            incident.state.name(),
            incident.cause.code(),
            clock(incident.began, now),
            span(incident.began, now),
            incident.id
        );
    }
    text
}

fn line(service: &Service, name: &str, width: usize, now: Timestamp) -> String {
    let (mark, verdict) = match service.verdict {
        Verdict::Healthy => ('✓', "healthy "),
        Verdict::Degraded => ('✗', "DEGRADED"),
        Verdict::Broken => ('✗', "BROKEN  "),
        Verdict::Unknown => ('?', "unknown "),
    };
    let mut line = format!("  {mark} {name:<width$}  {verdict}");
    if let Some(cause) = &service.cause {
        let _ = write!(line, "  {}", inert(cause, NAME_SHOWN_MAX));
    }
    if let Some(since) = service
        .since
        .filter(|_| service.verdict != Verdict::Healthy)
    {
        let _ = write!(
            line,
            "  since {} UTC ({})",
            clock(since, now),
            span(since, now)
        );
    }
    match service.judged_at {
        Some(at) if service.stale => {
            let _ = write!(line, "  no result for {}", span(at, now));
        }
        Some(at) => {
            let _ = write!(line, "  judged {} ago", span(at, now));
        }
        None => line.push_str("  not judged yet"),
    }
    if let Some(Maintenance { name, until }) = &service.maintenance {
        let (name, until) = (inert(name, NAME_SHOWN_MAX), clock(*until, now));
        let _ = write!(line, "  in maintenance ({name}) until {until} UTC");
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn what_is_printed() {
        let service = |name: &str, verdict, cause: Option<&str>, stale| Service {
            name: name.to_owned(),
            verdict,
            cause: cause.map(str::to_owned),
            since: Some(at("2026-11-21T11:00:00Z")),
            judged_at: Some(at("2026-11-21T11:09:00Z")),
            stale,
            maintenance: None,
        };
        let mut services = [
            service("shop", Verdict::Healthy, None, false),
            service(
                "pay",
                Verdict::Degraded,
                Some("dns.delegation.wrong_ns"),
                false,
            ),
            service("mail", Verdict::Unknown, None, true),
        ];
        let configuration = Configuration {
            generation: 4,
            since: at("2026-11-20T08:00:00Z"),
            refused: Some(Refused {
                at: at("2026-11-21T11:05:00Z"),
                problems: vec!["bellwether.yaml:3:5: unknown key `ulr`".to_owned()],
            }),
            receivers: Some(0),
        };
        let text = text(
            "127.0.0.1:8400",
            &[],
            &services,
            &configuration,
            &[],
            at("2026-11-21T11:10:00Z"),
        );
        let expected = "\
hub 127.0.0.1:8400, configuration 4 in force since 2026-11-20 08:00:00 UTC
! a newer configuration was REFUSED at 11:05:00 UTC; the old one runs on:
    bellwether.yaml:3:5: unknown key `ulr`
! no receiver is configured: nobody is told
  ✓ shop  healthy   judged 60 s ago
  ✗ pay   DEGRADED  dns.delegation.wrong_ns  since 11:00:00 UTC (10 min)  judged 60 s ago
  ? mail  unknown   since 11:00:00 UTC (10 min)  no result for 60 s
3 services: 1 healthy, 1 degraded, 1 unknown
";
        assert_eq!(text, expected);
        assert_eq!(exit(&services, &[], &[], &[]), Exit::Broken);
        services[1].maintenance = Some(Maintenance {
            name: "pay-db".to_owned(),
            until: at("2026-11-21T12:00:00Z"),
        });
        let now = at("2026-11-21T11:10:00Z");
        assert_eq!(
            line(&services[1], "pay", 4, now),
            "  ✗ pay   DEGRADED  dns.delegation.wrong_ns  since 11:00:00 UTC (10 min)  judged 60 s ago  in maintenance (pay-db) until 12:00:00 UTC"
        );
        // Users fail, as was to be expected; of the other one nothing is known.
        assert_eq!(exit(&services, &[], &[], &[]), Exit::Ourselves);
        assert_eq!(exit(&services[..2], &[], &[], &[]), Exit::Fine);
    }

    #[test]
    fn a_hub_in_trouble_says_so_first_and_is_no_green() {
        let services = [Service {
            name: "shop".to_owned(),
            verdict: Verdict::Healthy,
            cause: None,
            since: Some(at("2026-11-21T11:00:00Z")),
            judged_at: Some(at("2026-11-21T11:09:00Z")),
            stale: false,
            maintenance: None,
        }];
        let configuration = Configuration {
            generation: 4,
            since: at("2026-11-20T08:00:00Z"),
            refused: None,
            receivers: None,
        };
        let troubles = [Trouble {
            part: "keep".to_owned(),
            since: at("2026-11-21T11:05:00Z"),
            what: "no space left for `d/state.db`".to_owned(),
        }];
        let now = at("2026-11-21T11:10:00Z");
        let text = text("hub", &troubles, &services, &configuration, &[], now);
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(
            text.contains("UTC ! the hub itself is IN TROUBLE since 11:05:00 UTC (5 min), runs are not kept: no space left for `d/state.db` ✓ shop"),
            "{text}"
        );
        assert_eq!(exit(&services, &[], &troubles, &[]), Exit::Ourselves);
        assert_eq!(exit(&services, &[], &[], &[]), Exit::Fine);
    }

    #[test]
    fn a_service_fails_since_its_incident_has_it() {
        let incident = |cause: &str, severity: &str, check: &str, since: &str| -> Incident {
            serde_json::from_value(serde_json::json!({
                "id": 1, "state": "open", "cause": cause, "layer": "net", "severity": severity,
                "verdict": "broken", "confidence": 0.9, "summary": "", "remedy": "",
                "checks": [{ "check": check, "since": since }],
                "scope": bellwether_model::Scope::default(),
                "began": since, "opened": since, "updated": since,
            }))
            .unwrap()
        };
        let service = Service {
            name: "shop".to_owned(),
            verdict: Verdict::Broken,
            cause: Some("net.tcp.refused".to_owned()),
            since: Some(at("2026-11-21T11:00:09Z")),
            judged_at: None,
            stale: false,
            maintenance: None,
        };
        let warned = incident(
            "promise.cert_rotation",
            "warning",
            "shop/main",
            "2026-11-20T08:00:00Z",
        );
        let other = incident(
            "net.tcp.refused",
            "critical",
            "shop2/main",
            "2026-11-21T10:00:00Z",
        );
        let its = incident(
            "net.tcp.refused",
            "critical",
            "shop/main",
            "2026-11-21T11:00:02Z",
        );
        let slow = incident(
            "tls.name_mismatch",
            "critical",
            "shop/main",
            "2026-11-21T09:00:00Z",
        );
        let mut open = vec![warned, other];
        assert_eq!(began(&service, &open), None);
        open.push(slow);
        assert_eq!(began(&service, &open), Some(at("2026-11-21T09:00:00Z")));
        open.push(its);
        assert_eq!(began(&service, &open), Some(at("2026-11-21T11:00:02Z")));
    }
}
