use std::time::Duration;

use bellwether_model::net::TcpResult;
use bellwether_model::tls::{CertProblem, TlsPurpose, TlsResult};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;
use crate::testing::{
    Identity, Pki, attempt, by_name, http_of, job, server, tcp_of, tls_of, tls_server, trusting,
};

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
    let TlsResult::Failed { error } = &tls_of(&seen)[0].result else {
        panic!("{:?}", tls_of(&seen)[0].result);
    };
    assert!(error.contains("TooLarge"), "{error}");
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
        TlsResult::Failed { .. }
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
    assert_eq!(seen.len(), 1);
    assert_eq!(tcp_of(&seen).result, TcpResult::Refused);
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
