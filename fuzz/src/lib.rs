//! Every decoder of bytes that is ours, as a function that must hold for any bytes.
//!
//! `cargo xtask fuzz` hands them to libFuzzer; the test of this package runs what stands in
//! `corpus/`, so that a fault once found stays found. A target panics if a promise breaks: that
//! nothing panics, that reading is bounded, and that what is shown of a stranger's bytes is inert.

use std::path::Path;
use std::sync::OnceLock;

use bellwether_diagnose::{Situation, diagnose};
use bellwether_link::authority::Authority;
use bellwether_link::frame::FrameError;
use bellwether_link::parcel::Assembly;
use bellwether_model::link::{ToAgent, ToHub};
use bellwether_model::text::inert;
use bellwether_model::{Report, Target as Aim};
use bellwether_pki::strict::{Peer, Question, verify};
use bellwether_pki::{Anchors, examine};
use bellwether_probe::fuzzing;
use jiff::Timestamp;
use serde_json::Value;

/// A decoder and its name, which is also the folder of its corpus.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Name, for example `dns_message`.
    pub name: &'static str,
    /// Panics if a promise breaks.
    pub run: fn(&[u8]),
}

/// All of them.
pub const TARGETS: &[Target] = &[
    target("asn_table", asn_table),
    target("certificate", certificate),
    target("certificate_request", certificate_request),
    target("chain", chain),
    target("configuration", configuration),
    target("dns_message", dns_message),
    target("http_response", http_response),
    target("link_to_agent", link_to_agent),
    target("link_to_hub", link_to_hub),
    target("ping_url", ping_url),
    target("report", report),
    target("root_hints", root_hints),
    target("scenario", scenario),
    target("spool_journal", bellwether_agent::spool::fuzzing::journal),
    target("spool_kept", bellwether_agent::spool::fuzzing::kept),
    target("spool_sealed", bellwether_agent::spool::fuzzing::sealed),
    target("store_block", store_block),
    target("strict", strict),
    target("target", aim),
    target("tls_flight", tls_flight),
    target("trust_anchor", trust_anchor),
    target("worker_events", worker_events),
    target("worker_job", worker_job),
];

const fn target(name: &'static str, run: fn(&[u8])) -> Target {
    Target { name, run }
}

/// When validity is judged.
const NOW: Timestamp = Timestamp::constant(1_780_000_000, 0);

/// Every text of a value must be harmless to print.
fn assert_inert(value: &Value) {
    match value {
        Value::String(text) => {
            let shown = inert(text, usize::MAX).replace("\\\\", "\\");
            assert_eq!(&shown, text, "a text that is not inert");
        }
        Value::Array(items) => items.iter().for_each(assert_inert),
        Value::Object(entries) => {
            for (key, value) in entries {
                assert_inert(&Value::String(key.clone()));
                assert_inert(value);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn shown(value: &impl serde::Serialize) -> Value {
    serde_json::to_value(value).expect("records have a JSON form")
}

fn dns_message(bytes: &[u8]) {
    assert_inert(&shown(&fuzzing::dns_message(bytes)));
}

fn http_response(bytes: &[u8]) {
    let (record, kept) = fuzzing::http_response(bytes);
    assert_inert(&record);
    // What is decoded may be larger than what came, but never above the bound of a body.
    assert!(kept <= 2 * 1024 * 1024, "{kept} bytes of a body were kept");
}

fn worker_events(bytes: &[u8]) {
    fuzzing::worker_events(bytes);
}

fn worker_job(bytes: &[u8]) {
    fuzzing::worker_job(bytes);
}

fn certificate(bytes: &[u8]) {
    let seen = bellwether_pki::read(bytes);
    let panicked = seen.malformed.as_deref() == Some("the parser panicked over it");
    assert!(!panicked, "the parser panicked");
    assert_inert(&shown(&seen));
}

/// What somebody sends who wants a certificate of the link: whatever stands in it, the certificate says
/// what the hub says.
fn certificate_request(bytes: &[u8]) {
    static AUTHORITY: OnceLock<Authority> = OnceLock::new();
    let authority =
        AUTHORITY.get_or_init(|| Authority::generate(NOW).expect("an authority can be made"));
    let Ok(issued) = authority.agent(bytes, "fra/1", NOW) else {
        return;
    };
    let seen = bellwether_pki::read(&issued.chain[0]);
    assert_eq!(seen.malformed, None);
    assert_inert(&shown(&seen));
    assert_eq!(seen.subject, "CN=bellwether agent");
    assert!(seen.names.is_empty() && seen.addresses.is_empty() && !seen.is_ca);
    let agent = b"fra/1";
    let named = issued.chain[0]
        .windows(agent.len())
        .filter(|at| at == agent);
    assert_eq!(named.count(), 1, "who it is, once");
}

/// What a job calls: whoever it names is named by its id alone.
fn ping_url(bytes: &[u8]) {
    bellwether_hub::fuzz_ping_url(&String::from_utf8_lossy(bytes));
}

fn split(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut chain = Vec::new();
    while let [high, low, rest @ ..] = bytes {
        let len = usize::from(u16::from_be_bytes([*high, *low])).min(rest.len());
        let (certificate, left) = rest.split_at(len);
        chain.push(certificate.to_vec());
        bytes = left;
    }
    chain
}

/// A chain, each certificate behind its length as two big-endian bytes.
fn chain(bytes: &[u8]) {
    let chain = split(bytes);
    static ANCHORS: OnceLock<Anchors> = OnceLock::new();
    let anchors = ANCHORS.get_or_init(Anchors::mozilla);
    // The last one stands for a stapled response too.
    let staple = chain.last().map(Vec::as_slice);
    let examined = examine(&chain, staple, anchors, "www.example.com", NOW);
    assert_inert(&shown(&examined.problems));
}

/// The strict profile over a chain: the last certificate is trusted, the first is the server's.
fn strict(bytes: &[u8]) {
    let chain = split(bytes);
    let [leaf, others @ .., root] = chain.as_slice() else {
        return;
    };
    let peer = Peer::Name("www.example.com".to_owned());
    // What is refused is as good as what is taken: no panic is all that is asked.
    let _ = verify(&Question {
        leaf,
        others,
        trusted: std::slice::from_ref(root),
        peer: Some(&peer),
        at: NOW,
        depth_max: None,
    });
}

fn tls_flight(bytes: &[u8]) {
    let whole = fuzzing::tls_flight(bytes, bytes.len());
    // However the bytes come, they say the same.
    assert_eq!(fuzzing::tls_flight(bytes, 7), whole);
    assert_inert(&whole["malformed"]);
}

fn root_hints(bytes: &[u8]) {
    // What is refused is as good as what is read: no panic is all that is asked.
    let _ = bellwether_probe::hints::parse_hints(&String::from_utf8_lossy(bytes));
}

fn trust_anchor(bytes: &[u8]) {
    let _ = bellwether_probe::hints::parse_trust_anchor(&String::from_utf8_lossy(bytes));
}

fn asn_table(bytes: &[u8]) {
    if let Ok(owners) = bellwether_probe::owners::Owners::parse(bytes.to_vec()) {
        for address in ["192.0.2.1", "2001:db8::1"] {
            let address = address.parse().expect("an address");
            assert_inert(&shown(&owners.owner(address)));
        }
    }
}

/// A block of the store: its content without the checksum, which nobody guesses.
fn store_block(bytes: &[u8]) {
    // What is refused is as good as what is read; what is read must stay the same, which panics
    // in there otherwise.
    let _ = bellwether_store::fuzz_block(bytes);
}

/// Messages one after the other, until one is none.
fn messages<M: serde::de::DeserializeOwned>(mut bytes: &[u8]) -> Vec<M> {
    static RUNTIME: OnceLock<tokio::runtime::Runtime> = OnceLock::new();
    let runtime = RUNTIME.get_or_init(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        runtime.expect("a runtime without input and output")
    });
    let read = async {
        let mut all = Vec::new();
        while let Ok(Some(message)) = bellwether_link::frame::receive(&mut bytes).await {
            all.push(message);
        }
        all
    };
    runtime.block_on(read)
}

/// What was read can be said, unless it is longer when it is written out whole.
fn assert_said(message: &impl serde::Serialize) {
    let said = bellwether_link::frame::encode(message);
    assert!(matches!(said, Ok(_) | Err(FrameError::TooLong { .. })));
}

/// What an agent says, up to its deliveries put together and unpacked.
fn link_to_hub(bytes: &[u8]) {
    let mut assembly = Assembly::default();
    for message in messages::<ToHub>(bytes) {
        assert_said(&message);
        let ToHub::Deliver {
            number,
            part,
            parts,
            bytes,
        } = message
        else {
            continue;
        };
        match assembly.take(number, part, parts, &bytes) {
            Ok(Some((_, packed))) => {
                // What is refused is as good as what is read.
                let _ = bellwether_link::parcel::unpack(&packed);
            }
            Ok(None) => {}
            Err(_) => return,
        }
    }
}

fn link_to_agent(bytes: &[u8]) {
    for message in messages::<ToAgent>(bytes) {
        assert_said(&message);
    }
}

fn configuration(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let path = Path::new("bellwether.yaml");
    for error in [
        bellwether_config::parse(&text, path).err(),
        bellwether_config::parse_service(&text, path).err(),
    ]
    .into_iter()
    .flatten()
    {
        assert!(!error.to_string().is_empty());
    }
}

fn scenario(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Err(error) = bellwether_lab::scenario::parse(&text, "scenario.yaml") {
        assert!(!error.to_string().is_empty());
    }
}

fn aim(bytes: &[u8]) {
    if let Ok(aim) = String::from_utf8_lossy(bytes).parse::<Aim>() {
        let again: Aim = aim
            .to_string()
            .parse()
            .expect("a target reads its own form");
        assert_eq!(again, aim);
    }
}

/// A report that somebody saved, or wrote: judging it is free of panics, and of the order of its
/// observations.
fn report(bytes: &[u8]) {
    let Ok(saved) = serde_json::from_slice::<Report>(bytes) else {
        return;
    };
    let Some(context) = saved.context else {
        return;
    };
    let mut situation = Situation {
        context,
        observations: saved.observations,
    };
    let judged = diagnose(&situation);
    situation.observations.reverse();
    assert_eq!(diagnose(&situation), judged, "the order counts");
}
