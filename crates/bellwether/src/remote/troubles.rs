//! What is wrong with the hub itself: told before anything that it says of others.

use anyhow::Result;
use bellwether_model::text::inert;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::client::Client;
use super::when::{clock, span};
use crate::text::row;

/// Longest words that are shown.
const WORDS_SHOWN_MAX: usize = 500;

/// Something that is wrong with the hub.
#[derive(Deserialize, Serialize)]
pub(super) struct Trouble {
    pub(super) part: String,
    pub(super) since: Timestamp,
    pub(super) what: String,
}

#[derive(Deserialize)]
struct Troubles {
    troubles: Vec<Trouble>,
}

/// Asks a hub for what is wrong with it.
pub(super) fn ask(client: &Client) -> Result<Vec<Trouble>> {
    let answer: Troubles = client.get("/api/v1/troubles")?;
    Ok(answer.troubles)
}

/// A line for each.
pub(super) fn lines(troubles: &[Trouble], now: Timestamp, width: usize) -> String {
    let line = |trouble: &Trouble| {
        let words = format!(
            "the hub itself is IN TROUBLE since {} UTC ({}), {}: {}",
            clock(trouble.since, now),
            span(trouble.since, now),
            of(&trouble.part),
            inert(&trouble.what, WORDS_SHOWN_MAX)
        );
        row("! ", &words, width)
    };
    troubles.iter().map(line).collect()
}

/// What a part's trouble means for who reads on.
fn of(part: &str) -> &str {
    match part {
        "keep" => "runs are not kept",
        "state" => "incidents are not kept, and what is shown of them may be gone after a restart",
        "store" => "its data",
        "heartbeats" => "what jobs report is not kept",
        "judge" => "nothing is judged",
        other => other,
    }
}
