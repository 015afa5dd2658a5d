//! A server's first flight read from bytes alone, for fuzzing.

use serde_json::{Value, json};

use super::flight::Flight;

/// Reads a flight that comes in pieces of so many bytes.
pub(crate) fn read_flight(bytes: &[u8], piece: usize) -> Value {
    let mut flight = Flight::default();
    for piece in bytes.chunks(piece.max(1)) {
        flight.take(piece);
    }
    json!({
        "chosen": flight.chosen,
        "chain": flight.chain,
        "chain_len": flight.chain_len,
        "chain_size": flight.chain_size,
        "client_cert_requested": flight.client_cert_requested,
        "alert": flight.alert,
        "malformed": flight.malformed,
        "is_over": flight.is_over,
    })
}
