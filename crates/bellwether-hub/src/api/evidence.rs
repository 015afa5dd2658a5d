//! Evidence: the records behind a judgement, by the hash of their bytes.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use bellwether_model::Digest;
use http::{HeaderValue, Uri, header};

use super::problem::Problem;
use super::query::Query;
use super::{Hub, Parameters};

/// What a hash names never changes; caches that several people share must not hold it.
const FOR_EVER: &str = "private, max-age=31536000, immutable";

/// The records behind a judgement: a report of `bellwether.check/1`, which `bellwether diagnose`
/// judges again.
#[utoipa::path(get, path = "/api/v1/evidence/{sha256}", tag = "incidents",
    params(("sha256" = String, Path, pattern = "^[0-9a-f]{64}$", description = "SHA-256 of its bytes, 64 hex digits",
        example = "de1b8d53a7b066ea9456766233646b5cb07cbc07b5d7da59ce1be63e013cc73d")),
    responses((status = 200, description = "the bytes", body = serde_json::Value)),
    security((), ("bearer" = ["read"])))]
pub(crate) async fn evidence(
    State(hub): State<Arc<Hub>>,
    names: Parameters<1>,
    uri: Uri,
) -> Result<Response, Problem> {
    let Parameters([sha256]) = names;
    Query::none(&uri)?;
    let unknown = || Problem::not_found("evidence", &sha256);
    let digest = Digest::parse(&sha256).ok_or_else(unknown)?;
    let bytes = hub
        .ask(move |shared| shared.state.evidence(&digest))
        .await?;
    let bytes = bytes.ok_or_else(unknown)?;
    let name = format!("attachment; filename=\"{digest}.json\"");
    let name = HeaderValue::from_str(&name).map_err(|_| Problem::internal())?;
    let headers = [
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        ),
        (header::CONTENT_DISPOSITION, name),
        (header::CACHE_CONTROL, HeaderValue::from_static(FOR_EVER)),
    ];
    Ok((headers, bytes).into_response())
}
