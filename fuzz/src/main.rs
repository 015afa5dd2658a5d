//! The program that libFuzzer drives; `BELLWETHER_FUZZ` names the target.
#![no_main]

use std::sync::OnceLock;

use bellwether_fuzz::{TARGETS, Target};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    static CHOSEN: OnceLock<&'static Target> = OnceLock::new();
    let target = CHOSEN.get_or_init(|| {
        let name = std::env::var("BELLWETHER_FUZZ").unwrap_or_default();
        let found = TARGETS.iter().find(|target| target.name == name);
        found.unwrap_or_else(|| panic!("BELLWETHER_FUZZ names no target: `{name}`"))
    });
    (target.run)(bytes);
});
