//! YAML text as a tree whose every part knows its place.
//!
//! Aliases share what they name, so a text never becomes larger here than it is; what reads the
//! tree counts its steps ([`crate::decode`]).

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use granit_parser::{Event, Parser, ScalarStyle, Span};

use crate::error::{ConfigError, Problem};
use crate::place::Place;

/// Largest text of all files together: 100,000 lines are 4 to 8 MiB.
pub(crate) const TEXT_LEN_MAX: usize = 64 * 1024 * 1024;

/// Most values of one file, those that aliases repeat counted each time: several times those of
/// 20,000 services with all keys, and some hundred megabytes of memory.
pub(crate) const NODES_MAX: usize = 4_000_000;

/// Deepest nesting: no key needs more than a dozen levels, and recursion stays far from the stack's
/// end.
pub(crate) const DEPTH_MAX: usize = 64;

/// Above so many keys, a mapping's are looked up by hash.
const LINEAR_MAX: usize = 16;

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

/// What is under way while events come in.
enum Open {
    List {
        place: Place,
        anchor: usize,
        items: Vec<Node>,
    },
    Map {
        place: Place,
        anchor: usize,
        entries: Vec<(Word, Node)>,
        key: Option<Word>,
    },
}

struct Builder<'a> {
    file: u32,
    open: Vec<Open>,
    anchors: HashMap<usize, Rc<Value>>,
    root: Option<Node>,
    documents: usize,
    nodes: usize,
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
) -> Result<Option<Node>, ConfigError> {
    let mut builder = Builder {
        file,
        open: Vec::new(),
        anchors: HashMap::new(),
        root: None,
        documents: 0,
        nodes: 0,
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
    Ok(builder.root)
}

/// Better words for some of the parser's messages.
fn cure(message: &str) -> Option<&'static str> {
    let cures = [
        (
            "recursion",
            "nested too deeply; no key needs more than a few levels",
        ),
        (
            "nesting",
            "nested too deeply; no key needs more than a few levels",
        ),
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
                let Some(value) = self.anchors.get(&id).cloned() else {
                    let why = "this alias (`*name`) stands inside what it names";
                    return Err(shape(place, why));
                };
                self.put(Node { place, value }, 0)
            }
            Event::Scalar(text, style, anchor, tag) => {
                let is_text = tag.is_some_and(|tag| tag.core_suffix() == Some("str"));
                let value = Rc::new(Value::Scalar {
                    text: text.into_owned(),
                    plain: style == ScalarStyle::Plain && !is_text,
                });
                self.put(Node { place, value }, anchor)
            }
            Event::SequenceStart(_, anchor, _) => self.begin(Open::List {
                place,
                anchor,
                items: Vec::new(),
            }),
            Event::MappingStart(_, anchor, _) => self.begin(Open::Map {
                place,
                anchor,
                entries: Vec::new(),
                key: None,
            }),
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

    fn begin(&mut self, open: Open) -> Result<(), ConfigError> {
        if self.open.len() >= DEPTH_MAX {
            let (Open::List { place, .. } | Open::Map { place, .. }) = open;
            let why = "nested too deeply; no key needs more than a few levels";
            return Err(shape(place, why));
        }
        self.open.push(open);
        Ok(())
    }

    fn end(&mut self) -> Result<(), ConfigError> {
        match self.open.pop() {
            Some(Open::List {
                place,
                anchor,
                items,
            }) => {
                let value = Rc::new(Value::List(items));
                self.put(Node { place, value }, anchor)
            }
            Some(Open::Map {
                place,
                anchor,
                entries,
                ..
            }) => {
                let entries = self.once(merged(entries));
                let value = Rc::new(Value::Map(entries));
                self.put(Node { place, value }, anchor)
            }
            None => Ok(()),
        }
    }

    fn put(&mut self, node: Node, anchor: usize) -> Result<(), ConfigError> {
        self.nodes += 1;
        if self.nodes > NODES_MAX {
            return Err(shape(node.place, "the file holds too many values"));
        }
        if anchor != 0 {
            self.anchors.insert(anchor, Rc::clone(&node.value));
        }
        match self.open.last_mut() {
            None => self.root = Some(node),
            Some(Open::List { items, .. }) => items.push(node),
            Some(Open::Map { entries, key, .. }) => match key.take() {
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
            if is_twice {
                let why = format!("the key `{}` stands twice here; remove one", word.text);
                self.problems.push(shape(word.place, why));
            } else {
                kept.push((word, node));
            }
        }
        kept
    }
}

/// `<<: *anchor`: what it names fills in the keys that are not there. What it adds was taken in
/// once, so nothing grows but by what the mapping could hold anyway.
fn merged(entries: Vec<(Word, Node)>) -> Vec<(Word, Node)> {
    if !entries.iter().any(|(word, _)| &*word.text == "<<") {
        return entries;
    }
    let (merges, mut own): (Vec<_>, Vec<_>) = entries
        .into_iter()
        .partition(|(word, _)| &*word.text == "<<");
    let mut names: std::collections::BTreeSet<Rc<str>> =
        own.iter().map(|(word, _)| Rc::clone(&word.text)).collect();
    let mut fill = |from: &Node| {
        if let Value::Map(entries) = &*from.value {
            for (word, node) in entries {
                if names.insert(Rc::clone(&word.text)) {
                    own.push((word.clone(), node.clone()));
                }
            }
        }
    };
    for (_, from) in &merges {
        match &*from.value {
            Value::Map(_) => fill(from),
            Value::List(all) => all.iter().for_each(&mut fill),
            Value::Scalar { .. } => {}
        }
    }
    own
}

fn shape(place: Place, why: impl Into<String>) -> ConfigError {
    ConfigError::new(place, Problem::Shape(why.into()))
}
