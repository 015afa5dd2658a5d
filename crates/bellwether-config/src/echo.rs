//! Configuration as it may be shown to anybody who may read it.

use std::borrow::Cow;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::config::Config;
use crate::secret::{REDACTED, without_passwords};
use crate::spec::ConfigSpec;
use crate::substitute::has_any;
use crate::units::{show, show_size};

/// What was written, as [`redacted`] reads it. Secrets hide themselves; what a `${…}` stands for is not
/// in it.
pub(crate) fn written(spec: &ConfigSpec) -> Arc<str> {
    serde_json::to_string(spec).unwrap_or_default().into()
}

/// What was written, with the defaults of the sections filled in, without secrets.
pub(crate) fn redacted(config: &Config) -> Value {
    let mut shown = serde_json::from_str(&config.written).unwrap_or_default();
    hide(&mut shown);
    let in_force = json!({
        "version": config.version,
        "hub": { "listen": config.hub.listen, "store": config.hub.store },
        "trust": { "root_hints": "shipped", "trust_anchor": "shipped" },
        "defaults": {
            "every": show(config.defaults.every),
            "timeout": show(config.defaults.timeout),
            "deep_every": show(config.defaults.deep_every),
        },
        "services": [],
        "retention": {
            "raw": show(config.retention.raw),
            "rollups": show(config.retention.rollups),
            "max_size": show_size(config.retention.max_size),
        },
    });
    fill(&mut shown, &in_force);
    shown
}

/// Replaces every text with a `${…}` in it. Secrets hide themselves.
fn hide(value: &mut Value) {
    match value {
        Value::String(text) if has_any(text) => *text = REDACTED.to_owned(),
        Value::String(text) => {
            if let Cow::Owned(shown) = without_passwords(text) {
                *text = shown;
            }
        }
        Value::Array(items) => items.iter_mut().for_each(hide),
        Value::Object(entries) => entries.values_mut().for_each(hide),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Adds what is not there.
fn fill(shown: &mut Value, defaults: &Value) {
    if let Value::Object(defaults) = defaults {
        if shown.is_null() {
            *shown = Value::Object(Map::new());
        }
        if let Value::Object(entries) = shown {
            for (key, default) in defaults {
                fill(entries.entry(key.clone()).or_insert(Value::Null), default);
            }
        }
    } else if shown.is_null() {
        *shown = defaults.clone();
    }
}
