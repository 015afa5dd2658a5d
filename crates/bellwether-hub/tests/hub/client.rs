//! A client in the same process.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use bellwether_hub::access::{Access, Clock, Scope};
use bellwether_hub::api;
use bellwether_hub::shared::Shared;
use bellwether_hub::testing::{self, Memory};
use bellwether_model::Digest;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use jiff::Timestamp;
use serde_json::Value;
use tower::ServiceExt as _;

/// What time it is in these tests.
pub(crate) fn now() -> Timestamp {
    "2026-11-01T12:00:00Z".parse().unwrap()
}

/// A hub, and a client who asks it.
pub(crate) struct Client {
    pub(crate) router: Router,
    pub(crate) shared: Arc<Shared>,
    pub(crate) memory: Arc<Memory>,
    pub(crate) evidence: Digest,
    /// A token with every scope.
    pub(crate) token: String,
    hub: Option<testing::Hub>,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Client {
    /// A filled hub on a loopback address, at [`now`].
    pub(crate) fn new() -> Self {
        Self::at(true, now())
    }

    /// A filled hub on another address.
    pub(crate) fn elsewhere() -> Self {
        Self::at(false, now())
    }

    /// A hub that was filled at [`now`], asked at another time.
    pub(crate) fn at(open_reading: bool, time: Timestamp) -> Self {
        Self::of(testing::filled(now()), open_reading, time)
    }

    pub(crate) fn of(hub: testing::Hub, open_reading: bool, time: Timestamp) -> Self {
        let access = Access {
            open_reading,
            clock: Clock::new(move || time),
        };
        Self {
            router: api::router(Arc::clone(&hub.shared), access),
            shared: Arc::clone(&hub.shared),
            memory: Arc::clone(&hub.memory),
            evidence: hub.evidence,
            token: hub.token("all", &Scope::ALL),
            hub: Some(hub),
        }
    }

    pub(crate) fn token_with(&self, scopes: &[Scope]) -> String {
        let names: Vec<&str> = scopes.iter().map(|scope| scope.name()).collect();
        self.hub.as_ref().unwrap().token(&names.join("+"), scopes)
    }

    /// Starts a judge, who takes in what people do.
    pub(crate) fn judge(&mut self) {
        let hub = self.hub.take().unwrap();
        tokio::spawn(testing::judge(hub.memory, hub.acts, now()));
    }

    /// Whoever judges is gone.
    pub(crate) fn nobody_judges(&mut self) {
        self.hub = None;
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Response<Body> {
        self.router.clone().oneshot(request).await.unwrap()
    }

    pub(crate) async fn ask(&self, request: Request<Body>) -> Answer {
        let response = self.send(request).await;
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        Answer {
            status: parts.status,
            headers: parts.headers,
            text: String::from_utf8(bytes.to_vec()).unwrap(),
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask(get(path).body(Body::empty()).unwrap()).await
    }

    /// The JSON of an answer that must be well.
    pub(crate) async fn json(&self, path: &str) -> Value {
        let answer = self.get(path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
        answer.json()
    }

    /// Posts JSON with the token.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.post_text(path, body.to_string()).await
    }

    pub(crate) async fn post_text(&self, path: &str, body: impl Into<Body>) -> Answer {
        let request = post(path)
            .header("authorization", format!("Bearer {}", self.token))
            .header("content-type", "application/json");
        self.ask(request.body(body.into()).unwrap()).await
    }
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {}", self.text))
    }

    /// The problem that it is; where it is none, the test fails.
    pub(crate) fn problem(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        assert_eq!(self.headers["content-type"], "application/problem+json");
        let problem = self.json();
        assert_eq!(problem["status"], status);
        for key in ["type", "title", "detail"] {
            assert!(
                problem[key].as_str().is_some_and(|text| !text.is_empty()),
                "{problem}"
            );
        }
        problem
    }

    /// The pointers of the fields that are wrong.
    pub(crate) fn pointers(&self, status: u16) -> Vec<String> {
        let problem = self.problem(status);
        let errors = problem["errors"]
            .as_array()
            .unwrap_or_else(|| panic!("{problem}"));
        errors
            .iter()
            .map(|it| it["pointer"].as_str().unwrap().to_owned())
            .collect()
    }
}

pub(crate) fn get(path: &str) -> http::request::Builder {
    Request::get(path)
        .header("host", "localhost:8400")
        .extension(from([127, 0, 0, 1]))
}

pub(crate) fn post(path: &str) -> http::request::Builder {
    Request::post(path)
        .header("host", "localhost:8400")
        .extension(from([127, 0, 0, 1]))
}

pub(crate) fn from(address: [u8; 4]) -> ConnectInfo<SocketAddr> {
    ConnectInfo(SocketAddr::from((address, 1)))
}
