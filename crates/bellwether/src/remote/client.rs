//! One request to a hub, one answer.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::cli::HubArgs;

/// Longest time for a request with its answer.
const WAIT: Duration = Duration::from_secs(15);
/// Largest answer that is read: above any page of a list.
const ANSWER_LEN_MAX: usize = 32 * 1024 * 1024;

/// Most entries of a list that are taken: ten times what one hub watches. A hub whose pages never end
/// is left there.
const ROWS_MAX: usize = 1_000_000;

/// One page of a list.
pub(super) trait Page: DeserializeOwned {
    /// What is listed.
    type Row;

    /// What it holds, and where the next one begins.
    fn into_rows(self) -> (Vec<Self::Row>, Option<String>);
}

/// A hub, as the command line names it.
pub(super) struct Client {
    authority: String,
    token: Option<String>,
    runtime: tokio::runtime::Runtime,
}

impl Client {
    pub(super) fn new(args: &HubArgs) -> Result<Self> {
        // What is typed without a scheme is a place.
        let typed = match args.hub.contains("://") {
            true => args.hub.clone(),
            false => format!("http://{}", args.hub),
        };
        let url: url::Url = typed
            .parse()
            .with_context(|| format!("`{}` is no URL; write http://127.0.0.1:8400", args.hub))?;
        if url.scheme() != "http" {
            bail!(
                "`{}`: the hub is asked over http; where it stands elsewhere, open a tunnel (`ssh -L 8400:127.0.0.1:8400 HOST`) and leave `--hub` out",
                args.hub
            );
        }
        let host = url.host_str().unwrap_or("127.0.0.1");
        let authority = format!("{host}:{}", url.port().unwrap_or(80));
        let token = match &args.token_file {
            Some(path) => Some(crate::files::text("the token", path)?.trim().to_owned()),
            None => std::env::var("BELLWETHER_TOKEN").ok(),
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("failed to start the runtime")?;
        Ok(Self {
            authority,
            token: token.filter(|token| !token.is_empty()),
            runtime,
        })
    }

    /// Where it is, for messages.
    pub(super) fn place(&self) -> &str {
        &self.authority
    }

    pub(super) fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        self.ask(&Method::GET, path, None)
    }

    /// All that a list holds, page by page. `path` has a query already.
    pub(super) fn all<P: Page>(&self, path: &str) -> Result<Vec<P::Row>> {
        let mut rows = Vec::new();
        let mut page: P = self.get(path)?;
        loop {
            let (some, next) = page.into_rows();
            rows.extend(some);
            let Some(next) = next else {
                return Ok(rows);
            };
            if rows.len() >= ROWS_MAX {
                bail!(
                    "the hub at {} lists more than {ROWS_MAX} entries; ask its API for a part of them",
                    self.authority
                );
            }
            let next: String = url::form_urlencoded::byte_serialize(next.as_bytes()).collect();
            page = self.get(&format!("{path}&page={next}"))?;
        }
    }

    pub(super) fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &serde_json::Value,
    ) -> Result<T> {
        if self.token.is_none() {
            bail!(
                "writing needs a token: put the one that `bellwether serve` printed at its first start into $BELLWETHER_TOKEN or a file for `--token-file`"
            );
        }
        self.ask(&Method::POST, path, Some(body))
    }

    fn ask<T: DeserializeOwned>(
        &self,
        method: &Method,
        path: &str,
        body: Option<&serde_json::Value>,
    ) -> Result<T> {
        let asked = async { timeout(WAIT, self.exchange(method, path, body)).await };
        let answered = self.runtime.block_on(asked);
        let (status, bytes) = answered.unwrap_or_else(|_| {
            bail!(
                "the hub at {} took longer than {} s to answer",
                self.authority,
                WAIT.as_secs()
            )
        })?;
        if !(200..300).contains(&status) {
            bail!(
                "the hub at {} answers {}",
                self.authority,
                problem(status, &bytes)
            );
        }
        serde_json::from_slice(&bytes).with_context(|| {
            format!(
                "the answer of {} is not what a hub answers; is it one, of a like version?",
                self.authority
            )
        })
    }

    async fn exchange(
        &self,
        method: &Method,
        path: &str,
        body: Option<&serde_json::Value>,
    ) -> Result<(u16, Bytes)> {
        let stream = TcpStream::connect(&self.authority).await.with_context(|| {
            format!(
                "no hub answers at {}; start one by `bellwether serve`, or name it by `--hub URL`",
                self.authority
            )
        })?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, &self.authority);
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        let bytes = match body {
            Some(body) => {
                request = request.header(CONTENT_TYPE, "application/json");
                serde_json::to_vec(body)?
            }
            None => Vec::new(),
        };
        let request = request.body(Full::new(Bytes::from(bytes)))?;
        // A task of its own: a connection that ends with the last byte of an answer takes nothing of it.
        let connection = tokio::spawn(connection);
        let answered = async {
            let answer = sender.send_request(request).await?;
            let status = answer.status().as_u16();
            let body = Limited::new(answer.into_body(), ANSWER_LEN_MAX)
                .collect()
                .await;
            let bytes = body.map_err(|error| anyhow::anyhow!("{error}"))?.to_bytes();
            anyhow::Ok((status, bytes))
        };
        let answered = answered.await;
        connection.abort();
        answered.with_context(|| format!("the hub at {} gave no whole answer", self.authority))
    }
}

/// What a problem document (RFC 9457) says.
fn problem(status: u16, bytes: &[u8]) -> String {
    let document: serde_json::Value = serde_json::from_slice(bytes).unwrap_or_default();
    let said = |key: &str| document.get(key).and_then(|v| v.as_str());
    let words = said("detail")
        .or_else(|| said("title"))
        .unwrap_or("no reason");
    format!("{status}: {}", bellwether_model::text::inert(words, 500))
}
