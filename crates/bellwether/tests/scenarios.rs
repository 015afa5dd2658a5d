//! Every shipped scenario, as `bellwether drill` runs it: a world in a namespace of its own, of
//! which no packet leaves.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios")
}

/// The scenario runs, and each of its steps is as its file expects.
fn check(name: &str) {
    let path = folder().join(format!("{name}.yaml"));
    let output = Command::new(env!("CARGO_BIN_EXE_bellwether"))
        .arg("drill")
        .arg(path)
        .output()
        .unwrap();
    let (told, said) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{told}\n{said}");
}

macro_rules! scenarios {
    ($($test:ident = $name:literal,)*) => {
        $(#[test]
        fn $test() {
            check($name);
        })*

        const LISTED: &[&str] = &[$($name,)*];
    };
}

scenarios! {
    d01_foreign_delegation = "d01-foreign-delegation",
    d01_foreign_delegation_no_baseline = "d01-foreign-delegation-no-baseline",
    d02_foreign_delegation_rcodes = "d02-foreign-delegation-rcodes",
    d03_ns_mismatch = "d03-ns-mismatch",
    d03_parent_child_differ = "d03-parent-child-differ",
    d04_lame_all = "d04-lame-all",
    d04_lame_one = "d04-lame-one",
    d04_lame_one_of_four = "d04-lame-one-of-four",
    d04_lame_upward = "d04-lame-upward",
    d06_ns_without_address = "d06-ns-without-address",
    d06_ns_without_address_all = "d06-ns-without-address-all",
    d07_ns_is_alias = "d07-ns-is-alias",
    d07_ns_is_alias_all = "d07-ns-is-alias-all",
    d09_delegation_missing = "d09-delegation-missing",
    d10_blank_zone = "d10-blank-zone",
    d11_stale_secondary = "d11-stale-secondary",
    d13_all_servers_silent = "d13-all-servers-silent",
    d13_name_servers_silent = "d13-name-servers-silent",
    d16_record_missing = "d16-record-missing",
    d17_private_address = "d17-private-address",
    d18_alias_loop = "d18-alias-loop",
    d19_alias_target_missing = "d19-alias-target-missing",
    d19_dangling_alias = "d19-dangling-alias",
    d34_forty_addresses = "d34-forty-addresses",
    d34_too_many_records = "d34-too-many-records",
    h01_status_500 = "h01-status-500",
    h04_wrong_content = "h04-wrong-content",
    mashery_2024 = "mashery-2024",
    n05_planned_migration = "n05-planned-migration",
    n09_canonical_redirect = "n09-canonical-redirect",
    n09_declared_redirect = "n09-declared-redirect",
    n10_no_ipv6 = "n10-no-ipv6",
    n10_without_ipv6 = "n10-without-ipv6",
    n11_unsigned_zone = "n11-unsigned-zone",
    n12_resolver_without_edns = "n12-resolver-without-edns",
    n14_wrong_date_header = "n14-wrong-date-header",
    n15_short_certificates = "n15-short-certificates",
    n17_must_not_exist = "n17-must-not-exist",
    n17_should_not_exist = "n17-should-not-exist",
    n18_echo_blocked = "n18-echo-blocked",
    n18_icmp_blocked = "n18-icmp-blocked",
    n22_http3_withdrawn = "n22-http3-withdrawn",
    t01_certificate_expired = "t01-certificate-expired",
    t01_expired = "t01-expired",
    t02_certificate_not_yet_valid = "t02-certificate-not-yet-valid",
    t02_not_yet_valid = "t02-not-yet-valid",
    t03_name_mismatch = "t03-name-mismatch",
    t03_other_certificate = "t03-other-certificate",
    t04_default_certificate = "t04-default-certificate",
    t08_private_root = "t08-private-root",
    v06_resolver_bug = "v06-resolver-bug",
    v06_resolver_denies_one_name = "v06-resolver-denies-one-name",
    v13_resolver_refuses = "v13-resolver-refuses",
}

#[test]
fn every_scenario_is_listed_here() {
    let files: BTreeSet<String> = std::fs::read_dir(folder())
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().into_string().ok())
        .filter_map(|file| file.strip_suffix(".yaml").map(str::to_owned))
        .collect();
    let listed: BTreeSet<String> = LISTED.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(files, listed);
}
