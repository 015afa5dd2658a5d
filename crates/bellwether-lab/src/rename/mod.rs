//! The seed's names and addresses: a bijection over the labels and addresses of a scenario,
//! applied to all of it alike, so that nothing can be tuned to a list.
//!
//! Top-level domains, `*`, `@` and labels with `_` keep their spelling, as do the names and
//! addresses that every world has. Addresses keep class, family and common prefixes, and so their
//! owners. The order of resolvers and records is the seed's too; that of name servers follows from
//! their names.
//!
//! - [`address`]: addresses and prefixes
//! - [`label`]: labels of names
//! - [`text`]: names and addresses inside any text

mod address;
mod label;
mod text;

use fastrand::Rng;
use serde_json::{Map, Value};

use crate::LabError;
use crate::chance::mix;
use crate::scenario::Spec;
use crate::scenario::line::{Line, is_absolute};
use crate::world::tlds;
use address::Addresses;
use label::Labels;
use text::{Piece, rewrite};

/// Keys of lists that hold zone-file lines.
const RECORDS: [&str; 2] = ["records", "altered"];
/// Keys of mappings whose values are such lists.
const RECORDS_BY: [&str; 1] = ["records_for"];
/// Keys of lists that hold owners, each with a type or without.
const OWNERS: [&str; 2] = ["without_rrsig", "only"];

/// The scenario with the seed's names; a `fixed` one stays as it is.
pub(crate) fn rename(spec: &Spec, seed: u64) -> Result<Spec, LabError> {
    if spec.fixed {
        return Ok(spec.clone());
    }
    let failed = |e: serde_json::Error| LabError::Scenario {
        place: spec.name.clone(),
        message: format!("cannot be renamed: {e}"),
    };
    let tlds = tlds(spec);
    let written = serde_json::to_value(spec).map_err(failed)?;
    let mut seen = Seen {
        tlds: &tlds,
        labels: Vec::new(),
        addresses: Vec::new(),
    };
    walk(&written, "", &mut seen);
    let mut renamer = Renamer {
        tlds: &tlds,
        labels: Labels::new(seen.labels, &tlds, seed),
        addresses: Addresses::new(seen.addresses, spec.world.owners.keys().copied(), seed),
    };
    let renamed = walk(&written, "", &mut renamer);
    let mut spec: Spec = serde_json::from_value(renamed).map_err(failed)?;
    let mut chance = Rng::with_seed(mix(seed, "order"));
    chance.shuffle(&mut spec.world.resolvers);
    for zone in &mut spec.world.zones {
        chance.shuffle(&mut zone.records);
    }
    Ok(spec)
}

/// What is done with each text of a scenario.
trait Visit {
    fn text(&mut self, text: &str) -> String;
    fn line(&mut self, line: &str) -> String;
    fn owner(&mut self, text: &str) -> String;
}

/// A copy of a value with every text visited, keys included.
fn walk(value: &Value, key: &str, visit: &mut impl Visit) -> Value {
    match value {
        Value::String(text) if RECORDS.contains(&key) => Value::String(visit.line(text)),
        Value::String(text) if OWNERS.contains(&key) => Value::String(visit.owner(text)),
        Value::String(text) => Value::String(visit.text(text)),
        Value::Array(items) => items.iter().map(|item| walk(item, key, visit)).collect(),
        Value::Object(fields) => {
            let fields = fields
                .iter()
                .map(|(k, v)| (visit.text(k), walk(v, inner(key, k), visit)));
            Value::Object(fields.collect::<Map<String, Value>>())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

/// The key that says what is in a value: its own, or that of the mapping around it.
fn inner<'a>(around: &'a str, own: &'a str) -> &'a str {
    match RECORDS_BY.contains(&around) {
        true => RECORDS[0],
        false => own,
    }
}

/// Is it a name of the scenario: several labels, the last a top-level domain that it uses?
fn is_name(text: &str, tlds: &[String]) -> bool {
    let body = text.trim_end_matches('.');
    body.contains('.') && !body.contains("..") && is_absolute(body, tlds.iter().map(String::as_str))
}

/// Names that every world has keep their spelling.
fn is_pinned(name: &str) -> bool {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    let below = |suffix: &str| name == suffix || name.ends_with(&format!(".{suffix}"));
    let registry = name.split('.').rev().nth(1) == Some("nic");
    below("root-servers.net") || below("gtld-servers.net") || registry
}

/// First pass: what there is.
struct Seen<'a> {
    tlds: &'a [String],
    labels: Vec<String>,
    addresses: Vec<std::net::IpAddr>,
}

impl Seen<'_> {
    fn name(&mut self, name: &str, absolute: bool) {
        if absolute && is_pinned(name) {
            return;
        }
        let body = name.trim_end_matches('.');
        let labels = body.split('.').map(str::to_ascii_lowercase);
        let count = body.split('.').count() - usize::from(absolute);
        self.labels.extend(labels.take(count));
    }
}

impl Visit for Seen<'_> {
    fn text(&mut self, text: &str) -> String {
        rewrite(text, &mut |piece| {
            match piece {
                Piece::Address(address) => self.addresses.push(address),
                Piece::Net(net) => self.addresses.push(net.network()),
                Piece::Word(word) if is_name(word, self.tlds) => self.name(word, true),
                Piece::Word(_) => {}
            }
            String::new()
        });
        text.to_owned()
    }

    fn line(&mut self, text: &str) -> String {
        let Ok(line) = Line::parse(text) else {
            return text.to_owned();
        };
        let fields = line.name_fields();
        let names = fields.iter().filter_map(|field| line.data.get(*field));
        for name in names
            .chain([&line.owner])
            .filter(|n| *n != "@" && *n != ".")
        {
            self.name(name, is_name(name, self.tlds));
        }
        for (index, field) in line.data.iter().enumerate() {
            if !fields.contains(&index) {
                self.text(field);
            }
        }
        text.to_owned()
    }

    fn owner(&mut self, text: &str) -> String {
        let owner = text.split(' ').next().unwrap_or_default();
        if owner != "@" && owner != "." {
            self.name(owner, is_name(owner, self.tlds));
        }
        text.to_owned()
    }
}

/// Second pass: the new names.
struct Renamer<'a> {
    tlds: &'a [String],
    labels: Labels,
    addresses: Addresses,
}

impl Renamer<'_> {
    fn name(&self, name: &str) -> String {
        if name == "@" || name == "." {
            return name.to_owned();
        }
        if !is_name(name, self.tlds) {
            let dot = if name.ends_with('.') { "." } else { "" };
            return format!("{}{dot}", self.labels.all(name.trim_end_matches('.')));
        }
        if is_pinned(name) {
            return name.to_owned();
        }
        match name.trim_end_matches('.').rsplit_once('.') {
            Some((rest, tld)) => {
                let dot = if name.ends_with('.') { "." } else { "" };
                format!("{}.{tld}{dot}", self.labels.all(rest))
            }
            None => name.to_owned(),
        }
    }
}

impl Visit for Renamer<'_> {
    fn text(&mut self, text: &str) -> String {
        rewrite(text, &mut |piece| match piece {
            Piece::Address(address) => self.addresses.address(address).to_string(),
            Piece::Net(net) => self.addresses.net(net).to_string(),
            Piece::Word(word) if is_name(word, self.tlds) => self.name(word),
            Piece::Word(word) => word.to_owned(),
        })
    }

    fn line(&mut self, text: &str) -> String {
        let Ok(mut line) = Line::parse(text) else {
            return text.to_owned();
        };
        let fields = line.name_fields();
        line.owner = self.name(&line.owner);
        for (index, field) in line.data.iter_mut().enumerate() {
            *field = if fields.contains(&index) {
                self.name(field)
            } else {
                self.text(field)
            };
        }
        line.to_string()
    }

    fn owner(&mut self, text: &str) -> String {
        match text.split_once(' ') {
            Some((owner, rtype)) => format!("{} {rtype}", Renamer::name(self, owner)),
            None => Renamer::name(self, text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::parse;
    use crate::shipped::shipped;

    #[test]
    fn shipped_scenarios_survive_every_seed() {
        for scenario in shipped() {
            let spec = parse(scenario.text, scenario.file).unwrap();
            for seed in 0..20 {
                let renamed = rename(&spec, seed).unwrap();
                assert_eq!(renamed == spec, spec.fixed, "{} {seed}", scenario.file);
                assert_eq!(renamed.expect.len(), spec.expect.len());
                assert_eq!(rename(&spec, seed).unwrap(), renamed);
            }
        }
    }

    #[test]
    fn one_name_is_one_name_everywhere() {
        let text = r#"
schema: bellwether.scenario/1
name: x
world:
  owners: { 8.8.8.0/24: AS15169 Google, 54.160.0.0/12: AS1 A }
  vantages: [{ name: fra, address: 192.0.2.10 }]
  zones:
    - { name: ours, apex: svc.test, servers: { ns1.svc.test: 54.160.1.1 }, signed: true,
        altered: ["www 60 A 54.160.170.229"], without_rrsig: [www A, "@ DNSKEY"],
        records_for: { fra: ["www 60 A 54.160.170.230"] },
        signatures: { expiration: -1d, only: [www] },
        records: ["www 60 A 54.160.170.229", "alias 60 CNAME www", "_x 60 TXT \"see www.svc.test\""] }
  resolvers: [{ address: 8.8.8.8 }]
  hosts: [{ address: 54.160.170.229, tls: { names: ["*.svc.test"] }, http: { redirect: "https://www.svc.test/x" } }]
services: [{ name: www, url: "https://www.svc.test/" }]
steps: [{ check: a }]
expect: { a: { scope: { name_servers: ["ns1.svc.test.@54.160.1.1"], addresses: [54.160.170.229], resolvers: [8.8.8.8] } } }
"#;
        let spec = parse(text, "x").unwrap();
        let renamed = rename(&spec, 7).unwrap();
        let world = &renamed.world;
        let url = renamed.services[0]["url"].as_str().unwrap();
        let www = url.strip_prefix("https://").unwrap().trim_end_matches('/');
        let (label, apex) = www.split_once('.').unwrap();
        assert_ne!(www, "www.svc.test");
        assert_eq!(world.zones[0].apex, apex);
        let records = world.zones[0].records.join("\n");
        assert!(records.contains(&format!("{label} 60 A ")), "{records}");
        assert!(records.contains(&format!(" CNAME {label}")), "{records}");
        assert!(
            records.contains(&format!("_x 60 TXT \"see {www}\"")),
            "{records}"
        );
        let zone = &world.zones[0];
        let own = &zone.records_for["fra"][0];
        assert!(
            own.starts_with(&format!("{label} 60 A ")) && !own.contains("170.230"),
            "{own}"
        );
        assert_ne!(world.vantages[0].address.0[0].to_string(), "192.0.2.10");
        let altered = zone.altered.as_ref().unwrap();
        assert!(records.contains(&altered[0]), "{records}");
        let without = zone.without_rrsig.as_ref().unwrap();
        assert_eq!(*without, [format!("{label} A"), "@ DNSKEY".to_owned()]);
        let only = zone.signatures.as_ref().unwrap().only.as_ref().unwrap();
        assert_eq!(only[0], label);
        let host = &world.hosts[0];
        assert!(records.contains(&host.address.0[0].to_string()));
        let names = host.tls.as_ref().unwrap().names.as_ref().unwrap();
        assert_eq!(names[0], format!("*.{apex}"));
        let redirect = host.http.as_ref().unwrap().redirect.as_ref().unwrap();
        assert_eq!(*redirect, format!("https://{www}/x"));
        let (server, addresses) = world.zones[0].servers.iter().next().unwrap();
        let scope = renamed.expect["a"].scope.as_ref().unwrap();
        let label = format!("{server}.@{}", addresses.0[0]);
        assert_eq!(scope.name_servers.as_ref().unwrap()[0], label);
        assert_eq!(scope.resolvers.as_ref().unwrap()[0], "8.8.8.8");
        let owner = |net: &str| world.owners.contains_key(&net.parse().unwrap());
        assert!(owner("8.8.8.0/24") && !owner("54.160.0.0/12"));
        assert!(
            world
                .owners
                .iter()
                .any(|(net, o)| o == "AS1 A" && net.contains(&host.address.0[0]))
        );
        assert_eq!(renamed.services[0]["name"], "www");
    }
}
