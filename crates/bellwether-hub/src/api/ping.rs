//! What jobs call: the URLs of healthchecks and of Uptime Kuma's push monitors, which are ours too.
//!
//! They need no token: whoever knows the id in the URL may report, and no more than that. One that
//! means nobody is 404, whatever is wrong with it, and costs what a wrong token costs. An answer of 200
//! means that the signal is durable; 429 and 503 mean that the client is to try again, as
//! `curl --retry` does.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use bellwether_diagnose::heartbeat::{LOG_LEN_MAX, Ping, Signal};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use http_body_util::BodyExt as _;
use serde_json::json;

use super::{Hub, Parameters};
use crate::access::Needs;
use crate::beats::{Asked, Found, Refusal};

/// Its routes, each with its methods and what it needs.
pub(crate) const ROUTES: &[(&str, &[Method], Needs)] = &[
    ("/ping/{id}", METHODS, Needs::Id),
    ("/ping/{id}/{what}", METHODS, Needs::Id),
    ("/ping/{id}/{what}/{more}", METHODS, Needs::Id),
    ("/api/push/{id}", METHODS, Needs::Id),
];

/// HEAD goes where GET goes.
const METHODS: &[Method] = &[Method::GET, Method::POST];

/// Bytes of a body that are read: the output of a job, of which the end is kept. Whoever sends more is
/// heard all the same.
const BODY_READ_MAX: usize = 1024 * 1024;

/// How long a body may take to come. The signal stands in the URL: it counts with what came by then.
const BODY_TIME: Duration = Duration::from_secs(5);

/// Says how many bytes of a body are kept, as healthchecks does.
const PING_BODY_LIMIT: HeaderName = HeaderName::from_static("ping-body-limit");

/// Parameters of a query that are looked at.
const PARAMETERS_MAX: usize = 32;

pub(crate) fn router() -> Router<Arc<Hub>> {
    Router::new()
        .route("/ping/{id}", get(ping_1).post(ping_1))
        .route("/ping/{id}/{what}", get(ping_2).post(ping_2))
        .route("/ping/{id}/{what}/{more}", get(ping_3).post(ping_3))
        .route("/api/push/{id}", get(push).post(push))
}

/// Which client is spoken to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Client {
    /// One that reads plain words.
    Healthchecks,
    /// One that reads JSON.
    UptimeKuma,
}

/// What becomes of a signal.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Ok,
    Unknown,
    Ambiguous,
    BadUrl,
    /// Too many, to be tried again after so many seconds.
    TooMany(u64),
    NotKept,
}

impl Outcome {
    fn status(self) -> StatusCode {
        match self {
            Self::Ok => StatusCode::OK,
            Self::Unknown => StatusCode::NOT_FOUND,
            Self::Ambiguous => StatusCode::CONFLICT,
            Self::BadUrl => StatusCode::BAD_REQUEST,
            Self::TooMany(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::NotKept => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// In the words that its clients know.
    fn words(self, client: Client) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Unknown if client == Client::UptimeKuma => "Monitor not found or not active.",
            Self::Unknown => "not found",
            Self::Ambiguous => "ambiguous slug",
            Self::BadUrl => "invalid url format",
            Self::TooMany(_) => "rate limited",
            Self::NotKept => "not kept, try again",
        }
    }

    fn answer(self, client: Client) -> Response {
        let (kind, body) = match (client, self) {
            (Client::Healthchecks, _) => {
                ("text/plain; charset=utf-8", self.words(client).to_owned())
            }
            (Client::UptimeKuma, Self::Ok) => (
                "application/json; charset=utf-8",
                json!({ "ok": true }).to_string(),
            ),
            (Client::UptimeKuma, _) => (
                "application/json; charset=utf-8",
                json!({ "ok": false, "msg": self.words(client) }).to_string(),
            ),
        };
        let mut response = (self.status(), body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        // A page may report for itself; the answer tells it nothing else.
        let everybody = HeaderValue::from_static("*");
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, everybody);
        let wait = match self {
            Self::TooMany(seconds) => Some(seconds),
            Self::NotKept => Some(1),
            Self::Ok | Self::Unknown | Self::Ambiguous | Self::BadUrl => None,
        };
        if let Some(seconds) = wait {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if client == Client::Healthchecks {
            headers.insert(PING_BODY_LIMIT, HeaderValue::from(LOG_LEN_MAX));
        }
        response
    }
}

/// What the last part of a URL says; `None` for what says nothing.
fn signal(word: &str) -> Option<Result<Signal, Outcome>> {
    Some(Ok(match word {
        "start" => Signal::Start,
        "fail" => Signal::Fail,
        "log" => Signal::Log,
        number if !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()) => {
            match number.parse() {
                Ok(exit) => Signal::Exit(exit),
                Err(_) => return Some(Err(Outcome::BadUrl)),
            }
        }
        _ => return None,
    }))
}

async fn ping_1(
    State(hub): State<Arc<Hub>>,
    Parameters([id]): Parameters<1>,
    request: Request,
) -> Response {
    let asked = Asked::Uuid(&id);
    ping(&hub, asked, Some(Ok(Signal::Success)), request).await
}

/// `/ping/<uuid>/<what>` or `/ping/<ping-key>/<slug>`.
async fn ping_2(
    State(hub): State<Arc<Hub>>,
    Parameters([id, what]): Parameters<2>,
    request: Request,
) -> Response {
    if is_uuid(&id) {
        return ping(&hub, Asked::Uuid(&id), signal(&what), request).await;
    }
    let asked = Asked::Slug(&id, &what);
    ping(&hub, asked, Some(Ok(Signal::Success)), request).await
}

async fn ping_3(
    State(hub): State<Arc<Hub>>,
    Parameters([key, slug, what]): Parameters<3>,
    request: Request,
) -> Response {
    ping(&hub, Asked::Slug(&key, &slug), signal(&what), request).await
}

fn is_uuid(text: &str) -> bool {
    let lengths = text.split('-').map(str::len);
    lengths.eq([8, 4, 4, 4, 12]) && text.bytes().all(|b| b == b'-' || b.is_ascii_hexdigit())
}

async fn ping(
    hub: &Hub,
    asked: Asked<'_>,
    said: Option<Result<Signal, Outcome>>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let taken = async {
        let name = known(hub, asked, &parts)?;
        let signal = said.unwrap_or(Err(Outcome::Unknown))?;
        admitted(hub, &name, &parts)?;
        let [rid] = parameters(&parts, ["rid"]);
        let log = read(body).await;
        let log = (!log.is_empty()).then(|| String::from_utf8_lossy(&log).into_owned());
        let ping = Ping {
            rid,
            log,
            ..Ping::new(hub.now(), signal)
        };
        heard(hub, &name, &ping).await
    };
    let outcome = taken.await.err().unwrap_or(Outcome::Ok);
    outcome.answer(Client::Healthchecks)
}

/// `/api/push/<token>?status=up&msg=OK&ping=`: whatever is not `up` is down.
async fn push(
    State(hub): State<Arc<Hub>>,
    Parameters([token]): Parameters<1>,
    request: Request,
) -> Response {
    let (parts, _) = request.into_parts();
    let taken = async {
        let name = known(&hub, Asked::Push(&token), &parts)?;
        admitted(&hub, &name, &parts)?;
        let [status, msg, took] = parameters(&parts, ["status", "msg", "ping"]);
        let signal = match status.as_deref() {
            None | Some("" | "up") => Signal::Success,
            Some(_) => Signal::Fail,
        };
        let took = took.and_then(|took| took.parse::<f64>().ok());
        let took = took.filter(|took| (0.0..=TOOK_MS_MAX).contains(took));
        let ping = Ping {
            took_ms: took.map(|took| took as u64),
            log: msg.filter(|msg| !msg.is_empty()),
            ..Ping::new(hub.now(), signal)
        };
        heard(&hub, &name, &ping).await
    };
    let outcome = taken.await.err().unwrap_or(Outcome::Ok);
    outcome.answer(Client::UptimeKuma)
}

/// Longest time that Uptime Kuma takes for `ping`, milliseconds: a day.
const TOOK_MS_MAX: f64 = 86_400_000.0;

/// Reads what a job calls: it means the heartbeat whose id it names, or nobody.
#[cfg(feature = "fuzzing")]
pub fn fuzz_ping_url(url: &str) {
    use crate::beats::{Beats, Secret};
    use jiff::Timestamp;

    const UUID: &str = "123e4567-e89b-12d3-a456-426614174000";
    static BEATS: std::sync::OnceLock<(Beats, String)> = std::sync::OnceLock::new();
    let (beats, key) = BEATS.get_or_init(|| {
        let text = format!(
            "heartbeats: [{{ name: nightly, every: 1d, uuid: {UUID}, token: aB3dE6gH9j }}]"
        );
        let config = bellwether_config::parse(&text, "b.yaml".as_ref());
        let secret = Secret::new([7; 32]);
        let key = secret.ping_key();
        let beats = Beats::new(secret, Timestamp::UNIX_EPOCH);
        beats.configure(&config.expect("it is sound"), Timestamp::UNIX_EPOCH);
        (beats, key)
    });
    let Ok(request) = http::Request::get(url).body(()) else {
        return;
    };
    let (parts, ()) = request.into_parts();
    let found = parameters(&parts, ["rid", "status", "msg", "ping"]);
    let query = parts.uri.query().unwrap_or_default();
    assert!(
        found
            .iter()
            .flatten()
            .all(|value| value.len() <= 3 * query.len())
    );
    let segments: Vec<&str> = parts.uri.path().split('/').skip(1).collect();
    let (asked, said) = match segments[..] {
        ["ping", id] => (Asked::Uuid(id), None),
        ["ping", id, what] if is_uuid(id) => (Asked::Uuid(id), Some(what)),
        ["ping", key, slug] => (Asked::Slug(key, slug), None),
        ["ping", key, slug, what] => (Asked::Slug(key, slug), Some(what)),
        ["api", "push", token] => (Asked::Push(token), None),
        _ => return,
    };
    let is_meant = match asked {
        Asked::Uuid(id) => id.eq_ignore_ascii_case(UUID),
        Asked::Slug(before, slug) => before == key && slug == "nightly",
        Asked::Push(token) => ["aB3dE6gH9j", UUID, &UUID.replace('-', "")].contains(&token),
    };
    let found = beats.find(asked);
    assert_eq!(
        found,
        if is_meant {
            Found::One("nightly".to_owned())
        } else {
            Found::Nobody
        }
    );
    if let Some(Some(Ok(Signal::Exit(exit)))) = said.map(signal) {
        assert_eq!(said.and_then(|said| said.parse().ok()), Some(exit));
    }
}

fn source(parts: &Parts) -> Option<IpAddr> {
    let from = parts.extensions.get::<ConnectInfo<SocketAddr>>();
    from.map(|from| from.0.ip())
}

/// Whom the URL means.
fn known(hub: &Hub, asked: Asked<'_>, parts: &Parts) -> Result<String, Outcome> {
    match hub.shared.beats.find(asked) {
        Found::One(name) => Ok(name),
        Found::Several => Err(Outcome::Ambiguous),
        Found::Nobody => Err(match hub.strangers.failed(source(parts), hub.now()) {
            Some(wait) => Outcome::TooMany(wait.as_secs().max(1)),
            None => Outcome::Unknown,
        }),
    }
}

fn admitted(hub: &Hub, name: &str, parts: &Parts) -> Result<(), Outcome> {
    let admitted = hub.shared.beats.admit(name, source(parts), hub.now());
    admitted.map_err(outcome)
}

async fn heard(hub: &Hub, name: &str, ping: &Ping) -> Result<(), Outcome> {
    hub.shared.beats.heard(name, ping).await.map_err(outcome)
}

fn outcome(refusal: Refusal) -> Outcome {
    match refusal {
        Refusal::TooOften => Outcome::TooMany(1),
        Refusal::Gone => Outcome::Unknown,
        Refusal::NotKept => Outcome::NotKept,
    }
}

/// The first value of each of these parameters. Others are passed over, as these clients expect.
fn parameters<const N: usize>(parts: &Parts, wanted: [&str; N]) -> [Option<String>; N] {
    let query = parts.uri.query().unwrap_or("");
    let mut found = [const { None }; N];
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()).take(PARAMETERS_MAX) {
        if let Some(at) = wanted.iter().position(|wanted| *wanted == name)
            && found[at].is_none()
        {
            found[at] = Some(value.into_owned());
        }
    }
    found
}

/// The end of a body, as far as it came.
async fn read(mut body: Body) -> Vec<u8> {
    let mut end = Vec::new();
    let collect = async {
        let mut len = 0;
        while let Some(Ok(frame)) = body.frame().await {
            let Ok(data) = frame.into_data() else {
                continue;
            };
            len += data.len();
            end.extend_from_slice(&data);
            if end.len() > 2 * LOG_LEN_MAX {
                end.drain(..end.len() - LOG_LEN_MAX);
            }
            if len > BODY_READ_MAX {
                break;
            }
        }
    };
    // What did not come by then is left out.
    let _ = tokio::time::timeout(BODY_TIME, collect).await;
    end
}
