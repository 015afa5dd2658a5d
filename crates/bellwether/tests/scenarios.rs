//! Every shipped scenario, as `bellwether drill` runs it: a world in a namespace of its own, of
//! which no packet leaves. The build script writes one test for each file of `scenarios/`.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

use std::path::Path;
use std::process::Command;

/// The scenario runs, and each of its steps is as its file expects.
fn check(name: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../scenarios/{name}.yaml"));
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

include!(concat!(env!("OUT_DIR"), "/scenario_tests.rs"));
