//! A response read from bytes alone, for fuzzing.

use serde_json::{Value, json};

use super::body::{BODY_LEN_MAX, Room};
use super::exchange::{Agent, Request, exchange};
use crate::cx::Cx;
use crate::wire::Wire;

/// Asks a peer, and gives the record of its answer and how many bytes of the body were kept.
pub(crate) async fn read_response(cx: &Cx, wire: &mut dyn Wire) -> (Value, usize) {
    let request = Request {
        scheme: "https".to_owned(),
        authority: "www.example.com".to_owned(),
        path: "/".to_owned(),
        cookies: None,
        agent: Agent::Own,
        room: Room {
            len_max: BODY_LEN_MAX,
            budget: cx.budget().clone(),
        },
    };
    let asked = exchange(cx, wire, &request).await;
    let record = json!({
        "result": asked.result,
        "headers": asked.head.map(|head| head.shown()),
        "body": asked.body,
    });
    (record, asked.bytes.len())
}
