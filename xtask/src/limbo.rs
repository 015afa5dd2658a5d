//! `limbo`: the strict profile of certificates against the cases of x509-limbo.
//!
//! Cases that ask for a client's certificate or for revocation lists are not run: the profile knows
//! neither. `docs/limbo.md` explains every difference that is left.

use std::fmt;
use std::net::IpAddr;
use std::path::Path;

use anyhow::{Context, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bellwether_pki::strict::{Peer, Question, verify};
use jiff::Timestamp;
use serde::Deserialize;

use crate::say;

/// The schema that is read.
const VERSION: u32 = 1;

/// The file, as far as it is needed.
#[derive(Deserialize)]
struct File {
    version: u32,
    testcases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    id: String,
    validation_kind: String,
    #[serde(default)]
    trusted_certs: Vec<String>,
    #[serde(default)]
    untrusted_intermediates: Vec<String>,
    peer_certificate: String,
    #[serde(default)]
    validation_time: Option<Timestamp>,
    expected_result: String,
    #[serde(default)]
    expected_peer_name: Option<Name>,
    #[serde(default)]
    max_chain_depth: Option<usize>,
    #[serde(default)]
    crls: Vec<String>,
}

#[derive(Deserialize)]
struct Name {
    kind: String,
    value: String,
}

/// What came of one case.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Outcome {
    Agrees { refusal: Option<String> },
    Differs { refusal: Option<String> },
    Skipped { why: &'static str },
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let told = |refusal: &Option<String>| match refusal {
            None => "accepted".to_owned(),
            Some(why) => format!("refused: {why}"),
        };
        match self {
            Self::Agrees { refusal } => write!(f, "{}", told(refusal)),
            Self::Differs { refusal } => write!(f, "{}", told(refusal)),
            Self::Skipped { why } => f.write_str(why),
        }
    }
}

/// Runs a file and prints a line for each case, then the sums.
pub(crate) fn run(file: &Path) -> Result<()> {
    let text = std::fs::read_to_string(file)
        .with_context(|| format!("failed to read {}", file.display()))?;
    let cases = cases(&text).with_context(|| format!("{} is of no use", file.display()))?;
    // The clock stands in for cases that name no time, as upstream's harnesses do.
    let outcomes = outcomes(&cases, Timestamp::now())?;
    let (mut agree, mut differ, mut skipped) = (0, 0, 0);
    for (case, outcome) in cases.iter().zip(&outcomes) {
        let word = match outcome {
            Outcome::Agrees { .. } => {
                agree += 1;
                "agrees"
            }
            Outcome::Differs { .. } => {
                differ += 1;
                "DIFFERS"
            }
            Outcome::Skipped { .. } => {
                skipped += 1;
                "skipped"
            }
        };
        let expected = case.expected_result.to_lowercase();
        say(&format!(
            "{word:8} {} (expected {expected}): {outcome}",
            case.id
        ));
    }
    let run = agree + differ;
    say(&format!(
        "{agree} of {run} agree, {differ} differ, {skipped} skipped"
    ));
    Ok(())
}

fn cases(text: &str) -> Result<Vec<Case>> {
    let file: File = serde_json::from_str(text).context("not the format of x509-limbo")?;
    if file.version != VERSION {
        bail!("schema version {}, {VERSION} is read", file.version);
    }
    Ok(file.testcases)
}

fn outcomes(cases: &[Case], now: Timestamp) -> Result<Vec<Outcome>> {
    let one = |case: &Case| outcome(case, now).with_context(|| format!("case {}", case.id));
    cases.iter().map(one).collect()
}

fn outcome(case: &Case, now: Timestamp) -> Result<Outcome> {
    if case.validation_kind != "SERVER" {
        return Ok(Outcome::Skipped {
            why: "not about a server",
        });
    }
    if !case.crls.is_empty() {
        return Ok(Outcome::Skipped {
            why: "needs revocation lists",
        });
    }
    let peer = case.expected_peer_name.as_ref().map(peer).transpose()?;
    let ders = |all: &[String]| all.iter().map(|pem| der(pem)).collect::<Result<Vec<_>>>();
    let (trusted, others) = (
        ders(&case.trusted_certs)?,
        ders(&case.untrusted_intermediates)?,
    );
    let question = Question {
        leaf: &der(&case.peer_certificate)?,
        others: &others,
        trusted: &trusted,
        peer: peer.as_ref(),
        at: case.validation_time.unwrap_or(now),
        depth_max: case.max_chain_depth,
    };
    let refusal = verify(&question).err().map(|refusal| refusal.to_string());
    let expected = case.expected_result == "SUCCESS";
    Ok(if expected == refusal.is_none() {
        Outcome::Agrees { refusal }
    } else {
        Outcome::Differs { refusal }
    })
}

fn peer(name: &Name) -> Result<Peer> {
    match name.kind.as_str() {
        "DNS" => Ok(Peer::Name(name.value.clone())),
        "IP" => {
            let address: IpAddr = name.value.parse().context("the peer is no address")?;
            Ok(Peer::Address(address))
        }
        other => bail!("a peer of kind {other}"),
    }
}

/// The bytes between the first pair of PEM lines (RFC 7468).
fn der(pem: &str) -> Result<Vec<u8>> {
    let text: String = pem
        .lines()
        .skip_while(|line| !line.starts_with("-----BEGIN"))
        .skip(1)
        .take_while(|line| !line.starts_with("-----END"))
        .map(str::trim)
        .collect();
    STANDARD.decode(text).context("no PEM")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Ids in the first column of the page's table.
    fn explained(page: &str) -> BTreeSet<String> {
        page.lines()
            .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
            .map(str::to_owned)
            .collect()
    }

    #[test]
    fn the_cases_that_differ_are_those_that_are_explained() {
        let cases = cases(include_str!("../testdata/limbo.json")).unwrap();
        let now = "2026-03-01T00:00:00Z".parse().unwrap();
        let outcomes = outcomes(&cases, now).unwrap();
        let differing: BTreeSet<String> = cases
            .iter()
            .zip(&outcomes)
            .filter(|(_, outcome)| matches!(outcome, Outcome::Differs { .. }))
            .map(|(case, _)| case.id.clone())
            .collect();
        assert_eq!(cases.len(), 126);
        assert_eq!(differing, explained(include_str!("../../docs/limbo.md")));
    }

    #[test]
    fn what_is_not_asked_is_skipped() {
        let text = r#"{"version":1,"testcases":[{"id":"x","validation_kind":"CLIENT",
            "peer_certificate":"","expected_result":"SUCCESS"}]}"#;
        let cases = cases(text).unwrap();
        let outcomes = outcomes(&cases, Timestamp::UNIX_EPOCH).unwrap();
        let why = "not about a server";
        assert_eq!(outcomes, [Outcome::Skipped { why }]);
        assert!(super::cases(r#"{"version":2,"testcases":[]}"#).is_err());
    }
}
