//! What all pages share: the frame, the banners, words for states and times.

use std::sync::atomic::Ordering;

use axum::response::{IntoResponse as _, Response};
use bellwether_model::report::{LayerState, Severity};
use bellwether_model::run::RunOutcome;
use bellwether_model::text::inert;
use bellwether_model::{Digest, Verdict};
use jiff::Timestamp;
use maud::{DOCTYPE, Markup, html};

use crate::api::Hub;
use crate::api::problem::Problem;

/// Longest text from elsewhere, characters: a few lines.
const TEXT_LEN_MAX: usize = 600;

/// How often a page asks for itself again, seconds.
const REFRESH: u32 = 30;

/// Problems of a refused configuration that the banner shows.
const PROBLEMS_SHOWN: usize = 5;

/// A text from elsewhere, harmless to show; maud escapes what HTML would take for its own.
pub(super) fn text(text: &str) -> String {
    inert(text, TEXT_LEN_MAX)
}

/// A page with everything around it.
pub(super) fn page(hub: &Hub, title: &str, body: &Markup) -> Markup {
    let now = hub.now();
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta http-equiv="refresh" content=(REFRESH);
                meta name="robots" content="noindex";
                title { (text(title)) " · bellwether" }
                link rel="stylesheet" href="/style.css";
            }
            body {
                header {
                    h1 { a href="/" { "bellwether" } }
                    span.dim { "as of " (time(now, now)) ", asked again every " (REFRESH) " s" }
                }
                (banners(hub, now))
                main { (body) }
                footer {
                    p { "bellwether " (text(hub.shared.version)) ", running since " (time(hub.shared.started, now))
                        " · " a href="/api/v1/openapi.json" { "API" } " · " a href="/metrics" { "metrics" } }
                }
            }
        }
    }
}

/// A page in place of a problem.
pub(super) fn problem(hub: &Hub, problem: &Problem) -> Response {
    let body = html! { p { (text(problem.detail())) } p { a href="/" { "to the overview" } } };
    let title = match problem.status().as_u16() {
        404 => "Not found",
        503 => "Not now",
        _ => "Not understood",
    };
    (problem.status(), page(hub, title, &body)).into_response()
}

fn banners(hub: &Hub, now: Timestamp) -> Markup {
    let shared = &hub.shared;
    let configured = shared.configured.load();
    let trouble = shared.health.trouble();
    html! {
        @if !shared.health.ready.load(Ordering::Acquire) {
            p.banner role="alert" { "Not ready yet: the store is being opened, or the schedule does not run. What stands below may be old." }
        }
        @if let Some(trouble) = &trouble {
            p.banner role="alert" { b { "The store is in trouble: " } (text(trouble)) }
        }
        @if let Some(refused) = &configured.refused {
            div.banner role="alert" {
                b { "A newer configuration was refused " (ago(refused.at, now)) "." }
                " The one of " (time(configured.since, now)) " stays in force."
                ul {
                    @for problem in refused.problems.iter().take(PROBLEMS_SHOWN) { li { (text(problem)) } }
                    @if refused.problems.len() > PROBLEMS_SHOWN {
                        li { "and " (refused.problems.len() - PROBLEMS_SHOWN) " more" }
                    }
                }
            }
        }
        @if shared.health.receivers.load(Ordering::Relaxed) == 0 {
            p.banner { b { "Nobody is told: " } "no receiver is configured. Whoever wants to know has to look here." }
        }
    }
}

/// A verdict as sign and word.
pub(super) fn verdict(verdict: Verdict) -> Markup {
    match verdict {
        Verdict::Healthy => html! { span.good { "✓ healthy" } },
        Verdict::Degraded => html! { span.part { "◐ degraded" } },
        Verdict::Broken => html! { span.bad { "✗ broken" } },
        Verdict::Unknown => html! { span.part { "? unknown" } },
    }
}

/// A layer's state as sign and word.
pub(super) fn layer(state: LayerState) -> Markup {
    match state {
        LayerState::Ok => html! { span.good { "✓ ok" } },
        LayerState::Degraded => html! { span.part { "◐ partly" } },
        LayerState::Failed => html! { span.bad { "✗ fails" } },
        LayerState::Unknown => html! { span.part { "? unknown" } },
        LayerState::Skipped => html! { span.dim { "– not asked" } },
    }
}

/// A run's outcome as sign and word.
pub(super) fn outcome(outcome: RunOutcome) -> Markup {
    match outcome {
        RunOutcome::Ok => html! { span.good { "✓ ok" } },
        RunOutcome::Wrong => html! { span.bad { "✗ wrong" } },
        RunOutcome::Failed => html! { span.bad { "✗ failed" } },
        RunOutcome::NotRun => html! { span.part { "? not run" } },
    }
}

/// A severity as the name of a style.
pub(super) fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "critical",
        Severity::Warning => "warning",
        Severity::Notice => "notice",
    }
}

/// A link to evidence.
pub(super) fn evidence(digest: &Digest) -> Markup {
    let digest = digest.to_string();
    html! { a href={ "/api/v1/evidence/" (digest) } { "evidence " code { (digest[..8]) } } }
}

/// A time: the clock alone where it is near, the day too where it is not.
pub(super) fn time(at: Timestamp, now: Timestamp) -> Markup {
    let near = now.duration_since(at).abs().as_hours() < 20;
    let shown = if near {
        at.strftime("%H:%M:%S UTC")
    } else {
        at.strftime("%Y-%m-%d %H:%M UTC")
    };
    html! { time datetime=(at) { (shown.to_string()) } }
}

/// How long ago.
pub(super) fn ago(at: Timestamp, now: Timestamp) -> String {
    format!("{} ago", lasting(at, now))
}

/// How long, in the largest unit that says something.
pub(super) fn lasting(from: Timestamp, to: Timestamp) -> String {
    let seconds = to.duration_since(from).as_secs().max(0);
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// A name as part of a path (RFC 3986 section 2.3).
pub(super) fn segment(name: &str) -> String {
    let mut out = String::new();
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_for_times() {
        let at = |seconds| Timestamp::from_second(seconds).unwrap();
        assert_eq!(ago(at(0), at(12)), "12 s ago");
        assert_eq!(lasting(at(0), at(150)), "2 min");
        assert_eq!(lasting(at(0), at(7_200)), "2 h");
        assert_eq!(lasting(at(0), at(200_000)), "2 d");
        assert_eq!(lasting(at(9), at(0)), "0 s", "clocks may be set back");
        assert_eq!(segment("a/b c?<ü>"), "a%2Fb%20c%3F%3C%C3%BC%3E");
    }
}
