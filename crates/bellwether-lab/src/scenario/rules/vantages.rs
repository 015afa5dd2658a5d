//! Rules of vantages, and of the course of their agents.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::{Wrong, no_such};
use crate::scenario::vantage::LOCAL;
use crate::scenario::{AgentWord, Spec, StepSpec};
use crate::world::roots::{VANTAGE, fixed};

/// The names of a scenario's vantages.
fn names(spec: &Spec) -> impl Iterator<Item = &str> + Clone {
    spec.world.vantages.iter().map(|v| v.name.as_str())
}

fn known(spec: &Spec, place: &str, name: &str, or_local: bool) -> Result<(), Wrong> {
    let local = or_local.then_some(LOCAL);
    let all = names(spec).chain(local);
    if all.clone().any(|known| known == name) {
        return Ok(());
    }
    Err(Wrong::new(name, no_such(place, "vantage", name, all)))
}

/// What is declared of vantages, and where they are named.
pub(super) fn check(spec: &Spec) -> Result<(), Wrong> {
    let mut taken: BTreeSet<IpAddr> = spec.world.vantage.iter().copied().collect();
    taken.extend(VANTAGE.iter().map(|text| fixed(text)));
    let mut named = BTreeSet::from([LOCAL]);
    for vantage in &spec.world.vantages {
        let name = vantage.name.as_str();
        let wrong = |message: String| Err(Wrong::new(name, format!("vantage `{name}`: {message}")));
        let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if name.is_empty() || !name.chars().all(is_plain) {
            return wrong("a name is of small letters, digits and `-`".to_owned());
        }
        if !named.insert(name) {
            return wrong("there is one of this name already, `local` built in".to_owned());
        }
        let addresses = &vantage.address.0;
        let of_v4 = addresses.iter().filter(|a| a.is_ipv4()).count();
        if addresses.is_empty() || of_v4 > 1 || addresses.len() - of_v4 > 1 {
            return wrong("give an address, at most one for each family".to_owned());
        }
        if let Some(twice) = addresses.iter().find(|a| !taken.insert(**a)) {
            return wrong(format!("somebody else dials from {twice}"));
        }
    }
    for resolver in &spec.world.resolvers {
        for name in &resolver.from {
            known(spec, "from", name, true)?;
        }
    }
    for zone in &spec.world.zones {
        for name in zone.records_for.keys() {
            known(spec, "records_for", name, true)?;
        }
    }
    for expect in spec.expect.values() {
        let of_runs = expect.runs.values().flat_map(|runs| runs.keys());
        for name in of_runs {
            known(spec, "expect: runs", name, true)?;
        }
        for name in expect.agents.keys() {
            known(spec, "expect: agents", name, false)?;
        }
    }
    Ok(())
}

/// What one step says of vantages.
pub(super) fn check_step(spec: &Spec, step: &StepSpec) -> Result<(), Wrong> {
    let empty = step.agent.as_ref().is_some_and(|names| names.0.is_empty());
    if empty || step.agent.is_some() && step.deed.is_none() {
        let message = "agent: whose, and what? Write `{ agent: fra, do: start }`";
        return Err(Wrong::new("agent:", message));
    }
    for name in step.agent.iter().flat_map(|names| &names.0) {
        known(spec, "agent", name, false)?;
    }
    for name in step.until.iter().flat_map(|until| until.agents.keys()) {
        known(spec, "until: agents", name, false)?;
    }
    let Some(set) = &step.set else {
        return Ok(());
    };
    for name in set
        .zones
        .values()
        .flat_map(|z| z.records_for.iter().flat_map(|r| r.keys()))
    {
        known(spec, "records_for", name, true)?;
    }
    for (name, patch) in &set.vantages {
        known(spec, "set: vantages", name, true)?;
        if name == LOCAL && patch.link.is_some() {
            let message = "set: vantages: `local` has no link; its agent is a part of `serve`";
            return Err(Wrong::new("link:", message));
        }
        if patch
            .loss
            .is_some_and(|share| !(0.0..=1.0).contains(&share))
        {
            return Err(Wrong::new("loss:", "loss: a share from 0 to 1"));
        }
    }
    Ok(())
}

/// Which agents run, and which have been enrolled.
#[derive(Default)]
pub(super) struct Fleet<'a> {
    running: BTreeSet<&'a str>,
    enrolled: BTreeSet<&'a str>,
}

impl<'a> Fleet<'a> {
    pub(super) fn follow(&mut self, step: &'a StepSpec, serves: bool) -> Result<(), Wrong> {
        let Some(word) = step.deed else {
            return Ok(());
        };
        for name in step.agent.iter().flat_map(|names| &names.0) {
            let wrong = |message: &str| {
                let message = format!("agent {name}: {}: {message}", word.name());
                Err(Wrong::new(name, message))
            };
            let runs = self.running.contains(name.as_str());
            match word {
                AgentWord::Start if runs => {
                    return wrong("it runs already; `stop` or `kill` it before");
                }
                AgentWord::Start if !serves && !self.enrolled.contains(name.as_str()) => {
                    return wrong("it is enrolled at its first start; `serve: start` comes before");
                }
                AgentWord::Start => {
                    self.running.insert(name);
                    self.enrolled.insert(name);
                }
                _ if !runs => return wrong("it does not run; `start` it before"),
                AgentWord::Stop | AgentWord::Kill => {
                    self.running.remove(name.as_str());
                }
                AgentWord::Freeze
                | AgentWord::Thaw
                | AgentWord::FreezeWorker
                | AgentWord::FreezeWorkers
                | AgentWord::KillProber => {}
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::scenario::parse;

    const VANTAGES: &str = "{ name: fra, address: 192.0.2.10, network: AS3320 }, \
        { name: nyc, address: [198.51.100.10, \"2001:db8::10\"], region: us }";

    fn complaint(vantages: &str, world: &str, steps: &str, expect: &str) -> Option<String> {
        let text = format!(
            "schema: bellwether.scenario/1\nname: x\nworld: {{ vantages: [{vantages}], {world} }}\n\
             services: [{{ name: www, url: \"http://203.0.113.1/\" }}]\nsteps: [{steps}]\nexpect: {{{expect}}}\n"
        );
        parse(&text, "x.yaml").err().map(|e| e.to_string())
    }

    #[track_caller]
    fn check(steps: &str, part: &str) {
        let said = complaint(VANTAGES, "", steps, "").unwrap();
        assert!(said.contains(part), "{said}\nlacks {part}");
    }

    #[test]
    fn a_course_that_can_be_followed() {
        let steps = "{ serve: start, disk: 64 }, { agent: [fra, nyc], do: start }, \
            { agent: nyc, do: kill_prober, of: \"203.0.113.1:443\", during: 9s }, \
            { serve: kill_prober, of: \"[2001:db8::1]:443\", during: 9s }, \
            { until: { agents: { fra: linked } }, within: 20s }, { agent: fra, do: freeze_workers }, \
            { agent: fra, do: thaw }, { set: { vantages: { fra: { link: silent, loss: 0.3, cut: true, \
              portal: 203.0.113.9, interceptor: { cache: none } }, local: { cut: false } }, disk: full } }, \
            { ping: nightly, how: 7 }, { agent: nyc, do: kill }, { serve: stop }, { agent: nyc, do: start }, \
            { serve: start }, { until: { incident: { cause: monitor.vantage_offline, scope: { vantages: [fra] } } }, within: 9s }, \
            { look: a }";
        let world = "hosts: [{ address: [203.0.113.1, \"2001:db8::1\"] }], \
            resolvers: [{ address: 9.9.9.9, from: [local, fra] }], zones: [{ name: z, apex: svc.test, \
            servers: { ns1.svc.test: 203.0.113.53 }, records: [\"www 60 A 203.0.113.1\"], \
            records_for: { fra: [\"www 60 A 203.0.113.2\"] } }]";
        let expect = "a: { agents: { fra: offline }, runs: { www/main: { fra: { at_least: 3, gap_at_most: 4s, once: true } } } }";
        assert_eq!(complaint(VANTAGES, world, steps, expect), None);
    }

    #[test]
    fn what_cannot_be() {
        for (vantages, part) in [
            ("{ name: local, address: 192.0.2.1 }", "`local` built in"),
            ("{ name: Fra, address: 192.0.2.1 }", "small letters"),
            ("{ name: fra, address: [] }", "give an address"),
            (
                "{ name: fra, address: [192.0.2.1, 192.0.2.2] }",
                "give an address",
            ),
            (
                "{ name: a, address: 192.0.2.1 }, { name: b, address: 192.0.2.1 }",
                "somebody else",
            ),
            ("{ name: a, address: 84.17.47.10 }", "somebody else"),
        ] {
            let said = complaint(vantages, "", "", "").unwrap();
            assert!(said.contains(part), "{said}\nlacks {part}");
        }
        let start = "{ serve: start }, { agent: fra, do: start }";
        check("{ agent: fra, do: start }", "`serve: start` comes before");
        check("{ serve: start }, { agent: fra }", "do: start");
        check(
            "{ serve: start }, { agent: frb, do: start }",
            "did you mean `fra`",
        );
        check(
            &format!("{start}, {{ agent: fra, do: start }}"),
            "runs already",
        );
        check("{ serve: start }, { agent: fra, do: stop }", "does not run");
        check(
            "{ set: { vantages: { local: { link: silent } } } }",
            "has no link",
        );
        check(
            "{ set: { vantages: { fra: { loss: 1.5 } } } }",
            "from 0 to 1",
        );
        check(
            "{ set: { vantages: { sin: { cut: true } } } }",
            "no vantage `sin`",
        );
        check("{ set: { disk: full } }", "`disk:`");
        check(
            "{ serve: start }, { serve: stop }, { serve: start, disk: 9 }",
            "first",
        );
        check("{ ping: x }", "`serve: start` comes before");
        check(
            "{ serve: start }, { run: 1s, do: stop }",
            "belongs to a `agent` step",
        );
    }
}
