//! Agents as processes of their own, linked to a running `serve`: each test has a network of its own, so
//! that agents find the hub at its usual port.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::clock::{Clock, by};
use crate::open;
use crate::running::{Serve, Site, Start, bellwether, config, send};

/// Where the hub listens for agents if nothing else is said.
const HUB: &str = "https://127.0.0.1:8401";
const PROGRAM: &str = env!("CARGO_BIN_EXE_bellwether");
/// A run may begin this long before its agent is killed and be under way then.
const UNDER_WAY: Duration = Duration::from_secs(4);
/// How often hub and agents are killed, if nothing else is said: `BELLWETHER_LINK_KILLS`.
const KILLS: u32 = 12;
/// A seed of one's own: `BELLWETHER_SEED`.
const SEED: u64 = 20;

const VANTAGES: &str = "vantages:
  - { name: fra, region: eu, network: AS3320 }
  - { name: nyc, region: us, network: AS14618 }
  - { name: sin, region: ap, network: AS16509 }
";

/// A running agent.
struct Agent {
    dir: Arc<tempfile::TempDir>,
    child: Child,
    said: Arc<Mutex<String>>,
}

/// The directory of an agent that was enrolled.
fn enrolled(serve: &Serve, vantage: &str) -> Arc<tempfile::TempDir> {
    let dir = Arc::new(tempfile::tempdir().unwrap());
    let (code, said) = enrol(&token(serve, vantage), dir.path());
    assert_eq!(code, 0, "{said}");
    dir
}

/// A token as people get it.
fn token(serve: &Serve, vantage: &str) -> String {
    let (status, body) = serve.post("/api/v1/agents/tokens", &json!({ "vantage": vantage }));
    assert!(matches!(status, 200 | 201), "{status}: {body}");
    let told: Value = serde_json::from_str(&body).unwrap();
    told["token"].as_str().unwrap().to_owned()
}

fn enrol(token: &str, dir: &Path) -> (i32, String) {
    let dir = dir.to_str().unwrap();
    let words = ["agent", "enrol", "--hub", HUB, "--token", token];
    let (code, out, err) = bellwether(&[&words[..], &["--data-dir", dir]].concat());
    (code, format!("{out}{err}"))
}

impl Agent {
    fn run(dir: &Arc<tempfile::TempDir>) -> Self {
        Self::run_by(dir, &[])
    }

    fn run_by(dir: &Arc<tempfile::TempDir>, env: &[(&str, &str)]) -> Self {
        Self::of(Command::new(PROGRAM).envs(env.iter().copied()), dir)
    }

    /// The command that runs the program, without its words.
    fn of(command: &mut Command, dir: &Arc<tempfile::TempDir>) -> Self {
        let mut child = command
            .args(["agent", "run", "--data-dir"])
            .arg(dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let said = Arc::new(Mutex::new(String::new()));
        let saying = said.clone();
        thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                let mut said = saying.lock().unwrap();
                said.push_str(&line);
                said.push('\n');
            }
        });
        let dir = dir.clone();
        Self { dir, child, said }
    }

    fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    fn signal(&self, signal: &str) {
        send(self.child.id(), signal);
    }

    fn kill(&mut self) {
        self.signal("KILL");
        self.child.wait().unwrap();
    }

    /// SIGTERM, and its end. Tells whether it ended well.
    fn stop(mut self) -> bool {
        self.signal("TERM");
        self.child.wait().unwrap().success()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An agent as the API tells it.
fn agent(serve: &Serve, vantage: &str) -> Value {
    let all = serve.get("/api/v1/agents");
    let mut all = all["agents"].as_array().unwrap().iter();
    let of = all.find(|agent| agent["vantage"] == vantage);
    of.cloned().unwrap_or(Value::Null)
}

fn is_linked(serve: &Serve, vantage: &str) -> bool {
    agent(serve, vantage)["linked"] == true
}

/// Every stored run of a check from a vantage, of the last hours.
fn runs(serve: &Serve, service: &str, vantage: &str) -> Vec<Value> {
    runs_of(serve, service, vantage, "")
}

/// The same, whatever time it bears.
fn all_runs(serve: &Serve, service: &str, vantage: &str) -> Vec<Value> {
    let ever = "&from=1970-01-01T00:00:00Z&to=2100-01-01T00:00:00Z";
    runs_of(serve, service, vantage, ever)
}

fn runs_of(serve: &Serve, service: &str, vantage: &str, when: &str) -> Vec<Value> {
    let path =
        format!("/api/v1/checks/{service}/main/observations?vantage={vantage}&limit=1000{when}");
    let mut all = Vec::new();
    let mut page = String::new();
    loop {
        let (status, body) = serve.get_raw(&format!("{path}{page}"));
        // Nothing has come from there yet.
        if status == 404 {
            return all;
        }
        assert_eq!(status, 200, "{body}");
        let told: Value = serde_json::from_str(&body).unwrap();
        all.extend(told["observations"].as_array().unwrap().iter().cloned());
        match told["next"].as_str() {
            Some(next) => page = format!("&page={next}"),
            None => return all,
        }
    }
}

fn began(run: &Value) -> Timestamp {
    run["began"].as_str().unwrap().parse().unwrap()
}

/// The README's lines.
#[test]
fn a_new_vantage_shows_up_among_agents_and_in_the_next_incident() {
    let site = Site::start();
    let one = "vantages: [{ name: fra, region: eu, network: AS3320 }]\n";
    let serve = Serve::start(&config(&[("shop", &site.url())], one));
    let place = format!("http://{}", serve.at);
    let secret = serve.dir.path().join("token");
    fs::write(&secret, serve.token.as_deref().unwrap()).unwrap();
    let secret = secret.to_str().unwrap();
    let words = ["agents", "token", "fra", "--hub", &place];
    let (code, out, err) = bellwether(&[&words[..], &["--token-file", secret]].concat());
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("bellwether agent enrol --hub"), "{out}");
    let token = out.split_whitespace().find(|w| w.starts_with("bwe_"));
    let dir = Arc::new(tempfile::tempdir().unwrap());
    let (code, said) = enrol(token.unwrap_or_else(|| panic!("{out}")), dir.path());
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("fra"), "{said}");
    let fra = Agent::run(&dir);
    serve.until("fra is linked", |s| is_linked(s, "fra"));
    serve.until("fra's runs are kept", |s| {
        !runs(s, "shop", "fra").is_empty()
    });
    let (code, out, err) = bellwether(&["agents", "--hub", &place]);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("fra"), "{out}");
    serve.until("the shop is healthy", |s| s.verdict("shop") == "healthy");
    site.fail();
    serve.until("an incident tells of both vantages", |s| {
        let incidents = s.incidents();
        let scope = incidents
            .first()
            .map(|i| s.incident(i["id"].as_u64().unwrap()));
        scope.is_some_and(|i| i["scope"]["vantages"] == json!(["fra", "local"]))
    });
    assert_eq!(serve.incidents().len(), 1);
    let checks = serve.get("/api/v1/checks");
    let said = checks["checks"][0]["vantages"].as_array().unwrap();
    let said: Vec<_> = said
        .iter()
        .map(|s| (&s["vantage"], &s["verdict"]))
        .collect();
    let broken = json!("broken");
    assert_eq!(said, [(&json!("fra"), &broken), (&json!("local"), &broken)]);
    assert!(fra.stop());
}

/// P24, A9, A10: a token is good once, a revoked agent is refused at once, and others go on.
#[test]
fn p24_what_is_used_or_revoked_is_refused() {
    let site = Site::start();
    let serve = Serve::start(&config(&[("shop", &site.url())], VANTAGES));
    let once = token(&serve, "fra");
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    assert_eq!(enrol(&once, first.path()).0, 0);
    let (used, said_used) = enrol(&once, second.path());
    let mut wrong = once.clone();
    wrong.replace_range(8..12, "AAAA");
    let (guessed, said_guessed) = enrol(&wrong, second.path());
    assert!(used != 0 && guessed != 0);
    assert_eq!(said_used, said_guessed, "what was wrong is told to nobody");

    let (fra, nyc) = (
        Agent::run(&Arc::new(first)),
        Agent::run(&enrolled(&serve, "nyc")),
    );
    serve.until("both are linked", |s| {
        is_linked(s, "fra") && is_linked(s, "nyc")
    });
    serve.until("fra's runs are kept", |s| {
        !runs(s, "shop", "fra").is_empty()
    });
    let (status, body) = serve.post("/api/v1/agents/fra/revoke", &json!({}));
    assert!(matches!(status, 200 | 204), "{status}: {body}");
    serve.until("fra is linked no longer", |s| !is_linked(s, "fra"));
    let kept = runs(&serve, "shop", "fra").len();
    let newest = runs(&serve, "shop", "nyc").len();
    serve.until("nyc goes on", |s| runs(s, "shop", "nyc").len() > newest + 3);
    assert_eq!(
        runs(&serve, "shop", "fra").len(),
        kept,
        "nothing more of it is taken"
    );
    assert!(!fra.said().contains("panicked") && !nyc.said().contains("panicked"));
}

/// P2, A1: however often hub and agents are killed, what an agent's disk had is stored once.
#[test]
fn p02_hub_and_agents_are_killed_and_nothing_is_lost_or_doubled() {
    let names = ["fra", "nyc", "sin"];
    let sites: Vec<Site> = std::iter::repeat_with(Site::start).take(3).collect();
    let urls: Vec<String> = sites.iter().map(Site::url).collect();
    let services = ["a", "b", "c"];
    let pairs: Vec<(&str, &str)> = services
        .into_iter()
        .zip(urls.iter().map(String::as_str))
        .collect();
    let mut serve = Serve::start(&config(&pairs, VANTAGES));
    let secret = serve.token.clone();
    let dirs = names.map(|name| enrolled(&serve, name));
    let mut agents = dirs.each_ref().map(Agent::run);
    serve.until("all are linked", |s| names.iter().all(|n| is_linked(s, n)));
    serve.until("all bring runs", |s| {
        names.iter().all(|n| !runs(s, "a", n).is_empty())
    });
    let count = |name| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let kills = count("BELLWETHER_LINK_KILLS").unwrap_or(KILLS);
    let seed = std::env::var("BELLWETHER_SEED")
        .ok()
        .and_then(|text| text.parse().ok());
    let mut random = fastrand::Rng::with_seed(seed.unwrap_or(SEED));
    // When each agent was killed and was there again.
    let mut downs: [Vec<(Timestamp, Timestamp)>; 3] = Default::default();
    for _ in 0..kills {
        // Work goes on in between, for as long as chance has it.
        thread::sleep(Duration::from_millis(random.u64(50..1_500)));
        let victim = random.usize(0..4);
        if victim == names.len() {
            serve.kill();
            serve = Start::again(&serve).go();
            serve.token.clone_from(&secret);
        } else {
            let at = Timestamp::now();
            agents[victim].kill();
            agents[victim] = Agent::run(&dirs[victim]);
            downs[victim].push((at, Timestamp::now()));
        }
    }
    serve.until("all are linked again, and nothing waits", |s| {
        names.iter().all(|n| {
            let told = agent(s, n);
            told["linked"] == true && told["spool"]["deliveries"].as_u64().is_some_and(|n| n <= 1)
        })
    });
    for agent in agents {
        let said = agent.said();
        assert!(agent.stop(), "{said}");
    }
    for (name, downs) in names.iter().zip(&downs) {
        for service in services {
            exactly_once(name, downs, &runs(&serve, service, name));
        }
        gapless(
            name,
            downs,
            &services.map(|service| runs(&serve, service, name)).concat(),
        );
    }
    assert!(serve.incidents().is_empty(), "{:#?}", serve.incidents());
    assert!(!serve.said().contains("panicked"), "{}", serve.said());
}

/// No run of a check is there twice, and they are in order.
fn exactly_once(vantage: &str, downs: &[(Timestamp, Timestamp)], runs: &[Value]) {
    let mut seen = BTreeSet::new();
    for run in runs {
        let boot = downs.iter().filter(|(at, _)| *at < began(run)).count();
        let sequence = run["sequence"].as_u64().unwrap();
        assert!(
            seen.insert((boot, sequence)),
            "{vantage}: {run:#} is there twice"
        );
    }
}

/// What an agent made is there without a gap, up to what it had under way when it was killed.
fn gapless(vantage: &str, downs: &[(Timestamp, Timestamp)], runs: &[Value]) {
    let mut boots: BTreeMap<usize, BTreeMap<u64, Timestamp>> = BTreeMap::new();
    for run in runs {
        let boot = downs.iter().filter(|(at, _)| *at < began(run)).count();
        let sequence = run["sequence"].as_u64().unwrap();
        boots.entry(boot).or_default().insert(sequence, began(run));
    }
    for (boot, sequences) in boots {
        let Some((last, _)) = sequences.last_key_value() else {
            continue;
        };
        let missing: Vec<u64> = (1..=*last).filter(|n| !sequences.contains_key(n)).collect();
        let until = downs.get(boot).map(|(at, _)| *at - UNDER_WAY);
        let is_settled = |n: &u64| {
            let after = sequences.range(n..).next().map(|(_, at)| *at);
            until.is_none_or(|until| after.is_some_and(|at| at < until))
        };
        let lost: Vec<&u64> = missing.iter().filter(|n| is_settled(n)).collect();
        assert!(
            lost.is_empty(),
            "{vantage}, start {boot}: {lost:?} of {last} are lost"
        );
    }
}

/// The numbers of all runs of the shop from a vantage, in order.
fn numbers(serve: &Serve, vantage: &str) -> Vec<u64> {
    let all = all_runs(serve, "shop", vantage);
    let all = all.iter().filter_map(|run| run["sequence"].as_u64());
    let mut all: Vec<u64> = all.collect();
    all.sort_unstable();
    all
}

/// P15, C5: the clocks of agents and of the hub are set by an hour, forth and back, while the hub is killed
/// now and then: every run is there once, and no target is blamed.
#[test]
fn p15_hostile_c5_clocks_of_agents_and_hub_are_set() {
    const HOUR: i64 = 3_600;
    let site = Site::start();
    let start = Start::new(&config(&[("shop", &site.url())], VANTAGES));
    let mut hub = Clock::new(start.dir.path());
    let mut serve = by(start, &hub).go();
    let secret = serve.token.clone();
    let names = ["fra", "nyc"];
    let dirs = names.map(|name| enrolled(&serve, name));
    let mut clocks = dirs.each_ref().map(|dir| Clock::new(dir.path()));
    let agents: Vec<Agent> = dirs
        .iter()
        .zip(&clocks)
        .map(|(dir, clock)| Agent::run_by(dir, &clock.env()))
        .collect();
    let newest = |s: &Serve, name| numbers(s, name).last().copied();
    serve.until("all bring runs", |s| {
        names.iter().all(|n| newest(s, n).is_some())
    });
    // How far each clock is ahead then: the hub's, fra's, nyc's.
    for (round, ahead) in [
        [0, HOUR, 0],
        [0, HOUR, -HOUR],
        [HOUR, HOUR, -HOUR],
        [-HOUR, 0, 0],
        [0, 0, 0],
    ]
    .into_iter()
    .enumerate()
    {
        hub.set(ahead[0]);
        clocks[0].set(ahead[1]);
        clocks[1].set(ahead[2]);
        if round % 2 == 1 {
            serve.kill();
            serve = by(Start::again(&serve), &hub).go();
            serve.token.clone_from(&secret);
        }
        let before = names.map(|name| newest(&serve, name).unwrap_or(0));
        serve.until(&format!("both bring runs by {ahead:?}"), |s| {
            let now = names.map(|name| newest(s, name).unwrap_or(0));
            now.iter()
                .zip(before)
                .all(|(now, before)| *now > before + 5)
        });
    }
    serve.until("nothing is wrong any more, and nothing waits", |s| {
        let waits = |n: &str| agent(s, n)["spool"]["deliveries"].as_u64();
        open(s).is_empty() && names.iter().all(|n| waits(n).is_some_and(|n| n <= 1))
    });
    for agent in agents {
        let said = agent.said();
        assert!(agent.stop(), "{said}");
    }
    for name in names {
        let numbers = numbers(&serve, name);
        let wanted: Vec<u64> = (1..=numbers.len() as u64).collect();
        assert_eq!(numbers, wanted, "{name}");
    }
    let incidents = serve.incidents();
    let of_targets = |i: &&Value| i["layer"] != "monitor";
    assert_eq!(incidents.iter().find(of_targets), None);
    assert!(
        incidents.iter().any(|i| i["cause"] == "monitor.clock_skew"),
        "{incidents:#?}"
    );
}

/// P16, S1: the disk of an agent is full. It says so, what it sees still comes, and what is lost for want
/// of room is nobody's outage.
#[test]
fn p16_hostile_s1_the_disk_of_an_agent_is_full() {
    let site = Site::start();
    let serve = Serve::start(&config(&[("shop", &site.url())], VANTAGES));
    let dir = enrolled(&serve, "fra");
    let place = dir.path().display();
    // What was enrolled lies below, and moves onto a small disk.
    let script = format!(
        "cp -a {place} {place}.kept && mount -t tmpfs -o size=8m,mode=0700 tmpfs {place} && cp -a {place}.kept/. {place}/ && rm -r {place}.kept && exec \"$@\""
    );
    let mut command = Command::new("unshare");
    command.args(["-rm", "sh", "-c", &script, "sh", PROGRAM]);
    let fra = Agent::of(&mut command, &dir);
    serve.until("fra's runs are kept", |s| {
        !runs(s, "shop", "fra").is_empty()
    });
    let root = Path::new("/proc")
        .join(fra.child.id().to_string())
        .join("root");
    let filler = root
        .join(dir.path().strip_prefix("/").unwrap())
        .join("filler");
    let fill = || {
        let mut file = fs::File::options()
            .append(true)
            .create(true)
            .open(&filler)
            .unwrap();
        for block in [1 << 16, 512, 1] {
            while file.write_all(&vec![0; block]).is_ok() {}
        }
    };
    serve.until("it is told that nothing can be spooled", |s| {
        fill();
        !agent(s, "fra")["trouble"].is_null()
    });
    let before = runs(&serve, "shop", "fra").len();
    serve.until("what it sees comes all the same", |s| {
        fill();
        runs(s, "shop", "fra").len() > before + 5
    });
    let told = serve.incidents();
    fs::remove_file(&filler).unwrap();
    serve.until("there is room again", |s| {
        agent(s, "fra")["trouble"].is_null()
    });
    let all = runs(&serve, "shop", "fra");
    let sequences: BTreeSet<u64> = all
        .iter()
        .filter_map(|run| run["sequence"].as_u64())
        .collect();
    assert_eq!(sequences.len(), all.len(), "each run is there once");
    assert_eq!(
        sequences.last(),
        Some(&(all.len() as u64)),
        "and none is missing"
    );
    assert!(told.iter().all(|i| i["layer"] == "monitor"), "{told:#?}");
    let said = fra.said();
    assert!(fra.stop(), "{said}");
}

/// C7: the hub is away for a while; what agents saw meanwhile comes later, and is nobody's outage.
#[test]
fn hostile_c07_what_was_seen_without_the_hub_comes_later() {
    let site = Site::start();
    let mut serve = Serve::start(&config(&[("shop", &site.url())], VANTAGES));
    let fra = Agent::run(&enrolled(&serve, "fra"));
    serve.until("fra's runs are kept", |s| runs(s, "shop", "fra").len() > 3);
    serve.kill();
    let gone = Instant::now();
    while gone.elapsed() < Duration::from_secs(8) {
        thread::sleep(Duration::from_millis(100));
    }
    let back = Timestamp::now();
    let serve = Start::again(&serve).go();
    serve.until("fra is linked again", |s| is_linked(s, "fra"));
    serve.until("its spool is empty", |s| {
        agent(s, "fra")["spool"]["deliveries"]
            .as_u64()
            .is_some_and(|n| n <= 1)
    });
    let all = runs(&serve, "shop", "fra");
    let meanwhile = |run: &&Value| {
        let age = back.duration_since(began(run)).as_secs_f64();
        (0.5..7.5).contains(&age)
    };
    let found = all.iter().filter(meanwhile).count();
    assert!(found >= 5, "{found} of seven seconds");
    assert!(serve.incidents().is_empty(), "{:#?}", serve.incidents());
    assert!(fra.stop());
}

/// One directory, one agent; one that was never enrolled says how that is done.
#[test]
fn an_agent_that_cannot_run_says_why() {
    let site = Site::start();
    let serve = Serve::start(&config(&[("shop", &site.url())], VANTAGES));
    let empty = tempfile::tempdir().unwrap();
    let path = empty.path().to_str().unwrap();
    let (code, _, err) = bellwether(&["agent", "run", "--data-dir", path]);
    assert!(code == 2 && err.contains("agent enrol"), "{code}: {err}");
    let dir = enrolled(&serve, "fra");
    let fra = Agent::run(&dir);
    serve.until("fra is linked", |s| is_linked(s, "fra"));
    let path = fra.dir.path().to_str().unwrap();
    let (code, _, err) = bellwether(&["agent", "run", "--data-dir", path]);
    assert!(code == 2 && err.contains(path), "{code}: {err}");
    // Another hub than the one that made the token.
    let other = "bwe_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    let (code, said) = enrol(other, empty.path());
    assert!(
        code != 0 && said.contains("not the one that made this token"),
        "{said}"
    );
}
