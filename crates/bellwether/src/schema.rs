//! JSON Schema of a report.
//!
//! It comes from the types, with three changes. Some words of findings, layers and controls are
//! left open, because formats.md section 2 writes them as lists of alternatives
//! (`"root|consequence|warning"`) and its example is to validate as it stands there; what the
//! verdict, the diagnosis' layer and the layers of `layers` may be stays closed. Fields that later versions of the format added are
//! optional. And a scope may be empty.

use bellwether_model::Report;
use serde_json::{Value, json};

/// Definitions whose words are open, with the words that exist.
const OPEN: &[&str] = &["Severity", "Role", "LayerState", "ControlState"];

/// The schema of `check --format json`.
pub(crate) fn report() -> Value {
    let mut schema = schemars::schema_for!(Report).to_value();
    schema["title"] = json!("bellwether.check/1");
    schema["properties"]["schema"] = json!({
        "description": "`bellwether.check/1`.",
        "const": bellwether_model::report::REPORT_SCHEMA,
    });
    for name in OPEN {
        let definition = &mut schema["$defs"][name];
        let words = words(definition);
        *definition = json!({
            "description": definition["description"],
            "type": "string",
            "examples": words,
        });
    }
    schema["$defs"]["Finding"]["properties"]["layer"] = json!({
        "description": "Its layer; for `unknown` the failing one.",
        "type": "string",
        "examples": words(&schema["$defs"]["Layer"]),
    });
    // `diagnosis` must be there, and null is one of its values.
    let diagnosis = &mut schema["$defs"]["Diagnosis"];
    diagnosis["required"] = json!([
        "cause",
        "layer",
        "severity",
        "confidence",
        "summary",
        "scope",
        "evidence"
    ]);
    diagnosis["properties"]["severity"] = json!({
        "description": "How bad.",
        "enum": ["critical", "warning", "notice"],
    });
    schema["required"] = json!([
        "schema",
        "version",
        "target",
        "began",
        "took_ms",
        "verdict",
        "diagnosis",
        "findings",
        "layers",
        "controls",
        "critical_path",
        "observations"
    ]);
    schema
}

/// The words of an enum, as schemars writes it: `enum`, or `oneOf` with a `const` each.
fn words(definition: &Value) -> Vec<Value> {
    if let Some(words) = definition["enum"].as_array() {
        return words.clone();
    }
    let variants = definition["oneOf"].as_array().cloned().unwrap_or_default();
    variants.iter().map(|v| v["const"].clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of formats.md section 2, word for word.
    const EXAMPLE: &str = include_str!("../tests/data/report-example.json");

    fn valid(report: &Value) -> bool {
        jsonschema::validator_for(&super::report())
            .unwrap()
            .is_valid(report)
    }

    fn example() -> Value {
        serde_json::from_str(EXAMPLE).unwrap()
    }

    #[test]
    fn the_example_of_the_format_is_valid() {
        let validator = jsonschema::validator_for(&super::report()).unwrap();
        let errors: Vec<String> = validator
            .iter_errors(&example())
            .map(|e| format!("{e} at {}", e.instance_path()))
            .collect();
        assert!(errors.is_empty(), "{errors:#?}");
    }

    #[test]
    fn what_does_not_exist_is_not_valid() {
        for (pointer, wrong) in [
            ("/verdict", json!("fine")),
            ("/verdict", json!("Healthy")),
            ("/diagnosis/layer", json!("ip")),
            ("/layers/0/layer", json!("transport")),
            ("/observations/0/probe", json!("smtp")),
            ("/critical_path", json!("7")),
            ("/schema", json!("bellwether.check/2")),
            ("/diagnosis", json!({})),
        ] {
            let mut report = example();
            *report.pointer_mut(pointer).unwrap() = wrong.clone();
            assert!(!valid(&report), "{pointer}: {wrong} was taken");
        }
    }

    #[test]
    fn null_and_new_fields_are_valid() {
        let mut report = example();
        report["diagnosis"] = Value::Null;
        report["later"] = json!({ "x": 1 });
        assert!(valid(&report));
        report.as_object_mut().unwrap().remove("diagnosis");
        assert!(!valid(&report), "a report without `diagnosis` was taken");
    }
}
