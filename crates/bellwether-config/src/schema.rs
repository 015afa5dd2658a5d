//! JSON Schema of what people write, from the types.

use crate::spec::{ConfigSpec, ServiceSpec};

/// JSON Schema of `bellwether.yaml`.
#[must_use]
pub fn schema() -> serde_json::Value {
    schemars::schema_for!(ConfigSpec).to_value()
}

/// JSON Schema of one entry of `services:`.
#[must_use]
pub fn schema_of_service() -> serde_json::Value {
    schemars::schema_for!(ServiceSpec).to_value()
}
