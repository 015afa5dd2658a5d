//! Handshakes: what the server shows, whatever a verifier would say of it.
//!
//! Every name of rustls stays inside this module. The handshake itself accepts everything; what a
//! strict client refuses is judged afterwards, from the recorded chain, at the check's own time.
//! Where it fails, ClientHellos of our own making tell why (`hellos`, `hello`, `flight`).

mod client;
mod flight;
#[cfg(feature = "fuzzing")]
mod fuzzing;
mod hello;
mod hellos;
mod memory;
mod noting;
mod outcome;
mod record;
mod suite;

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bellwether_model::DnsName;
use bellwether_model::target::Host;
use bellwether_model::tls::{
    CertProblem, CertSeen, ClientAuthSeen, TlsPurpose, TlsResult, TlsSeen,
};
use bellwether_pki::{Anchors, name_text, read};
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, ProtocolVersion};
use tokio::io::AsyncBufReadExt as _;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::cx::Cx;
use crate::patience::{patience, patiently};
use crate::sys::tcp_info;
use crate::tcp::millis;
use crate::wire::Watched;

pub use client::fits;
#[cfg(feature = "fuzzing")]
pub(crate) use fuzzing::read_flight;
pub(crate) use hellos::{ask_all, shapes_after, silence_wait};
use memory::Chain;
pub(crate) use memory::Memory;
pub(crate) use noting::{Alert, Noting};
pub(crate) use outcome::{alert_in, end_words, is_overfull};
use record::{Recorder, Shown};

/// Longest wait for a handshake. Slow but working servers take two seconds at most; a check has
/// more to do in its ten.
const HANDSHAKE_WAIT: Duration = Duration::from_secs(4);
/// Bytes that a server may send in a handshake. rustls takes no message above 64 KiB, but any
/// number of messages.
const HANDSHAKE_LEN_MAX: usize = 256 * 1024;
/// In TLS 1.3 a server refuses a client's missing certificate only after the client's side of the
/// handshake is over (RFC 8446 section 4.4.2.4): how long to listen for that alert, at most.
const REFUSAL_WAIT_MAX: Duration = Duration::from_millis(1000);
/// The same, at least; a server far away gets as long as the handshake took besides.
const REFUSAL_WAIT_MIN: Duration = Duration::from_millis(100);

/// An established connection.
pub(crate) type Stream = TlsStream<Watched>;

/// A handshake to be made.
pub(crate) struct Ask {
    pub(crate) address: SocketAddr,
    /// Whom we aim at: the certificate must name it.
    pub(crate) host: Host,
    pub(crate) purpose: TlsPurpose,
    /// Application protocols to offer.
    pub(crate) alpn: &'static [&'static [u8]],
}

/// `http/1.1` (RFC 7301 section 6).
pub(crate) const HTTP_1_1: &[&[u8]] = &[b"http/1.1"];
/// What browsers offer over TCP (RFC 9113 section 3.2).
pub(crate) const WEB: &[&[u8]] = &[b"h2", b"http/1.1"];

/// Did both sides agree on HTTP/2?
pub(crate) fn is_h2(stream: &Stream) -> bool {
    stream.get_ref().1.alpn_protocol() == Some(b"h2")
}

/// Makes one handshake; the stream is there if it completed.
pub(crate) async fn shake(
    cx: &Cx,
    stream: TcpStream,
    ask: &Ask,
    anchors: &Rc<Anchors>,
) -> (TlsSeen, Option<Stream>) {
    let recorder = Recorder::new(client::to_show(cx.job(), ask));
    let sni = sent_name(ask);
    let mut seen = begin(ask, sni);
    let memory = &cx.memory().tls;
    let (config, name) = match (memory.config(ask), server_name(&ask.host)) {
        (Ok(config), Ok(name)) => (config, name),
        (Err(error), _) | (_, Err(error)) => {
            seen.result = TlsResult::Failed { error };
            return (seen, None);
        }
    };
    let start = Instant::now();
    let watched = Watched::new(stream, HANDSHAKE_LEN_MAX);
    let connect = recorder.clone().over(async {
        let connect = TlsConnector::from(config).connect(name, watched);
        connect.into_fallible().await
    });
    let ended = patiently(cx, HANDSHAKE_WAIT, connect).await;
    seen.handshake_ms = millis(start);
    let mut stream = match ended {
        None => {
            seen.result = TlsResult::Stalled;
            None
        }
        Some(Err((error, watched))) => {
            seen.result = outcome::result_of(&error, watched.head());
            if outcome::is_oversize(&error, watched.head()) {
                seen.problems.push(oversize());
            }
            seen.tcp = tcp_info(watched.stream());
            None
        }
        Some(Ok(stream)) => {
            seen.result = TlsResult::Completed;
            Some(stream)
        }
    };
    if let Some(open) = &mut stream {
        let (watched, connection) = open.get_mut();
        watched.lift_limit();
        seen.tcp = tcp_info(watched.stream());
        note_parameters(&mut seen, connection);
    }
    note_shown(cx, &mut seen, &recorder.take(), ask, anchors);
    if seen.client_cert_requested
        && let Some(open) = &mut stream
        && let Some(refusal) = refusal(cx, open, seen.handshake_ms).await
    {
        seen.result = refusal;
        stream = None;
    }
    (seen, stream)
}

/// What is known of a handshake before it is made.
fn begin(ask: &Ask, sni: Option<DnsName>) -> TlsSeen {
    TlsSeen {
        sni,
        ..TlsSeen::begun(ask.address, ask.purpose)
    }
}

/// Certificates of which nothing is known but that they are too much: OpenSSL takes 100 KB, and
/// others stop at 64 KiB.
fn oversize() -> CertProblem {
    CertProblem::Malformed {
        index: 0,
        error: "the certificates sent are larger than 64 KiB, which clients do not read".to_owned(),
    }
}

/// What stands for a handshake whose connection did not open.
pub(crate) fn not_connected(ask: &Ask, error: String) -> TlsSeen {
    let mut seen = begin(ask, sent_name(ask));
    seen.result = TlsResult::NotConnected { error };
    seen
}

/// Addresses are never sent as server names (RFC 6066 section 3).
fn sent_name(ask: &Ask) -> Option<DnsName> {
    match (&ask.host, ask.purpose) {
        (_, TlsPurpose::NoSni) | (Host::Address(_), _) => None,
        (Host::Name(name), TlsPurpose::User | TlsPurpose::OtherSni | TlsPurpose::Hellos) => {
            Some(name.clone())
        }
    }
}

fn server_name(host: &Host) -> Result<ServerName<'static>, String> {
    match host {
        Host::Address(address) => Ok(ServerName::from(*address)),
        Host::Name(name) => ServerName::try_from(name.without_dot().to_owned())
            .map_err(|_| format!("`{name}` cannot be a server name of TLS")),
    }
}

fn note_parameters(seen: &mut TlsSeen, connection: &ClientConnection) {
    // `TLSv1_3` as it is usually written: `TLSv1.3`.
    seen.version = connection
        .protocol_version()
        .map(|version| format!("{version:?}").replace('_', "."));
    seen.cipher = connection
        .negotiated_cipher_suite()
        .map(|suite| format!("{:?}", suite.suite()));
    seen.group = connection
        .negotiated_key_exchange_group()
        .map(|group| format!("{:?}", group.name()));
    seen.alpn = connection
        .alpn_protocol()
        .map(|name| bellwether_model::text::inert_bytes(name, 32));
}

fn note_shown(cx: &Cx, seen: &mut TlsSeen, shown: &Shown, ask: &Ask, anchors: &Anchors) {
    seen.chain_len = shown.chain_len;
    seen.stapled = shown.stapled;
    seen.client_cert_requested = shown.authorities.is_some();
    if let Some(authorities) = &shown.authorities {
        seen.client_auth = Some(client_auth(cx, ask, authorities, shown.authorities_len));
    }
    if shown.chain.is_empty() {
        return;
    }
    let host = match &ask.host {
        Host::Name(name) => name.without_dot().to_owned(),
        Host::Address(address) => address.to_string(),
    };
    let shown_by = Chain {
        certs: &shown.chain,
        staple: shown.staple.as_deref(),
        host: &host,
    };
    let judged = cx.memory().tls.judged(&shown_by, anchors, cx.job().now);
    seen.chain = judged.chain(&shown.chain);
    seen.problems.clone_from(&judged.problems);
    seen.profiles.clone_from(&judged.profiles);
    seen.staple.clone_from(&judged.staple);
    let explained = seen.problems.iter().any(|problem| {
        matches!(
            problem,
            CertProblem::Malformed { index: 0, .. } | CertProblem::Policy { index: 0, .. }
        )
    });
    if shown.proved == Some(false) && !explained {
        let detail = "the server did not prove that it holds the certificate's key".to_owned();
        seen.problems.push(CertProblem::Other { detail });
    }
}

/// What passed when the server asked for a client certificate.
fn client_auth(cx: &Cx, ask: &Ask, authorities: &[Vec<u8>], len: usize) -> ClientAuthSeen {
    let chain = client::chain_to_show(cx.job(), ask);
    let certs: Vec<CertSeen> = chain.iter().map(|der| read(der)).collect();
    let mut issuers: Vec<String> = certs.iter().map(|cert| cert.issuer.clone()).collect();
    issuers.dedup();
    ClientAuthSeen {
        authorities: authorities.iter().map(|name| name_text(name)).collect(),
        authorities_len: len,
        shown: certs.into_iter().next().map(Box::new),
        issuers,
    }
}

/// Certificates as they are told.
fn read_chain(chain: &[Vec<u8>]) -> Vec<CertSeen> {
    with_der(chain.iter().map(|der| read(der)).collect(), chain)
}

/// The first certificate and ill-formed ones are told in full.
fn with_der(mut seen: Vec<CertSeen>, chain: &[Vec<u8>]) -> Vec<CertSeen> {
    for (index, (cert, der)) in seen.iter_mut().zip(chain).enumerate() {
        if index == 0 || cert.malformed.is_some() {
            cert.der = Some(STANDARD.encode(der));
        }
    }
    seen
}

/// Does the server end the connection over the certificate that we show, or do not show?
async fn refusal(cx: &Cx, stream: &mut Stream, handshake_ms: f64) -> Option<TlsResult> {
    let is_1_3 = stream.get_ref().1.protocol_version() == Some(ProtocolVersion::TLSv1_3);
    if !is_1_3 {
        return None;
    }
    let handshake = Duration::try_from_secs_f64(handshake_ms / 1000.0).unwrap_or_default();
    let wait = (REFUSAL_WAIT_MIN + handshake).min(REFUSAL_WAIT_MAX);
    let wait = patience(cx, wait)?;
    // What the server says of its own accord stays there to be read.
    match tokio::time::timeout(wait, stream.fill_buf()).await {
        Ok(Err(error)) => Some(outcome::result_of(&error, &[])),
        Ok(Ok([])) => Some(TlsResult::Closed {
            error: "the server closed the connection after the handshake".to_owned(),
            reset: false,
        }),
        Ok(Ok(_)) | Err(_) => None,
    }
}

#[cfg(test)]
mod tests;
