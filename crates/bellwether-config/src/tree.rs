//! YAML text as a tree whose every part knows its place.
//!
//! Aliases share what they name, so that a text becomes hardly larger here than it is; what merge
//! keys copy is counted, and what reads the tree counts its steps ([`crate::decode`]).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;

use granit_parser::{Event, Parser, ScalarStyle, Span};

use crate::error::{ConfigError, Problem};
use crate::place::Place;
use crate::problems::MAX;

/// Largest text of all files together: 100,000 lines are 4 to 8 MiB.
pub(crate) const TEXT_LEN_MAX: usize = 64 * 1024 * 1024;

/// Most values of one file, those that aliases repeat counted each time: several times those of
/// 20,000 services with all keys, and some hundred megabytes of memory.
pub(crate) const NODES_MAX: usize = 4_000_000;

/// Values that aliases and merge keys may add to a file in any case: what a file of a page can make
/// of itself costs some ten megabytes at most.
const REPEATED_MIN: usize = 100_000;
/// The same for each value that is written: services that are hardly more than a name, and share
/// all the rest.
const REPEATED_EACH: usize = 20;

/// Deepest nesting, what aliases name included: no key needs more than a dozen levels, and recursion stays far from the stack's
/// end.
pub(crate) const DEPTH_MAX: usize = 64;

/// Above so many keys, a mapping's are looked up by hash.
const LINEAR_MAX: usize = 16;

/// What is said of a file that aliases and merge keys make too large.
pub(crate) const TOO_LARGE: &str =
    "the file is too large once its aliases (`*name`) are written out; use fewer";

const TOO_DEEP: &str = "nested too deeply; no key needs more than a few levels";

/// A value with its place.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    /// Where it stands; for an alias, where the alias stands.
    pub(crate) place: Place,
    /// What it is.
    pub(crate) value: Rc<Value>,
}

/// What a value is.
#[derive(Debug)]
pub(crate) enum Value {
    /// A text, or what stands without quotes and may be a number, a truth value or nothing.
    Scalar {
        /// As it reads.
        text: String,
        /// Does it stand without quotes?
        plain: bool,
    },
    /// A list.
    List(Vec<Node>),
    /// Keys with values, in order.
    Map(Vec<(Word, Node)>),
}

/// A key with its place.
#[derive(Clone, Debug)]
pub(crate) struct Word {
    /// The key.
    pub(crate) text: Rc<str>,
    /// Where it stands.
    pub(crate) place: Place,
}

impl Node {
    /// Is it `~`, `null`, or nothing at all?
    pub(crate) fn is_null(&self) -> bool {
        matches!(&*self.value, Value::Scalar { text, plain: true } if matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL"))
    }

    /// The value behind a key.
    pub(crate) fn entry(&self, key: &str) -> Option<(&Word, &Node)> {
        match &*self.value {
            Value::Map(entries) => entries
                .iter()
                .find(|(word, _)| &*word.text == key)
                .map(|(word, node)| (word, node)),
            Value::Scalar { .. } | Value::List(_) => None,
        }
    }
}

/// A text as a tree.
pub(crate) struct Tree {
    /// Its outermost value.
    pub(crate) root: Node,
    /// Values that may be read of it, those that aliases repeat counted each time.
    pub(crate) nodes_max: usize,
}

/// What is under way while events come in.
struct Open {
    place: Place,
    anchor: usize,
    /// Levels of the deepest value in it.
    levels: usize,
    items: Items,
}

enum Items {
    List(Vec<Node>),
    Map {
        entries: Vec<(Word, Node)>,
        key: Option<Word>,
    },
}

/// What an anchor names.
#[derive(Clone)]
struct Named {
    value: Rc<Value>,
    levels: usize,
}

struct Builder<'a> {
    file: u32,
    open: Vec<Open>,
    anchors: HashMap<usize, Named>,
    root: Option<Node>,
    documents: usize,
    nodes: usize,
    /// Entries that merge keys copied.
    copied: usize,
    problems: &'a mut Vec<ConfigError>,
}

/// Reads one document. `None` for a text without one. Keys that stand twice are complained about,
/// and the first is kept.
///
/// # Errors
/// Where the text is no YAML, and why.
pub(crate) fn read(
    text: &str,
    file: u32,
    problems: &mut Vec<ConfigError>,
) -> Result<Option<Tree>, ConfigError> {
    let mut builder = Builder {
        file,
        open: Vec::new(),
        anchors: HashMap::new(),
        root: None,
        documents: 0,
        nodes: 0,
        copied: 0,
        problems,
    };
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| {
            let at = error.marker();
            let place = place(file, at.line(), at.col());
            let error = error.kind().to_string();
            let why = match cure(&error) {
                Some(cure) => cure.to_owned(),
                None => format!("{error}; look at the indentation here"),
            };
            ConfigError::new(place, Problem::Shape(why))
        })?;
        builder.take(event, &span)?;
    }
    let nodes_max = builder.nodes_max();
    Ok(builder.root.map(|root| Tree { root, nodes_max }))
}

/// Better words for some of the parser's messages.
fn cure(message: &str) -> Option<&'static str> {
    let cures = [
        ("recursion", TOO_DEEP),
        ("nesting", TOO_DEEP),
        ("tab", "a tab stands here; indent with spaces"),
        (
            "unknown anchor",
            "there is no anchor (`&name`) of this alias (`*name`)",
        ),
    ];
    let known = cures.iter().find(|(words, _)| message.contains(words));
    known.map(|(_, cure)| *cure)
}

fn place(file: u32, line: usize, column: usize) -> Place {
    Place {
        file,
        line: line.max(1) as u64,
        column: column as u64 + 1,
    }
}

impl Builder<'_> {
    fn take(&mut self, event: Event<'_>, span: &Span) -> Result<(), ConfigError> {
        let place = place(self.file, span.start.line(), span.start.col());
        match event {
            Event::Alias(id) => {
                let Some(Named { value, levels }) = self.anchors.get(&id).cloned() else {
                    let why = "this alias (`*name`) stands inside what it names";
                    return Err(shape(place, why));
                };
                self.put(Node { place, value }, 0, levels)
            }
            Event::Scalar(text, style, anchor, tag) => {
                let is_text = tag.is_some_and(|tag| tag.core_suffix() == Some("str"));
                let value = Rc::new(Value::Scalar {
                    text: text.into_owned(),
                    plain: style == ScalarStyle::Plain && !is_text,
                });
                self.put(Node { place, value }, anchor, 1)
            }
            Event::SequenceStart(_, anchor, _) => {
                self.begin(place, anchor, Items::List(Vec::new()))
            }
            Event::MappingStart(_, anchor, _) => {
                let entries = Vec::new();
                self.begin(place, anchor, Items::Map { entries, key: None })
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            Event::DocumentStart(..) => {
                self.documents += 1;
                if self.documents > 1 {
                    let why =
                        "a second document begins here (`---`); one is read, remove the others";
                    return Err(shape(place, why));
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn begin(&mut self, place: Place, anchor: usize, items: Items) -> Result<(), ConfigError> {
        if self.open.len() >= DEPTH_MAX {
            return Err(shape(place, TOO_DEEP));
        }
        self.open.push(Open {
            place,
            anchor,
            levels: 0,
            items,
        });
        Ok(())
    }

    fn end(&mut self) -> Result<(), ConfigError> {
        let Some(Open {
            place,
            anchor,
            levels,
            items,
        }) = self.open.pop()
        else {
            return Ok(());
        };
        let value = match items {
            Items::List(items) => Value::List(items),
            Items::Map { entries, .. } => {
                let entries = self.merged(place, entries)?;
                Value::Map(self.once(entries))
            }
        };
        let value = Rc::new(value);
        self.put(Node { place, value }, anchor, levels + 1)
    }

    /// Values that may be read of what is written so far.
    fn nodes_max(&self) -> usize {
        let repeated = REPEATED_MIN + self.nodes * REPEATED_EACH;
        NODES_MAX.min(self.nodes + repeated)
    }

    fn put(&mut self, node: Node, anchor: usize, levels: usize) -> Result<(), ConfigError> {
        self.nodes += 1;
        if self.nodes > NODES_MAX {
            return Err(shape(node.place, "the file holds too many values"));
        }
        // Checked here, where it grows: aliases in a row nest as deeply as brackets do.
        if self.open.len() + levels > DEPTH_MAX {
            return Err(shape(node.place, TOO_DEEP));
        }
        if anchor != 0 {
            let value = Rc::clone(&node.value);
            self.anchors.insert(anchor, Named { value, levels });
        }
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        open.levels = open.levels.max(levels);
        match &mut open.items {
            Items::List(items) => items.push(node),
            Items::Map { entries, key } => match key.take() {
                Some(word) => entries.push((word, node)),
                None => match &*node.value {
                    Value::Scalar { text, .. } => {
                        *key = Some(Word {
                            text: Rc::from(text.as_str()),
                            place: node.place,
                        });
                    }
                    Value::List(_) | Value::Map(_) => {
                        return Err(shape(node.place, "a key is one word"));
                    }
                },
            },
        }
        Ok(())
    }

    /// Keeps the first of the keys that stand twice, and complains about the others.
    fn once(&mut self, entries: Vec<(Word, Node)>) -> Vec<(Word, Node)> {
        let mut hashed: BTreeMap<Rc<str>, Place> = BTreeMap::new();
        let is_long = entries.len() > LINEAR_MAX;
        let mut kept: Vec<(Word, Node)> = Vec::with_capacity(entries.len());
        for (word, node) in entries {
            let is_twice = if is_long {
                hashed.insert(Rc::clone(&word.text), word.place).is_some()
            } else {
                kept.iter().any(|(other, _)| other.text == word.text)
            };
            if !is_twice {
                kept.push((word, node));
            } else if self.problems.len() <= MAX {
                // No more than are listed: a text of nothing else would fill the memory with them.
                let why = format!("the key `{}` stands twice here; remove one", word.text);
                self.problems.push(shape(word.place, why));
            }
        }
        kept
    }

    /// `<<: *anchor`: what it names fills in the keys that are not there. Each use is a copy, so they
    /// are counted like values that are read again.
    fn merged(
        &mut self,
        place: Place,
        entries: Vec<(Word, Node)>,
    ) -> Result<Vec<(Word, Node)>, ConfigError> {
        if !entries.iter().any(|(word, _)| &*word.text == "<<") {
            return Ok(entries);
        }
        let (merges, mut own): (Vec<_>, Vec<_>) = entries
            .into_iter()
            .partition(|(word, _)| &*word.text == "<<");
        let mut names: BTreeSet<Rc<str>> =
            own.iter().map(|(word, _)| Rc::clone(&word.text)).collect();
        let maps = merges.iter().flat_map(|(_, from)| match &*from.value {
            Value::List(all) => all.iter().collect(),
            Value::Map(_) | Value::Scalar { .. } => vec![from],
        });
        for map in maps {
            let Value::Map(entries) = &*map.value else {
                let why = "`<<` takes a mapping, or a list of them: `<<: *name`";
                return Err(shape(map.place, why));
            };
            // What is there already is looked at all the same.
            self.copied += entries.len();
            if self.nodes + self.copied > self.nodes_max() {
                return Err(shape(place, TOO_LARGE));
            }
            for (word, node) in entries {
                if names.insert(Rc::clone(&word.text)) {
                    own.push((word.clone(), node.clone()));
                }
            }
        }
        Ok(own)
    }
}

fn shape(place: Place, why: impl Into<String>) -> ConfigError {
    ConfigError::new(place, Problem::Shape(why.into()))
}
