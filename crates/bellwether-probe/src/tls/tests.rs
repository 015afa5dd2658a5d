use std::sync::Arc;
use std::time::Duration;

use bellwether_model::net::TcpResult;
use bellwether_model::tls::{CertProblem, HelloAnswer, HelloKind, TlsPurpose, TlsResult};
use rustls::crypto::aws_lc_rs;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::Semaphore;

use super::*;
use crate::testing::{
    Identity, Pki, attempt, attempt_telling, by_name, http_of, job, server, tcp_of, tls_of,
    tls_server, trusting,
};
use bellwether_model::Outcome;
use bellwether_model::job::Job;
use bellwether_model::service::ClientIdentity;

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";

fn plain(identity: &Identity) -> ServerConfig {
    by_name("", identity, identity)
}

#[tokio::test]
async fn a_healthy_server_is_seen_in_full() {
    let pki = Pki::new();
    let at = tls_server(plain(&pki.chain(&["www.svc.test"], 2026)), OK).await;
    let url = format!("https://www.svc.test:{}/", at.port());
    let seen = attempt(trusting(&url, &pki)).await;
    let keys: Vec<&str> = seen.iter().map(|(key, ..)| key.as_str()).collect();
    let expected = [
        format!("tcp {at}"),
        format!("tls {at} user"),
        format!("http {at} hop 0"),
    ];
    assert_eq!(keys, expected);
    let waits: Vec<u32> = seen.iter().map(|(.., waits)| *waits).collect();
    assert_eq!(waits, [2, 3, 4]);
    let tcp = tcp_of(&seen);
    assert_eq!(tcp.result, TcpResult::Connected);
    assert!(tcp.info.unwrap().snd_mss > 0);
    let tls = tls_of(&seen)[0];
    assert_eq!(tls.result, TlsResult::Completed);
    assert_eq!(tls.problems, []);
    assert_eq!(tls.version.as_deref(), Some("TLSv1.3"));
    assert_eq!(tls.cipher.as_deref(), Some("TLS13_AES_128_GCM_SHA256"));
    assert_eq!(tls.group.as_deref(), Some("X25519MLKEM768"));
    assert_eq!(tls.sni.as_ref().unwrap().as_str(), "www.svc.test.");
    assert_eq!((tls.chain_len, tls.chain.len()), (1, 1));
    assert_eq!(tls.chain[0].names, ["www.svc.test"]);
    assert!(tls.chain[0].der.is_some());
    let http = http_of(&seen)[0];
    assert_eq!(http.status, Some(200));
    assert!(http.phases.tls_ms > 0.0);
}

#[tokio::test]
async fn a_foreign_certificate_is_compared_with_the_default_one() {
    let pki = Pki::new();
    let foreign = pki.chain(&["tenant.foreign.test"], 2026);
    let default = pki.chain(&["default.foreign.test"], 2026);
    let config = by_name("www.svc.test", &foreign, &default);
    let at = tls_server(config, OK).await;
    let url = format!("https://www.svc.test:{}/", at.port());
    let seen = attempt(trusting(&url, &pki)).await;
    let tls = tls_of(&seen);
    assert_eq!(tls.len(), 2);
    let by = |purpose| *tls.iter().find(|t| t.purpose == purpose).unwrap();
    let user = by(TlsPurpose::User);
    assert_eq!(user.problems.len(), 1);
    assert!(matches!(user.problems[0], CertProblem::NameMismatch { .. }));
    let other = by(TlsPurpose::NoSni);
    assert_eq!(other.sni, None);
    assert_eq!(other.chain[0].names, ["default.foreign.test"]);
    // The page behind it is evidence too.
    assert_eq!(http_of(&seen)[0].status, Some(200));
}

#[tokio::test]
async fn an_ended_certificate_is_judged_at_the_jobs_time() {
    let pki = Pki::new();
    let at = tls_server(plain(&pki.chain(&["www.svc.test"], 2025)), OK).await;
    let url = format!("tls://www.svc.test:{}", at.port());
    let seen = attempt(trusting(&url, &pki)).await;
    let tls = tls_of(&seen);
    assert_eq!(tls.len(), 1);
    assert!(matches!(
        tls[0].problems[..],
        [CertProblem::Expired { index: 0, .. }]
    ));
    let earlier = bellwether_model::job::Job {
        now: "2025-06-01T00:00:00Z".parse().unwrap(),
        ..trusting(&url, &pki)
    };
    assert_eq!(tls_of(&attempt(earlier).await)[0].problems, []);
}

#[tokio::test]
async fn any_bytes_may_stand_where_certificates_belong() {
    let pki = Pki::new();
    let good = pki.chain(&["www.svc.test"], 2026);
    let leaf = &good.chain[0];
    let chains: [Vec<Vec<u8>>; 5] = [
        vec![vec![]],
        vec![b"garbage".to_vec()],
        vec![leaf[..100].to_vec()],
        vec![[leaf.as_slice(), &[0, 0]].concat()],
        vec![vec![0x30; 60_000]],
    ];
    for chain in chains {
        let shown = Identity {
            chain,
            ..good.clone()
        };
        let at = tls_server(plain(&shown), OK).await;
        let url = format!("tls://www.svc.test:{}", at.port());
        let seen = attempt(trusting(&url, &pki)).await;
        let tls = tls_of(&seen)[0];
        let named = tls
            .problems
            .iter()
            .any(|problem| matches!(problem, CertProblem::Malformed { index: 0, .. }));
        assert!(named, "{:?} {:?}", tls.result, tls.problems);
        assert!(tls.chain[0].malformed.is_some());
        assert_eq!(tls.chain[0].size, shown.chain[0].len());
    }
}

#[tokio::test]
async fn long_chains_are_counted_and_cut() {
    let pki = Pki::new();
    let mut shown = pki.chain(&["www.svc.test"], 2026);
    shown.chain = vec![shown.chain[0].clone(); 60];
    let at = tls_server(plain(&shown), OK).await;
    let url = format!("tls://www.svc.test:{}", at.port());
    let seen = attempt(trusting(&url, &pki)).await;
    let tls = tls_of(&seen)[0];
    assert_eq!((tls.chain_len, tls.chain.len()), (60, 20));
    assert_eq!(tls.problems, []);
}

#[tokio::test]
async fn a_chain_above_what_we_take_fails_and_is_named() {
    let pki = Pki::new();
    let mut shown = pki.chain(&["www.svc.test"], 2026);
    shown.chain.push(vec![0; 200_000]);
    let at = tls_server(plain(&shown), OK).await;
    let url = format!("tls://www.svc.test:{}", at.port());
    let seen = attempt(trusting(&url, &pki)).await;
    let limit = 64 * 1024;
    assert_eq!(tls_of(&seen)[0].result, TlsResult::TooLarge { limit });
    // It is seen in clear where the server also speaks TLS 1.2.
    let hello = &tls_of(&seen)[1].hellos[0];
    assert_eq!((hello.hello, hello.chain_len), (HelloKind::Tls12, 2));
    assert_eq!(hello.chain[0].names, ["www.svc.test"]);
    assert!(hello.chain_size > 200_000);
}

#[tokio::test]
async fn somebody_elses_certificate_without_its_key() {
    let pki = Pki::new();
    let good = pki.chain(&["www.svc.test"], 2026);
    let other = pki.chain(&["www.svc.test"], 2026);
    let stolen = Identity {
        chain: good.chain,
        key: other.key,
    };
    let at = tls_server(plain(&stolen), OK).await;
    let url = format!("tls://www.svc.test:{}", at.port());
    let seen = attempt(trusting(&url, &pki)).await;
    assert!(matches!(
        tls_of(&seen)[0].problems[..],
        [CertProblem::Other { .. }]
    ));
}

#[tokio::test]
async fn a_client_certificate_that_we_lack() {
    let pki = Pki::new();
    let shown = pki.chain(&["www.svc.test"], 2026);
    let mut roots = RootCertStore::empty();
    roots.add(pki.root.clone().into()).unwrap();
    let provider = Arc::new(aws_lc_rs::default_provider());
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots.clone()), provider.clone())
                .build()
                .unwrap();
        let key = rustls::pki_types::PrivatePkcs8KeyDer::from(shown.key.clone()).into();
        let chain = shown.chain.iter().cloned().map(Into::into).collect();
        let config = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[version])
            .unwrap()
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain, key)
            .unwrap();
        let at = tls_server(config, OK).await;
        let url = format!("https://www.svc.test:{}/", at.port());
        let seen = attempt(trusting(&url, &pki)).await;
        let tls = tls_of(&seen)[0];
        assert!(tls.client_cert_requested);
        let TlsResult::Alert { name, .. } = &tls.result else {
            panic!("{:?}", tls.result);
        };
        let auth = tls.client_auth.as_ref().unwrap();
        assert_eq!(auth.authorities_len, 1);
        assert!(auth.authorities[0].starts_with("CN=root"), "{auth:?}");
        assert_eq!(auth.shown, None);
        let expected = ["certificate_required", "handshake_failure"];
        assert!(expected.contains(&name.as_str()), "{name}");
        assert!(http_of(&seen).is_empty());
    }
}

/// The result of a handshake with a server that says `text` and closes.
async fn with(text: &'static [u8]) -> TlsResult {
    let at = server(move |mut stream| async move {
        let _ = stream.write_all(text).await;
        let mut hello = [0; 4096];
        let _ = stream.read(&mut hello).await;
    })
    .await;
    let seen = attempt(job(&format!("tls://www.svc.test:{}", at.port()))).await;
    tls_of(&seen)[0].result.clone()
}

#[tokio::test]
async fn peers_that_do_not_speak_tls() {
    let not_tls = |looks_like: &str| TlsResult::NotTls {
        looks_like: looks_like.to_owned(),
    };
    assert_eq!(with(b"HTTP/1.1 400 Bad\r\n\r\n").await, not_tls("HTTP"));
    assert_eq!(with(b"SSH-2.0-OpenSSH_9.2\r\n").await, not_tls("SSH"));
    assert_eq!(with(b"220 mx.test ESMTP\r\n").await, not_tls("SMTP"));
    assert_eq!(with(b"\x00\x01\x02").await, not_tls("00 01 02"));
}

#[tokio::test]
async fn alerts_have_names() {
    for (code, name) in [
        (40, "handshake_failure"),
        (70, "protocol_version"),
        (120, "no_application_protocol"),
    ] {
        let record: &'static [u8] = Box::leak(Box::new([21, 3, 3, 0, 2, 2, code]));
        let name = name.to_owned();
        assert_eq!(with(record).await, TlsResult::Alert { code, name });
    }
}

#[tokio::test]
async fn records_that_are_none() {
    assert!(matches!(
        with(b"\x16\x03\x03\xff\xffxxxxxxxx").await,
        TlsResult::Malformed { .. }
    ));
    assert!(matches!(with(b"").await, TlsResult::Closed { .. }));
}

#[tokio::test]
async fn silence_is_a_stall_and_ends_in_time() {
    let at = server(|stream| async move {
        std::future::pending::<()>().await;
        drop(stream);
    })
    .await;
    let mut job = job(&format!("tls://www.svc.test:{}", at.port()));
    // Less than the longest wait for a handshake, and enough to read the roots on a busy machine.
    job.deadline_ms = 4_000;
    let seen = tokio::time::timeout(Duration::from_secs(60), attempt(job)).await;
    assert_eq!(tls_of(&seen.unwrap())[0].result, TlsResult::Stalled);
}

#[tokio::test]
async fn nobody_listens() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    drop(listener);
    let seen = attempt(job(&format!("https://www.svc.test:{}/", at.port()))).await;
    assert_eq!(tcp_of(&seen).result, TcpResult::Refused);
    assert!(tls_of(&seen).is_empty());
}

#[tokio::test]
async fn an_address_as_target_sends_no_server_name() {
    let pki = Pki::new();
    let at = tls_server(plain(&pki.chain(&["127.0.0.1"], 2026)), OK).await;
    let seen = attempt(trusting(&format!("https://{at}/"), &pki)).await;
    let tls = tls_of(&seen)[0];
    assert_eq!(tls.sni, None);
    assert_eq!(tls.problems, []);
}

/// What ClientHellos of other shapes told of a server that says `bytes` to each.
async fn hellos(bytes: &'static [u8]) -> Vec<(HelloKind, HelloAnswer)> {
    let at = server(move |mut stream| async move {
        let mut hello = [0; 4096];
        let _ = stream.read(&mut hello).await;
        let _ = stream.write_all(bytes).await;
        let _ = stream.read(&mut hello).await;
    })
    .await;
    let seen = attempt(job(&format!("tls://www.svc.test:{}", at.port()))).await;
    let hellos = tls_of(&seen).into_iter().flat_map(|tls| &tls.hellos);
    hellos.map(|h| (h.hello, h.answer.clone())).collect()
}

#[tokio::test]
async fn every_shape_has_its_answer() {
    // Alert 70, and a ServerHello of TLS 1.0 that chooses RSA key exchange.
    let refused = hellos(b"\x15\x03\x01\x00\x02\x02\x46").await;
    let kinds: Vec<HelloKind> = refused.iter().map(|(kind, _)| *kind).collect();
    use HelloKind::{Large, Small, Ssl3, Tls10, Tls11, Tls12};
    assert_eq!(kinds, [Small, Large, Tls12, Tls11, Tls10, Ssl3]);
    let name = "protocol_version".to_owned();
    let alert = HelloAnswer::Alert { code: 70, name };
    assert!(refused.iter().all(|(_, answer)| *answer == alert));
    let old = hellos(
        b"\x16\x03\x01\x00\x2a\x02\x00\x00\x26\x03\x010123456789abcdef0123456789abcdef\x00\x00\x2f\x00\
          \x16\x03\x01\x00\x04\x0e\x00\x00\x00",
    )
    .await;
    assert!(!old.is_empty());
    for (_, answer) in old {
        let expected = HelloAnswer::ServerHello {
            version: "TLS 1.0".to_owned(),
            cipher: "TLS_RSA_WITH_AES_128_CBC_SHA".to_owned(),
            is_current: false,
        };
        assert_eq!(answer, expected);
    }
}

/// A client certificate of a CA, with its key.
fn client(pki: &Pki, year: i32) -> ClientIdentity {
    let made = pki.chain(&["client.svc.test"], year);
    ClientIdentity {
        chain: made.chain.iter().map(|der| STANDARD.encode(der)).collect(),
        key: STANDARD.encode(&made.key),
    }
}

#[tokio::test]
async fn a_client_certificate_is_shown_to_the_target_and_to_nobody_else() {
    let pki = Pki::new();
    let good = client(&pki, 2027);
    fits(&good).unwrap();
    let strange = ClientIdentity {
        key: client(&pki, 2027).key,
        ..good.clone()
    };
    assert!(fits(&strange).is_err());
    assert!(!format!("{good:?}").contains(&good.key));
    let job = Job {
        client_cert: Some(good),
        ..trusting("https://www.svc.test:8443/", &pki)
    };
    let ask = |host: &str, port: u16, purpose| Ask {
        address: (std::net::Ipv4Addr::LOCALHOST, port).into(),
        host: Host::Name(host.parse().unwrap()),
        purpose,
        alpn: HTTP_1_1,
    };
    let is_shown = |ask: Ask| client::to_show(&job, &ask).is_some();
    assert!(is_shown(ask("www.svc.test", 8443, TlsPurpose::User)));
    assert!(!is_shown(ask("www.svc.test", 443, TlsPurpose::User)));
    assert!(!is_shown(ask("other.test", 8443, TlsPurpose::User)));
    assert!(!is_shown(ask("www.svc.test", 8443, TlsPurpose::NoSni)));
}

/// A server that asks for client certificates of another authority than ours.
fn asks_for_strangers(pki: &Pki) -> ServerConfig {
    let shown = pki.chain(&["www.svc.test"], 2026);
    let mut roots = RootCertStore::empty();
    roots.add(Pki::new().root.into()).unwrap();
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .build()
        .unwrap();
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(shown.key.clone()).into();
    let chain = shown.chain.iter().cloned().map(Into::into).collect();
    ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .unwrap()
}

/// In front of another server: what the client says after its first segment waits at a gate.
async fn slow_to(server_at: SocketAddr, gate: Arc<Semaphore>) -> SocketAddr {
    server(move |mut client| {
        let gate = gate.clone();
        async move {
            let mut there = TcpStream::connect(server_at).await.unwrap();
            let mut hello = vec![0; 16 * 1024];
            let len = client.read(&mut hello).await.unwrap();
            there.write_all(&hello[..len]).await.unwrap();
            let (mut from, mut to) = client.split();
            let (mut back, mut on) = there.split();
            let on = async {
                drop(gate.acquire().await);
                let _ = tokio::io::copy(&mut from, &mut on).await;
            };
            let back = async {
                let _ = tokio::io::copy(&mut back, &mut to).await;
            };
            // The server's end is the end; what the client still says is read until then.
            tokio::select! {
                () = back => {}
                () = async { on.await; std::future::pending().await } => {}
            }
        }
    })
    .await
}

#[tokio::test]
async fn a_refusal_while_the_answer_is_awaited() {
    let pki = Pki::new();
    let gate = Arc::new(Semaphore::new(0));
    let at = slow_to(tls_server(asks_for_strangers(&pki), OK).await, gate.clone()).await;
    let url = format!("https://www.svc.test:{}/", at.port());
    let job = Job {
        client_cert: Some(client(&pki, 2027)),
        ..trusting(&url, &pki)
    };
    // The server hears of the certificate only when nobody listens for its refusal any more.
    let seen = attempt_telling(job, move |outcome| {
        if matches!(outcome, Outcome::Tls(seen) if seen.purpose == TlsPurpose::User) {
            gate.add_permits(1000);
        }
    })
    .await;
    let tls = tls_of(&seen)[0];
    assert_eq!(tls.result, TlsResult::Completed);
    let shown = tls.client_auth.as_ref().unwrap().shown.as_ref().unwrap();
    assert_eq!(shown.names, ["client.svc.test"]);
    // Its authority has the name of ours, so that it is the signature that does not fit.
    assert_eq!(http_of(&seen)[0].tls_alert, Some(51));
}
