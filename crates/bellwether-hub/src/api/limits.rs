//! What every request is held to, and what every answer carries.

use std::time::Duration;

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderName, HeaderValue, header};

use super::problem::Problem;

/// Longest request target, bytes: two names, and a few parameters.
pub(crate) const URI_LEN_MAX: usize = 8 * 1024;

/// All headers of a request together, bytes: browsers send one or two thousand.
pub(crate) const HEADERS_LEN_MAX: usize = 32 * 1024;

/// How long an answer may take until its first byte. What is slower was asked too much.
const REQUEST_TIME: Duration = Duration::from_secs(30);

/// Nothing from elsewhere, no script at all, in nobody's frame.
const POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; \
                      form-action 'none'; frame-ancestors 'none'; \
                      require-trusted-types-for 'script'";

/// Refuses what is too large, and gives up what takes too long.
pub(super) async fn limits(request: Request, next: Next) -> Response {
    let uri = request.uri();
    let len = uri
        .path_and_query()
        .map_or(0, |target| target.as_str().len());
    if len > URI_LEN_MAX {
        return Problem::uri_too_long(URI_LEN_MAX).into_response();
    }
    let headers = request.headers().iter();
    let len: usize = headers
        .map(|(name, value)| name.as_str().len() + value.len())
        .sum();
    if len > HEADERS_LEN_MAX {
        return Problem::headers_too_large(HEADERS_LEN_MAX).into_response();
    }
    match tokio::time::timeout(REQUEST_TIME, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Problem::busy("the answer took too long").into_response(),
    }
}

/// Adds what tells browsers to take answers for what they are.
pub(super) async fn security_headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    let fixed = [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            "same-origin",
        ),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    // What is private is kept nowhere, except for what says otherwise of itself.
    let no_store = HeaderValue::from_static("no-store");
    headers.entry(header::CACHE_CONTROL).or_insert(no_store);
    response
}
