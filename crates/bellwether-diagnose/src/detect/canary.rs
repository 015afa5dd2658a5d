//! Is it the vantage? What its other targets say.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::{MINUTE, Micros, SECOND, Seen, Watch};

/// How many independent checks speak for a vantage. More would cost time and say the same.
const CANARIES: usize = 64;

/// With fewer heard they say nothing: measured, 3 give 62 false alarms in 1,000 days, 8 give 4.
pub(super) const HEARD_MIN: usize = 8;

/// So many of them may share one dependency, so that its outage does not excuse everybody's.
const QUOTA: usize = 4;

/// So many are looked at to find them, which bounds the time that a configuration takes.
const LOOKED_AT_MAX: usize = 1024;

/// What they said in this time counts.
const WINDOW: Micros = MINUTE;

/// What they said in this time counts by itself, so that trouble of the vantage that began a
/// moment ago is seen before a minute has passed.
const WINDOW_SHORT: Micros = 15 * SECOND;

/// A canary that is known to be broken for longer says nothing of the vantage.
const BROKEN: Micros = 10 * MINUTE;

/// What a vantage's other targets say.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Excuse {
    /// Share that failed.
    pub(super) failing: f64,
    /// Share that was slow.
    pub(super) slow: f64,
    /// The logarithm of how much slower than usual half of them are; nil where they are faster.
    pub(super) over: f32,
    /// Did enough of them speak?
    pub(super) known: bool,
}

/// What the other targets of a vantage say at a time.
pub(super) fn excuse(checks: &[Watch], judged: usize, seen: &[Seen], at: Micros) -> Excuse {
    let mut long = Count::default();
    let mut short = Count::default();
    let mut over = Vec::with_capacity(CANARIES);
    for &canary in &*checks[judged].canaries {
        let canary = canary as usize;
        let last = seen[canary];
        if last.at <= at - WINDOW {
            continue;
        }
        let open = checks[canary].state.open.as_ref();
        if open.is_some_and(|open| open.alarmed < at - BROKEN) {
            continue;
        }
        long.add(last);
        over.extend(last.over.get());
        if last.at > at - WINDOW_SHORT {
            short.add(last);
        }
    }
    Excuse {
        failing: long.share(long.bad).max(short.share(short.bad)),
        slow: long.share(long.slow).max(short.share(short.slow)),
        over: middle(&mut over),
        known: long.heard >= HEARD_MIN,
    }
}

/// The median, never below nil; nil where too few speak.
fn middle(over: &mut [f32]) -> f32 {
    if over.len() < HEARD_MIN {
        return 0.0;
    }
    let half = over.len() / 2;
    let (_, middle, _) = over.select_nth_unstable_by(half, f32::total_cmp);
    middle.max(0.0)
}

#[derive(Default)]
struct Count {
    heard: usize,
    bad: usize,
    slow: usize,
}

impl Count {
    fn add(&mut self, seen: Seen) {
        self.heard += 1;
        self.bad += usize::from(seen.bad);
        self.slow += usize::from(seen.slow);
    }

    #[expect(clippy::cast_precision_loss, reason = "at most 64")]
    fn share(&self, of: usize) -> f64 {
        if self.heard < HEARD_MIN {
            0.0
        } else {
            of as f64 / self.heard as f64
        }
    }
}

/// Chooses for each check the others that speak for its vantages: the preferred ones first, then in
/// an order that only their names decide. `depends`: by check, its words in order, each once.
pub(super) fn choose(checks: &mut [Watch], depends: &[Vec<&str>], preferred: &[bool]) {
    let mut order: Vec<usize> = (0..checks.len()).collect();
    order.sort_by_cached_key(|&i| {
        let id = &checks[i].id;
        (!preferred[i], mixed(id.as_str()), id.clone())
    });
    order.truncate(LOOKED_AT_MAX);
    // Nearly all checks share no word with those that are looked at, or the same few: they share the
    // list too.
    let words: HashSet<&str> = order.iter().flat_map(|&i| &depends[i]).copied().collect();
    let mut known: HashMap<Vec<&str>, Arc<[u32]>> = HashMap::new();
    for (i, check) in checks.iter_mut().enumerate() {
        // A check never speaks for itself; one without dependencies has a list of its own.
        if depends[i].is_empty() && order.contains(&i) {
            check.canaries = independent(depends, i, &order);
            continue;
        }
        let shared = depends[i].iter().filter(|word| words.contains(*word));
        let list = known.entry(shared.copied().collect());
        check.canaries = Arc::clone(list.or_insert_with(|| independent(depends, i, &order)));
    }
}

fn independent(depends: &[Vec<&str>], judged: usize, order: &[usize]) -> Arc<[u32]> {
    let own = &depends[judged];
    let mut used: HashMap<&str, usize> = HashMap::new();
    let mut chosen = Vec::new();
    let mut spare = Vec::new();
    for &other in order {
        if chosen.len() == CANARIES {
            break;
        }
        let depends = &depends[other];
        if other == judged || depends.iter().any(|word| own.binary_search(word).is_ok()) {
            continue;
        }
        if depends
            .iter()
            .any(|word| used.get(word).is_some_and(|&n| n >= QUOTA))
        {
            spare.push(other);
            continue;
        }
        for word in depends {
            *used.entry(word).or_default() += 1;
        }
        chosen.push(other);
    }
    let lacking = HEARD_MIN.saturating_sub(chosen.len());
    chosen.extend(spare.into_iter().take(lacking));
    chosen
        .into_iter()
        .filter_map(|i| u32::try_from(i).ok())
        .collect()
}

/// FNV-1a: spreads names, and is the same on every machine.
fn mixed(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
