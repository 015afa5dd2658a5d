//! Drills: scenarios run against the program, each in a box of its own.
//!
//! The parent ([`drill`], [`exec`]) starts one child for each scenario and seed; the child
//! ([`world_main`]) enters its namespace before it starts a thread, builds the world, and runs the
//! program in it step by step.
//!
//! - [`child`]: one world, step by step
//! - `folder`: what the program is given, as files
//! - `serving`, `process`: a program that runs on while the world changes; `disk`: where its data lie
//! - `prober`: brings down workers over what they probe
//! - `agents`: its agents at vantages of their own
//! - `api`: what it says of itself
//! - [`compare`], `look`: a report, and what a program says, held against what is expected
//! - [`score`]: how often the right cause was found

mod agents;
mod api;
mod child;
mod compare;
mod disk;
mod folder;
mod look;
mod prober;
mod process;
mod score;
mod serving;
#[cfg(test)]
mod standin;

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

use serde::{Deserialize, Serialize};

use crate::LabError;
use crate::clock::Clock;
use crate::rename::rename;
use crate::scenario::parse::TEXT_LEN_MAX;
use crate::scenario::{ExpectSpec, Spec, parse};
use crate::shipped::shipped;
use crate::target::target_text;
use crate::world::World;
use crate::world::topology::Mistake;

pub use api::LOOK_SCHEMA;
pub use child::{WorldEnd, world_main};
pub use score::Score;
use score::Tally;

/// The schema that a drill's JSON names.
pub const DRILL_SCHEMA: &str = "bellwether.drill/1";
/// The hidden subcommand by which the program becomes the child of a drill.
pub const WORLD_SUBCOMMAND: &str = "drill-world";
/// Worlds side by side for each core: most of them wait for silence.
const WORLDS_PER_CORE: usize = 3;
/// The seed of drills that name none.
pub const SEED_DEFAULT: u64 = 1;

/// What to rehearse.
#[derive(Clone, Debug)]
pub struct DrillOptions {
    /// Names of shipped scenarios, or files; empty: every shipped one.
    pub scenarios: Vec<String>,
    /// Seeds, each for every scenario.
    pub seeds: Vec<u64>,
    /// The program to judge: `PROGRAM check …` is run in the box.
    pub program: PathBuf,
    /// The program that becomes the child: `PROGRAM drill-world JOB` calls [`world_main`].
    pub world_program: PathBuf,
    /// Worlds side by side; `None`: three for each core.
    pub jobs: Option<usize>,
}

impl DrillOptions {
    /// Rehearses with this very program.
    ///
    /// # Errors
    /// If the system does not say where this program is.
    pub fn new(scenarios: Vec<String>, seeds: Vec<u64>) -> Result<Self, LabError> {
        let program = this_program()?;
        Ok(Self {
            scenarios,
            seeds,
            world_program: program.clone(),
            program,
            jobs: None,
        })
    }
}

fn this_program() -> Result<PathBuf, LabError> {
    std::env::current_exe().map_err(|source| LabError::Child {
        doing: "find",
        program: "/proc/self/exe".to_owned(),
        source,
    })
}

/// What became of a drill, without its reports: those are told one by one.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct DrillSummary {
    /// Check and look steps that ran, and others that failed.
    pub steps: usize,
    /// Those that found what they should.
    pub right: usize,
    /// Scenarios that did not run to their end.
    pub failed: usize,
    /// Scenarios that were left out.
    pub skipped: usize,
    /// How often the right cause was found.
    pub score: Score,
}

impl DrillSummary {
    /// Was everything as expected?
    #[must_use]
    pub fn as_expected(&self) -> bool {
        self.failed == 0 && self.right == self.steps
    }

    fn add(&mut self, scenario: &ScenarioReport) {
        self.steps += scenario.steps.len();
        self.right += scenario.steps.iter().filter(|s| s.as_expected).count();
        self.failed += usize::from(scenario.error.is_some());
        self.skipped += usize::from(scenario.skipped.is_some());
    }
}

/// One scenario with one seed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ScenarioReport {
    /// The scenario's name.
    pub name: String,
    /// The seed.
    pub seed: u64,
    /// Its check and look steps, and whatever else did not become what it should.
    pub steps: Vec<StepReport>,
    /// Why it was left out: a server program that it needs is not installed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skipped: Option<String>,
    /// Why it did not run to its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// One check or look step; or an `until` or `serve` step that did not become what it should.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StepReport {
    /// The step's name.
    pub name: String,
    /// What it should find, by the names of this seed; left out where the scenario asks for nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<ExpectSpec>,
    /// Did it find what it should?
    pub as_expected: bool,
    /// Each difference, in words.
    pub missed: Vec<String>,
    /// The program's report, or null if it gave none. Of a look: what its API answered, with the
    /// schema [`LOOK_SCHEMA`].
    pub report: serde_json::Value,
}

/// What a child is to do, as a file.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct WorldJob {
    path: String,
    text: String,
    seed: u64,
    program: PathBuf,
    exec: Option<String>,
}

/// A scenario to run.
struct Loaded {
    path: String,
    text: String,
    spec: Spec,
}

/// Rehearses scenarios, and tells of each as its turn comes: in the order in which they were named,
/// each with its seeds. Nothing is kept of a scenario that was told but what the score needs.
///
/// # Errors
/// If a scenario is unknown or wrong; then nothing ran.
pub fn drill(
    options: &DrillOptions,
    mut told: impl FnMut(&ScenarioReport),
) -> Result<DrillSummary, LabError> {
    let loaded = load_all(&options.scenarios)?;
    let runs: Vec<(&Loaded, u64)> = loaded
        .iter()
        .flat_map(|scenario| options.seeds.iter().map(move |seed| (scenario, *seed)))
        .collect();
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let jobs = options.jobs.unwrap_or(cores * WORLDS_PER_CORE);
    let jobs = jobs.clamp(1, runs.len().max(1));
    let next = AtomicUsize::new(0);
    let (ended, ends) = mpsc::channel();
    let mut summary = DrillSummary::default();
    let mut tally = Tally::default();
    thread::scope(|scope| {
        for _ in 0..jobs {
            let (ended, next, runs) = (ended.clone(), &next, &runs);
            scope.spawn(move || {
                while let Some(index) = take(next, runs.len()) {
                    let (scenario, seed) = runs[index];
                    // The receiver lives until the last sender is gone.
                    let _ = ended.send((index, run(options, scenario, seed)));
                }
            });
        }
        drop(ended);
        let (mut early, mut turn) = (BTreeMap::new(), 0);
        for (index, report) in ends {
            early.insert(index, report);
            while let Some(report) = early.remove(&turn) {
                turn += 1;
                summary.add(&report);
                tally.add(&report);
                told(&report);
            }
        }
    });
    summary.score = tally.score();
    Ok(summary)
}

fn take(next: &AtomicUsize, count: usize) -> Option<usize> {
    let index = next.fetch_add(1, Ordering::Relaxed);
    (index < count).then_some(index)
}

/// Builds the world of one scenario with the real clock and runs a command in it.
///
/// # Errors
/// If the scenario is unknown or wrong, or the child cannot be started.
pub fn exec(options: &DrillOptions, command: &str) -> Result<u8, LabError> {
    let loaded = load_all(&options.scenarios)?;
    let [scenario] = loaded.as_slice() else {
        return Err(LabError::Usage(
            "--exec takes exactly one scenario".to_owned(),
        ));
    };
    let seed = options.seeds.first().copied().unwrap_or(SEED_DEFAULT);
    if let Some(note) = renamed_note(&scenario.spec, seed)? {
        // Where nobody reads it, nobody misses it.
        let _ = writeln!(io::stderr(), "note: {note}");
    }
    let (_directory, job) = job_file(options, scenario, seed, Some(command.to_owned()))?;
    let status = Command::new(&options.world_program)
        .arg(WORLD_SUBCOMMAND)
        .arg(&job)
        .status()
        .map_err(|source| child_error("start", &options.world_program, source))?;
    Ok(status
        .code()
        .and_then(|code| u8::try_from(code).ok())
        .unwrap_or(1))
}

/// What somebody must know who comes to a world by the names of its file: they are not there.
fn renamed_note(spec: &Spec, seed: u64) -> Result<Option<String>, LabError> {
    if spec.fixed {
        return Ok(None);
    }
    let targets = rename(spec, seed)?
        .services
        .iter()
        .filter_map(target_text)
        .collect::<Vec<_>>();
    if targets.is_empty() {
        return Ok(None);
    }
    let targets = targets.join(" ");
    Ok(Some(format!(
        "names are renamed by seed {seed}: {targets} ; `fixed: true` in the file keeps them"
    )))
}

fn child_error(doing: &'static str, program: &Path, source: io::Error) -> LabError {
    LabError::Child {
        doing,
        program: program.display().to_string(),
        source,
    }
}

fn load_all(names: &[String]) -> Result<Vec<Loaded>, LabError> {
    if names.is_empty() {
        let all = shipped()
            .iter()
            .map(|s| (s.file.to_owned(), s.text.to_owned()));
        return all.map(|(path, text)| check(path, text)).collect();
    }
    names.iter().map(|name| load(name)).collect()
}

/// A shipped scenario by its name, or a file.
fn load(name: &str) -> Result<Loaded, LabError> {
    if let Some(found) = shipped()
        .iter()
        .find(|s| s.name() == name || s.file == name)
    {
        return check(found.file.to_owned(), found.text.to_owned());
    }
    let looks_like_file = name.contains('/') || name.ends_with(".yaml") || name.ends_with(".yml");
    if !looks_like_file && !Path::new(name).exists() {
        let names = shipped().iter().map(|s| s.name());
        let near = crate::scenario::meant(name, names);
        let near = near
            .map(|n| format!("; did you mean `{n}`?"))
            .unwrap_or_default();
        return Err(LabError::Usage(format!(
            "there is no scenario `{name}`{near} (`bellwether drill --list` shows all; a file needs its path)"
        )));
    }
    let mut text = String::new();
    let file = fs::File::open(name);
    // One byte more than is allowed shows that it is too long.
    let bound = TEXT_LEN_MAX as u64 + 1;
    file.and_then(|file| file.take(bound).read_to_string(&mut text))
        .map_err(|source| LabError::File {
            doing: "read",
            path: name.into(),
            source,
        })?;
    check(name.to_owned(), text)
}

/// Reads a scenario and rehearses its steps without sockets, so that every mistake in it is found
/// before anything runs.
fn check(path: String, text: String) -> Result<Loaded, LabError> {
    let spec = parse(&text, &path)?;
    let mistaken = |mistake: Mistake| {
        crate::scenario::parse::mistaken(&path, &text, &mistake.word, mistake.message)
    };
    for seed in [None, Some(SEED_DEFAULT)] {
        let renamed = match seed {
            Some(seed) => rename(&spec, seed)?,
            None => spec.clone(),
        };
        let mut world = World::build(&renamed, Clock::new(renamed.now), 0).map_err(mistaken)?;
        for set in renamed.steps.iter().filter_map(|step| step.set.as_ref()) {
            world.set(set).map_err(mistaken)?;
        }
    }
    Ok(Loaded { path, text, spec })
}

fn job_file(
    options: &DrillOptions,
    scenario: &Loaded,
    seed: u64,
    exec: Option<String>,
) -> Result<(tempfile::TempDir, PathBuf), LabError> {
    let failed = |path: &Path, source| LabError::File {
        doing: "write",
        path: path.into(),
        source,
    };
    let directory = tempfile::tempdir().map_err(|e| failed(&std::env::temp_dir(), e))?;
    let job = WorldJob {
        path: scenario.path.clone(),
        text: scenario.text.clone(),
        seed,
        program: options.program.clone(),
        exec,
    };
    let path = directory.path().join("job.json");
    let text = serde_json::to_vec(&job).map_err(|e| failed(&path, e.into()))?;
    fs::write(&path, text).map_err(|e| failed(&path, e))?;
    Ok((directory, path))
}

/// Runs one scenario in a child. What goes wrong with it stands in the report: the others go on.
fn run(options: &DrillOptions, scenario: &Loaded, seed: u64) -> ScenarioReport {
    // Only of those that nobody asked for by name.
    if options.scenarios.is_empty()
        && let Some(why) = missing(&scenario.spec)
    {
        return ScenarioReport {
            name: scenario.spec.name.clone(),
            seed,
            steps: Vec::new(),
            skipped: Some(why),
            error: None,
        };
    }
    run_child(options, scenario, seed).unwrap_or_else(|e| ScenarioReport {
        name: scenario.spec.name.clone(),
        seed,
        steps: Vec::new(),
        skipped: None,
        error: Some(chain(&e)),
    })
}

/// What is not installed of what a scenario needs.
fn missing(spec: &Spec) -> Option<String> {
    let software = spec.world.software.values();
    let absent = software
        .copied()
        .find(|s| crate::real::find(*s).is_none())?;
    Some(LabError::not_installed(absent).to_string())
}

fn run_child(
    options: &DrillOptions,
    scenario: &Loaded,
    seed: u64,
) -> Result<ScenarioReport, LabError> {
    let (_directory, job) = job_file(options, scenario, seed, None)?;
    let output = Command::new(&options.world_program)
        .arg(WORLD_SUBCOMMAND)
        .arg(&job)
        .stdin(Stdio::null())
        .output()
        .map_err(|source| child_error("start", &options.world_program, source))?;
    serde_json::from_slice(&output.stdout).map_err(|e| {
        let stderr = String::from_utf8_lossy(&output.stderr);
        let said = stderr.trim();
        let message = if said.is_empty() {
            e.to_string()
        } else {
            said.to_owned()
        };
        LabError::World {
            scenario: scenario.spec.name.clone(),
            message,
        }
    })
}

/// An error with what caused it, on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shipped::SERVE;

    #[test]
    fn people_are_told_of_new_names() {
        let text = "schema: bellwether.scenario/1\nname: x\nservices: [{ name: www, url: \"https://www.svc.test/\" }]\n";
        let spec = parse(text, "x").unwrap();
        let note = renamed_note(&spec, 7).unwrap().unwrap();
        assert!(
            note.starts_with("names are renamed by seed 7: https://"),
            "{note}"
        );
        assert!(
            note.contains(".test/") && !note.contains("www.svc.test"),
            "{note}"
        );
        let fixed = Spec {
            fixed: true,
            ..spec
        };
        assert_eq!(renamed_note(&fixed, 7).unwrap(), None);
    }

    /// Parsed, renamed, and its world changed by each of its steps.
    #[test]
    fn scenarios_of_a_running_serve_can_be_played() {
        for scenario in SERVE {
            let loaded = check(scenario.file.to_owned(), scenario.text.to_owned());
            let loaded = loaded.unwrap_or_else(|e| panic!("{}: {e}", scenario.file));
            for seed in 0..20 {
                let renamed = rename(&loaded.spec, seed).unwrap();
                assert_eq!(renamed == loaded.spec, renamed.fixed, "{}", scenario.file);
                assert_eq!(renamed.expect.len(), loaded.spec.expect.len());
            }
        }
    }
}
