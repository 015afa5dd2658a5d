//! The folder of a world: what the program is given by its flags or its configuration, as files.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::agents;
use crate::LabError;
use crate::netns;
use crate::scenario::vantage::LOCAL;
use crate::scenario::{ResolverSpec, Spec};
use crate::service::ca::Authorities;

/// The box's root of trust, PEM.
pub(super) const CA: &str = "ca.pem";
/// The root servers, as InterNIC publishes them.
pub(super) const ROOT_HINTS: &str = "root.hints";
/// The root's key.
pub(super) const ROOT_KEY: &str = "root.key";
/// Owners of addresses.
pub(super) const ASN_TABLE: &str = "asn.csv";
/// The file of a trust anchor that no key of the root fits.
pub(super) const OUTDATED_ANCHOR: &str = "outdated.key";
/// The scenario's services with the world's resolvers and anchors, as a configuration.
pub(super) const CONFIGURATION: &str = "bellwether.yaml";
/// How a configuration names the vantage's own resolvers.
pub(super) const SYSTEM: &str = "system";
/// The world's anchors alone, as a section of a configuration.
const TRUST: &str = "trust.yaml";

/// Makes the folder.
pub(super) fn make(
    spec: &Spec,
    authorities: &Authorities,
    [root_key, other_root_key]: &[String; 2],
) -> Result<tempfile::TempDir, LabError> {
    let directory = tempfile::tempdir().map_err(|source| LabError::File {
        doing: "write",
        path: std::env::temp_dir(),
        source,
    })?;
    let path = |name: &str| directory.path().join(name);
    write(&path(CA), &authorities.root_pem())?;
    write(&path(ROOT_HINTS), &crate::world::roots::hints())?;
    write(&path(ROOT_KEY), root_key)?;
    write(&path(OUTDATED_ANCHOR), other_root_key)?;
    write(&path(ASN_TABLE), &asn_table(&spec.world.owners))?;
    for (name, cert) in &spec.world.client_certs {
        let pem = authorities.client_pem(name, cert)?;
        write(&path(&format!("{name}.pem")), &pem)?;
    }
    Ok(directory)
}

/// Writes for whoever is in the world by `--exec`: the anchors, and a whole configuration.
pub(super) fn write_for_people(
    spec: &Spec,
    folder: &Path,
    resolvers: &[String],
) -> Result<(), LabError> {
    let trust = json!({ "trust": trust(folder) });
    write(&folder.join(TRUST), &pretty(&trust))?;
    let whole = configuration(spec, folder, resolvers);
    write(&folder.join(CONFIGURATION), &pretty(&whole))
}

/// The scenario's services as `bellwether.yaml`, asked of the world's resolvers and judged by its
/// anchors.
pub(super) fn configuration(spec: &Spec, folder: &Path, resolvers: &[String]) -> Value {
    let resolver = |(at, address): (usize, &String)| {
        let name = format!("resolver-{}", at + 1);
        let mut told = json!({ "name": name, "address": address });
        let from = asked_from(spec, address);
        if !from.is_empty() {
            told["from"] = json!(from);
        }
        told
    };
    let resolvers: Vec<Value> = resolvers.iter().enumerate().map(resolver).collect();
    let mut whole = json!({
        "version": 1,
        "trust": trust(folder),
        "resolvers": resolvers,
        "services": spec.services,
    });
    if !spec.world.vantages.is_empty() {
        whole["hub"] = json!({ "agents_listen": agents::HUB.to_string() });
        whole["vantages"] = agents::configuration(&spec.world.vantages).into();
    }
    whole
}

/// Who asks a resolver; empty: everybody. Vantages' own ones are one to the configuration.
fn asked_from(spec: &Spec, address: &str) -> BTreeSet<String> {
    let is_it = |r: &&ResolverSpec| match r.system {
        true => address == SYSTEM,
        false => address == r.address.0.text,
    };
    let found = spec.world.resolvers.iter().filter(is_it);
    if found.clone().any(|resolver| resolver.from.is_empty()) {
        return BTreeSet::new();
    }
    found.flat_map(|resolver| resolver.from.clone()).collect()
}

fn trust(folder: &Path) -> Value {
    let file = |name: &str| folder.join(name).display().to_string();
    json!({
        "ca_files": [file(CA)],
        "root_hints": file(ROOT_HINTS),
        "trust_anchor": file(ROOT_KEY),
        "asn_table": file(ASN_TABLE),
    })
}

/// JSON, which is YAML too.
pub(super) fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}

pub(super) fn write(path: &Path, text: &str) -> Result<(), LabError> {
    fs::write(path, text).map_err(|source| LabError::File {
        doing: "write",
        path: path.into(),
        source,
    })
}

/// The resolvers that are the built-in vantage's own, where it looks for them.
pub(super) fn resolv_conf(spec: &Spec, directory: &Path) -> Result<(), LabError> {
    match own_resolvers(spec, directory, LOCAL)? {
        Some(file) => netns::set_resolv_conf(&file),
        None => Ok(()),
    }
}

/// A `resolv.conf` of the resolvers that are a vantage's own; `None` if it has none.
pub(super) fn own_resolvers(
    spec: &Spec,
    directory: &Path,
    vantage: &str,
) -> Result<Option<PathBuf>, LabError> {
    let is_here = |r: &&ResolverSpec| r.from.is_empty() || r.from.iter().any(|v| v == vantage);
    let own = spec.world.resolvers.iter().filter(|r| r.system);
    let lines: String = own
        .filter(is_here)
        .map(|r| format!("nameserver {}\n", r.address.0.address.ip()))
        .collect();
    if lines.is_empty() {
        return Ok(None);
    }
    let file = directory.join(format!("resolv-{vantage}.conf"));
    write(&file, &lines)?;
    Ok(Some(file))
}

/// `prefix,asn,owner` (formats.md section 3).
pub(super) fn asn_table(owners: &BTreeMap<ipnet::IpNet, String>) -> String {
    let mut table = String::from("prefix,asn,owner\n");
    for (prefix, owner) in owners {
        let (first, rest) = owner.split_once(' ').unwrap_or((owner, ""));
        let number = first
            .strip_prefix("AS")
            .filter(|n| n.parse::<u32>().is_ok());
        let (asn, name) = match number {
            Some(number) => (number, rest),
            None => ("", owner.as_str()),
        };
        let name = name.replace('"', "\"\"");
        // Writing to a string cannot fail.
        let _ = if name.contains([',', '"']) {
            writeln!(table, "{prefix},{asn},\"{name}\"")
        } else {
            writeln!(table, "{prefix},{asn},{name}")
        };
    }
    table
}
