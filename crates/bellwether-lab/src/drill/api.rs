//! What a running program says of itself by its API (formats.md section 5).

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use bellwether_model::incident::IncidentState;
use bellwether_model::{Cause, Incident, Verdict};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The schema that the answers of a `look` name, where a check has its report.
pub const LOOK_SCHEMA: &str = "bellwether.look/1";
/// How long one answer may take: the program answers from memory.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(5);
/// Longest answer, bytes: above what any scenario's services come to.
const ANSWER_LEN_MAX: u64 = 16 * 1024 * 1024;

/// A service as it is told.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Service {
    pub(super) name: String,
    pub(super) verdict: Verdict,
    #[serde(default)]
    pub(super) cause: Option<Cause>,
    #[serde(default)]
    pub(super) stale: bool,
}

/// An incident in a list, as far as it is counted.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(super) struct Listed {
    pub(super) id: u64,
    pub(super) state: IncidentState,
}

/// An API that is asked. Each complaint is a whole sentence.
#[derive(Clone, Copy, Debug)]
pub(super) struct Api {
    pub(super) at: SocketAddr,
}

impl Api {
    /// Is it ready to be asked?
    pub(super) async fn is_ready(self) -> bool {
        self.get("/readyz").await.is_ok()
    }

    /// Services, as they are told and as they are typed.
    pub(super) async fn services(self) -> Result<(Value, Vec<Service>), String> {
        self.list("/api/v1/services", "services").await
    }

    /// Incidents, as listed.
    pub(super) async fn incidents(self) -> Result<Vec<Listed>, String> {
        let (_, listed) = self.list("/api/v1/incidents", "incidents").await?;
        Ok(listed)
    }

    /// An incident with its timeline.
    pub(super) async fn incident(self, id: u64) -> Result<(Value, Incident), String> {
        let path = format!("/api/v1/incidents/{id}");
        let value = self.json(&path).await?;
        let typed = typed(&value, &path)?;
        Ok((value, typed))
    }

    /// The configuration in force, and what became of the newest one.
    pub(super) async fn configuration(self) -> Result<Value, String> {
        self.json("/api/v1/configuration").await
    }

    /// Those metrics that are asked for; what no series fits has no figure.
    pub(super) async fn metrics(
        self,
        wanted: impl Iterator<Item = &String>,
    ) -> Result<BTreeMap<String, Option<f64>>, String> {
        let body = self.get("/metrics").await?;
        let text = String::from_utf8_lossy(&body);
        let figure = |selector: &String| (selector.clone(), sum(&text, selector));
        Ok(wanted.map(figure).collect())
    }

    /// Reports as a job does.
    pub(super) async fn report(self, path: &str) -> Result<(), String> {
        self.get(path).await.map(drop)
    }

    async fn list<T: DeserializeOwned>(
        self,
        path: &str,
        key: &str,
    ) -> Result<(Value, Vec<T>), String> {
        let mut page = self.json(path).await?;
        if !page["next"].is_null() {
            return Err(format!("GET {path}: the list goes on after its first page"));
        }
        let list = page[key].take();
        let typed = typed(&list, path)?;
        Ok((list, typed))
    }

    async fn json(self, path: &str) -> Result<Value, String> {
        let body = self.get(path).await?;
        serde_json::from_slice(&body).map_err(|e| format!("GET {path}: no JSON: {e}"))
    }

    /// The body of an answer with status 200.
    async fn get(self, path: &str) -> Result<Vec<u8>, String> {
        let answer = tokio::time::timeout(ANSWER_TIME_MAX, self.exchange(path)).await;
        let answer = match answer {
            Ok(Ok(answer)) => answer,
            Ok(Err(e)) => return Err(format!("GET {path}: {e}")),
            Err(_) => {
                let most = ANSWER_TIME_MAX.as_secs();
                return Err(format!("GET {path}: no answer within {most} s"));
            }
        };
        let ends = answer.windows(4).position(|four| four == b"\r\n\r\n");
        let (head, body) = answer.split_at(ends.map_or(answer.len(), |at| at + 4));
        let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
        let line = String::from_utf8_lossy(line);
        match line.split(' ').nth(1) {
            Some("200") => Ok(body.to_vec()),
            _ => Err(format!("GET {path}: answered {line:?}")),
        }
    }

    /// Over HTTP/1.0, whose answers end where the connection does.
    async fn exchange(self, path: &str) -> std::io::Result<Vec<u8>> {
        let mut stream = TcpStream::connect(self.at).await?;
        let request = format!("GET {path} HTTP/1.0\r\nHost: {}\r\n\r\n", self.at);
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        let mut bounded = stream.take(ANSWER_LEN_MAX);
        bounded.read_to_end(&mut answer).await?;
        Ok(answer)
    }
}

fn typed<T: DeserializeOwned>(value: &Value, path: &str) -> Result<T, String> {
    T::deserialize(value).map_err(|e| format!("GET {path}: not as the format says: {e}"))
}

/// All that a `look` takes.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    pub(super) services: Vec<Service>,
    pub(super) incidents: Vec<Incident>,
    pub(super) metrics: BTreeMap<String, Option<f64>>,
    pub(super) refused: bool,
    /// The same as it was told.
    pub(super) told: Value,
}

impl Seen {
    /// Asks for everything.
    pub(super) async fn take(
        api: Api,
        metrics: impl Iterator<Item = &String> + Clone,
    ) -> Result<Self, String> {
        let (told_services, services) = api.services().await?;
        let mut told_incidents = Vec::new();
        let mut incidents = Vec::new();
        let mut all = api.incidents().await?;
        all.sort_by_key(|listed| listed.id);
        for listed in all {
            let (told, incident) = api.incident(listed.id).await?;
            told_incidents.push(told);
            incidents.push(incident);
        }
        let configuration = api.configuration().await?;
        let metrics = match metrics.clone().next() {
            Some(_) => api.metrics(metrics).await?,
            None => BTreeMap::new(),
        };
        let figures = metrics.iter();
        let figures: Map<String, Value> = figures.map(|(k, v)| (k.clone(), json!(v))).collect();
        let told = json!({
            "schema": LOOK_SCHEMA,
            "services": told_services,
            "incidents": told_incidents,
            "configuration": configuration,
            "metrics": figures,
        });
        Ok(Self {
            services,
            incidents,
            metrics,
            refused: is_refused(&configuration),
            told,
        })
    }
}

/// Was a newer configuration than the one in force refused?
pub(super) fn is_refused(configuration: &Value) -> bool {
    !configuration["refused"].is_null()
}

/// The sum of the series that a selector fits, in Prometheus's text format: `NAME`, or
/// `NAME{label="value"}` for those that have at least these labels.
fn sum(text: &str, selector: &str) -> Option<f64> {
    let (name, wanted) = series(selector);
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let figures = lines.filter_map(|line| {
        let (head, figure) = match line.rfind('}') {
            Some(at) => line.split_at(at + 1),
            None => line.split_at(line.find(' ')?),
        };
        let (own, labels) = series(head);
        let fits = own == name && wanted.iter().all(|label| labels.contains(label));
        let figure = figure.split_ascii_whitespace().next()?;
        fits.then(|| figure.parse::<f64>().ok()).flatten()
    });
    figures.reduce(|sum, figure| sum + figure)
}

/// The name of a series, and its labels as written.
fn series(head: &str) -> (&str, Vec<&str>) {
    let Some((name, labels)) = head.trim().split_once('{') else {
        return (head.trim(), Vec::new());
    };
    let labels = labels.trim_end_matches('}');
    let mut all = Vec::new();
    let (mut begin, mut quoted, mut escaped) = (0, false, false);
    for (at, c) in labels.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => quoted = !quoted,
            ',' if !quoted => {
                all.push(labels[begin..at].trim());
                begin = at + 1;
            }
            _ => {}
        }
    }
    all.push(labels[begin..].trim());
    all.retain(|label| !label.is_empty());
    (name, all)
}

#[cfg(test)]
mod tests {
    use super::*;

    const METRICS: &str = "# HELP x_total X.\n# TYPE x_total counter\nx_total{check=\"a/b\",why=\"a, \\\"b}\"} 2\n\
        x_total{check=\"c/d\",why=\"hung\"} 3 1700000000\nx_totals 9\ny 0.5\n";

    #[track_caller]
    fn check(selector: &str, figure: Option<f64>) {
        assert_eq!(sum(METRICS, selector), figure, "{selector}");
    }

    #[test]
    fn series_are_summed_up() {
        check("x_total", Some(5.0));
        check("x_total{why=\"hung\"}", Some(3.0));
        check("x_total{why=\"a, \\\"b}\", check=\"a/b\"}", Some(2.0));
        check("x_total{why=\"hung\", check=\"a/b\"}", None);
        check("y", Some(0.5));
        check("z", None);
    }
}
