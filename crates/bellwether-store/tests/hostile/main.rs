//! Damaged files, full disks, missing files, wrong versions, two processes: found and told, never a
//! wrong answer.

#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

mod answers;
#[path = "../common/mod.rs"]
mod common;
mod disks;
mod files;
mod flips;
mod housekeeping;
