//! What a scenario must keep to besides its types: names that stand for something, steps that can
//! follow each other.

mod vantages;

use std::collections::BTreeSet;
use std::time::Duration;

use super::{AgentWord, IncidentExpect, SCENARIO_SCHEMA, ServeWord, Spec, StepSpec, meant};

/// Longest real time that a scenario lets pass by its `run` steps: a drill is not a soak.
const RUN_MAX: Duration = Duration::from_secs(120);
/// Longest `within`: what does not happen by then will not.
const WITHIN_MAX: Duration = Duration::from_secs(120);
/// Longest `wait` of all steps beside a running program. Its clock is the real one, and the
/// signatures of the box, renewed each day by the world's clock, begin a day before they are made.
const WAIT_MAX: Duration = Duration::from_secs(20 * 3600);

/// What paths of heartbeats begin with.
const PING_PATHS: [&str; 2] = ["/ping/", "/api/push/"];

/// What is wrong, and a word to look for in the text.
pub(super) struct Wrong {
    pub(super) word: String,
    pub(super) message: String,
}

impl Wrong {
    fn new(word: &str, message: impl Into<String>) -> Self {
        Self {
            word: word.to_owned(),
            message: message.into(),
        }
    }
}

/// What the types alone do not say.
pub(super) fn check(spec: &Spec) -> Result<(), Wrong> {
    if spec.schema != SCENARIO_SCHEMA {
        let message = format!(
            "schema is `{}`, and must be `{SCENARIO_SCHEMA}`",
            spec.schema
        );
        return Err(Wrong::new(&spec.schema, message));
    }
    let mut zones = BTreeSet::new();
    for zone in &spec.world.zones {
        if !zones.insert(zone.name.as_str()) {
            let message = format!("two zones have the name `{}`", zone.name);
            return Err(Wrong::new(&zone.name, message));
        }
    }
    vantages::check(spec)?;
    let mut names = Names::default();
    let mut course = Course::default();
    for step in &spec.steps {
        check_step(spec, step, &zones)?;
        names.add(step)?;
        course.follow(spec, step)?;
    }
    expectations(spec, &names)
}

/// The names of steps.
#[derive(Default)]
struct Names<'a> {
    checks: BTreeSet<&'a str>,
    looks: BTreeSet<&'a str>,
}

impl<'a> Names<'a> {
    fn add(&mut self, step: &'a StepSpec) -> Result<(), Wrong> {
        for (name, own) in [
            (&step.check, &mut self.checks),
            (&step.look, &mut self.looks),
        ] {
            if let Some(name) = name
                && !own.insert(name)
            {
                let kind = if step.check.is_some() {
                    "check"
                } else {
                    "look"
                };
                let message = format!("two {kind} steps have the name `{name}`");
                return Err(Wrong::new(name, message));
            }
        }
        match self.checks.intersection(&self.looks).next() {
            None => Ok(()),
            Some(name) => {
                let message = format!("a check step and a look step have the name `{name}`");
                Err(Wrong::new(name, message))
            }
        }
    }
}

fn expectations(spec: &Spec, names: &Names<'_>) -> Result<(), Wrong> {
    let known = names.checks.iter().chain(&names.looks).copied();
    for (name, expect) in &spec.expect {
        let is_look = names.looks.contains(name.as_str());
        if !is_look && !names.checks.contains(name.as_str()) {
            let message = no_such("expect", "check step", name, known);
            return Err(Wrong::new(name, message));
        }
        let (foreign, kind) = match is_look {
            true => (expect.word_of_check(), "check"),
            false => (expect.word_of_look(), "look"),
        };
        if let Some(word) = foreign {
            let message = format!("expect `{name}`: `{word}` is for a {kind}");
            return Err(Wrong::new(name, message));
        }
        let services = spec.services.iter().filter_map(|s| s["name"].as_str());
        for service in expect.services.keys() {
            if !services.clone().any(|known| known == service) {
                let place = format!("expect `{name}`");
                let message = no_such(&place, "service", service, services);
                return Err(Wrong::new(service, message));
            }
        }
        for incident in expect.incidents.iter().flatten() {
            let IncidentExpect { same_as, .. } = incident;
            if let Some(earlier) = same_as
                && (earlier == name || !names.looks.contains(earlier.as_str()))
            {
                let place = format!("expect `{name}`: same_as");
                let looks = names.looks.iter().copied();
                return Err(Wrong::new(
                    earlier,
                    no_such(&place, "earlier look", earlier, looks),
                ));
            }
        }
    }
    Ok(())
}

fn no_such<'a>(
    place: &str,
    what: &str,
    name: &str,
    known: impl Iterator<Item = &'a str> + Clone,
) -> String {
    match meant(name, known.clone()) {
        Some(near) => format!("{place}: there is no {what} `{name}`; did you mean `{near}`?"),
        None => {
            let known: Vec<&str> = known.collect();
            format!(
                "{place}: there is no {what} `{name}` (known: {})",
                known.join(", ")
            )
        }
    }
}

/// The line that a complaint about steps in general shows.
const STEPS: &str = "steps:";

fn check_step(spec: &Spec, step: &StepSpec, zones: &BTreeSet<&str>) -> Result<(), Wrong> {
    let [kind] = step.kinds()[..] else {
        let message = "a step has exactly one of `check`, `set`, `wait`, `serve`, `agent`, `ping`, `run`, `until` and `look`";
        return Err(Wrong::new(STEPS, message));
    };
    let mut modifiers = step.modifiers().into_iter();
    if let Some((key, of)) = modifiers.find(|(_, of)| *of != kind) {
        let message = format!("`{key}` belongs to a `{of}` step");
        return Err(Wrong::new(&format!("{key}:"), message));
    }
    if let Some(name) = &step.check {
        service_of(spec, step, name)?;
    }
    if let Some(set) = &step.set
        && let Some(zone) = set.zones.keys().find(|z| !zones.contains(z.as_str()))
    {
        let message = no_such("set", "zone", zone, zones.iter().copied());
        return Err(Wrong::new(zone, message));
    }
    let path = step.ping.as_ref().filter(|ping| ping.starts_with('/'));
    let known = |path: &&String| PING_PATHS.iter().any(|begin| path.starts_with(begin));
    if path.is_some_and(|path| !known(&path)) {
        let message =
            "ping: give a heartbeat's name, or the path that a job calls: `/ping/UUID/fail`";
        return Err(Wrong::new("ping:", message));
    }
    vantages::check_step(spec, step)?;
    kill_prober(spec, step)?;
    until(spec, step)
}

/// Over what, and for how long, a step brings down workers.
fn kill_prober(spec: &Spec, step: &StepSpec) -> Result<(), Wrong> {
    let kills =
        step.serve == Some(ServeWord::KillProber) || step.deed == Some(AgentWord::KillProber);
    let (of, during) = match (step.of, step.during) {
        (Some(of), Some(during)) if kills => (of, during),
        (None, None) if !kills => return Ok(()),
        (of, _) if !kills => {
            let key = if of.is_some() { "of" } else { "during" };
            let message = format!("`{key}` belongs to `kill_prober`");
            return Err(Wrong::new(&format!("{key}:"), message));
        }
        _ => {
            let message = "kill_prober: over what, and for how long? Give `of: \"192.0.2.1:443\", during: 20s`";
            return Err(Wrong::new("kill_prober", message));
        }
    };
    if during.0 > RUN_MAX {
        let most = RUN_MAX.as_secs();
        return Err(Wrong::new("during:", format!("during: at most {most}s")));
    }
    let mut hosts = spec.world.hosts.iter();
    if hosts.any(|host| host.port == of.port() && host.address.0.contains(&of.ip())) {
        return Ok(());
    }
    let message = format!("of: no host of the world stands at {of}");
    Err(Wrong::new(&of.to_string(), message))
}

/// The service of a check step.
fn service_of(spec: &Spec, step: &StepSpec, name: &str) -> Result<(), Wrong> {
    let names = spec.services.iter().filter_map(|s| s["name"].as_str());
    match &step.service {
        None if spec.services.len() == 1 => Ok(()),
        None => {
            let count = spec.services.len();
            let message =
                format!("check step `{name}`: there are {count} services; name one by `service:`");
            Err(Wrong::new(name, message))
        }
        Some(service) if names.clone().any(|n| n == service) => Ok(()),
        Some(service) => {
            let place = format!("check step `{name}`");
            let message = no_such(&place, "service", service, names);
            Err(Wrong::new(service, message))
        }
    }
}

fn until(spec: &Spec, step: &StepSpec) -> Result<(), Wrong> {
    let Some(until) = &step.until else {
        return Ok(());
    };
    let wrong = |message: &str| Err(Wrong::new("until:", message));
    match step.within {
        None => return wrong("until: how long at most? Give `within`, for example `within: 20s`"),
        Some(span) if span.0 > WITHIN_MAX => {
            let most = WITHIN_MAX.as_secs();
            return wrong(&format!("within: at most {most}s"));
        }
        Some(_) => {}
    }
    if let Some(complaint) = until.complaint() {
        return wrong(&format!("until: {complaint}"));
    }
    let names = spec.services.iter().filter_map(|s| s["name"].as_str());
    match &until.service {
        Some(service) if !names.clone().any(|known| known == service) => {
            let message = no_such("until", "service", service, names);
            Err(Wrong::new(service, message))
        }
        Some(_) | None => Ok(()),
    }
}

/// What runs, step after step, and for how long.
#[derive(Default)]
struct Course<'a> {
    fleet: vantages::Fleet<'a>,
    has_disk: bool,
    running: bool,
    started: bool,
    ran: Duration,
    waited: Duration,
}

impl<'a> Course<'a> {
    fn follow(&mut self, spec: &Spec, step: &'a StepSpec) -> Result<(), Wrong> {
        if let Some(word) = step.serve {
            self.serve(spec, step, word)?;
        }
        self.fleet.follow(step, self.running)?;
        let asks = step.until.is_some() || step.look.is_some() || step.ping.is_some();
        if !self.running && asks {
            let kind = step.kinds()[0];
            let message = format!("`{kind}` asks a running program; `serve: start` comes before");
            return Err(Wrong::new(&format!("{kind}:"), message));
        }
        let disk = step.set.as_ref().and_then(|set| set.disk);
        if disk.is_some() && !self.has_disk {
            let message = "set: disk: `serve: start` with `disk:` comes before";
            return Err(Wrong::new("disk:", message));
        }
        self.ran += step.run.unwrap_or_default().0;
        if self.ran > RUN_MAX {
            let most = RUN_MAX.as_secs();
            let message = format!("run: at most {most}s in a scenario; `wait` takes no real time");
            return Err(Wrong::new("run:", message));
        }
        self.waited += step.wait.unwrap_or_default().0;
        let uses_serve = spec.steps.iter().any(|step| step.serve.is_some());
        if uses_serve && self.waited > WAIT_MAX {
            let most = WAIT_MAX.as_secs() / 3600;
            let message =
                format!("wait: at most {most}h in a scenario with `serve`, whose clock is real");
            return Err(Wrong::new("wait:", message));
        }
        Ok(())
    }

    fn serve(&mut self, spec: &Spec, step: &StepSpec, word: ServeWord) -> Result<(), Wrong> {
        let wrong = |message: String| Err(Wrong::new(word.name(), message));
        let name = word.name();
        if spec.now.is_some() {
            let message = "now: a scenario with `serve` runs by the real clock; leave it out";
            return Err(Wrong::new("now:", message));
        }
        if spec.services.is_empty() {
            return wrong(format!("serve: {name}: there are no services"));
        }
        let modified = step.every.is_some() || step.deep_every.is_some() || step.config.is_some();
        if modified && !word.configures() {
            return wrong(
                "`every`, `deep_every` and `config` belong to `serve: start` and `serve: reload`"
                    .to_owned(),
            );
        }
        if step.disk.is_some() && (word != ServeWord::Start || self.started) {
            return wrong("`disk` belongs to the first `serve: start`".to_owned());
        }
        self.has_disk |= step.disk.is_some();
        match word {
            ServeWord::Start if self.running => {
                return wrong(
                    "serve: start: it runs already; `stop` or `kill` it before".to_owned(),
                );
            }
            ServeWord::Start => (self.running, self.started) = (true, true),
            _ if !self.running => {
                return wrong(format!("serve: {name}: it does not run; `start` it before"));
            }
            ServeWord::Stop | ServeWord::Kill => self.running = false,
            ServeWord::Freeze
            | ServeWord::Thaw
            | ServeWord::FreezeWorker
            | ServeWord::KillWorker
            | ServeWord::KillProber
            | ServeWord::Reload => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::scenario::parse;

    /// What is complained about in a scenario with these steps and expectations.
    fn complaint(now: &str, steps: &str, expect: &str) -> Option<String> {
        let text = format!(
            "schema: bellwether.scenario/1\nname: x\n{now}services: [{{ name: www, url: \"http://192.0.2.1/\" }}]\nsteps: [{steps}]\nexpect: {{{expect}}}\n"
        );
        parse(&text, "x.yaml").err().map(|e| e.to_string())
    }

    #[track_caller]
    fn check(steps: &str, expect: &str, part: &str) {
        let said = complaint("", steps, expect).unwrap();
        assert!(said.contains(part), "{said}\nlacks {part}");
    }

    const START: &str = "{ serve: start, every: 1s, config: { defaults: { timeout: 2s } } }, ";

    #[test]
    fn a_course_that_can_be_followed() {
        let steps = format!(
            "{START}{{ check: c }}, {{ until: {{ service: www, verdict: healthy, cause: null }}, within: 20s }}, \
             {{ run: 5s }}, {{ wait: 2h }}, {{ look: a }}, {{ serve: freeze }}, {{ serve: thaw }}, {{ serve: kill }}, \
             {{ serve: start }}, {{ serve: reload, config: {{ servces: [] }} }}, {{ until: {{ refused: true }}, within: 5s }}, \
             {{ until: {{ incidents: 1, state: open }}, within: 5s }}, {{ look: b }}, {{ serve: stop }}"
        );
        let expect = "a: { services: { www: { verdict: healthy, cause: null, stale: false } }, incidents: [], nothing_else: true }, \
             b: { refused: true, metrics: { 'x{y=\"z\"}': 1, other: { at_least: 1 } }, incidents: [{ cause: net.tcp.refused, \
                  state: open, timeline: [alarm, { growth: 9.9.9.9 }], without: [reopened], began_within: 3s, same_as: a }] }, \
             c: { verdict: healthy }";
        assert_eq!(complaint("", &steps, expect), None);
    }

    #[test]
    fn what_cannot_be() {
        let real = "now: 2024-10-01T11:10:00Z\n";
        let said = complaint(real, "{ serve: start }", "").unwrap();
        assert!(
            said.contains("real clock") && said.contains("x.yaml:3:"),
            "{said}"
        );
        check("{ look: a }", "", "`serve: start` comes before");
        check("{ ping: /ping/x }", "", "`serve: start` comes before");
        let other = "{ serve: start }, { ping: /pong/x }";
        check(other, "", "the path that a job calls");
        check("{ serve: stop }", "", "does not run");
        check("{ serve: start }, { serve: start }", "", "runs already");
        check(
            "{ serve: start }, { serve: stop, every: 1s }",
            "",
            "belong to `serve: start`",
        );
        check(
            "{ run: 1s, every: 1s }",
            "",
            "`every` belongs to a `serve` step",
        );
        check("{ serve: strat }", "", "did you mean `start`");
        let kill = |more: &str| format!("{START}{{ serve: kill_prober{more} }}");
        check(&kill(""), "", "over what, and for how long?");
        check(&kill(", of: \"192.0.2.1:80\""), "", "for how long?");
        let nobody = kill(", of: \"192.0.2.1:80\", during: 9s");
        check(&nobody, "", "no host of the world stands at 192.0.2.1:80");
        let long = kill(", of: \"192.0.2.1:80\", during: 121s");
        check(&long, "", "at most 120s");
        let nowhere = kill(", of: www, during: 9s");
        check(&nowhere, "", "invalid socket address");
        let other = format!("{START}{{ serve: kill_worker, during: 9s }}");
        check(&other, "", "`during` belongs to `kill_prober`");
        check(
            "{ run: 1s, during: 9s }",
            "",
            "`during` belongs to a `serve` step",
        );
        check("{ run: 80s }, { run: 41s }", "", "at most 120s");
        check("{ serve: start }, { wait: 21h }", "", "at most 20h");
        let until = |until: &str| format!("{START}{{ until: {{ {until} }}, within: 5s }}");
        check(&until("verdict: healthy"), "", "`service` goes with");
        check(&until("service: www"), "", "`service` goes with");
        check(&until("state: open"), "", "`state` goes with");
        check(&until(""), "", "nothing to wait for");
        check(
            &until("service: wwww, verdict: healthy"),
            "",
            "did you mean `www`",
        );
        check(
            &format!("{START}{{ until: {{ incidents: 1 }} }}"),
            "",
            "Give `within`",
        );
    }

    #[test]
    fn expectations_fit_their_steps() {
        let look = format!("{START}{{ look: a }}, {{ check: c }}");
        check(&look, "a: { verdict: healthy }", "`verdict` is for a check");
        check(&look, "c: { incidents: [] }", "`incidents` is for a look");
        check(&look, "a: { services: { w: {} } }", "no service `w`");
        check(
            &look,
            "a: { incidents: [{ timeline: [grwth] }] }",
            "did you mean `growth`",
        );
        check(
            &look,
            "a: { incidents: [{ same_as: x }] }",
            "no earlier look `x`",
        );
        check(&format!("{look}, {{ look: a }}"), "", "two look steps");
        check(
            &format!("{look}, {{ check: a }}"),
            "",
            "a check step and a look step",
        );
    }
}
