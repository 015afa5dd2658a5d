//! Agents over TLS on loopback, through the door.

use std::net::{Ipv4Addr, SocketAddr};

use bellwether_link::authority::{Authority, Issued};
use bellwether_link::{ALPN, SERVER_NAME};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::super::counts::Turned;
use super::super::{TROUBLE, door};
use super::*;

/// Listens at a port that was free just now; where it does.
async fn listening(room: &Room) -> (SocketAddr, watch::Sender<bool>) {
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(door::listen(room.host.clone(), stopped));
    (listens(room).await, stop)
}

async fn listens(room: &Room) -> SocketAddr {
    let mut listens = room.fleet().listens.subscribe();
    let listens = timeout(FAR, listens.wait_for(Option::is_some)).await;
    let listens = *listens.unwrap().unwrap();
    listens.unwrap()
}

/// A port of loopback that nobody listens at.
fn free() -> SocketAddr {
    let bound = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    bound.local_addr().unwrap()
}

fn config_at(at: SocketAddr) -> String {
    format!("hub: {{ agents_listen: \"{at}\" }}\n{CONFIG}")
}

/// An agent's certificate with its key.
struct Identity {
    issued: Issued,
    key: KeyPair,
}

impl Identity {
    fn of(authority: &Authority, agent: &str, at: Timestamp) -> Self {
        let (request, key) = request();
        let issued = authority.agent(&request, agent, at).unwrap();
        Self { issued, key }
    }
}

async fn dial(
    at: SocketAddr,
    believes: &Authority,
    identity: Option<&Identity>,
) -> std::io::Result<Wire<TlsStream<TcpStream>>> {
    let mut roots = RootCertStore::empty();
    roots.add(believes.certificate().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let client = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots);
    let mut client = match identity {
        None => client.with_no_client_auth(),
        Some(Identity { issued, key }) => {
            let chain = issued.chain.iter().cloned().map(CertificateDer::from);
            let key = PrivatePkcs8KeyDer::from(key.serialize_der());
            client
                .with_client_auth_cert(chain.collect(), key.into())
                .unwrap()
        }
    };
    client.alpn_protocols = vec![ALPN.to_vec()];
    let stream = TcpStream::connect(at).await?;
    let name = ServerName::try_from(SERVER_NAME).unwrap();
    let stream = TlsConnector::from(Arc::new(client))
        .connect(name, stream)
        .await?;
    Ok(Wire(stream))
}

/// Enrols as somebody who was given a token does: over TLS, with a key of his own.
async fn enrolled(room: &Room, at: SocketAddr, vantage: &str) -> Identity {
    let authority = room.fleet().authority().unwrap();
    let mut wire = dial(at, &authority, None).await.unwrap();
    let (token, _) = room.token(vantage);
    let (request, key) = request();
    let enrol = ToHub::Enrol {
        versions: (1, 1),
        token,
        request: STANDARD.encode(request),
    };
    wire.say(&enrol).await;
    let Some(ToAgent::Enrolled { chain, .. }) = wire.hear().await else {
        panic!("not enrolled");
    };
    let chain: Vec<Vec<u8>> = chain
        .iter()
        .map(|der| STANDARD.decode(der).unwrap())
        .collect();
    let issued = Issued {
        fingerprint: bellwether_link::authority::digest(&chain[0]),
        chain,
        ends: start(),
    };
    Identity { issued, key }
}

/// Links over TLS and is welcomed.
async fn linked(room: &Room, at: SocketAddr, identity: &Identity) -> Wire<TlsStream<TcpStream>> {
    let authority = room.fleet().authority().unwrap();
    let mut wire = dial(at, &authority, Some(identity)).await.unwrap();
    wire.say(&ToHub::Hello(hello(1))).await;
    wire.welcomed().await;
    wire
}

/// A room whose clock is the system's: certificates are looked at by that one.
fn room_at(at: SocketAddr) -> Room {
    let mut hub = testing::hub(start(), &config_at(at));
    let memory = hub.memory.clone();
    let dir = tempfile::tempdir().unwrap();
    let shared = Arc::get_mut(&mut hub.shared).unwrap();
    shared.fleet = Fleet::new(memory, dir.path(), Clock::system());
    let (far, judged) = mpsc::channel(1_024);
    Room {
        host: Arc::new(Host::new(hub.shared.clone(), far).unwrap()),
        hub,
        judged,
        _dir: dir,
    }
}

/// Is nothing said to it but the end?
async fn is_refused(wire: std::io::Result<Wire<TlsStream<TcpStream>>>) -> bool {
    let Ok(mut wire) = wire else {
        return true;
    };
    // In TLS 1.3 the client is through before its certificate was looked at.
    let _ = frame::send(&mut wire.0, &ToHub::Hello(hello(1))).await;
    let mut rest = Vec::new();
    timeout(FAR, wire.0.read_to_end(&mut rest))
        .await
        .unwrap()
        .is_err()
        && rest.is_empty()
}

#[tokio::test]
async fn an_agent_enrols_links_and_is_revoked() {
    let room = room_at(free());
    let (at, _stop) = listening(&room).await;
    let identity = enrolled(&room, at, "fra").await;
    let mut wire = linked(&room, at, &identity).await;
    assert!(
        room.fleet()
            .revoke(&VantageId::new("fra"), "admin")
            .unwrap()
    );
    assert_eq!(wire.refused().await.0, Refusal::Denied);
    let authority = room.fleet().authority().unwrap();
    let mut wire = dial(at, &authority, Some(&identity)).await.unwrap();
    wire.say(&ToHub::Hello(hello(1))).await;
    assert_eq!(wire.refused().await.0, Refusal::Denied);
}

#[tokio::test]
async fn a13_other_hub_a15_mitm_and_a10_expired() {
    let room = room_at(free());
    let (at, _stop) = listening(&room).await;
    let authority = room.fleet().authority().unwrap();
    let other = Authority::generate(Timestamp::now()).unwrap();
    let agent = enrolled(&room, at, "fra").await;
    let of_other = Identity::of(&other, "fra/1", Timestamp::now());
    assert!(
        is_refused(dial(at, &authority, Some(&of_other)).await).await,
        "of another hub"
    );
    assert!(
        dial(at, &other, Some(&agent)).await.is_err(),
        "who expects another hub"
    );
    let long_ago = Timestamp::now() - Duration::from_secs(31 * 86_400);
    let expired = Identity::of(&authority, "fra/1", long_ago);
    assert!(
        is_refused(dial(at, &authority, Some(&expired)).await).await,
        "expired"
    );
    assert!(room.fleet().tally.all_turned()[Turned::Handshake as usize] >= 3);
    linked(&room, at, &agent).await;
}

#[tokio::test]
async fn agents_hear_that_the_hub_ends() {
    let room = room_at(free());
    let (at, stop) = listening(&room).await;
    let identity = enrolled(&room, at, "fra").await;
    let mut wire = linked(&room, at, &identity).await;
    stop.send(true).unwrap();
    assert_eq!(wire.refused().await.0, Refusal::Busy);
}

#[tokio::test]
async fn a05_half_open() {
    let room = room_at(free());
    let (at, _stop) = listening(&room).await;
    let agent = enrolled(&room, at, "fra").await;
    // Many that say nothing, and stay for as long as they may.
    let mut idle = Vec::new();
    for _ in 0..300 {
        idle.push(TcpStream::connect(at).await.unwrap());
    }
    let crowded = || room.fleet().tally.all_turned()[Turned::Crowded as usize];
    let crowd = async {
        while crowded() < 200 {
            tokio::task::yield_now().await;
        }
    };
    timeout(FAR, crowd)
        .await
        .expect("those beyond the limit are closed at once");
    // When the first of them were given up there is room again, and nobody had to leave for it.
    let authority = room.fleet().authority().unwrap();
    let links = async {
        loop {
            if let Ok(mut wire) = dial(at, &authority, Some(&agent)).await
                && frame::send(&mut wire.0, &ToHub::Hello(hello(1)))
                    .await
                    .is_ok()
                && let Ok(Some(ToAgent::Welcome { .. })) = frame::receive(&mut wire.0).await
            {
                return;
            }
        }
    };
    timeout(FAR, links)
        .await
        .expect("an agent links all the same");
}

#[tokio::test]
async fn what_is_no_tls_is_turned_away() {
    let room = room_at(free());
    let (at, _stop) = listening(&room).await;
    for noise in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        &[0x16, 3, 1, 0xff, 0xff, 0, 0],
        &[0; 600],
    ] {
        let mut stream = TcpStream::connect(at).await.unwrap();
        stream.write_all(noise).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut rest = Vec::new();
        let _ = timeout(FAR, stream.read_to_end(&mut rest)).await.unwrap();
    }
    assert_eq!(
        room.fleet().tally.all_turned()[Turned::Handshake as usize],
        3
    );
}

#[tokio::test]
async fn a_port_in_use_is_told_and_tried_again() {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let at = taken.local_addr().unwrap();
    let room = room_at(at);
    let (_stop, stopped) = watch::channel(false);
    tokio::spawn(door::listen(room.host.clone(), stopped));
    let told = || {
        room.hub
            .shared
            .troubles()
            .get(TROUBLE)
            .map(|trouble| trouble.what.clone())
    };
    let trouble = async {
        loop {
            if let Some(told) = told() {
                return told;
            }
            tokio::task::yield_now().await;
        }
    };
    let trouble = timeout(FAR, trouble).await.unwrap();
    assert!(
        trouble.contains(&at.to_string()) && trouble.contains("agents_listen"),
        "{trouble}"
    );
    assert!(!room.hub.shared.is_hindered(), "the rest serves on");
    // Another one is configured meanwhile.
    drop(taken);
    let next = free();
    reconfigure(&room, &config_at(next));
    assert_eq!(listens(&room).await, next);
    assert_eq!(told(), None);
    reconfigure(
        &room,
        &CONFIG.replace("vantages: [{ name: fra, region: eu }, { name: nyc }]", ""),
    );
    let mut listens = room.fleet().listens.subscribe();
    timeout(FAR, listens.wait_for(Option::is_none))
        .await
        .unwrap()
        .unwrap();
}
