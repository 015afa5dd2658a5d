//! Answers that say what is wrong, after RFC 9457.

use std::time::Duration;

use axum::response::{IntoResponse, Response};
use bellwether_store::StoreError;
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use serde::Serialize;
use utoipa::ToSchema;

use crate::access::Scope;

/// The media type of a problem.
pub(crate) const PROBLEM_JSON: &str = "application/problem+json";

/// What is wrong (RFC 9457).
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Problem {
    /// What kind of problem: stable.
    #[serde(rename = "type")]
    #[schema(example = "urn:bellwether:problem:not_found")]
    kind: String,
    /// The kind in words.
    title: &'static str,
    /// The HTTP status.
    #[schema(value_type = u16)]
    #[serde(serialize_with = "status")]
    status: StatusCode,
    /// What is wrong this time.
    detail: String,
    /// Fields or parameters that are wrong, all of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<FieldError>,
    #[serde(skip)]
    #[schema(ignore)]
    headers: Vec<(HeaderName, HeaderValue)>,
}

/// A field or a parameter that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct FieldError {
    /// Where in the body: a JSON Pointer (RFC 6901). A parameter of the query stands here as
    /// `?name`, which no pointer begins with.
    pub(crate) pointer: String,
    /// What is wrong, with the cure.
    pub(crate) detail: String,
}

fn status<S: serde::Serializer>(status: &StatusCode, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u16(status.as_u16())
}

impl Problem {
    fn new(status: StatusCode, kind: &str, title: &'static str, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("urn:bellwether:problem:{kind}"),
            title,
            status,
            detail: detail.into(),
            errors: Vec::new(),
            headers: Vec::new(),
        }
    }

    fn with(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.push((name, value));
        }
        self
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }

    pub(crate) fn detail(&self) -> &str {
        &self.detail
    }

    pub(crate) fn no_route() -> Self {
        let detail = "there is nothing here; what there is stands in /api/v1/openapi.json";
        Self::new(StatusCode::NOT_FOUND, "not_found", "Not found", detail)
    }

    pub(crate) fn not_found(what: &str, name: &str) -> Self {
        let detail = format!("there is no {what} `{name}`");
        Self::new(StatusCode::NOT_FOUND, "not_found", "Not found", detail)
    }

    pub(crate) fn method<'a>(allowed: impl Iterator<Item = &'a Method>) -> Self {
        let mut methods: Vec<&str> = allowed.map(Method::as_str).collect();
        if methods.contains(&"GET") {
            methods.push("HEAD");
        }
        let methods = methods.join(", ");
        let detail = format!("here is: {methods}");
        let (kind, title) = ("method_not_allowed", "Method not allowed");
        Self::new(StatusCode::METHOD_NOT_ALLOWED, kind, title, detail).with(header::ALLOW, &methods)
    }

    /// One answer to a missing, wrong, expired and revoked token alike.
    pub(crate) fn unauthorized(path: &str) -> Self {
        let detail = "a valid token is needed: `Authorization: Bearer bw_…`";
        let challenge = if path.starts_with("/api/") {
            r#"Bearer realm="bellwether""#
        } else {
            r#"Basic realm="bellwether: the token is the password", charset="UTF-8""#
        };
        Self::new(
            StatusCode::UNAUTHORIZED,
            "unauthorized",
            "Token needed",
            detail,
        )
        .with(header::WWW_AUTHENTICATE, challenge)
    }

    pub(crate) fn wait(wait: Duration) -> Self {
        let seconds = wait.as_secs().max(1).to_string();
        let detail = format!("too many wrong tokens; try again in {seconds} s");
        let status = StatusCode::TOO_MANY_REQUESTS;
        Self::new(status, "too_many_requests", "Too many requests", detail)
            .with(header::RETRY_AFTER, &seconds)
    }

    pub(crate) fn scope(token: &str, scope: Scope) -> Self {
        let detail = format!("the token `{token}` lacks the scope `{}`", scope.name());
        Self::new(StatusCode::FORBIDDEN, "scope", "Scope missing", detail)
    }

    pub(crate) fn host() -> Self {
        let detail = "the Host header must be a loopback name or address, for example \
                      `localhost:8400`; to be reached by another name, listen on another address";
        Self::new(StatusCode::FORBIDDEN, "host", "Host refused", detail)
    }

    pub(crate) fn cross_site() -> Self {
        let detail = "the request was caused by a page of another site";
        Self::new(
            StatusCode::FORBIDDEN,
            "cross_site",
            "Cross-site request refused",
            detail,
        )
    }

    /// The body is no JSON that is taken.
    pub(crate) fn json(pointer: String, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        let mut problem = Self::new(
            StatusCode::BAD_REQUEST,
            "json",
            "Not the JSON expected",
            detail.clone(),
        );
        problem.errors.push(FieldError { pointer, detail });
        problem
    }

    /// Fields or parameters are wrong.
    pub(crate) fn fields(errors: Vec<FieldError>) -> Self {
        let detail = match errors.as_slice() {
            [only] => format!("{}: {}", only.pointer, only.detail),
            several => format!("{} fields are wrong", several.len()),
        };
        let (kind, title) = ("invalid", "Fields are wrong");
        let mut problem = Self::new(StatusCode::UNPROCESSABLE_ENTITY, kind, title, detail);
        problem.errors = errors;
        problem
    }

    /// A question that would cost too much.
    pub(crate) fn cost(parameter: &str, detail: String) -> Self {
        let (kind, title) = ("too_costly", "Too costly");
        let mut problem = Self::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            kind,
            title,
            detail.clone(),
        );
        problem.errors.push(FieldError {
            pointer: format!("?{parameter}"),
            detail,
        });
        problem
    }

    pub(crate) fn media_type() -> Self {
        let detail = "the body must be `Content-Type: application/json`";
        let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        Self::new(status, "media_type", "Not JSON", detail).with(header::ACCEPT, "application/json")
    }

    pub(crate) fn too_large(limit: usize) -> Self {
        let detail = format!("a body may have {limit} bytes");
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too_large",
            "Body too large",
            detail,
        )
    }

    pub(crate) fn uri_too_long(limit: usize) -> Self {
        let detail = format!("the request target may have {limit} bytes");
        Self::new(
            StatusCode::URI_TOO_LONG,
            "uri_too_long",
            "Request target too long",
            detail,
        )
    }

    pub(crate) fn headers_too_large(limit: usize) -> Self {
        let detail = format!("all headers together may have {limit} bytes");
        let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
        Self::new(status, "headers_too_large", "Headers too large", detail)
    }

    pub(crate) fn slow_body() -> Self {
        let detail = "the body did not come in time";
        Self::new(
            StatusCode::REQUEST_TIMEOUT,
            "slow_body",
            "Body too slow",
            detail,
        )
        .with(header::CONNECTION, "close")
    }

    pub(crate) fn conflict(detail: String) -> Self {
        Self::new(StatusCode::CONFLICT, "conflict", "Conflict", detail)
    }

    pub(crate) fn busy(detail: &str) -> Self {
        let status = StatusCode::SERVICE_UNAVAILABLE;
        Self::new(status, "unavailable", "Unavailable", detail).with(header::RETRY_AFTER, "5")
    }

    /// The store does not answer as it should. Its words are for the log: they name files.
    pub(crate) fn store(error: &StoreError) -> Self {
        tracing::error!(%error, "the store refused a question of the API");
        Self::busy("the store could not be asked; the log says why")
    }

    /// A panic, or something else that must not happen.
    pub(crate) fn internal() -> Self {
        let detail = "this is a fault of bellwether; the log says more";
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        Self::new(status, "internal", "Internal error", detail)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let mut response = (self.status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        for (name, value) in self.headers {
            headers.insert(name, value);
        }
        response
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        Self::store(&error)
    }
}
