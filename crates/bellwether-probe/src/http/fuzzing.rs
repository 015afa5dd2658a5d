//! A response read from bytes alone, for fuzzing.

use serde_json::{Value, json};

use super::exchange::exchange;
use crate::cx::Cx;
use crate::wire::Wire;

/// Asks a peer, and gives the record of its answer and how many bytes of the body were kept.
pub(crate) async fn read_response(cx: &Cx, wire: &mut dyn Wire) -> (Value, usize) {
    let asked = exchange(cx, wire, "www.example.com", "/").await;
    let record = json!({
        "result": asked.result,
        "headers": asked.head.map(|head| head.shown()),
        "body": asked.body,
    });
    (record, asked.bytes.len())
}
