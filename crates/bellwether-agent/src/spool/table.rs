//! Rows by columns: what is as it was in the check's row before costs next to nothing, and numbers of
//! one kind stand together, so that compressing them finds what they have in common.
//!
//! The columns are the fields of a row as JSON has them, whatever they are called: a field that is new
//! is a column more.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bellwether_model::Run;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The column by which rows belong together.
const CHECK: &str = "check";
/// Columns that grow by one from row to row.
const COUNTED: &[&str] = &["sequence"];
/// Columns with moments; those of a check lie on its grid.
const MOMENTS: &[&str] = &["due"];
/// What stands between the name of a field and that of a field inside it.
const INSIDE: char = '.';

/// Rows.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Table {
    rows: usize,
    columns: Vec<(String, Column)>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Column {
    /// By how much more than one each is above the one before.
    Counted(Vec<i64>),
    /// Microseconds; by how much more each is above the check's one before than that was.
    Moments(Vec<i64>),
    /// Numbers that are not below 0, without those that are not there: all their lowest bytes, then all
    /// their second ones, and so on, in base64. A bit of `there` says where there is one.
    Numbers { there: String, planes: Vec<String> },
    /// 0: what came last time after the word of the check's row before; 1: not there; 2 and above: that
    /// one of `words`.
    Words { words: Vec<Value>, at: Vec<u32> },
}

impl Table {
    /// By columns; `None` where what is read from them would not be what was written.
    pub(super) fn of(runs: &[Run]) -> Option<Self> {
        let rows: Option<Vec<Map<String, Value>>> = runs.iter().map(flat).collect();
        let rows = rows?;
        let mut names: Vec<String> = vec![CHECK.to_owned()];
        for row in &rows {
            for name in row.keys() {
                if !names.contains(name) {
                    names.push(name.clone());
                }
            }
        }
        let checks = groups(rows.iter().map(|row| row.get(CHECK)));
        let columns = names.into_iter().map(|name| {
            let values: Vec<Option<&Value>> = rows.iter().map(|row| row.get(&name)).collect();
            // Which rows belong together is known only once this one is read.
            let column = match name.as_str() {
                CHECK => Column::of(&name, &values, &vec![0; rows.len()]),
                _ => Column::of(&name, &values, &checks),
            };
            (name, column)
        });
        let table = Self {
            rows: rows.len(),
            columns: columns.collect(),
        };
        (table.runs()? == runs).then_some(table)
    }

    /// The rows; `None` if these are no columns of rows.
    pub(super) fn runs(&self) -> Option<Vec<Run>> {
        // Before there is room for as many as it says that there are.
        if !self
            .columns
            .iter()
            .any(|(_, column)| column.holds(self.rows))
        {
            return (self.rows == 0).then(Vec::new);
        }
        let mut rows: Vec<Map<String, Value>> = vec![Map::new(); self.rows];
        let mut checks = vec![0; self.rows];
        for (name, column) in &self.columns {
            let values = column.values(&checks)?;
            if values.len() != self.rows {
                return None;
            }
            if name == CHECK {
                checks = groups(values.iter().map(Option::as_ref));
            }
            for (row, value) in rows.iter_mut().zip(values) {
                if let Some(value) = value {
                    put(row, name, value)?;
                }
            }
        }
        let runs = rows
            .into_iter()
            .map(|row| serde_json::from_value(row.into()).ok());
        runs.collect()
    }
}

impl Column {
    fn of(name: &str, values: &[Option<&Value>], checks: &[usize]) -> Self {
        let numbers: Option<Vec<Option<i64>>> = values
            .iter()
            .map(|value| match value {
                None => Some(None),
                Some(value) => value.as_i64().map(Some),
            })
            .collect();
        let whole: Option<Vec<i64>> = numbers
            .as_ref()
            .and_then(|all| all.iter().copied().collect());
        if let (true, Some(whole)) = (COUNTED.contains(&name), whole) {
            let before = std::iter::once(&0).chain(&whole);
            let steps = whole.iter().zip(before);
            return Self::Counted(
                steps
                    .map(|(at, before)| at.wrapping_sub(*before).wrapping_sub(1))
                    .collect(),
            );
        }
        let moments = || -> Option<Vec<i64>> {
            let all = values.iter().map(|value| moment((*value)?));
            all.collect()
        };
        if let (true, Some(moments)) = (MOMENTS.contains(&name), moments()) {
            return Self::Moments(bends(&moments, checks));
        }
        let positive = |numbers: &Vec<Option<i64>>| numbers.iter().flatten().all(|n| *n >= 0);
        match numbers.filter(positive) {
            Some(numbers) if is_various(&numbers, checks) => Self::numbers(&numbers),
            _ => Self::words(values, checks),
        }
    }

    /// May this be a column of so many rows?
    fn holds(&self, rows: usize) -> bool {
        match self {
            Self::Counted(all) | Self::Moments(all) => all.len() == rows,
            // Each letter of base64 stands for six of them.
            Self::Numbers { there, .. } => rows <= there.len().saturating_mul(6),
            Self::Words { at, .. } => at.len() == rows,
        }
    }

    fn numbers(numbers: &[Option<i64>]) -> Self {
        let bits = numbers.chunks(8).map(|chunk| {
            let bits = chunk.iter().enumerate();
            bits.fold(0_u8, |all, (at, number)| {
                all | u8::from(number.is_some()) << at
            })
        });
        let there = STANDARD.encode(bits.collect::<Vec<_>>());
        let most = numbers.iter().flatten().max().copied().unwrap_or(0);
        let bytes = 8 - most.leading_zeros() / 8;
        let planes = (0..usize::try_from(bytes).unwrap_or(8)).map(|place| {
            let plane = numbers
                .iter()
                .flatten()
                .map(|number| number.to_le_bytes()[place]);
            STANDARD.encode(plane.collect::<Vec<_>>())
        });
        Self::Numbers {
            there,
            planes: planes.collect(),
        }
    }

    fn words(values: &[Option<&Value>], checks: &[usize]) -> Self {
        let mut known: HashMap<String, u32> = HashMap::new();
        let mut turns = Turns::default();
        let (mut words, mut at) = (Vec::new(), Vec::new());
        for (value, check) in values.iter().zip(checks) {
            let place = match value {
                None => 1,
                Some(value) => *known.entry(value.to_string()).or_insert_with(|| {
                    words.push((*value).clone());
                    u32::try_from(words.len() + 1).unwrap_or(u32::MAX)
                }),
            };
            let is_expected = turns.expected(*check) == Some(place);
            turns.pass(*check, place);
            at.push(if is_expected { 0 } else { place });
        }
        Self::Words { words, at }
    }

    fn values(&self, checks: &[usize]) -> Option<Vec<Option<Value>>> {
        match self {
            Self::Counted(steps) => {
                let mut at = 0_i64;
                let all = steps.iter().map(|step| {
                    at = at.wrapping_add(*step).wrapping_add(1);
                    Some(Value::from(at))
                });
                Some(all.collect())
            }
            Self::Moments(bends) => {
                let all = unbent(bends, checks).into_iter();
                all.map(|micros| Some(Some(stamp(micros)?))).collect()
            }
            Self::Numbers { there, planes } => numbers(there, planes, checks.len()),
            Self::Words { words, at } => {
                let mut turns = Turns::default();
                let mut all = Vec::with_capacity(at.len());
                for (place, check) in at.iter().zip(checks) {
                    let place = match place {
                        0 => turns.expected(*check)?,
                        place => *place,
                    };
                    turns.pass(*check, place);
                    let word = usize::try_from(place).ok()?.checked_sub(2);
                    all.push(match word {
                        None => None,
                        Some(word) => Some(words.get(word)?.clone()),
                    });
                }
                Some(all)
            }
        }
    }
}

fn numbers(there: &str, planes: &[String], rows: usize) -> Option<Vec<Option<Value>>> {
    let there = STANDARD.decode(there).ok()?;
    let planes: Result<Vec<Vec<u8>>, _> = planes.iter().map(|p| STANDARD.decode(p)).collect();
    let planes = planes.ok().filter(|planes| planes.len() <= 8)?;
    let mut place = 0;
    let mut all = Vec::with_capacity(rows);
    for row in 0..rows {
        if there.get(row / 8)? >> (row % 8) & 1 == 0 {
            all.push(None);
            continue;
        }
        let mut number = [0; 8];
        for (byte, plane) in number.iter_mut().zip(&planes) {
            *byte = *plane.get(place)?;
        }
        all.push(Some(Value::from(i64::from_le_bytes(number))));
        place += 1;
    }
    Some(all)
}

/// What comes after what, in the rows of a check: resolvers and addresses take turns.
#[derive(Default)]
struct Turns {
    last: HashMap<usize, u32>,
    after: HashMap<(usize, u32), u32>,
}

impl Turns {
    fn expected(&self, check: usize) -> Option<u32> {
        let last = self.last.get(&check)?;
        Some(*self.after.get(&(check, *last)).unwrap_or(last))
    }

    fn pass(&mut self, check: usize, place: u32) {
        if let Some(last) = self.last.insert(check, place) {
            self.after.insert((check, last), place);
        }
    }
}

/// Do numbers mostly differ from the check's one before?
fn is_various(numbers: &[Option<i64>], checks: &[usize]) -> bool {
    let mut last = HashMap::new();
    let pairs = numbers.iter().zip(checks);
    let other = pairs.filter(|(number, check)| {
        let before = last.insert(**check, **number);
        before.is_none_or(|before| before != **number)
    });
    other.count() * 2 > numbers.len()
}

/// A row, with what is inside of fields beside them.
fn flat(run: &Run) -> Option<Map<String, Value>> {
    let Ok(Value::Object(row)) = serde_json::to_value(run) else {
        return None;
    };
    let mut out = Map::new();
    for (name, value) in row {
        match value {
            Value::Object(inside) => {
                for (inner, value) in inside {
                    out.insert(format!("{name}{INSIDE}{inner}"), value);
                }
            }
            value => {
                out.insert(name, value);
            }
        }
    }
    // What is nothing is what is not there.
    out.retain(|_, value| !value.is_null());
    Some(out)
}

fn put(row: &mut Map<String, Value>, name: &str, value: Value) -> Option<()> {
    match name.split_once(INSIDE) {
        None => row.insert(name.to_owned(), value),
        Some((outer, inner)) => {
            let place = row.entry(outer).or_insert_with(|| Map::new().into());
            place.as_object_mut()?.insert(inner.to_owned(), value)
        }
    };
    Some(())
}

/// Which rows belong together, by a number for each.
fn groups<'a>(values: impl Iterator<Item = Option<&'a Value>>) -> Vec<usize> {
    let mut known: HashMap<Option<String>, usize> = HashMap::new();
    let all = values.map(|value| {
        let next = known.len();
        *known.entry(value.map(Value::to_string)).or_insert(next)
    });
    all.collect()
}

fn moment(value: &Value) -> Option<i64> {
    let stamp: jiff::Timestamp = value.as_str()?.parse().ok()?;
    Some(stamp.as_microsecond())
}

fn stamp(micros: i64) -> Option<Value> {
    let stamp = jiff::Timestamp::from_microsecond(micros).ok()?;
    serde_json::to_value(stamp).ok()
}

/// The last moment of a check, and how far it was from the one before. The first one of a check is told
/// from where the row before it stands.
#[derive(Default)]
struct Grid {
    last: HashMap<usize, (i64, i64)>,
    before: i64,
}

impl Grid {
    fn expected(&self, check: usize) -> i64 {
        match self.last.get(&check) {
            Some((at, step)) => at.wrapping_add(*step),
            None => self.before,
        }
    }

    fn pass(&mut self, check: usize, at: i64) {
        let step = self
            .last
            .get(&check)
            .map_or(0, |(last, _)| at.wrapping_sub(*last));
        self.last.insert(check, (at, step));
        self.before = at;
    }
}

fn bends(moments: &[i64], checks: &[usize]) -> Vec<i64> {
    let mut grid = Grid::default();
    let all = moments.iter().zip(checks).map(|(at, check)| {
        let bend = at.wrapping_sub(grid.expected(*check));
        grid.pass(*check, *at);
        bend
    });
    all.collect()
}

fn unbent(bends: &[i64], checks: &[usize]) -> Vec<i64> {
    let mut grid = Grid::default();
    let all = bends.iter().zip(checks).map(|(bend, check)| {
        let at = bend.wrapping_add(grid.expected(*check));
        grid.pass(*check, at);
        at
    });
    all.collect()
}
