//! Judging: one check's observations become facts, findings and one diagnosis.
pub mod facts;
pub mod picture;
pub mod suffix;
pub struct Situation { pub context: bellwether_model::report::Context, pub observations: Vec<bellwether_model::Observation> }
