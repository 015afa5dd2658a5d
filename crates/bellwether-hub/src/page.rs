//! The page: what stands where, for people, until the web interface comes.
//!
//! Plain HTML from the server, without any script; it asks for itself again every 30 seconds.
//! Every text goes through [`frame::text`], and maud escapes it: what a stranger wrote into a
//! certificate or an answer stays words. States are words and signs as well as colours.
//!
//! - [`overview`][]: services × layers, and open incidents
//! - [`heartbeats`][]: who must report
//! - [`incident`][], [`service`][]: one of them
//! - [`agents`][]: agents elsewhere
//! - [`frame`][]: what all of them share

mod agents;
mod frame;
mod heartbeats;
mod incident;
mod overview;
mod service;

use std::sync::Arc;

use axum::Router;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use http::{HeaderValue, header};

use crate::access::{Needs, Scope};
use crate::api::Hub;

/// Its routes, each with what it needs. The style sheet says nothing about anybody.
pub(crate) const ROUTES: &[(&str, Needs)] = &[
    ("/", Needs::Token(Scope::Read)),
    ("/style.css", Needs::Nothing),
    ("/incidents/{id}", Needs::Token(Scope::Read)),
    ("/services/{name}", Needs::Token(Scope::Read)),
];

const STYLE: &str = include_str!("page/style.css");

pub(crate) fn router() -> Router<Arc<Hub>> {
    Router::new()
        .route("/", get(overview::overview))
        .route("/style.css", get(style))
        .route("/incidents/{id}", get(incident::incident))
        .route("/services/{name}", get(service::service))
}

async fn style() -> Response {
    let headers = [
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static("text/css; charset=utf-8"),
        ),
        (
            header::CACHE_CONTROL,
            HeaderValue::from_static("max-age=3600"),
        ),
    ];
    (headers, STYLE).into_response()
}
