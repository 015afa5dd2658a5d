//! Further connections to where a URL leads.

use std::net::SocketAddr;

use bellwether_model::net::TcpResult;
use bellwether_model::target::Host;
use bellwether_model::tls::{CertProblem, TlsPurpose, TlsResult};
use bellwether_model::{DnsName, Origin};
use url::Url;

use super::Ready;
use crate::cx::Cx;
use crate::dial::NotDialled;
use crate::tls::{Alert, Noting};
use crate::{tcp, tls};

/// In which way to connect.
pub(super) struct How {
    /// Application protocols to offer.
    pub(super) alpn: &'static [&'static [u8]],
    /// Largest segments, both ways; `None` leaves them to the system.
    pub(super) mss: Option<u16>,
}

/// Why there is no connection, in words.
pub(super) enum Failed {
    /// With what became of the attempt, if one was made.
    Tcp(String, Option<TcpResult>),
    /// With what is wrong with the certificate.
    Tls(String, Vec<CertProblem>),
}

/// Connects, and shakes hands if the URL says so. Also what is wrong with the certificate.
pub(super) async fn open(
    cx: &Cx,
    to: SocketAddr,
    origin: Origin,
    url: &Url,
    how: &How,
) -> Result<(Ready, Vec<CertProblem>), Failed> {
    let opened = match tcp::open_with(cx, to, origin, how.mss).await {
        Ok(opened) => opened,
        Err(error) => {
            let words = format!("{to}: {}", tcp::words(&error));
            let result = match error {
                NotDialled::Failed(result) => Some(result),
                NotDialled::Refused(_) | NotDialled::Exhausted(_) => None,
            };
            return Err(Failed::Tcp(words, result));
        }
    };
    let connect_ms = opened.connect_ms;
    if url.scheme() != "https" {
        let ready = Ready {
            wire: Box::new(opened.stream),
            is_h2: false,
            alert: Alert::default(),
            connect_ms,
            tls_ms: 0.0,
        };
        return Ok((ready, Vec::new()));
    }
    let Some(host) = host_of(url) else {
        return Err(Failed::Tls("its host is no name".to_owned(), Vec::new()));
    };
    let ask = tls::Ask {
        address: to,
        host,
        purpose: TlsPurpose::User,
        alpn: how.alpn,
    };
    let anchors = crate::roots::anchors(cx.job());
    let (shaken, stream) = tls::shake(cx, opened.stream, &ask, &anchors).await;
    match stream {
        Some(stream) => {
            let alert = Alert::default();
            let ready = Ready {
                is_h2: tls::is_h2(&stream),
                wire: Box::new(Noting::new(stream, alert.clone())),
                alert,
                connect_ms,
                tls_ms: shaken.handshake_ms,
            };
            Ok((ready, shaken.problems))
        }
        None => {
            let error = format!("{to}: {}", tls_words(&shaken.result));
            Err(Failed::Tls(error, shaken.problems))
        }
    }
}

fn host_of(url: &Url) -> Option<Host> {
    match url.host()? {
        url::Host::Domain(name) => DnsName::typed(name).ok().map(Host::Name),
        url::Host::Ipv4(address) => Some(Host::Address(address.into())),
        url::Host::Ipv6(address) => Some(Host::Address(address.into())),
    }
}

fn tls_words(result: &TlsResult) -> String {
    match result {
        TlsResult::Completed => "the handshake completed".to_owned(),
        TlsResult::Alert { name, .. } => format!("TLS alert {name}"),
        TlsResult::Stalled => "the handshake stalled".to_owned(),
        TlsResult::NotTls { looks_like } => format!("it speaks {looks_like}, not TLS"),
        TlsResult::TooLarge { limit } => {
            format!("its part of the handshake is larger than {limit} bytes")
        }
        TlsResult::Malformed { error } => format!("what it sends is no TLS ({error})"),
        TlsResult::Closed { error, .. }
        | TlsResult::NotConnected { error }
        | TlsResult::Failed { error } => error.clone(),
    }
}
