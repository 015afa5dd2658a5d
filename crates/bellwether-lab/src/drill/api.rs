//! What a running program says of itself by its API (formats.md section 5).

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use bellwether_model::incident::IncidentState;
use bellwether_model::{Cause, Incident, Verdict};
use jiff::Timestamp;
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

/// How much of what is said instead of an answer is shown, characters.
const PROBLEM_LEN_MAX: usize = 300;

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

/// An agent as it is told.
#[derive(Clone, Debug, Deserialize)]
struct Agent {
    /// That of its vantage.
    name: String,
    #[serde(default)]
    linked: bool,
}

/// A kept run, as far as it is looked at.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(super) struct Run {
    pub(super) began: Timestamp,
    pub(super) sequence: u64,
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

    /// How the agents are that it knows: is each of them linked?
    pub(super) async fn agents(self) -> Result<BTreeMap<String, bool>, String> {
        let (_, listed): (_, Vec<Agent>) = self.list("/api/v1/agents", "agents").await?;
        Ok(listed.into_iter().map(|a| (a.name, a.linked)).collect())
    }

    /// When the kept runs of a check from a vantage began, and their numbers, oldest first.
    pub(super) async fn runs(self, check: &str, vantage: &str) -> Result<Vec<Run>, String> {
        let path = format!("/api/v1/checks/{check}/observations?vantage={vantage}&limit=1000");
        let (_, mut runs): (_, Vec<Run>) = self.list(&path, "observations").await?;
        runs.reverse();
        Ok(runs)
    }

    /// A token by which an agent of a vantage is enrolled.
    pub(super) async fn enrolment(self, vantage: &str, admin: &str) -> Result<String, String> {
        let body = json!({ "vantage": vantage }).to_string();
        let path = "/api/v1/agents/tokens";
        let answer = self.ask("POST", path, Some(admin), Some(&body)).await?;
        let answer: Value =
            serde_json::from_slice(&answer).map_err(|e| format!("POST {path}: no JSON: {e}"))?;
        let token = answer["token"].as_str().map(str::to_owned);
        token.ok_or_else(|| format!("POST {path}: there is no `token` in its answer"))
    }

    /// The path of a heartbeat's URL.
    pub(super) async fn heartbeat(self, name: &str, admin: &str) -> Result<String, String> {
        let path = "/api/v1/heartbeats";
        let body = self.ask("GET", path, Some(admin), None).await?;
        let page: Value =
            serde_json::from_slice(&body).map_err(|e| format!("GET {path}: no JSON: {e}"))?;
        let all = page["heartbeats"].as_array().map_or(&[][..], Vec::as_slice);
        let found = all.iter().find(|item| item["name"] == name);
        let found = found.ok_or_else(|| format!("GET {path}: there is no heartbeat `{name}`"))?;
        let place = found["report_to"]["ping"].as_str();
        let place = place.ok_or_else(|| format!("GET {path}: `{name}` is told without its URL"))?;
        Ok(place.to_owned())
    }

    /// Asks for a path as anybody may who knows it.
    pub(super) async fn ping(self, path: &str) -> Result<(), String> {
        self.get(path).await.map(|_| ())
    }

    /// The body of an answer with status 200.
    async fn get(self, path: &str) -> Result<Vec<u8>, String> {
        self.ask("GET", path, None, None).await
    }

    /// The body of an answer that says that all is well.
    async fn ask(
        self,
        method: &str,
        path: &str,
        token: Option<&str>,
        body: Option<&str>,
    ) -> Result<Vec<u8>, String> {
        let request = self.request(method, path, token, body);
        let answer = tokio::time::timeout(ANSWER_TIME_MAX, self.exchange(&request)).await;
        let answer = match answer {
            Ok(Ok(answer)) => answer,
            Ok(Err(e)) => return Err(format!("{method} {path}: {e}")),
            Err(_) => {
                let most = ANSWER_TIME_MAX.as_secs();
                return Err(format!("{method} {path}: no answer within {most} s"));
            }
        };
        let ends = answer.windows(4).position(|four| four == b"\r\n\r\n");
        let (head, body) = answer.split_at(ends.map_or(answer.len(), |at| at + 4));
        let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
        let line = String::from_utf8_lossy(line);
        match line.split(' ').nth(1) {
            Some("200" | "201") => Ok(body.to_vec()),
            _ => {
                let said = String::from_utf8_lossy(body);
                let said: String = said.chars().take(PROBLEM_LEN_MAX).collect();
                Err(format!("{method} {path}: answered {line:?}: {said}"))
            }
        }
    }

    /// A request over HTTP/1.0, whose answers end where the connection does.
    fn request(self, method: &str, path: &str, token: Option<&str>, body: Option<&str>) -> String {
        let mut request = format!("{method} {path} HTTP/1.0\r\nHost: {}\r\n", self.at);
        if let Some(token) = token {
            request.push_str(&format!("Authorization: Bearer {token}\r\n"));
        }
        if let Some(body) = body {
            let length = body.len();
            request.push_str(&format!(
                "Content-Type: application/json\r\nContent-Length: {length}\r\n"
            ));
        }
        request.push_str("\r\n");
        request + body.unwrap_or_default()
    }

    async fn exchange(self, request: &str) -> std::io::Result<Vec<u8>> {
        let mut stream = TcpStream::connect(self.at).await?;
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

/// What a `look` asks for besides what every one of them takes.
#[derive(Clone, Debug, Default)]
pub(super) struct Wanted<'a> {
    pub(super) metrics: Vec<&'a String>,
    pub(super) agents: bool,
    /// Checks with their vantages.
    pub(super) runs: Vec<(&'a str, &'a str)>,
}

/// All that a `look` takes.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    pub(super) services: Vec<Service>,
    pub(super) incidents: Vec<Incident>,
    pub(super) metrics: BTreeMap<String, Option<f64>>,
    pub(super) refused: bool,
    pub(super) agents: BTreeMap<String, bool>,
    pub(super) runs: BTreeMap<(String, String), Vec<Run>>,
    /// The same as it was told.
    pub(super) told: Value,
}

impl Seen {
    /// Asks for everything.
    pub(super) async fn take(api: Api, wanted: &Wanted<'_>) -> Result<Self, String> {
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
        let metrics = match wanted.metrics.is_empty() {
            true => BTreeMap::new(),
            false => api.metrics(wanted.metrics.iter().copied()).await?,
        };
        let agents = match wanted.agents {
            true => api.agents().await?,
            false => BTreeMap::new(),
        };
        let mut runs = BTreeMap::new();
        for (check, vantage) in &wanted.runs {
            let key = ((*check).to_owned(), (*vantage).to_owned());
            runs.insert(key, api.runs(check, vantage).await?);
        }
        let figures = metrics.iter();
        let figures: Map<String, Value> = figures.map(|(k, v)| (k.clone(), json!(v))).collect();
        let mut told = json!({
            "schema": LOOK_SCHEMA,
            "services": told_services,
            "incidents": told_incidents,
            "configuration": configuration,
            "metrics": figures,
        });
        if wanted.agents {
            told["agents"] = json!(agents);
        }
        Ok(Self {
            services,
            incidents,
            metrics,
            refused: is_refused(&configuration),
            agents,
            runs,
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
