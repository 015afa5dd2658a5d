//! HTTP: what a user's client asks for, redirects followed, what came held against what was
//! declared.
//!
//! HTTP/2 where both sides agree on it, as browsers do, and HTTP/1.1 where that fails or is not
//! offered. The exchange runs over the connection whose phases were timed before. That of
//! HTTP/1.1 is our own: a library would follow what we must refuse, and read what must be bounded.

mod again;
mod body;
mod connect;
mod cookie;
mod decode;
mod exchange;
mod expect;
mod first;
#[cfg(feature = "fuzzing")]
mod fuzzing;
mod h2;
mod head;
mod redirect;

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use bellwether_model::http::{HttpResult, HttpSeen, Phases, Redirect, RedirectEnd};
use bellwether_model::observation::NotRun;
use bellwether_model::target::Scheme;
use bellwether_model::tls::CertProblem;
use bellwether_model::{DnsName, NotRunReason, Origin, Outcome, ProbeKind, Target};
use tokio::time::timeout;
use url::Url;

use crate::cx::Cx;
use crate::tcp::millis;
use crate::tls::{self, Alert};
use crate::wire::Wire;
use crate::worker::fault;

pub(crate) use body::Room;
use connect::How;
use cookie::Jar;
pub(crate) use exchange::converse;
use exchange::{Agent, Exchange, Request, exchange};
#[cfg(feature = "fuzzing")]
pub(crate) use fuzzing::read_response;
use redirect::{Next, Visit, next, oddity, shown};
pub(crate) use redirect::{Resolve, Resolved};

/// Addresses of a redirect's host that are tried before it counts as unreachable; clients race two.
const ADDRESSES_MAX: usize = 3;

/// Bytes of a body that are read where only its status counts.
const ONCE_LEN_MAX: usize = 16 * 1024;

/// An open connection to the target, with the times of its phases.
pub(crate) struct Ready {
    pub(crate) wire: Box<dyn Wire>,
    /// Both sides agreed on HTTP/2.
    pub(crate) is_h2: bool,
    /// The TLS alert that ended it, once one did.
    pub(crate) alert: Alert,
    pub(crate) connect_ms: f64,
    pub(crate) tls_ms: f64,
}

/// One hop: whom to ask for what.
struct Hop {
    visit: Visit,
    number: u8,
    /// Where to dial, best first; the first hop has its connection already.
    addresses: Vec<IpAddr>,
    origin: Origin,
    ready: Option<Ready>,
}

/// What all hops of one attempt share.
struct Trail<'a> {
    cx: &'a Cx,
    resolve: &'a dyn Resolve,
    entry: SocketAddr,
    origin: Origin,
    visited: Vec<Visit>,
    jar: Jar,
    /// The declared role header of the first response.
    role: Option<String>,
    total_ms: f64,
}

/// Asks for the target's URL over an open connection and follows redirects.
pub(crate) async fn run(
    cx: &Cx,
    entry: SocketAddr,
    origin: Origin,
    ready: Ready,
    waits: u32,
    resolve: &dyn Resolve,
) {
    let Some(url) = url_of(&cx.job().target) else {
        return;
    };
    let mut trail = Trail {
        cx,
        resolve,
        entry,
        origin,
        visited: Vec::new(),
        jar: Jar::default(),
        role: None,
        total_ms: 0.0,
    };
    let mut hop = Some(Hop {
        visit: Visit::first(url),
        number: 0,
        addresses: vec![entry.ip()],
        origin,
        ready: Some(ready),
    });
    let mut waits = waits;
    while let Some(current) = hop.take() {
        let key = format!("http {entry} hop {}", current.number);
        let stand_in = NotRun {
            reason: NotRunReason::Deadline,
            detail: String::new(),
            subject: shown(&current.visit.url),
            address: Some(entry.ip()),
            via: None,
        };
        let mut after = None;
        let probe = async {
            fault::trip(&key);
            let (seen, following, spent) = trail.ask(current).await;
            waits += spent;
            after = following;
            (Outcome::Http(Box::new(seen)), waits)
        };
        cx.probe(ProbeKind::Http, key.clone(), stand_in, probe)
            .await;
        if let Some((following, spent)) = after {
            waits += spent;
            hop = Some(following);
        }
    }
}

/// Asks once for the target's URL, over a connection that speaks HTTP/1.1: how did it end, and with
/// which status?
pub(crate) async fn once(cx: &Cx, wire: &mut dyn Wire) -> (HttpResult, Option<u16>) {
    let Some(url) = url_of(&cx.job().target) else {
        let error = "the target is no URL".to_owned();
        return (HttpResult::NotConnected { error }, None);
    };
    let request = request(cx, &Visit::first(url), Agent::Own, ONCE_LEN_MAX);
    let came = exchange(cx, wire, &request).await;
    (came.result, came.head.map(|head| head.status))
}

/// The URL that the target's text says.
fn url_of(target: &Target) -> Option<Url> {
    match target.scheme {
        Scheme::Http | Scheme::Https => target.text.parse().ok(),
        Scheme::Tls | Scheme::Tcp | Scheme::Dns => None,
    }
}

impl Trail<'_> {
    /// One hop: what it saw, the next one with the waits it took to resolve, and its own waits.
    async fn ask(&mut self, mut hop: Hop) -> (HttpSeen, Option<(Hop, u32)>, u32) {
        let start = Instant::now();
        let cx = &self.cx.for_probe();
        self.visited.push(hop.visit.clone());
        let port = hop.visit.url.port_or_known_default().unwrap_or_default();
        let mut seen = self.blank(&hop, port);
        let mut waits = 1;
        let mut beside = Vec::new();
        let ready = match hop.ready.take() {
            Some(ready) => {
                seen.phases.total_ms = ready.connect_ms + ready.tls_ms;
                Ok(ready)
            }
            None => {
                waits += if hop.visit.url.scheme() == "https" {
                    2
                } else {
                    1
                };
                let connected = self.connect(cx, &hop, port, &mut seen);
                let late = || "no connection in the probe's time".to_owned();
                let connected = timeout(cx.left(), connected).await;
                connected.unwrap_or_else(|_| Err(late()))
            }
        };
        let following = match ready {
            Err(error) => {
                seen.result = HttpResult::NotConnected { error };
                None
            }
            Ok(ready) => {
                seen.phases.connect_ms = ready.connect_ms;
                seen.phases.tls_ms = ready.tls_ms;
                let alert = ready.alert.clone();
                let asked = again::Asked {
                    cx,
                    visit: &hop.visit,
                    to: seen.address,
                    origin: hop.origin,
                };
                let first = first::ask(&asked, ready).await;
                let came = first.came;
                (seen.h2, beside) = (first.h2, first.beside);
                waits += first.waits;
                if came.result != HttpResult::Response {
                    seen.tls_alert = alert.get();
                }
                seen.phases.total_ms += millis(start);
                self.total_ms += seen.phases.total_ms;
                self.take(cx, &hop, came, &mut seen).await
            }
        };
        if following.is_none() && !self.cx.is_once() {
            let asked = again::Asked {
                cx,
                visit: &hop.visit,
                to: seen.address,
                origin: hop.origin,
            };
            seen.again = again::once_more(&asked, &seen, beside).await;
            waits += again::waits(&seen.again);
        }
        (seen, following, waits)
    }

    /// The record of a hop of which nothing is known yet.
    fn blank(&self, hop: &Hop, port: u16) -> HttpSeen {
        HttpSeen {
            entry: self.entry,
            address: SocketAddr::new(*hop.addresses.first().unwrap_or(&self.entry.ip()), port),
            url: shown(&hop.visit.url),
            hop: hop.number,
            result: HttpResult::Stalled,
            connection: None,
            tls_alert: None,
            head_read: 0,
            status: None,
            version: None,
            headers: Vec::new(),
            body: None,
            redirect: None,
            expectations: Vec::new(),
            problems: Vec::new(),
            h2: None,
            again: Vec::new(),
            phases: Phases::default(),
        }
    }

    /// Puts a response into the record, decides where to go next, and holds the last response
    /// against what was declared.
    async fn take(
        &mut self,
        cx: &Cx,
        hop: &Hop,
        came: Exchange,
        seen: &mut HttpSeen,
    ) -> Option<(Hop, u32)> {
        seen.result = came.result;
        seen.head_read = came.head_len;
        seen.body = came.body;
        seen.phases.wait_ms = came.wait_ms;
        seen.phases.transfer_ms = came.transfer_ms;
        let head = came.head?;
        seen.status = Some(head.status);
        seen.version = Some(head.version.clone());
        seen.headers = head.shown();
        let expect = &self.cx.job().expect;
        if hop.number == 0
            && let Some(role) = &expect.role
        {
            let value = head.values(&role.header).next();
            self.role = value.map(|value| String::from_utf8_lossy(value).trim().to_owned());
        }
        let url = &hop.visit.url;
        self.jar.keep(url, &head, self.cx.job().now);
        let next = if expect.ends_with(head.status) {
            Next::Stay
        } else {
            next(&head, &self.visited, &self.jar)
        };
        let following = match next {
            Next::Stay => None,
            Next::End(redirect) => {
                seen.redirect = Some(redirect);
                None
            }
            Next::To(visit) => {
                let location = shown(&visit.url);
                let note = oddity(url, &visit.url);
                let (end, following) = self.lead(cx, hop, visit).await;
                seen.redirect = Some(Redirect {
                    location,
                    end,
                    note,
                });
                following
            }
        };
        if following.is_none() {
            let came = expect::Came {
                status: head.status,
                body: &came.bytes,
                total_ms: self.total_ms,
                role: self.role.clone(),
                coding: seen.header("content-encoding").map(str::to_owned),
            };
            seen.expectations = expect::held(expect, &came);
        }
        following
    }

    /// May we go on to this URL, and at which addresses is its host?
    async fn lead(&self, cx: &Cx, hop: &Hop, visit: Visit) -> (RedirectEnd, Option<(Hop, u32)>) {
        let url = &visit.url;
        let (addresses, origin, waits) = if url.host() == hop.visit.url.host() {
            (hop.addresses.clone(), hop.origin, 0)
        } else if self.visited.first().map(|first| first.url.host()) == Some(url.host()) {
            (vec![self.entry.ip()], self.origin, 0)
        } else {
            let late = || "no answer for its host in the probe's time".to_owned();
            let resolved = timeout(cx.left(), self.resolved(url)).await;
            match resolved.unwrap_or_else(|_| Err(late())) {
                Ok((addresses, waits)) => (addresses, Origin::Network, waits),
                Err(reason) => return (RedirectEnd::Unresolved { reason }, None),
            }
        };
        let mut refused = None;
        let mut allowed = addresses;
        allowed.retain(|address| match self.cx.dialer().permits(*address, origin) {
            Ok(()) => true,
            Err(reason) => {
                refused.get_or_insert(reason);
                false
            }
        });
        if allowed.is_empty() {
            return match refused {
                Some(reason) => (RedirectEnd::Refused { reason }, None),
                None => {
                    let reason = "its host has no address".to_owned();
                    (RedirectEnd::Unresolved { reason }, None)
                }
            };
        }
        // A client without a route for a family takes the other one.
        let port = url.port_or_known_default().unwrap_or_default();
        let dialer = self.cx.dialer();
        allowed.sort_by_key(|address| !dialer.has_route(SocketAddr::new(*address, port)));
        allowed.truncate(ADDRESSES_MAX);
        let hop = Hop {
            visit,
            number: hop.number.saturating_add(1),
            addresses: allowed,
            origin,
            ready: None,
        };
        (RedirectEnd::Followed, Some((hop, waits)))
    }

    async fn resolved(&self, url: &Url) -> Result<(Vec<IpAddr>, u32), String> {
        match url.host() {
            Some(url::Host::Ipv4(address)) => Ok((vec![address.into()], 0)),
            Some(url::Host::Ipv6(address)) => Ok((vec![address.into()], 0)),
            Some(url::Host::Domain(name)) => {
                let name = DnsName::typed(name).map_err(|error| error.to_string())?;
                self.resolve.resolve(name).await
            }
            None => Err("it has no host".to_owned()),
        }
    }

    /// Connects to a hop's host, and shakes hands if the URL says so.
    async fn connect(
        &self,
        cx: &Cx,
        hop: &Hop,
        port: u16,
        seen: &mut HttpSeen,
    ) -> Result<Ready, String> {
        let mut failure = "its host has no address".to_owned();
        let how = How {
            alpn: tls::WEB,
            mss: None,
        };
        for address in &hop.addresses {
            let to = SocketAddr::new(*address, port);
            match connect::open(cx, to, hop.origin, &hop.visit.url, &how).await {
                Ok((ready, problems)) => {
                    seen.address = to;
                    seen.connection = None;
                    seen.problems = self.other_problems(hop, problems);
                    return Ok(ready);
                }
                Err(connect::Failed::Tcp(error, result)) => {
                    seen.address = to;
                    seen.connection = result;
                    failure = error;
                }
                Err(connect::Failed::Tls(error, problems)) => {
                    seen.address = to;
                    seen.connection = None;
                    seen.problems = self.other_problems(hop, problems);
                    return Err(error);
                }
            }
        }
        Err(failure)
    }

    /// What is wrong with the certificate of the target's own host stands in its `tls`
    /// observation already.
    fn other_problems(&self, hop: &Hop, problems: Vec<CertProblem>) -> Vec<CertProblem> {
        let first = self.visited.first();
        let is_own = first.is_some_and(|first| {
            first.url.scheme() == "https" && first.url.host() == hop.visit.url.host()
        });
        if is_own { Vec::new() } else { problems }
    }
}

/// The request target in origin form (RFC 9112 section 3.2.1).
fn path(url: &Url) -> String {
    match url.query() {
        Some(query) => format!("{}?{query}", url.path()),
        None => url.path().to_owned(),
    }
}

/// Host and, if it is not the scheme's own, port (RFC 9110 section 7.2).
fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

/// The request for a visit.
fn request(cx: &Cx, visit: &Visit, agent: Agent, len_max: usize) -> Request {
    let url = &visit.url;
    Request {
        scheme: url.scheme().to_owned(),
        authority: authority(url),
        path: path(url),
        cookies: visit.cookies.clone(),
        agent,
        room: Room {
            len_max,
            budget: cx.budget().clone(),
        },
    }
}

#[cfg(test)]
mod tests;
