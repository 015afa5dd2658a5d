//! The first word of whoever has connected, and what follows from it.
//!
//! Whoever has no certificate may enrol and nothing else. What is refused is refused in the same words
//! after the same time, whatever is wrong: a guesser learns nothing from either. The log has the reason.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bellwether_link::authority::AuthorityError;
use bellwether_link::frame::{self, FrameError};
use bellwether_link::server::Peer;
use bellwether_model::link::{Hello, Refusal, ToAgent, ToHub};
use bellwether_model::text::inert;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::time::{Instant, timeout};

use super::counts::Turned;
use super::registry::{Denied, Enrolment, NotInForce};
use super::{Host, session};

/// How long the first word may take.
pub(super) const FIRST_WORD: Duration = Duration::from_secs(10);
/// How long a refusal of a token takes, at least: longer than looking at it does in any case.
const REFUSED_AFTER: Duration = Duration::from_millis(500);
/// And at most, however often it was tried from one place: who waits holds a place among the few that
/// may be half open.
const REFUSED_AFTER_MAX: Duration = Duration::from_secs(8);
/// How long whoever is refused may take to hear it.
pub(super) const LAST_WORD: Duration = Duration::from_secs(2);
/// Longest text of an agent about itself that is kept or logged.
pub(super) const WORDS_LEN_MAX: usize = 64;

/// What is said to everybody who may not.
const DENIED: &str = "not allowed";

/// Serves whoever has connected, to the end. `half_open` is let go of once it is known who it is: until
/// then it counts as half open.
pub(super) async fn visit<S>(
    host: Arc<Host>,
    mut stream: S,
    peer: Option<Peer>,
    from: IpAddr,
    half_open: impl Send,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let Some(first) = first_word(&host, &mut stream, from).await else {
        return;
    };
    match (first, peer) {
        (
            ToHub::Enrol {
                versions,
                token,
                request,
            },
            _,
        ) => {
            if let Err(why) = agreed(host.versions, versions) {
                host.fleet().tally.turned(Turned::Version);
                return refuse(&mut stream, Refusal::Version, &why).await;
            }
            enrol(&host, stream, from, token, request).await;
        }
        (ToHub::Hello(hello), Some(peer)) => match who(&host, peer, &hello, from).await {
            Ok(who) => {
                drop(half_open);
                session::serve(host, stream, hello, who).await;
            }
            Err((code, why)) => refuse(&mut stream, code, &why).await,
        },
        // Whoever has no certificate hears what everybody hears who may not.
        (_, None) => {
            tracing::info!(%from, "a first word that needs a certificate, without one");
            host.fleet().tally.turned(Turned::Silent);
            refuse(&mut stream, Refusal::Denied, DENIED).await;
        }
        (_, Some(peer)) => {
            tracing::warn!(%from, agent = peer.agent, "the first word is not `hello`");
            host.fleet().tally.turned(Turned::Silent);
            let why = "the first word is `hello`, or `enrol`";
            refuse(&mut stream, Refusal::Protocol, why).await;
        }
    }
}

/// What is said first; `None` where nothing came of it.
async fn first_word<S: AsyncRead + AsyncWrite + Unpin>(
    host: &Host,
    stream: &mut S,
    from: IpAddr,
) -> Option<ToHub> {
    let said = timeout(FIRST_WORD, frame::receive::<ToHub>(stream)).await;
    if let Ok(Ok(Some(first))) = said {
        return Some(first);
    }
    host.fleet().tally.turned(Turned::Silent);
    match said {
        Err(_) => tracing::debug!(%from, "nothing was said in time"),
        Ok(Ok(_)) => tracing::debug!(%from, "nothing was said"),
        Ok(Err(error)) => {
            tracing::info!(%from, %error, "the first word is none of this link");
            if !matches!(error, FrameError::Io(_)) {
                let why = "the first word is none of this link";
                refuse(stream, Refusal::Protocol, why).await;
            }
        }
    }
    None
}

/// Who says hello, if he is let in.
async fn who(
    host: &Host,
    peer: Peer,
    hello: &Hello,
    from: IpAddr,
) -> Result<session::Who, (Refusal, String)> {
    let refused = |how: Turned, code: Refusal, why: String| {
        tracing::warn!(%from, agent = peer.agent, why, "an agent is refused");
        host.fleet().tally.turned(how);
        (code, why)
    };
    let version = agreed(host.versions, hello.versions);
    let version = version.map_err(|why| refused(Turned::Version, Refusal::Version, why))?;
    let admitted = admit(host, &peer, &hello.program).await;
    let admitted = admitted.map_err(|(code, why)| refused(Turned::Certificate, code, why))?;
    Ok(session::Who {
        peer,
        version,
        admitted,
    })
}

/// The version that both speak best.
pub(super) fn agreed(ours: (u32, u32), theirs: (u32, u32)) -> Result<u32, String> {
    let best = ours.1.min(theirs.1);
    if best >= ours.0 && best >= theirs.0 {
        return Ok(best);
    }
    let newer = match theirs.0 > ours.1 {
        true => "the hub is too old for it: upgrade the hub first",
        false => "the agent is too old: upgrade it",
    };
    Err(format!(
        "the hub speaks versions {} to {} of the link, the agent {} to {}: {newer}",
        ours.0, ours.1, theirs.0, theirs.1
    ))
}

/// Lets in whoever showed this certificate, or says why not.
async fn admit(
    host: &Host,
    peer: &Peer,
    program: &str,
) -> Result<session::Admitted, (Refusal, String)> {
    let busy = |_| (Refusal::Busy, "the hub cannot look that up now".to_owned());
    let (shown, program) = (peer.clone(), inert(program, WORDS_LEN_MAX));
    let asked = host.ask(move |shared| {
        let fleet = &shared.fleet;
        fleet.registry.admit(&shown, &program, fleet.clock.now())
    });
    match asked.await.map_err(busy)? {
        Ok((vantage, _)) if !host.is_configured(&vantage) => {
            let why = format!("`{vantage}` is not in `vantages:` of the hub's configuration");
            Err((Refusal::Unconfigured, why))
        }
        Ok((vantage, ends)) => Ok(session::Admitted { vantage, ends }),
        Err(NotInForce::Store(error)) => {
            tracing::error!(%error, "an agent cannot be looked up");
            Err((Refusal::Busy, "the hub cannot look that up now".to_owned()))
        }
        Err(why) => {
            let why = format!("this certificate is not in force ({why}): enrol the agent anew");
            Err((Refusal::Denied, why))
        }
    }
}

/// Makes an agent of whoever has a token.
async fn enrol<S: AsyncRead + AsyncWrite + Unpin>(
    host: &Host,
    mut stream: S,
    from: IpAddr,
    token: String,
    request: String,
) {
    let begun = Instant::now();
    match enrolled(host, token, request).await {
        Ok(Enrolment {
            vantage,
            agent,
            issued,
            replaces,
        }) => {
            if replaces {
                tracing::warn!(%from, %vantage, agent = &*agent, "a vantage was enrolled anew: its former agent is one no longer");
                let why = "this vantage was enrolled anew";
                host.fleet().end(&vantage, Refusal::Denied, why);
            } else {
                tracing::info!(%from, %vantage, agent = &*agent, "an agent was enrolled");
            }
            let chain = issued
                .chain
                .iter()
                .map(|der| STANDARD.encode(der))
                .collect();
            let answer = ToAgent::Enrolled {
                vantage,
                agent,
                chain,
            };
            say(&mut stream, &answer).await;
        }
        Err(why) => {
            host.fleet().tally.turned(Turned::Token);
            let wait = host.backoff.failed(Some(from), host.now());
            let wait = wait.unwrap_or_default();
            let wait = wait.clamp(REFUSED_AFTER, REFUSED_AFTER_MAX);
            let cause = std::error::Error::source(&why).map(ToString::to_string);
            tracing::warn!(%from, %why, cause, "an enrolment is refused");
            tokio::time::sleep_until(begun + wait).await;
            refuse(&mut stream, Refusal::Denied, DENIED).await;
        }
    }
}

async fn enrolled(host: &Host, token: String, request: String) -> Result<Enrolment, Denied> {
    let configured = host.shared.configured.load_full();
    let mut random = [0; 16];
    aws_lc_rs::rand::fill(&mut random).expect("the system gives random bytes");
    let enrolment: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    let asked = host.ask(move |shared| {
        let fleet = &shared.fleet;
        let now = fleet.clock.now();
        let wanted = &configured.config.vantages;
        let is_configured = |vantage: &_| {
            wanted
                .iter()
                .any(|v| bellwether_model::VantageId::new(&v.name) == *vantage)
        };
        let sign = |agent: &str| {
            let request = STANDARD.decode(request.as_bytes());
            let request = request.map_err(|error| AuthorityError::Request(error.to_string()))?;
            fleet.authority()?.agent(&request, agent, now)
        };
        let registry = &fleet.registry;
        registry.enrol(&token, &enrolment, now, is_configured, sign)
    });
    asked.await?
}

/// Refuses, and ends what is written.
pub(super) async fn refuse<S: AsyncWrite + Unpin>(stream: &mut S, code: Refusal, why: &str) {
    let why = why.to_owned();
    say(stream, &ToAgent::Refused { code, why }).await;
}

/// The last word to whoever it is.
async fn say<S: AsyncWrite + Unpin>(stream: &mut S, message: &ToAgent) {
    // Whoever does not listen is not waited for.
    let said = async {
        let _ = frame::send(stream, message).await;
        let _ = stream.shutdown().await;
    };
    let _ = timeout(LAST_WORD, said).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a11_versions() {
        for (ours, theirs, best) in [
            ((1, 1), (1, 1), Some(1)),
            ((1, 1), (0, 1), Some(1)),
            ((1, 1), (1, 2), Some(1)),
            ((1, 2), (0, 1), Some(1)),
            ((1, 2), (2, 3), Some(2)),
            ((1, 1), (2, 2), None),
            ((1, 1), (0, 0), None),
            ((1, 1), (1, 0), None),
            ((1, 1), (u32::MAX, 1), None),
        ] {
            assert_eq!(agreed(ours, theirs).ok(), best, "{ours:?} {theirs:?}");
        }
        let words = agreed((1, 1), (2, 3)).unwrap_err();
        assert!(
            words.contains("1 to 1") && words.contains("2 to 3"),
            "{words}"
        );
    }
}
