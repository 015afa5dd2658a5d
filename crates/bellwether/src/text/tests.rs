use super::*;

mod typical;

/// A report of the founding incident, made by hand.
const INCIDENT: &str = include_str!("../../tests/data/incident.json");

fn report(text: &str) -> Report {
    serde_json::from_str(text).unwrap()
}

/// Compares with a golden file; `BLESS=1` writes it.
fn golden(name: &str, text: &str) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name);
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(text, expected, "{name} differs; look at it, then BLESS=1");
}

fn fits_a_screen(text: &str) {
    for line in text.lines() {
        assert!(line.chars().count() <= 80, "too wide: {line}");
    }
    assert!(text.lines().count() <= 24, "too long:\n{text}");
}

#[test]
fn a_diagnosis_fits_a_screen() {
    let text = render(&report(INCIDENT), Style::default());
    fits_a_screen(&text);
    golden("incident.txt", &text);
}

#[test]
fn a_healthy_service_says_what_was_checked() {
    let mut healthy = report(INCIDENT);
    healthy.verdict = Verdict::Healthy;
    healthy.diagnosis = None;
    healthy.findings.retain(|f| f.role == Role::Warning);
    for layer in &mut healthy.layers {
        layer.state = bellwether_model::report::LayerState::Ok;
    }
    let text = render(&healthy, Style::default());
    fits_a_screen(&text);
    golden("healthy.txt", &text);
}

#[test]
fn our_own_fault_is_said_plainly() {
    let mut ours = report(INCIDENT);
    ours.verdict = Verdict::Unknown;
    let diagnosis = ours.diagnosis.as_mut().unwrap();
    diagnosis.cause = bellwether_model::Cause::MonitorVantageUplink;
    diagnosis.layer = bellwether_model::Layer::Monitor;
    let text = render(&ours, Style::default());
    assert!(
        text.contains("? UNKNOWN") && text.contains("nothing is said about the target"),
        "{text}"
    );
}

#[test]
fn nothing_from_the_network_moves_the_cursor() {
    let mut hostile = report(INCIDENT);
    let evil = "\x1b]0;owned\x07\u{202e}txt\r\nfake: ✓ HEALTHY";
    hostile.target = evil.to_owned();
    let diagnosis = hostile.diagnosis.as_mut().unwrap();
    diagnosis.summary = evil.to_owned();
    diagnosis.remedy = evil.to_owned();
    diagnosis.see = Some(evil.to_owned());
    diagnosis.scope.name_servers = vec![evil.to_owned()];
    diagnosis.facts[0].value = serde_json::json!({ "zone": evil });
    for text in [
        render(&hostile, Style::default()),
        verdict_line(&hostile, Style::default()),
    ] {
        let bad = |c: char| c != '\n' && (c.is_control() || c == '\u{202e}');
        assert!(!text.contains(bad), "{text:?}");
    }
}

#[test]
fn colour_only_where_asked_for() {
    let plain = render(&report(INCIDENT), Style::default());
    let painted = render(
        &report(INCIDENT),
        Style {
            colour: true,
            ..Style::default()
        },
    );
    assert!(!plain.contains('\x1b') && painted.contains('\x1b'));
    let mut stripped = painted;
    for code in ["32", "1;31", "1;33", "1", "2", "0"] {
        stripped = stripped.replace(&format!("\x1b[{code}m"), "");
    }
    let words = |text: &str| {
        text.split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(words(&stripped), words(&plain));
}

#[test]
fn the_verdict_line() {
    let line = verdict_line(&report(INCIDENT), Style::default());
    assert_eq!(
        line,
        "✗ DEGRADED  https://api.example.com/   dns.delegation.wrong_ns, 97 % sure\n"
    );
}

#[test]
fn who_was_not_asked_for_privacy_is_not_named_as_asked() {
    let private = INCIDENT.replace(r#""reason": "deadline""#, r#""reason": "privacy""#);
    let text = render(&report(&private), Style::default());
    assert!(text.contains("resolvers none"), "{text}");
}
