//! What every request passes before its route.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{ConnectInfo, MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, Method, header};

use super::{Needs, Scope, host, token};
use crate::api::Hub;
use crate::api::problem::Problem;

/// Whoever made a request.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    /// The name of the token.
    pub(crate) name: String,
    /// What it may do.
    scopes: Vec<String>,
}

impl Caller {
    /// May it do this too?
    pub(crate) fn may(&self, scope: Scope) -> bool {
        self.scopes.iter().any(|has| has == scope.name())
    }
}

/// Lets a request through to its route, or says why not.
pub(crate) async fn guard(State(hub): State<Arc<Hub>>, request: Request, next: Next) -> Response {
    match admit(&hub, request).await {
        Ok(request) => next.run(request).await,
        Err(problem) => axum::response::IntoResponse::into_response(*problem),
    }
}

async fn admit(hub: &Hub, mut request: Request) -> Result<Request, Box<Problem>> {
    let path = request.extensions().get::<MatchedPath>().cloned();
    let Some(methods) = path.as_ref().and_then(|path| hub.routes.get(path.as_str())) else {
        return Err(Box::new(Problem::no_route()));
    };
    let method = match request.method() {
        &Method::HEAD => &Method::GET,
        method => method,
    };
    let Some(needs) = methods.iter().find(|(known, _)| known == method) else {
        return Err(Box::new(Problem::method(
            methods.iter().map(|(known, _)| known),
        )));
    };
    if needs.1 == Needs::Nothing {
        return Ok(request);
    }
    if hub.access.open_reading && !host::is_loopback(request.headers(), request.uri()) {
        return Err(Box::new(Problem::host()));
    }
    let Needs::Token(scope) = needs.1 else {
        return Ok(request);
    };
    // A person may follow a link from elsewhere; a page from elsewhere may ask nothing, not even
    // what it could not read: it would use up connections and event streams.
    let by_link = method == Method::GET && host::is_navigation(request.headers());
    if !by_link && host::is_cross_site(request.headers()) {
        return Err(Box::new(Problem::cross_site()));
    }
    match credentials(request.headers(), method) {
        Some(secret) => {
            let shown = Shown {
                secret,
                path: request.uri().path().to_owned(),
                from: source(&request),
            };
            let caller = caller(hub, &shown, scope).await?;
            request.extensions_mut().insert(caller);
        }
        None if hub.access.open_reading && scope == Scope::Read => {}
        None => return Err(Box::new(Problem::unauthorized(request.uri().path()))),
    }
    Ok(request)
}

/// What a request shows of itself.
struct Shown {
    secret: String,
    path: String,
    from: Option<IpAddr>,
}

/// The caller, if the token is right and has the scope.
async fn caller(hub: &Hub, shown: &Shown, scope: Scope) -> Result<Caller, Box<Problem>> {
    let now = hub.access.clock.now();
    let state = Arc::clone(&hub.shared.state);
    let tokens = hub.tokens.tokens(state, now).await;
    let tokens = tokens.map_err(|error| Box::new(Problem::store(&error)))?;
    let Some(token) = token::find(&tokens, &shown.secret, now) else {
        return Err(Box::new(match hub.backoff.failed(shown.from, now) {
            Some(wait) => Problem::wait(wait),
            None => Problem::unauthorized(&shown.path),
        }));
    };
    if !token.scopes.iter().any(|has| has == scope.name()) {
        return Err(Box::new(Problem::scope(&token.name, scope)));
    }
    Ok(Caller {
        name: token.name.clone(),
        scopes: token.scopes.clone(),
    })
}

/// The secret that a request shows. What is there and is no token is an empty one, which is wrong:
/// it is never as if nothing had been shown.
fn credentials(headers: &HeaderMap, method: &Method) -> Option<String> {
    let value = headers.get(header::AUTHORIZATION)?;
    let Some((scheme, rest)) = value.to_str().ok().and_then(|value| value.split_once(' ')) else {
        return Some(String::new());
    };
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(rest.trim().to_owned());
    }
    if scheme.eq_ignore_ascii_case("basic") && method == Method::GET {
        let decoded = STANDARD.decode(rest.trim()).ok();
        let text = decoded.and_then(|bytes| String::from_utf8(bytes).ok());
        let password = text.as_deref().and_then(|text| text.split_once(':'));
        return Some(password.map_or_else(String::new, |(_, password)| password.to_owned()));
    }
    Some(String::new())
}

fn source(request: &Request) -> Option<IpAddr> {
    let from = request.extensions().get::<ConnectInfo<SocketAddr>>();
    from.map(|from| from.0.ip())
}
