//! From files to configuration.

use std::collections::{BTreeMap, HashSet};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};

use crate::config::{Config, Vantage};
use crate::convert::{Noted, Reading};
use crate::decode::{self, Decoder};
use crate::echo;
use crate::error::{ConfigError, Problem};
use crate::names;
use crate::place::{At, Place};
use crate::problems::{Problems, Source};
use crate::regular;
use crate::secret::{self, Secret};
use crate::spec::ConfigSpec;
use crate::substitute::{Lookup, System};
use crate::tree::{self, Node, TEXT_LEN_MAX, Tree, Value};

/// Most files of a directory.
const FILES_MAX: usize = 10_000;

/// A mark of byte order, which stands for nothing in UTF-8 (RFC 3629 section 6).
pub(crate) const MARK: char = '\u{feff}';

/// What of a named file is looked at for changes, bytes: a table of AS numbers and owners, by far the
/// largest of them, has a tenth of it.
const NAMED_LEN_MAX: u64 = 1024 * 1024 * 1024;

/// So much of it at once.
const PIECE_LEN: usize = 64 * 1024;

/// What was read.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// What is valid and unwise, a line each with its place: secret files that everybody may read,
    /// and the like.
    pub warnings: Vec<String>,
    /// The files it was read from, in the order of reading; then those of its `${file:…}`, and those
    /// that [`Loaded::follow`] adds.
    pub files: Vec<PathBuf>,
}

impl Loaded {
    /// Adds the files that `trust` names to [`Loaded::files`], and what they hold to the digest: a
    /// certificate that was replaced makes another configuration, though no line of it changed.
    ///
    /// One that cannot be read counts as it is: whoever uses it says so, and that it can be read
    /// again makes another configuration once more.
    #[must_use]
    pub fn follow(mut self) -> Self {
        let named = self.config.trust.files();
        if named.is_empty() {
            return self;
        }
        let mut hash = Sha256::new();
        hash.update(self.config.digest.as_bytes());
        for path in named {
            let name = path.as_os_str().as_encoded_bytes();
            hash.update((name.len() as u64).to_be_bytes());
            hash.update(name);
            match content(path) {
                Ok(content) => {
                    hash.update([1]);
                    hash.update(content);
                }
                Err(_) => hash.update([0]),
            }
            self.files.push(path.to_owned());
        }
        self.config.digest = hexadecimal(hash);
        self
    }
}

/// SHA-256 of what a named file holds.
fn content(path: &Path) -> std::io::Result<[u8; 32]> {
    let mut hash = Sha256::new();
    let mut file = regular::open(path)?.take(NAMED_LEN_MAX);
    let mut piece = vec![0; PIECE_LEN];
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(hash.finalize().into()),
            len => hash.update(&piece[..len]),
        }
    }
}

/// Reads a file, or the files `*.yaml` and `*.yml` of a directory in the order of their names, with
/// the environment and the files of this process for `${…}`.
///
/// # Errors
/// Everything that is wrong, each with file, line, column and cure.
pub fn load(path: &Path) -> Result<Loaded, Problems> {
    read(sources(path)?, &System)
}

/// The texts that [`load`] reads.
///
/// # Errors
/// If there is none, or one cannot be read.
pub fn sources(path: &Path) -> Result<Vec<Source>, Problems> {
    let mut room = TEXT_LEN_MAX;
    if !path.is_dir() {
        return Ok(vec![source(path, &mut room)?]);
    }
    let entries = std::fs::read_dir(path).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    let entries = entries.map_err(|error| unreadable(path, error.to_string()))?;
    let mut paths = Vec::new();
    for path in entries.iter().map(std::fs::DirEntry::path) {
        if !is_yaml(&path) {
            continue;
        }
        // A link to nowhere is no file less: its services would be gone, and nobody told.
        let data = std::fs::metadata(&path);
        let data = data.map_err(|error| unreadable(&path, error.to_string()))?;
        // What is no regular file is refused where it is read.
        if !data.is_dir() {
            paths.push(path);
        }
    }
    paths.sort();
    if paths.is_empty() {
        let why = "the directory holds no file `*.yaml` or `*.yml`".to_owned();
        return Err(unreadable(path, why));
    }
    if paths.len() > FILES_MAX {
        return Err(unreadable(
            path,
            format!("the directory holds more than {FILES_MAX} files"),
        ));
    }
    paths.iter().map(|path| source(path, &mut room)).collect()
}

fn unreadable(path: &Path, why: String) -> Problems {
    let problem = Problem::Unreadable(why);
    Problems::from(ConfigError::new(Place::default(), problem).in_file(path))
}

/// One text. `room` is what may still be read: a pipe or a device has no length, and may have no
/// end.
fn source(path: &Path, room: &mut usize) -> Result<Source, Problems> {
    let bytes = regular::bytes(path, *room as u64).map_err(|error| {
        let is_too_long = error.kind() == io::ErrorKind::FileTooLarge;
        let why = if is_too_long {
            format!("the configuration has more than {TEXT_LEN_MAX} bytes")
        } else {
            error.to_string()
        };
        unreadable(path, why)
    })?;
    *room -= bytes.len();
    let text = String::from_utf8(bytes).map_err(|error| {
        let good = error.utf8_error().valid_up_to();
        let before = &error.as_bytes()[..good];
        let line = before.iter().filter(|b| **b == b'\n').count() as u64 + 1;
        let why = "a byte stands here that is no UTF-8".to_owned();
        let place = Place {
            file: 0,
            line,
            column: 1,
        };
        Problems::from(ConfigError::new(place, Problem::Shape(why)).in_file(path))
    })?;
    let path = path.to_owned();
    Ok(Source { path, text })
}

/// Editors and version control leave hidden files beside those that are meant.
fn is_yaml(path: &Path) -> bool {
    let is_hidden = path
        .file_name()
        .is_some_and(|name| name.to_string_lossy().starts_with('.'));
    let end = path.extension().and_then(|end| end.to_str());
    !is_hidden && matches!(end, Some("yaml" | "yml"))
}

/// Reads a configuration file's text; `path` is for messages.
///
/// # Errors
/// Everything that is wrong, each with file, line, column and cure.
pub fn parse(text: &str, path: &Path) -> Result<Config, Problems> {
    let source = Source {
        path: path.to_owned(),
        text: text.to_owned(),
    };
    read(vec![source], &System).map(|loaded| loaded.config)
}

/// Reads the texts of one configuration, with the given source for `${…}`.
///
/// # Errors
/// Everything that is wrong, each with file, line, column and cure.
pub fn read(mut sources: Vec<Source>, lookup: &dyn Lookup) -> Result<Loaded, Problems> {
    // Some editors begin a text with a mark of its byte order; columns are counted without it.
    for source in &mut sources {
        if source.text.starts_with(MARK) {
            source.text.remove(0);
        }
    }
    let mut problems = Vec::new();
    let (spec, damaged) = written(&sources, &mut problems);
    let reading = Reading::new(lookup);
    let config = config(&reading, &spec, &damaged, &mut problems);
    let Noted {
        problems: noted,
        warnings,
        substituted,
        files: asked,
    } = reading.noted.into_inner();
    problems.extend(noted);
    if spec.services.is_empty() && spec.heartbeats.is_empty() && problems.is_empty() {
        problems.push(nothing_watched(sources.len()));
    }
    if !problems.is_empty() {
        let asked = asked.into_keys().map(PathBuf::from);
        return Err(Problems::new(problems, &sources).asking(asked.collect()));
    }
    let files: Vec<PathBuf> = sources.iter().map(|s| s.path.clone()).collect();
    let strange = names::strange_labels(&config, &spec);
    let warnings = warnings.into_iter().chain(strange).map(|(place, why)| {
        let place = ConfigError::new(place, Problem::Shape(why));
        place.in_files(&files).to_string()
    });
    let digest = digest(&sources, &substituted);
    let of_secrets = substituted.keys().filter_map(|name| {
        let path = name.strip_prefix("file:")?;
        Some(PathBuf::from(path))
    });
    let files: Vec<PathBuf> = files.iter().cloned().chain(of_secrets).collect();
    let mut secrets: Vec<String> = substituted.into_values().collect();
    let written: Vec<String> = secrets.iter().flat_map(|s| secret::in_urls(s)).collect();
    secrets.extend(written);
    secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    secrets.dedup();
    Ok(Loaded {
        warnings: warnings.collect(),
        files,
        config: Config {
            digest,
            secrets: secrets.into_iter().map(Secret::new).collect(),
            written: echo::written(&spec),
            ..config
        },
    })
}

fn nothing_watched(files: usize) -> ConfigError {
    let of = if files > 1 { "all files" } else { "the file" };
    let problem = Problem::Missing {
        key: "services".to_owned(),
        of: of.to_owned(),
        example: "`services: [{ name: shop, url: https://www.shop.example/ }]`".to_owned(),
    };
    let place = Place {
        file: 0,
        line: 1,
        column: 1,
    };
    ConfigError::new(place, problem)
}

fn digest(sources: &[Source], substituted: &BTreeMap<String, String>) -> String {
    let mut hash = Sha256::new();
    let mut add = |text: &[u8]| {
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text);
    };
    for Source { path, text } in sources {
        add(path.as_os_str().as_encoded_bytes());
        add(text.as_bytes());
    }
    for (name, value) in substituted {
        add(name.as_bytes());
        add(value.as_bytes());
    }
    hexadecimal(hash)
}

fn hexadecimal(hash: Sha256) -> String {
    hash.finalize().iter().map(|b| format!("{b:02x}")).collect()
}

/// The trees of the texts, those without a document left out.
pub(crate) fn trees(sources: &[Source], problems: &mut Vec<ConfigError>) -> Vec<Tree> {
    let total: usize = sources.iter().map(|source| source.text.len()).sum();
    if total > TEXT_LEN_MAX {
        let why = format!("all files together have more than {TEXT_LEN_MAX} bytes");
        problems.push(ConfigError::new(Place::default(), Problem::Shape(why)));
        return Vec::new();
    }
    let mut trees = Vec::new();
    for (file, source) in (0..).zip(sources) {
        match tree::read(&source.text, file, problems) {
            Ok(Some(tree)) if tree.root.is_null() && sources.len() > 1 => {}
            Ok(None) if sources.len() > 1 => {}
            Ok(Some(tree)) if !tree.root.is_null() => trees.push(tree),
            Ok(_) => {
                let place = Place {
                    file,
                    line: 1,
                    column: 1,
                };
                let why = "the file is empty, or ends too early".to_owned();
                problems.push(ConfigError::new(place, Problem::Shape(why)));
            }
            Err(error) => problems.push(error),
        }
    }
    trees
}

/// Entries of which something could not be read.
#[derive(Default)]
struct Damaged {
    /// All may be: keys stand twice, or the text is no YAML.
    are_all: bool,
    places: HashSet<Place>,
}

/// What all texts say together.
fn written(sources: &[Source], problems: &mut Vec<ConfigError>) -> (ConfigSpec, Damaged) {
    let trees = trees(sources, problems);
    let mut damaged = Damaged {
        are_all: !problems.is_empty(),
        ..Damaged::default()
    };
    let mut spec = ConfigSpec::default();
    let mut seen = BTreeMap::new();
    for tree in &trees {
        let decoder = Decoder::new(tree.nodes_max);
        let Value::Map(entries) = &*tree.root.value else {
            let why = "a file holds `services:` and the other sections, each a line with what belongs to it indented below";
            problems.push(ConfigError::new(
                tree.root.place,
                Problem::Shape(why.to_owned()),
            ));
            continue;
        };
        for (word, node) in entries {
            let mut section = Section {
                key: &word.text,
                place: word.place,
                node,
                decoder: &decoder,
                problems,
                seen: &mut seen,
                damaged: &mut damaged,
            };
            section.read_into(&mut spec);
        }
    }
    (spec, damaged)
}

/// One section of one file.
struct Section<'a> {
    key: &'a str,
    place: Place,
    node: &'a Node,
    decoder: &'a Decoder,
    problems: &'a mut Vec<ConfigError>,
    seen: &'a mut BTreeMap<String, Place>,
    damaged: &'a mut Damaged,
}

/// The sections, in the order of the documentation.
pub(crate) const SECTIONS: &[&str] = &[
    "version",
    "hub",
    "trust",
    "defaults",
    "vantages",
    "resolvers",
    "controls",
    "allow_networks",
    "services",
    "heartbeats",
    "receivers",
    "route",
    "maintenance",
    "status_pages",
    "retention",
];

impl Section<'_> {
    fn read_into(&mut self, spec: &mut ConfigSpec) {
        match self.key {
            "version" => self.once(&mut spec.version),
            "hub" => self.once(&mut spec.hub),
            "trust" => self.once(&mut spec.trust),
            "defaults" => self.once(&mut spec.defaults),
            "vantages" => self.list(&mut spec.vantages),
            "resolvers" => self.list(&mut spec.resolvers),
            "controls" => self.list(spec.controls.get_or_insert_default()),
            "allow_networks" => self.list(&mut spec.allow_networks),
            "services" => self.list(&mut spec.services),
            "heartbeats" => self.list(&mut spec.heartbeats),
            "receivers" => self.list(&mut spec.receivers),
            "route" => self.once(&mut spec.route),
            "maintenance" => self.list(&mut spec.maintenance),
            "status_pages" => self.list(&mut spec.status_pages),
            "retention" => self.once(&mut spec.retention),
            unknown => {
                let problem = decode::unknown(unknown, SECTIONS);
                self.problems.push(ConfigError::new(self.place, problem));
            }
        }
    }

    /// A section that may stand in one file only.
    fn once<T: DeserializeOwned>(&mut self, into: &mut Option<T>) {
        if let Some(first) = self.seen.insert(self.key.to_owned(), self.place) {
            let problem = Problem::Twice {
                what: "the section",
                name: self.key.to_owned(),
                first,
                first_file: None,
            };
            self.problems.push(ConfigError::new(self.place, problem));
            return;
        }
        *into = self.one::<Option<T>>(self.node).flatten();
    }

    /// One value; a damaged one is remembered.
    fn one<T: DeserializeOwned>(&mut self, node: &Node) -> Option<T> {
        let before = self.problems.len();
        let read = decode::all(node, self.key, self.decoder, self.problems);
        if self.problems.len() > before {
            self.damaged.places.insert(node.place);
        }
        read
    }

    /// A list, to which each file may add.
    fn list<T: DeserializeOwned>(&mut self, into: &mut Vec<T>) {
        let Value::List(items) = &*self.node.value else {
            into.extend(self.one::<Vec<T>>(self.node).unwrap_or_default());
            return;
        };
        for item in items {
            if self.problems.len() > crate::problems::MAX {
                return;
            }
            into.extend(self.one::<T>(item));
        }
    }
}

/// From what is written to what is used; what is wrong is noted by `reading`.
fn config(
    reading: &Reading<'_>,
    spec: &ConfigSpec,
    damaged: &Damaged,
    problems: &mut Vec<ConfigError>,
) -> Config {
    let ConfigSpec {
        version,
        hub,
        trust,
        defaults,
        vantages,
        resolvers,
        controls,
        allow_networks,
        services,
        heartbeats,
        receivers,
        route,
        maintenance,
        status_pages,
        retention,
    } = spec.clone();
    names::check(spec, problems);
    let defaults = reading.defaults(defaults.unwrap_or_default());
    reading.inherit.set(defaults);
    let vantages = entries(reading, damaged, vantages, |v| reading.vantage(v.value));
    let (local, vantages) = vantages
        .into_iter()
        .partition::<Vec<_>, _>(|vantage| vantage.name == Vantage::LOCAL);
    Config {
        version: reading.version(version),
        hub: reading.hub(hub.unwrap_or_default()),
        trust: reading.trust(trust.unwrap_or_default()),
        defaults,
        local: local.into_iter().next().unwrap_or_else(Vantage::local),
        vantages,
        resolvers: entries(reading, damaged, resolvers, |resolver| {
            reading.keep(reading.resolver(resolver.value))
        }),
        controls: controls.map(|controls| reading.controls(controls)),
        allow_networks: reading.allow_networks(allow_networks),
        services: entries(reading, damaged, services, |s| reading.service(s.value)),
        heartbeats: entries(reading, damaged, heartbeats, |h| reading.heartbeat(h)),
        receivers: entries(reading, damaged, receivers, |r| reading.receiver(r)),
        route: entries(reading, damaged, route.into_iter().collect(), |r| {
            reading.route(r)
        })
        .pop(),
        maintenance: entries(reading, damaged, maintenance, |m| {
            reading.maintenance(m.value)
        }),
        status_pages: entries(reading, damaged, status_pages, |page| {
            reading.status_page(page.value)
        }),
        retention: reading.retention(retention.unwrap_or_default()),
        ..Config::default()
    }
}

/// The entries of a list that make sense, until there are more problems than anybody reads.
fn entries<S, T>(
    reading: &Reading<'_>,
    damaged: &Damaged,
    all: Vec<At<S>>,
    read: impl Fn(At<S>) -> Option<T>,
) -> Vec<T> {
    let mut entries = Vec::with_capacity(all.len());
    for one in all {
        if reading.noted.borrow().problems.len() > crate::problems::MAX {
            break;
        }
        reading
            .is_damaged
            .set(damaged.are_all || damaged.places.contains(&one.place));
        entries.extend(read(one));
    }
    reading.is_damaged.set(false);
    entries
}

#[cfg(test)]
#[path = "read_tests.rs"]
mod tests;
