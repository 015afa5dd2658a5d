//! `truth`: how well judging does, on simulated worlds whose truth is known.
//!
//! - [`detect`]: detection, on the noise models N1 and N2
//! - [`world`]: the simulated world; [`noise`]: what goes wrong in it by itself
//! - [`replay`]: recorded observations; [`pace`]: latencies; [`stats`]: percentiles and intervals; [`page`]: docs/detect.md

pub(crate) mod detect;
mod noise;
mod pace;
mod page;
mod replay;
mod stats;
#[cfg(test)]
mod tests;
mod world;
