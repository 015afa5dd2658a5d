//! Reaching a hub over the network: to enrol with it, and to link to it as who enrolled.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use bellwether_link::frame::{self, FrameError};
use bellwether_link::{EnrolToken, Identity, IdentityError, Request, client};
use bellwether_model::link::{ToAgent, ToHub, VERSION, VERSION_MIN};
use jiff::Timestamp;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;

use super::{Dial, DialError, words};

/// How long one address of a hub may take to answer; the others are tried after it.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// How long a hub may take to shake hands, and to answer who enrols.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// Reaches the hub as an enrolled agent.
pub struct Dialler {
    folder: PathBuf,
    identity: Identity,
    /// Where the hub was last reached: its name may be what cannot be resolved just now.
    known: Vec<SocketAddr>,
    /// A key that a certificate was asked for.
    asked: Option<Request>,
}

impl Dialler {
    /// As this agent, whose data are in `folder`.
    #[must_use]
    pub fn new(folder: PathBuf, identity: Identity) -> Self {
        Self {
            folder,
            identity,
            known: Vec::new(),
            asked: None,
        }
    }
}

impl Dial for Dialler {
    type Stream = TlsStream<TcpStream>;

    async fn dial(&mut self) -> Result<Self::Stream, DialError> {
        let hub = self.identity.hub.clone();
        let config = client::for_link(&self.identity);
        let config = config.map_err(|error| DialError::Unusable {
            why: error.to_string(),
        })?;
        let unreachable = |source| DialError::Unreachable {
            hub: hub.clone(),
            source,
        };
        let stream = connect(&hub, &mut self.known).await.map_err(unreachable)?;
        client::shake(config, stream).await.map_err(|error| {
            if client::is_another_hub(&error) {
                DialError::AnotherHub { hub: hub.clone() }
            } else if client::is_refused(&error) {
                DialError::Refused { hub: hub.clone() }
            } else {
                unreachable(error)
            }
        })
    }

    fn renewal(&mut self, now: Timestamp) -> Option<String> {
        if self.identity.renew_at().is_none_or(|at| now < at) {
            return None;
        }
        match Request::make() {
            Ok(request) => {
                let text = request.text.clone();
                self.asked = Some(request);
                Some(text)
            }
            Err(error) => {
                tracing::error!(
                    error = words(&error),
                    "no key can be made for a new certificate"
                );
                None
            }
        }
    }

    fn renewed(&mut self, chain: Vec<String>) -> Result<(), String> {
        let request = self.asked.take().ok_or("none was asked for")?;
        let authority = self
            .identity
            .authority()
            .ok_or("the one in use is damaged")?;
        let Identity {
            hub,
            vantage,
            agent,
            ..
        } = &self.identity;
        let renewed = request.answered(hub, vantage.clone(), agent.clone(), chain, &authority);
        let renewed = renewed.map_err(|error| words(&error))?;
        // One that is not on disk would be lost with the process, and the hub knows no other by then.
        renewed.store(&self.folder).map_err(|error| words(&error))?;
        self.identity = renewed;
        Ok(())
    }
}

/// Why nobody enrolled.
#[derive(Debug, thiserror::Error)]
pub enum EnrolError {
    /// Nobody answers.
    #[error("no hub can be reached at {hub}")]
    Unreachable {
        /// Where it should be.
        hub: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Somebody answers who does not speak this protocol.
    #[error("what answers at {hub} is no hub that takes agents")]
    NoHub {
        /// Where it should be.
        hub: String,
        /// What came instead.
        #[source]
        source: io::Error,
    },
    /// A hub answers, and it is another one.
    #[error("the hub at {hub} is not the one that made this token")]
    AnotherHub {
        /// Where it is.
        hub: String,
    },
    /// The hub says no.
    #[error("the hub at {hub} does not take this token: {why}")]
    Refused {
        /// Where it is.
        hub: String,
        /// What it says.
        why: String,
    },
    /// The link broke, or the hub said what is not said there.
    #[error("the link to the hub at {hub} ended before it answered")]
    Link {
        /// Where it is.
        hub: String,
        /// Why.
        #[source]
        source: FrameError,
    },
    /// No key, or a certificate that cannot be used.
    #[error(transparent)]
    Identity(#[from] IdentityError),
}

/// Becomes an agent of the hub at `hub` (`host:port`): makes a key, and has it certified for the token.
/// The identity is in memory only.
///
/// # Errors
/// Each way in which nothing comes of it has its own error.
pub async fn enrol(hub: &str, token: &EnrolToken) -> Result<Identity, EnrolError> {
    let named = || hub.to_owned();
    let stream = connect(hub, &mut Vec::new()).await;
    let stream = stream.map_err(|source| EnrolError::Unreachable {
        hub: named(),
        source,
    })?;
    let no_hub = |source| EnrolError::NoHub {
        hub: named(),
        source,
    };
    let config = client::for_enrolment(token.authority).map_err(|e| no_hub(io::Error::other(e)))?;
    let shaken = timeout(ANSWER_MAX, client::shake(config, stream)).await;
    let mut stream = shaken
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        .map_err(|error| match client::is_another_hub(&error) {
            true => EnrolError::AnotherHub { hub: named() },
            false => no_hub(error),
        })?;
    let request = Request::make()?;
    let asked = ToHub::Enrol {
        versions: (VERSION_MIN, VERSION),
        token: token.secret.clone(),
        request: request.text.clone(),
    };
    let link = |source| EnrolError::Link {
        hub: named(),
        source,
    };
    let answered = timeout(ANSWER_MAX, async {
        frame::send(&mut stream, &asked).await?;
        frame::receive::<ToAgent>(&mut stream).await
    });
    let late = |_| Err(FrameError::Io(io::ErrorKind::TimedOut.into()));
    match answered.await.unwrap_or_else(late).map_err(link)? {
        Some(ToAgent::Enrolled {
            vantage,
            agent,
            chain,
        }) => Ok(request.answered(hub, vantage, agent, chain, &token.authority)?),
        Some(ToAgent::Refused { why, .. }) => Err(EnrolError::Refused { hub: named(), why }),
        _ => Err(link(FrameError::Io(io::ErrorKind::UnexpectedEof.into()))),
    }
}

/// A connection to the first address that takes one: those that the name has now, then those that it
/// had.
async fn connect(hub: &str, known: &mut Vec<SocketAddr>) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    let mut addresses: Vec<SocketAddr> = match tokio::net::lookup_host(hub).await {
        Ok(found) => found.collect(),
        Err(error) => {
            last = error;
            Vec::new()
        }
    };
    let found = addresses.len();
    addresses.extend(
        known
            .iter()
            .filter(|known| !addresses.contains(known))
            .copied()
            .collect::<Vec<_>>(),
    );
    for address in &addresses {
        match timeout(CONNECT_MAX, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                stream.set_nodelay(true)?;
                if found > 0 {
                    addresses.truncate(found);
                    *known = addresses;
                }
                return Ok(stream);
            }
            Ok(Err(error)) => last = error,
            Err(_) => last = io::ErrorKind::TimedOut.into(),
        }
    }
    Err(last)
}

/// Where a hub is, from what a person writes: `https://hub.example:8401`, `hub.example`,
/// `[2001:db8::1]:8401`.
///
/// # Errors
/// It is no such place, in words.
pub fn place(text: &str) -> Result<String, String> {
    let wrong = || {
        format!(
            "`{text}` is no hub; write `https://HOST` or `https://HOST:PORT`, as `bellwether agents token` prints it"
        )
    };
    let rest = match text.trim().split_once("://") {
        Some(("https", rest)) => rest,
        Some(_) => return Err(wrong()),
        None => text.trim(),
    };
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let (host, port) = match rest.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
            (host, port.parse::<u16>().map_err(|_| wrong())?)
        }
        _ => (rest, bellwether_link::names::PORT),
    };
    let inside = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    let is_v6 = |text: &str| text.parse::<std::net::Ipv6Addr>().is_ok();
    let host = match inside {
        Some(inside) if is_v6(inside) => host.to_owned(),
        None if is_v6(host) => format!("[{host}]"),
        None if is_host(host) => host.to_owned(),
        _ => return Err(wrong()),
    };
    if port == 0 {
        Err(wrong())
    } else {
        Ok(format!("{host}:{port}"))
    }
}

fn is_host(text: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    !text.is_empty() && text.len() <= 253 && text.chars().all(is_part)
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use bellwether_link::names::fingerprint;
    use bellwether_model::VantageId;
    use rcgen::{
        BasicConstraints, CertificateParams, CertificateSigningRequestParams, IsCa, Issuer, KeyPair,
    };
    use rustls_pki_types::CertificateSigningRequestDer;

    use super::*;

    struct Authority {
        der: Vec<u8>,
        issuer: Issuer<'static, KeyPair>,
    }

    impl Authority {
        fn make() -> Self {
            let key = KeyPair::generate().unwrap();
            let mut params = CertificateParams::default();
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            let der = params.self_signed(&key).unwrap().der().to_vec();
            let issuer = Issuer::new(params, key);
            Self { der, issuer }
        }

        /// A certificate for thirty days of a month.
        fn sign(&self, request: &str, month: u8) -> Vec<String> {
            let request = CertificateSigningRequestDer::from(STANDARD.decode(request).unwrap());
            let mut asked = CertificateSigningRequestParams::from_der(&request).unwrap();
            asked.params.not_before = rcgen::date_time_ymd(2026, month, 1);
            asked.params.not_after = rcgen::date_time_ymd(2026, month, 31);
            let own = asked.signed_by(&self.issuer).unwrap();
            vec![STANDARD.encode(own.der()), STANDARD.encode(&self.der)]
        }
    }

    /// Keys rotate by themselves: asked for after a third of a certificate's life, in use once it is on
    /// disk, and never for a certificate of somebody else.
    #[test]
    fn p24_a_key_is_renewed_after_a_third_of_its_life() {
        let dir = tempfile::tempdir().unwrap();
        let authority = Authority::make();
        let request = Request::make().unwrap();
        let chain = authority.sign(&request.text, 1);
        let (fra, agent) = (VantageId::new("fra"), "fra/1".into());
        let pin = fingerprint(&authority.der);
        let first = request
            .answered("hub:8401", fra, agent, chain, &pin)
            .unwrap();
        first.store(dir.path()).unwrap();
        let mut dialler = Dialler::new(dir.path().to_owned(), first.clone());
        let at = |day: u8| format!("2026-01-{day:02}T00:00:00Z").parse().unwrap();
        assert_eq!(dialler.renewal(at(10)), None);
        let request = dialler.renewal(at(12)).unwrap();
        // Of another authority, for another key, and twice.
        let other = Authority::make().sign(&request, 3);
        assert!(dialler.renewed(other).is_err());
        let request = dialler.renewal(at(12)).unwrap();
        let stranger = authority.sign(&Request::make().unwrap().text, 3);
        assert!(dialler.renewed(stranger).is_err());
        assert!(
            Identity::load(dir.path()).unwrap() == first,
            "the one before stays"
        );
        assert!(
            dialler.renewed(authority.sign(&request, 3)).is_err(),
            "nobody asked"
        );
        let request = dialler.renewal(at(12)).unwrap();
        dialler.renewed(authority.sign(&request, 3)).unwrap();
        let second = Identity::load(dir.path()).unwrap();
        assert!(second != first && second.agent == first.agent);
        assert_eq!(dialler.renewal(at(31)), None, "the new one is young");
    }

    #[test]
    fn a_hub_is_written_in_many_ways() {
        for (text, wanted) in [
            ("https://hub.example", "hub.example:8401"),
            ("https://hub.example:9000/", "hub.example:9000"),
            (" 192.0.2.1 ", "192.0.2.1:8401"),
            ("https://[2001:db8::1]", "[2001:db8::1]:8401"),
            ("[2001:db8::1]:9000", "[2001:db8::1]:9000"),
            ("2001:db8::1", "[2001:db8::1]:8401"),
        ] {
            assert_eq!(place(text).as_deref(), Ok(wanted), "{text}");
        }
        for text in [
            "",
            "http://hub",
            "https://",
            "https://hub:0",
            "hub:x",
            "hub/path",
            "a b",
        ] {
            assert!(place(text).is_err(), "{text}");
        }
    }

    #[tokio::test]
    async fn nobody_there_is_told_apart_from_no_hub() {
        let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = free.local_addr().unwrap().to_string();
        let token = EnrolToken::mint([1; 32], b"none");
        // Something that speaks no TLS.
        let other = tokio::spawn(async move {
            use tokio::io::AsyncWriteExt as _;
            let (mut stream, _) = free.accept().await.unwrap();
            stream
                .write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                .await
                .unwrap();
            stream
        });
        assert!(matches!(
            enrol(&at, &token).await,
            Err(EnrolError::NoHub { .. })
        ));
        drop(other.await.unwrap());
        assert!(matches!(
            enrol(&at, &token).await,
            Err(EnrolError::Unreachable { .. })
        ));
    }
}
