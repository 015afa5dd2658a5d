//! What is lost on the way says nothing of what the answer would have been.
//!
//! Recorded checks of healthy services lose questions, connections and handshakes at random, and
//! nothing else: no answer is changed, and none is added.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

use std::collections::BTreeSet;

use bellwether_diagnose::{Judged, Situation, diagnose};
use bellwether_model::report::Role;
use bellwether_model::{Cause, Layer, Verdict};
use serde_json::{Value, json};

/// Checks of the lab's healthy worlds, as `bellwether drill --format json` recorded them.
const HEALTHY: [(&str, &str); 5] = [
    (
        "alias-without-baseline",
        include_str!("data/healthy/alias-without-baseline.json"),
    ),
    (
        "both-families",
        include_str!("data/healthy/both-families.json"),
    ),
    ("signed", include_str!("data/healthy/signed.json")),
    (
        "three-addresses",
        include_str!("data/healthy/three-addresses.json"),
    ),
    (
        "two-name-servers",
        include_str!("data/healthy/two-name-servers.json"),
    ),
];

/// Each situation loses so often.
const SEEDS: u64 = 200;
/// The share of packets that are lost.
const SHARES: [f64; 5] = [0.05, 0.15, 0.3, 0.5, 0.7];

/// What may follow from silence: that somebody is silent, cannot be reached, or cannot be told. All else
/// needs an answer.
fn follows_from_silence(cause: Cause) -> bool {
    const NAMED: [Cause; 10] = [
        Cause::Unknown,
        Cause::DnsAuthUnresponsive,
        Cause::DnsResolverDown,
        Cause::DnsResolverSlow,
        Cause::DnsTransportUdpLargeDropped,
        Cause::DnsTransportPort53Filtered,
        Cause::RegTldUnreachable,
        Cause::TlsHandshakeStall,
        Cause::HttpSlowFirstByte,
        Cause::PromiseRedundancy,
    ];
    let layer = cause.layer();
    NAMED.contains(&cause) || matches!(layer, Some(Layer::Monitor | Layer::Net))
}

fn recorded(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn situation(recorded: &Value) -> Situation {
    Situation {
        context: serde_json::from_value(recorded["context"].clone()).unwrap(),
        observations: serde_json::from_value(recorded["observations"].clone()).unwrap(),
    }
}

/// What loses packets.
struct Loss {
    share: f64,
    /// Has a look-up the time to be told silent? Else what got no answer is not there.
    is_patient: bool,
    chance: fastrand::Rng,
}

impl Loss {
    /// Is this lost, tried so often, there and back?
    fn loses(&mut self, tries: i32) -> bool {
        let one = 1.0 - (1.0 - self.share).powi(2);
        self.chance.f64() < one.powi(tries)
    }

    /// Loses exchanges wherever they stand. False if this one is one, and is gone altogether.
    fn exchanges(&mut self, value: &mut Value) -> bool {
        match value {
            Value::Array(all) => {
                all.retain_mut(|one| self.exchanges(one));
                true
            }
            Value::Object(fields) => {
                if !fields.contains_key("question") || !fields.contains_key("transport") {
                    for field in fields.values_mut() {
                        if !self.exchanges(field) {
                            *field = Value::Null;
                        }
                    }
                    return true;
                }
                self.exchange(value)
            }
            _ => true,
        }
    }

    fn exchange(&mut self, exchange: &mut Value) -> bool {
        let tries = if exchange["transport"] == "udp" { 2 } else { 3 };
        if exchange["result"]["kind"] != "answered" {
            return true;
        }
        if !self.loses(tries) {
            // The first one may have been lost all the same.
            if exchange["transport"] == "udp" && self.loses(1) {
                exchange["tries"] = json!(2);
                exchange["took_ms"] = json!(2_000.0);
            }
            return true;
        }
        if !self.is_patient {
            return false;
        }
        exchange["result"] = json!({ "kind": "silent" });
        exchange["tries"] = json!(2);
        exchange["took_ms"] = json!(4_000.0);
        true
    }

    fn lose(&mut self, recorded: &mut Value) {
        let mut all: Vec<Value> = recorded["observations"].as_array().unwrap().clone();
        for observation in &mut all {
            let outcome = &mut observation["outcome"];
            // Its own kinds of records lie in what was made of them.
            if outcome["kind"] != "dnssec" {
                self.exchanges(outcome);
            }
            if outcome["kind"] == "control" && outcome["exchange"]["result"]["kind"] != "answered" {
                outcome["ok"] = json!(false);
            }
        }
        // What was asked outside the tree of this file is not there at all.
        let is_whole = |o: &Value| {
            let outcome = &o["outcome"];
            outcome.get("exchange").is_none_or(|e| !e.is_null())
        };
        all.retain(is_whole);
        self.walk(&mut all);
        self.connections(&mut all);
        recorded["observations"] = all.into();
    }

    /// Nobody walks on below a zone of which no server answered.
    fn walk(&mut self, all: &mut Vec<Value>) {
        let answered = |server: &Value| {
            let exchanges = server["exchanges"].as_array().unwrap();
            exchanges.iter().any(|e| e["result"]["kind"] == "answered")
        };
        let dead: BTreeSet<(String, String)> = all
            .iter()
            .map(|o| &o["outcome"])
            .filter(|o| o["kind"] == "delegation")
            .filter(|o| !o["servers"].as_array().unwrap().iter().any(answered))
            .map(|o| (text(&o["name"]), text(&o["zone"])))
            .collect();
        all.retain(|o| {
            let outcome = &o["outcome"];
            let (name, zone) = (text(&outcome["name"]), text(&outcome["zone"]));
            let is_below = |dead: &(String, String)| {
                dead.0 == name
                    && zone.len() > dead.1.len()
                    && (dead.1 == "." || zone.ends_with(&dead.1))
            };
            let is_walk = outcome["kind"] == "delegation";
            let is_judged = outcome["kind"] == "dnssec" && !dead.is_empty();
            !(is_walk && dead.iter().any(is_below) || is_judged)
        });
    }

    fn connections(&mut self, all: &mut Vec<Value>) {
        let (mut unconnected, mut unsafe_) = (BTreeSet::new(), BTreeSet::new());
        for observation in all.iter_mut() {
            let outcome = &mut observation["outcome"];
            let address = text(&outcome["address"]);
            let lost = self.loses(2);
            match outcome["kind"].as_str() {
                Some("tcp") if lost => {
                    unconnected.insert(address.clone());
                    *outcome = json!({ "kind": "tcp", "address": address, "result": { "kind": "timed_out" } });
                }
                Some("tls") if lost => {
                    if outcome["purpose"] == "user" {
                        unsafe_.insert(address.clone());
                    }
                    outcome["result"] = json!({ "kind": "stalled" });
                    outcome["handshake_ms"] = json!(10_000.0);
                    for what in ["chain", "problems", "profiles", "hellos"] {
                        outcome[what] = json!([]);
                    }
                    for what in [
                        "version",
                        "cipher",
                        "group",
                        "alpn",
                        "staple",
                        "small_segments",
                    ] {
                        outcome[what] = Value::Null;
                    }
                    outcome["chain_len"] = json!(0);
                }
                Some("http") if lost => {
                    outcome["result"] = json!({ "kind": "stalled" });
                    for what in ["status", "version", "body"] {
                        outcome[what] = Value::Null;
                    }
                    for what in ["headers", "expectations", "problems"] {
                        outcome[what] = json!([]);
                    }
                    outcome["head_read"] = json!(0);
                }
                _ => {}
            }
        }
        all.retain(|o| {
            let outcome = &o["outcome"];
            let address = text(&outcome["address"]);
            match outcome["kind"].as_str() {
                Some("tls") => !unconnected.contains(&address),
                Some("http") => !unconnected.contains(&address) && !unsafe_.contains(&address),
                _ => true,
            }
        });
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn lossy(recorded: &Value, seed: u64) -> Judged {
    let mut chance = fastrand::Rng::with_seed(seed);
    let share = SHARES[chance.usize(..SHARES.len())];
    let is_patient = chance.bool();
    let mut left = recorded.clone();
    let mut loss = Loss {
        share,
        is_patient,
        chance,
    };
    loss.lose(&mut left);
    diagnose(&situation(&left))
}

#[test]
fn what_was_recorded_is_healthy() {
    for (name, text) in HEALTHY {
        let judged = diagnose(&situation(&recorded(text)));
        assert_eq!(
            judged.verdict,
            Verdict::Healthy,
            "{name}: {:#?}",
            judged.findings
        );
    }
}

#[test]
fn lost_packets_have_no_cause_that_needs_an_answer() {
    let (mut wrong, mut broken) = (Vec::new(), 0);
    for (name, text) in HEALTHY {
        let recorded = recorded(text);
        for seed in 0..SEEDS {
            let judged = lossy(&recorded, seed);
            broken += u64::from(judged.verdict != Verdict::Healthy);
            let told = judged.findings.iter();
            let told = told.filter(|f| {
                f.role != Role::Warning || f.severity != bellwether_model::report::Severity::Notice
            });
            for finding in told.filter(|f| !follows_from_silence(f.cause)) {
                wrong.push(format!(
                    "{name}, seed {seed}: {} {:?}: {}",
                    finding.cause, finding.role, finding.summary
                ));
            }
        }
    }
    assert!(
        broken > SEEDS,
        "loses too little to show anything: {broken}"
    );
    assert!(
        wrong.is_empty(),
        "{} of them:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}
