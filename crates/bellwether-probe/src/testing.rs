//! Servers on 127.0.0.1 that do one thing wrong, and a check of one address against them.

use std::cell::RefCell;
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::process::Command;
use std::rc::Rc;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bellwether_model::http::HttpSeen;
use bellwether_model::job::{CheckAsk, Event, JOB_SCHEMA, Job};
use bellwether_model::net::TcpSeen;
use bellwether_model::tls::TlsSeen;
use bellwether_model::{DnsName, Expect, Origin, Outcome};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::attempt;
use crate::cx::Cx;
use crate::http::{Resolve, Resolved};

pub(crate) const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Set in a test's second process, which has a network of its own.
const ALONE_VARIABLE: &str = "BELLWETHER_TEST_ALONE";

/// What there is where a test is alone.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Network {
    /// Nothing, not even `lo`.
    Nothing,
    /// `lo`, and no route to anywhere else.
    Loopback,
}

/// Is this the process of the test that is alone in a network namespace? If not, it is run once,
/// and must succeed there: then the caller has nothing left to do.
///
/// Tests that speak of addresses of strangers go through this, so that no packet leaves whatever
/// network the tests are started in.
pub(crate) fn is_alone(test: &str, network: Network) -> bool {
    if std::env::var_os(ALONE_VARIABLE).is_some() {
        return true;
    }
    let script = match network {
        Network::Nothing => r#"exec "$0" "$@""#,
        Network::Loopback => r#"ip link set lo up && exec "$0" "$@""#,
    };
    let output = Command::new("unshare")
        .args(["-rn", "sh", "-c", script])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test])
        .env(ALONE_VARIABLE, "1")
        .output()
        .expect("`unshare` of util-linux is there");
    let said = String::from_utf8_lossy(&output.stdout);
    let complaint = String::from_utf8_lossy(&output.stderr);
    // Of a name that no test has, none would fail.
    let is_well = output.status.success() && said.contains("1 passed");
    assert!(is_well, "{test}, alone:\n{said}{complaint}");
    false
}

/// Ends a test that is about to dial an address that packets would reach outside of this machine.
///
/// Every probe asks [`crate::dial::Dialer::permits`] before it dials, and that asks this. It aborts,
/// since a panic inside of a probe is a record, and what was seen by then may be all that a test
/// looks at.
pub(crate) fn keep_on_this_machine(address: IpAddr, is_routed: impl FnOnce() -> bool) {
    if address.to_canonical().is_loopback() || !is_routed() {
        return;
    }
    use std::io::Write as _;
    // Not by `eprintln!`, which is captured and lost with the process.
    let _ = writeln!(
        std::io::stderr(),
        "a test was about to dial {address}, to which there is a route: run tests with `cargo xtask test`"
    );
    std::process::abort();
}

/// Accepts connections for ever and hands each to `serve`.
pub(crate) async fn server<F, R>(serve: F) -> SocketAddr
where
    F: Fn(TcpStream) -> R + Send + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind((LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    address
}

/// Reads a request and writes `answer`, then closes.
pub(crate) async fn answer<S>(stream: &mut S, answer: &[u8])
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let mut request = Vec::new();
    let mut chunk = [0; 1024];
    while !request.windows(4).any(|w| w == b"\r\n\r\n") {
        match stream.read(&mut chunk).await {
            Ok(0) | Err(_) => return,
            Ok(len) => request.extend_from_slice(&chunk[..len]),
        }
    }
    let _ = stream.write_all(answer).await;
    let _ = stream.shutdown().await;
}

/// A server of HTTP without TLS that always says the same.
pub(crate) async fn http_server(text: impl Into<Vec<u8>>) -> SocketAddr {
    let text: Arc<[u8]> = text.into().into();
    server(move |mut stream| {
        let text = text.clone();
        async move { answer(&mut stream, &text).await }
    })
    .await
}

/// A CA of our own and a certificate below it.
pub(crate) struct Pki {
    pub(crate) root: Vec<u8>,
    issuer: Issuer<'static, KeyPair>,
}

impl Pki {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, "root");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let root = params.self_signed(&key).unwrap().der().to_vec();
        let issuer = Issuer::new(params, key);
        Self { root, issuer }
    }

    /// A chain of one for these names, ending at the end of a year.
    pub(crate) fn chain(&self, names: &[&str], year: i32) -> Identity {
        let names: Vec<String> = names.iter().map(|n| (*n).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(year, 12, 31);
        let key = KeyPair::generate().unwrap();
        let leaf = params.signed_by(&key, &self.issuer).unwrap();
        Identity {
            chain: vec![leaf.der().to_vec()],
            key: key.serialize_der(),
        }
    }
}

/// What a server shows: any bytes as chain.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    pub(crate) chain: Vec<Vec<u8>>,
    pub(crate) key: Vec<u8>,
}

impl Identity {
    fn certified(&self) -> Arc<CertifiedKey> {
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(self.key.clone()));
        let key = aws_lc_rs::sign::any_supported_type(&key).unwrap();
        let chain = self.chain.iter().cloned().map(CertificateDer::from);
        Arc::new(CertifiedKey::new(chain.collect(), key))
    }
}

/// One certificate for `name`, another without or with another server name.
#[derive(Debug)]
struct ByName {
    name: String,
    named: Arc<CertifiedKey>,
    default: Arc<CertifiedKey>,
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let is_named = hello.server_name() == Some(self.name.as_str());
        Some(if is_named { &self.named } else { &self.default }.clone())
    }
}

/// The configuration of a server that shows `named` for `name`, and `default` otherwise.
pub(crate) fn by_name(name: &str, named: &Identity, default: &Identity) -> ServerConfig {
    ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(ByName {
            name: name.to_owned(),
            named: named.certified(),
            default: default.certified(),
        }))
}

/// A server of HTTP over TLS that always says the same.
pub(crate) async fn tls_server(config: ServerConfig, text: impl Into<Vec<u8>>) -> SocketAddr {
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let text: Arc<[u8]> = text.into().into();
    server(move |stream| {
        let (acceptor, text) = (acceptor.clone(), text.clone());
        async move {
            if let Ok(mut stream) = acceptor.accept(stream).await {
                answer(&mut stream, &text).await;
            }
        }
    })
    .await
}

/// A job for one target, judged in June 2026.
pub(crate) fn job(target: &str) -> Job {
    Job {
        schema: JOB_SCHEMA.to_owned(),
        target: target.parse().unwrap(),
        expect: Expect::default(),
        resolvers: Vec::new(),
        controls: Vec::new(),
        root_hints: Vec::new(),
        extra_roots: Vec::new(),
        client_cert: None,
        tries: None,
        sources: Vec::new(),
        connect: None,
        family: None,
        egress: bellwether_model::Egress::default(),
        baseline: None,
        now: "2026-06-01T00:00:00Z".parse().unwrap(),
        trust_anchor: Vec::new(),
        asn_table: None,
        timeout_ms: None,
        deadline_ms: 10_000,
        avoid: Vec::new(),
    }
}

/// What a check of a target asks.
pub(crate) fn check_ask(target: &str) -> Arc<CheckAsk> {
    Arc::new(CheckAsk {
        target: target.parse().unwrap(),
        icmp_only: false,
        expect: Expect::default(),
        client_cert: None,
        tries: None,
        timeout_ms: 10_000,
    })
}

/// [`job`], trusting a CA.
pub(crate) fn trusting(target: &str, pki: &Pki) -> Job {
    Job {
        extra_roots: vec![STANDARD.encode(&pki.root)],
        ..job(target)
    }
}

/// Resolves every name to the same addresses.
pub(crate) struct Fixed(pub(crate) Vec<IpAddr>);

impl Resolve for Fixed {
    fn resolve(&self, _name: DnsName) -> Pin<Box<dyn Future<Output = Resolved>>> {
        let addresses = self.0.clone();
        Box::pin(async move { Ok((addresses, 2)) })
    }
}

/// What one attempt at 127.0.0.1 says, by key.
pub(crate) async fn attempt(job: Job) -> Vec<(String, Outcome, u32)> {
    attempt_with(job, Fixed(vec![LOCALHOST])).await
}

pub(crate) async fn attempt_with(job: Job, resolve: Fixed) -> Vec<(String, Outcome, u32)> {
    collected(job, Origin::Operator, resolve, |_| {}).await
}

pub(crate) async fn attempt_as(job: Job, origin: Origin) -> Vec<(String, Outcome, u32)> {
    collected(job, origin, Fixed(vec![LOCALHOST]), |_| {}).await
}

/// [`attempt`], telling of each record when it is made.
pub(crate) async fn attempt_telling(
    job: Job,
    tell: impl Fn(&Outcome) + 'static,
) -> Vec<(String, Outcome, u32)> {
    collected(job, Origin::Operator, Fixed(vec![LOCALHOST]), tell).await
}

async fn collected(
    job: Job,
    origin: Origin,
    resolve: Fixed,
    tell: impl Fn(&Outcome) + 'static,
) -> Vec<(String, Outcome, u32)> {
    let seen = Rc::new(RefCell::new(Vec::new()));
    let sink = seen.clone();
    let cx = Cx::new(job, move |event| {
        if let Event::Observed { key, observation } = event {
            tell(&observation.outcome);
            let waits = observation.waits;
            let outcome = observation.outcome.clone();
            sink.borrow_mut().push((key.clone(), outcome, waits));
        }
    });
    attempt::run(&cx, LOCALHOST, origin, 1, Rc::new(resolve)).await;
    seen.take()
}

pub(crate) fn tcp_of(seen: &[(String, Outcome, u32)]) -> &TcpSeen {
    let found = seen.iter().find_map(|(_, outcome, _)| match outcome {
        Outcome::Tcp(seen) => Some(seen),
        _ => None,
    });
    found.unwrap()
}

pub(crate) fn tls_of(seen: &[(String, Outcome, u32)]) -> Vec<&TlsSeen> {
    let found = seen.iter().filter_map(|(_, outcome, _)| match outcome {
        Outcome::Tls(seen) => Some(&**seen),
        _ => None,
    });
    found.collect()
}

pub(crate) fn http_of(seen: &[(String, Outcome, u32)]) -> Vec<&HttpSeen> {
    let found = seen.iter().filter_map(|(_, outcome, _)| match outcome {
        Outcome::Http(seen) => Some(&**seen),
        _ => None,
    });
    found.collect()
}
