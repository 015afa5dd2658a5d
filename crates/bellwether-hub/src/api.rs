//! The API under `/api/v1`, and the router of everything that is served.
//!
//! A handler takes a copy of what it needs from the board, or asks the store on a thread of its
//! own; it changes nothing itself. What people do to incidents goes to the judge
//! ([`crate::shared::Act`]), what they count goes to the store.
//!
//! The OpenAPI document is made from the handlers, and what a route needs is read from the
//! document: there is no second list to forget. Every answer, also every refusal, stands in it.

pub(crate) mod agents;
pub(crate) mod body;
pub(crate) mod checks;
pub(crate) mod configuration;
pub(crate) mod document;
pub(crate) mod events;
pub(crate) mod evidence;
pub(crate) mod fleet;
pub(crate) mod health;
pub(crate) mod heartbeats;
pub(crate) mod incidents;
pub(crate) mod ping;
pub(crate) mod problem;
pub(crate) mod query;
pub(crate) mod redact;
pub(crate) mod series;
pub(crate) mod services;

mod limits;

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLockReadGuard};
use std::time::Duration;

use axum::Router;
use axum::extract::{FromRequestParts, RawPathParams, State};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use bellwether_store::StoreError;
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, Method, Uri, header};
use jiff::Timestamp;
use tokio::sync::Semaphore;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::access::backoff::Backoff;
use crate::access::token::Known;
use crate::access::{Access, Needs, guard};
use crate::board::Board;
use crate::shared::Shared;
use crate::{counters, metrics, page};
#[cfg(feature = "fuzzing")]
pub use ping::fuzz_ping_url;
use problem::Problem;

/// Questions that the store is asked at once: enough to keep a disk busy, too few to use up the
/// threads that everything else blocks on.
const QUESTIONS_AT_ONCE: usize = 8;

/// How long the page and the metrics wait for the store: whoever watches us must not be blinded by a
/// disk that hangs.
const SOON: Duration = Duration::from_secs(2);

/// What handlers share.
pub(crate) struct Hub {
    pub(crate) shared: Arc<Shared>,
    pub(crate) access: Access,
    pub(crate) tokens: Known,
    pub(crate) backoff: Backoff,
    /// What ids of heartbeats cost that mean nobody.
    pub(crate) strangers: Backoff,
    /// What each route needs, by path and method.
    pub(crate) routes: Routes,
    /// Event streams that may yet be opened.
    pub(crate) streams: Arc<Semaphore>,
    questions: Arc<Semaphore>,
    document: Bytes,
}

/// What each route needs, by path and method.
pub(crate) type Routes = BTreeMap<String, Vec<(Method, Needs)>>;

/// The router of everything that is served: API, page, metrics, health.
///
/// It stands alone: [`crate::listen::serve_http`] adds the limits of connections, and the address
/// that a request comes from, by which wrong tokens are slowed down.
pub fn router(shared: Arc<Shared>, access: Access) -> Router {
    let (api, document) = api().split_for_parts();
    let document = document::complete(&document);
    let mut routes = document::routes(&document);
    for (path, needs) in page::ROUTES {
        routes
            .entry((*path).to_owned())
            .or_default()
            .push((Method::GET, *needs));
    }
    for (path, methods, needs) in ping::ROUTES {
        let all = methods.iter().map(|method| (method.clone(), *needs));
        routes.entry((*path).to_owned()).or_default().extend(all);
    }
    let document = serde_json::to_vec_pretty(&document).expect("a JSON value can be written");
    let hub = Arc::new(Hub {
        shared,
        access,
        tokens: Known::default(),
        backoff: Backoff::default(),
        strangers: Backoff::default(),
        routes,
        streams: Arc::new(Semaphore::new(events::STREAMS_MAX)),
        questions: Arc::new(Semaphore::new(QUESTIONS_AT_ONCE)),
        document: document.into(),
    });
    api.merge(page::router())
        .merge(ping::router())
        .fallback(async || Problem::no_route())
        .with_state(Arc::clone(&hub))
        .layer(from_fn_with_state(hub, guard))
        .layer(from_fn(limits::limits))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(from_fn(limits::security_headers))
}

/// The OpenAPI document, as `openapi.json` in this crate holds it.
#[must_use]
pub fn openapi() -> serde_json::Value {
    let (_, document) = api().split_for_parts();
    document::complete(&document)
}

/// Every route that is served.
#[must_use]
pub fn routes() -> Vec<(Method, String)> {
    let routes = document::routes(&openapi());
    let api = routes.into_iter().flat_map(|(path, methods)| {
        methods
            .into_iter()
            .map(move |(method, _)| (method, path.clone()))
    });
    let pages = page::ROUTES
        .iter()
        .map(|(path, _)| (Method::GET, (*path).to_owned()));
    let pings = ping::ROUTES.iter().flat_map(|(path, methods, _)| {
        let all = methods.iter();
        all.map(|method| (method.clone(), (*path).to_owned()))
    });
    api.chain(pages).chain(pings).collect()
}

fn api() -> OpenApiRouter<Arc<Hub>> {
    OpenApiRouter::with_openapi(document::frame())
        .routes(routes!(services::list))
        .routes(routes!(services::one))
        .routes(routes!(checks::list))
        .routes(routes!(checks::observations))
        .routes(routes!(series::series))
        .routes(routes!(fleet::vantages))
        .routes(routes!(fleet::agents))
        .routes(routes!(heartbeats::heartbeats))
        .routes(routes!(agents::token))
        .routes(routes!(agents::revoke))
        .routes(routes!(incidents::list))
        .routes(routes!(incidents::one))
        .routes(routes!(incidents::acknowledge))
        .routes(routes!(incidents::note))
        .routes(routes!(evidence::evidence))
        .routes(routes!(configuration::configuration))
        .routes(routes!(health::troubles))
        .routes(routes!(counters::take))
        .routes(routes!(events::events))
        .routes(routes!(openapi_json))
        .routes(routes!(metrics::metrics))
        .routes(routes!(health::healthz))
        .routes(routes!(health::readyz))
}

/// This document.
#[utoipa::path(get, path = "/api/v1/openapi.json", tag = "about",
    responses((status = 200, description = "OpenAPI 3.1", body = serde_json::Value)),
    security((), ("bearer" = ["read"])))]
async fn openapi_json(State(hub): State<Arc<Hub>>, uri: Uri) -> Result<Response, Problem> {
    query::Query::none(&uri)?;
    let json = HeaderValue::from_static("application/json");
    Ok(([(header::CONTENT_TYPE, json)], hub.document.clone()).into_response())
}

fn panicked(panic: Box<dyn std::any::Any + Send>) -> Response {
    let words = panic.downcast_ref::<String>().map(String::as_str);
    let words = words.or_else(|| panic.downcast_ref::<&str>().copied());
    tracing::error!(
        panic = words.unwrap_or("no words"),
        "a handler of the API panicked"
    );
    Problem::internal().into_response()
}

impl Hub {
    /// What time it is.
    pub(crate) fn now(&self) -> Timestamp {
        self.access.clock.now()
    }

    /// What is true now. Let it go before waiting for anything.
    pub(crate) fn board(&self) -> RwLockReadGuard<'_, Board> {
        self.shared
            .board
            .read()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks the store what may be left out of the answer, and waits for it no longer than [`SOON`].
    /// `None` for no answer in time, and for an error.
    pub(crate) async fn ask_soon<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Shared) -> Result<T, StoreError> + Send + 'static,
    ) -> Option<T> {
        let asked = tokio::time::timeout(SOON, self.ask(question)).await;
        asked.ok()?.ok()
    }

    /// Asks the store, on a thread that may block.
    ///
    /// # Errors
    /// What the store says, as a problem that does not repeat its words.
    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Shared) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Problem> {
        let permit = Arc::clone(&self.questions).acquire_owned().await;
        let permit = permit.expect("the semaphore is never closed");
        let shared = Arc::clone(&self.shared);
        let asked = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            question(&shared)
        });
        match asked.await {
            Ok(answer) => answer.map_err(Problem::from),
            Err(error) => {
                tracing::error!(%error, "a question to the store panicked");
                Err(Problem::internal())
            }
        }
    }
}

/// The variable parts of a path, as many as there are.
pub(crate) struct Parameters<const N: usize>(pub(crate) [String; N]);

impl<const N: usize> FromRequestParts<Arc<Hub>> for Parameters<N> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, hub: &Arc<Hub>) -> Result<Self, Problem> {
        let raw = RawPathParams::from_request_parts(parts, hub).await;
        // What is not UTF-8 after decoding names nothing.
        let raw = raw.map_err(|_| Problem::no_route())?;
        let texts: Vec<String> = raw.iter().map(|(_, value)| value.to_owned()).collect();
        texts.try_into().map(Self).map_err(|_| Problem::no_route())
    }
}
