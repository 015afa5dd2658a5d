//! The spool on disks that fail, forget and tear.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use bellwether_model::harvest::{Own, Shown, Trace, TraceWhy};
use bellwether_model::link::Thinned;
use bellwether_model::report::Context;
use bellwether_model::{CheckId, Expect, Run};
use serde_json::json;

use super::*;

const BEGIN: i64 = 1_763_806_800_000_000;

fn moment(micros: i64) -> Timestamp {
    Timestamp::from_microsecond(BEGIN + micros).unwrap()
}

/// A row as it comes from the field: checks of three kinds, each on its own grid of a minute.
fn run(sequence: u64, random: &mut fastrand::Rng, outcome: &str) -> Run {
    const CHECKS: u64 = 1_500;
    const RESOLVERS: [&str; 4] = ["9.9.9.9", "1.1.1.1", "8.8.8.8", "192.0.2.53"];
    let (check, round) = (sequence % CHECKS, sequence / CHECKS);
    let phase = i64::try_from(check * 40_000 + check * check % 39_989).unwrap();
    let due = moment(phase + i64::try_from(round).unwrap() * 60_000_000);
    // As wide as a log-normal network is, around 20 ms.
    let mut micros = || 2_000 + random.u32(0..9_000) + random.u32(0..30_000);
    let (dns, connect, tls) = (micros(), micros(), 2 * micros());
    let mut row = json!({
        "check": format!("service-{check}/main"),
        "vantage": "fra",
        "sequence": sequence + 1,
        "due": due,
        "late": 20 + random.u32(0..2_000),
        "every": 60_000,
        "trigger": "schedule",
        "outcome": outcome,
        "resolver": RESOLVERS[usize::try_from(round % 4).unwrap()],
        "phases": { "dns": dns },
    });
    let address = format!("198.51.{}.{}", check % 250, 1 + round % 2);
    if check % 5 >= 3 {
        row["address"] = address.into();
        row["phases"]["connect"] = connect.into();
    } else {
        row["status"] = 0.into();
        row["size"] = (60 + check % 200).into();
    }
    if check % 5 == 4 {
        row["status"] = 200.into();
        row["size"] = (12_000 + check).into();
        row["certificate"] = format!("{:064x}", check + 7).into();
        row["certificate_ends"] = "2026-12-24T00:00:00Z".into();
        row["phases"]["tls"] = tls.into();
        row["phases"]["first_byte"] = (micros_of(random)).into();
        row["phases"]["transfer"] = random.u32(40..900).into();
    }
    if outcome != "ok" {
        row["layer"] = "net".into();
        row["symptom"] = "tcp.refused".into();
    }
    serde_json::from_value(row).unwrap()
}

fn micros_of(random: &mut fastrand::Rng) -> u32 {
    5_000 + random.u32(0..20_000)
}

fn context() -> Context {
    Context {
        target: "https://www.shop.example/".parse().unwrap(),
        expect: Expect::default(),
        vantage: "fra".to_owned(),
        now: moment(0),
        time_given: false,
        family: None,
        baseline: None,
    }
}

fn trace(check: &str) -> Harvest {
    Harvest::Trace(Box::new(Trace {
        check: CheckId::new(check, "main"),
        why: TraceWhy::Failure,
        context: context(),
        began: moment(5),
        took_ms: 12.5,
        queries: 30,
        observations: Vec::new(),
    }))
}

fn shown(run: Run) -> Harvest {
    Harvest::Shown(Box::new(Shown {
        run,
        context: context(),
        took_ms: 3.0,
        queries: 1,
        observations: Vec::new(),
    }))
}

fn delivery(harvest: Vec<Harvest>, at: i64) -> Delivery {
    Delivery {
        boot: 7,
        at: moment(at),
        offset_ms: Some(-3),
        harvest,
        thinned: Vec::new(),
    }
}

fn of_start(boot: u64, at: i64) -> Delivery {
    Delivery {
        boot,
        ..delivery(vec![Harvest::Own(Own::Began)], at)
    }
}

/// Rows of which every fiftieth failed, and now and then something else.
fn mixed(from: u64, rows: u64, random: &mut fastrand::Rng) -> Delivery {
    let mut harvest = Vec::new();
    for sequence in from..from + rows {
        let outcome = if sequence % 50 == 7 { "failed" } else { "ok" };
        harvest.push(Harvest::Run(run(sequence, random, outcome)));
        if sequence % 50 == 7 {
            harvest.push(shown(run(sequence, random, "failed")));
            harvest.push(trace(&format!("service-{}", sequence % 1_500)));
        }
        if sequence % 400 == 11 {
            harvest.push(Harvest::Own(Own::Began));
        }
    }
    delivery(harvest, i64::try_from(from).unwrap() * 40_000)
}

/// Files in memory; what each of them does is counted, and one of those things goes wrong.
#[derive(Clone, Default)]
struct Memory(Arc<Mutex<Files>>);

#[derive(Default)]
struct Files {
    all: BTreeMap<String, Vec<u8>>,
    done: usize,
    /// When something goes wrong, and how.
    fault: Option<(usize, Fault)>,
    is_dead: bool,
    room: Option<usize>,
}

#[derive(Clone, Copy, Debug)]
enum Fault {
    /// Once, and nothing of it is done.
    Refused,
    /// Once, and half of it is done.
    Half,
    /// Nothing is done from then on but the first bytes of this: the machine is off.
    Off { bytes: usize },
}

impl Memory {
    fn fails(at: usize, fault: Fault) -> Self {
        let disk = Self::default();
        disk.0.lock().unwrap().fault = Some((at, fault));
        disk
    }

    /// The machine is on again, and the disk well.
    fn well(&self) -> Self {
        let files = self.0.lock().unwrap();
        Self(Arc::new(Mutex::new(Files {
            all: files.all.clone(),
            ..Files::default()
        })))
    }

    fn size(&self) -> usize {
        self.0.lock().unwrap().all.values().map(Vec::len).sum()
    }

    fn room(&self, room: Option<usize>) {
        self.0.lock().unwrap().room = room;
    }

    /// How many bytes of so many are written.
    fn write(&self, len: usize) -> (usize, io::Result<()>) {
        let mut files = self.0.lock().unwrap();
        if files.is_dead {
            return (0, Err(io::Error::other("off")));
        }
        files.done += 1;
        let used: usize = files.all.values().map(Vec::len).sum();
        if files.room.is_some_and(|room| used + len > room) {
            return (len / 3, Err(io::ErrorKind::StorageFull.into()));
        }
        match files.fault {
            Some((at, fault)) if at == files.done => match fault {
                Fault::Refused => (0, Err(io::Error::other("input/output error"))),
                Fault::Half => (len / 2, Err(io::Error::other("input/output error"))),
                Fault::Off { bytes } => {
                    files.is_dead = true;
                    (bytes.min(len), Err(io::Error::other("off")))
                }
            },
            _ => (len, Ok(())),
        }
    }
}

impl Disk for Memory {
    fn list(&mut self) -> io::Result<Vec<(String, u64)>> {
        let files = self.0.lock().unwrap();
        let all = files.all.iter();
        Ok(all
            .map(|(name, bytes)| (name.clone(), bytes.len() as u64))
            .collect())
    }

    fn read(&mut self, name: &str) -> io::Result<Vec<u8>> {
        let files = self.0.lock().unwrap();
        files
            .all
            .get(name)
            .cloned()
            .ok_or(io::ErrorKind::NotFound.into())
    }

    fn append(&mut self, name: &str, at: u64, bytes: &[u8]) -> io::Result<()> {
        let (written, told) = self.write(bytes.len());
        let mut files = self.0.lock().unwrap();
        if written > 0 {
            let file = files.all.entry(name.to_owned()).or_default();
            file.resize(usize::try_from(at).unwrap(), 0);
            file.extend(&bytes[..written]);
        }
        told
    }

    fn replace(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let (written, told) = self.write(bytes.len());
        let mut files = self.0.lock().unwrap();
        match &told {
            Ok(()) => files.all.insert(name.to_owned(), bytes.to_owned()),
            Err(_) if written > 0 => files
                .all
                .insert(format!("{name}.new"), bytes[..written].to_owned()),
            Err(_) => None,
        };
        told
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        let (written, told) = self.write(1);
        if written > 0 {
            self.0.lock().unwrap().all.remove(name);
        }
        told
    }
}

fn opened(disk: &Memory) -> Spool<Memory> {
    Spool::open(disk.clone(), LIMIT_MIN, moment(0)).unwrap()
}

/// With journals that are sealed soon.
fn short(disk: &Memory) -> Spool<Memory> {
    let mut spool = opened(disk);
    spool.journal_rows = 30;
    spool
}

/// Everything after this number, until there is no more.
fn all_after<D: Disk>(spool: &mut Spool<D>, mut number: u64) -> Vec<Numbered> {
    let mut all = Vec::new();
    while let Some(next) = spool.after(number).unwrap() {
        assert!(next.0 > number, "in order");
        number = next.0;
        all.push(next);
    }
    all
}

#[test]
fn what_is_sealed_comes_out_as_it_went_in() {
    let mut random = fastrand::Rng::with_seed(3);
    let mut deliveries: Vec<Numbered> = (0..30)
        .map(|n| (10 + n, mixed(n * 90, 90, &mut random)))
        .collect();
    deliveries.push((60, delivery(Vec::new(), 9)));
    deliveries.push((61, delivery(vec![trace("a"), trace("b")], 10)));
    let counts = Thinned {
        check: CheckId::new("a", "b"),
        from: moment(0),
        to: moment(1),
        runs: [1, 2, 3, 4],
        traces: 5,
    };
    deliveries[4].1.thinned = vec![counts];
    let runs = deliveries
        .iter()
        .flat_map(|(_, delivery)| &delivery.harvest);
    let runs = runs.filter_map(|one| match one {
        Harvest::Run(run) => Some(run.clone()),
        _ => None,
    });
    assert!(table::Table::of(&runs.collect::<Vec<_>>()).is_some());
    let bytes = sealed::write(&deliveries, 1).unwrap();
    assert!(sealed::read(&bytes).unwrap() == deliveries);
    let head = sealed::head(&bytes).unwrap();
    assert_eq!(
        (head.level, head.first, head.last, head.at),
        (1, 10, 61, moment(0))
    );
    for at in (0..bytes.len()).step_by(61) {
        let mut flipped = bytes.clone();
        flipped[at] ^= 4;
        assert!(sealed::read(&flipped).is_none(), "{at}");
        assert!(sealed::read(&bytes[..at]).is_none(), "{at}");
    }
}

/// The budget: seven days of 1,500 checks a minute in 256 MiB.
#[test]
fn p02_seven_days_fit_into_the_default_size() {
    const ROWS: u64 = 16_500;
    const WEEK: u64 = 7 * 24 * 60 * 1_500;
    // Rows of 5 seconds, as they are put together without a hub, and of 200 ms, as with one.
    for rows in [125, 5] {
        let mut random = fastrand::Rng::with_seed(1);
        let disk = Memory::default();
        let mut spool = opened(&disk);
        for from in (0..ROWS).step_by(rows) {
            let all = (from..from + rows as u64).map(|n| Harvest::Run(run(n, &mut random, "ok")));
            spool.append(delivery(
                all.collect(),
                i64::try_from(from).unwrap() * 40_000,
            ));
        }
        let sealed: u64 = spool
            .segments
            .iter()
            .filter(|s| s.is_sealed)
            .map(|s| s.len)
            .sum();
        let last = spool
            .segments
            .iter()
            .filter(|s| s.is_sealed)
            .map(|s| s.last)
            .max()
            .unwrap();
        let each = sealed as f64 / (last * rows as u64) as f64;
        println!(
            "deliveries of {rows} rows: {each:.2} bytes a row, {:.0} MiB a week",
            each * WEEK as f64 / 1_048_576.0
        );
        assert!(
            each * (WEEK as f64) < LIMIT_DEFAULT as f64,
            "{each} bytes a row"
        );
        assert_eq!(spool.fill().thinned, 0);
    }
}

/// Bytes that so many deliveries take where there is room.
fn whole(deliveries: u64) -> u64 {
    let mut random = fastrand::Rng::with_seed(2);
    let mut spool = short(&Memory::default());
    spool.journal_rows = 300;
    for n in 0..deliveries {
        spool.append(mixed(n * 20, 20, &mut random));
    }
    spool.bytes()
}

/// A week without a hub and more: successes go first, what failed stays, and all of it is accounted for.
#[test]
fn p02_a_full_spool_thins_successes_and_tells() {
    let mut random = fastrand::Rng::with_seed(2);
    let disk = Memory::default();
    let mut spool = short(&disk);
    (spool.limit, spool.journal_rows) = (whole(150) * 3 / 4, 300);
    let (mut made, mut failed) = (0, 0);
    for n in 0..150 {
        let delivery = mixed(n * 20, 20, &mut random);
        made += 20;
        failed += delivery
            .harvest
            .iter()
            .filter(|one| matches!(one, Harvest::Shown(_)))
            .count();
        spool.append(delivery);
        assert!(spool.bytes() <= spool.limit, "within the limit");
    }
    let fill = spool.fill();
    assert!(fill.thinned > 100 && fill.damaged == 0, "{fill:?}");
    let all = all_after(&mut spool, 0);
    assert_eq!(all.len(), 150, "no number is missing");
    let (mut ok, mut bad, mut kept_shown, mut counted) = (0, 0, 0, 0);
    for (_, delivery) in &all {
        for one in &delivery.harvest {
            match one {
                Harvest::Run(run) if run.outcome == bellwether_model::run::RunOutcome::Ok => {
                    ok += 1
                }
                Harvest::Run(_) => bad += 1,
                Harvest::Shown(_) => kept_shown += 1,
                Harvest::Trace(_) | Harvest::Own(_) => {}
            }
        }
        counted += delivery.thinned.iter().map(|t| t.runs[0]).sum::<u64>();
    }
    assert_eq!(bad, failed, "every failure is still there");
    assert_eq!(kept_shown, failed, "with its records");
    assert_eq!(
        ok + counted,
        made - failed as u64,
        "every success is there, or counted"
    );
    // What is newest is whole.
    assert!(all[149].1.thinned.is_empty());
    // So it is after the next start.
    let again = all_after(&mut opened(&disk.well()), 0);
    assert!(again == all);
}

#[test]
fn when_all_successes_are_counted_records_go_and_then_rows() {
    let mut random = fastrand::Rng::with_seed(2);
    let mut deliveries: Vec<Delivery> = (0..6).map(|n| mixed(n * 50, 50, &mut random)).collect();
    let mut left_out = 0;
    // Rows, records, traces and what the agent says of itself that are left, then runs and traces counted.
    for (level, wanted) in [
        (Level::Usual, ([6, 6, 6, 1], [294, 0])),
        (Level::Records, ([12, 0, 0, 1], [294, 6])),
        (Level::Rows, ([0, 0, 0, 1], [306, 6])),
    ] {
        left_out += thin::thin(deliveries.iter_mut(), level);
        let mut left = [0; 4];
        for one in deliveries.iter().flat_map(|delivery| &delivery.harvest) {
            left[match one {
                Harvest::Run(_) => 0,
                Harvest::Shown(_) => 1,
                Harvest::Trace(_) => 2,
                Harvest::Own(_) => 3,
            }] += 1;
        }
        let (last, before) = deliveries.split_last().unwrap();
        assert!(before.iter().all(|delivery| delivery.thinned.is_empty()));
        let runs = last.thinned.iter().flat_map(|t| t.runs).sum::<u64>();
        let traces = last.thinned.iter().map(|t| t.traces).sum::<u64>();
        assert_eq!((left, [runs, traces]), wanted, "{level:?}");
        assert!(last.thinned.iter().all(|t| t.from <= t.to));
    }
    assert_eq!(left_out, 306 + 6);
}

/// Counts of so many checks that they are longer than a link carries.
#[test]
fn counts_of_very_many_checks_come_in_several_deliveries() {
    const CHECKS: u64 = 30_000;
    let long = "x".repeat(600);
    let counted = |check: u64| Thinned {
        check: CheckId::new(&format!("service-{check}-{long}"), "main"),
        from: moment(0),
        to: moment(5),
        runs: [1, 0, 0, 0],
        traces: 0,
    };
    let mut deliveries: Vec<Delivery> = (0..CHECKS / 1_000)
        .map(|n| Delivery {
            thinned: (n * 1_000..(n + 1) * 1_000).map(counted).collect(),
            ..delivery(Vec::new(), 0)
        })
        .collect();
    // As often as one likes.
    for _ in 0..2 {
        thin::thin(deliveries.iter_mut(), Level::Rows);
        let runs = deliveries.iter().flat_map(|delivery| &delivery.thinned);
        assert_eq!(runs.map(|t| t.runs[0]).sum::<u64>(), CHECKS);
        assert!(deliveries.iter().all(|one| parcel::pack(one).is_ok()));
    }
    // And what came to be so long in another way holds up nothing behind it.
    let mut spool = short(&Memory::default());
    spool.append(Delivery {
        thinned: (0..CHECKS).map(counted).collect(),
        ..delivery(Vec::new(), 0)
    });
    spool.append(mixed(0, 20, &mut fastrand::Rng::with_seed(1)));
    let all = all_after(&mut spool, 0);
    assert_eq!(all.len(), 2);
    assert!(all.iter().all(|(_, one)| parcel::pack(one).is_ok()));
}

/// What a spool is put through: deliveries, of which the hub takes some. Tells the newest that was said
/// to be durable, and the newest that the hub took.
fn story(spool: &mut Spool<Memory>) -> (u64, u64) {
    let mut random = fastrand::Rng::with_seed(9);
    spool.welcome("fra/1", 0, None).unwrap();
    let (mut durable, mut acked) = (spool.newest(), 0);
    for n in 0..24_u64 {
        spool.append(mixed(n * 7, 7, &mut random));
        if spool.fill().trouble.is_none() {
            durable = spool.newest();
        }
        if n % 7 == 6 {
            acked = spool.newest().saturating_sub(3);
            spool.acknowledge(acked);
        }
    }
    (durable, acked)
}

fn told() -> Vec<Delivery> {
    let mut random = fastrand::Rng::with_seed(9);
    (0..24).map(|n| mixed(n * 7, 7, &mut random)).collect()
}

/// The power goes at each write, after any part of it: what was said to be durable is there, whole and in
/// order, and no number is given twice.
#[test]
fn p02_power_loss_at_every_write_loses_nothing_that_was_durable() {
    let told = told();
    let whole = Memory::default();
    story(&mut short(&whole));
    let writes = whole.0.lock().unwrap().done;
    assert!(writes > 30, "{writes}");
    for at in 1..=writes {
        for bytes in [0, 17, usize::MAX] {
            let disk = Memory::fails(at, Fault::Off { bytes });
            let (durable, acked) = story(&mut short(&disk));
            let disk = disk.well();
            let mut spool = opened(&disk);
            let newest = spool.newest();
            assert!(newest >= durable, "{at} {bytes}: {newest} {durable}");
            spool.welcome("fra/1", acked.min(newest), None).unwrap();
            let all = all_after(&mut spool, acked);
            let numbers: Vec<u64> = all.iter().map(|(number, _)| *number).collect();
            assert_eq!(
                numbers,
                (acked + 1..=newest).collect::<Vec<_>>(),
                "{at} {bytes}"
            );
            for (number, delivery) in &all {
                assert!(
                    delivery == &told[usize::try_from(*number - 1).unwrap()],
                    "{at} {bytes} {number}"
                );
            }
            assert_eq!(spool.fill().damaged, 0, "{at} {bytes}");
            spool.append(delivery(Vec::new(), 1));
            assert_eq!(spool.newest(), newest + 1);
        }
    }
}

/// A write fails once, at each of them: nothing is lost, nor told twice, also after the next start.
#[test]
fn p17_a_write_that_fails_is_never_taken_for_one_that_did_not() {
    let told = told();
    let whole = Memory::default();
    story(&mut short(&whole));
    let writes = whole.0.lock().unwrap().done;
    for at in 1..=writes {
        for fault in [Fault::Refused, Fault::Half] {
            let disk = Memory::fails(at, fault);
            let mut spool = short(&disk);
            let (_, acked) = story(&mut spool);
            spool.flush();
            assert_eq!(spool.fill().trouble, None, "{at}: it is over");
            let all = all_after(&mut spool, acked);
            let rows = |all: &mut dyn Iterator<Item = &Delivery>| -> Vec<Harvest> {
                all.flat_map(|delivery| delivery.harvest.clone()).collect()
            };
            let got = rows(&mut all.iter().map(|(_, delivery)| delivery));
            assert!(rows(&mut told.iter()).ends_with(&got), "{at} {fault:?}");
            assert!(
                got.ends_with(&rows(&mut told[21..].iter())),
                "{at} {fault:?}"
            );
            assert!(
                all_after(&mut opened(&disk.well()), acked) == all,
                "{at} {fault:?}"
            );
        }
    }
}

/// A disk without room: what is seen waits in memory, bounded, the trouble is told, and as soon as there is
/// room all of it is on disk.
#[test]
fn p16_a_full_disk_degrades_and_heals() {
    let mut random = fastrand::Rng::with_seed(4);
    let disk = Memory::default();
    let mut spool = opened(&disk);
    spool.append(mixed(0, 100, &mut random));
    disk.room(Some(disk.size() + 10));
    let mut from = 100;
    while from < 100 + 3 * MEMORY_MAX as u64 {
        spool.append(mixed(from, 1_000, &mut random));
        from += 1_000;
        assert!(
            spool.weight <= MEMORY_MAX + 2 * DELIVERY_ROWS_MAX,
            "{}",
            spool.weight
        );
    }
    let fill = spool.fill();
    assert!(
        fill.trouble
            .as_ref()
            .is_some_and(|why| why.contains("cannot be written")),
        "{fill:?}"
    );
    assert!(fill.thinned > 0);
    // It is handed out all the same.
    let first = spool.after(1).unwrap().unwrap();
    assert_eq!(first.0, 2);
    disk.room(None);
    assert!(spool.flush());
    assert_eq!(spool.fill().trouble, None);
    let all = all_after(&mut spool, 0);
    let (mut there, mut counted) = (0, 0);
    for (_, delivery) in &all {
        there += delivery
            .harvest
            .iter()
            .filter(|one| matches!(one, Harvest::Run(_) | Harvest::Shown(_)))
            .count() as u64;
        counted += delivery
            .thinned
            .iter()
            .map(|t| t.runs.iter().sum::<u64>())
            .sum::<u64>();
    }
    let shown = (0..from).filter(|n| n % 50 == 7).count() as u64;
    assert_eq!(
        there + counted,
        from + shown,
        "every run is there, or counted"
    );
    assert!(all_after(&mut opened(&disk.well()), 0) == all);
}

/// A flipped bit anywhere: every delivery comes as it was, or does not come and is counted.
#[test]
fn p18_bit_rot_is_harmless_or_found() {
    let told = told();
    let disk = Memory::default();
    let mut spool = short(&disk);
    let (_, acked) = story(&mut spool);
    spool.close();
    drop(spool);
    let files = disk.0.lock().unwrap().all.clone();
    let mut found = 0;
    for (name, bytes) in &files {
        for at in (0..bytes.len()).step_by(bytes.len() / 150 + 1) {
            let rotten = disk.well();
            rotten.0.lock().unwrap().all.get_mut(name).unwrap()[at] ^= 1 << (at % 8);
            let mut spool = opened(&rotten);
            spool.welcome("fra/1", acked, None).unwrap();
            let all = all_after(&mut spool, acked);
            for (number, delivery) in &all {
                let place = usize::try_from(*number - 1).unwrap();
                assert!(delivery == &told[place], "{name} {at} {number}");
            }
            let missing = told.len() as u64 - acked - all.len() as u64;
            found += missing;
            let is_last = name.ends_with("journal");
            assert!(
                missing == 0 || spool.fill().damaged > 0 || is_last,
                "{name} {at}"
            );
        }
    }
    assert!(found > 0);
}

/// The folder is lost, or an older copy of itself: the hub knows numbers that the spool does not. What is
/// new gets other ones, also where it was spooled before the hub was heard.
#[test]
fn p02_no_number_is_given_twice_though_the_disk_forgot() {
    let mut random = fastrand::Rng::with_seed(5);
    for lost in [true, false] {
        let disk = Memory::default();
        let mut spool = opened(&disk);
        spool.welcome("fra/1", 0, None).unwrap();
        for n in 0..5 {
            spool.append(mixed(n * 10, 10, &mut random));
        }
        let copy = if lost { Memory::default() } else { disk.well() };
        for n in 5..40 {
            spool.append(mixed(n * 10, 10, &mut random));
        }
        let known = if lost { 0 } else { 5 };
        let mut spool = opened(&copy);
        let fresh: Vec<Delivery> = (0..3)
            .map(|n| mixed(9_000 + n * 10, 10, &mut random))
            .collect();
        for delivery in &fresh {
            spool.append(delivery.clone());
        }
        assert_eq!(spool.newest(), known + 3);
        spool.welcome("fra/1", 40, None).unwrap();
        let wanted: Vec<Numbered> = (41..).zip(fresh).collect();
        assert!(all_after(&mut spool, 40) == wanted);
        assert_eq!(spool.newest(), 43);
        // The hub took two; then the power goes.
        spool.acknowledge(42);
        let mut spool = opened(&copy.well());
        spool.welcome("fra/1", 42, None).unwrap();
        assert!(all_after(&mut spool, 42) == wanted[2..]);
        spool.append(delivery(Vec::new(), 1));
        assert_eq!(spool.newest(), 44);
    }
}

/// What was handed out from memory, and lost before the disk had it, does not lend its number to others.
#[test]
fn p02_a_number_that_only_the_hub_knows_is_not_given_again() {
    let mut random = fastrand::Rng::with_seed(6);
    let disk = Memory::default();
    let mut spool = opened(&disk);
    spool.welcome("fra/1", 0, None).unwrap();
    spool.append(mixed(0, 10, &mut random));
    disk.room(Some(0));
    spool.append(mixed(10, 10, &mut random));
    assert_eq!(spool.after(1).unwrap().unwrap().0, 2, "sent from memory");
    let mut spool = opened(&disk.well());
    let next = mixed(20, 10, &mut random);
    spool.append(next.clone());
    spool.welcome("fra/1", 2, None).unwrap();
    assert!(all_after(&mut spool, 2) == [(3, next)]);
}

#[test]
fn a_start_is_told_from_the_one_before() {
    let disk = Memory::default();
    let first = opened(&disk).boot();
    assert!(opened(&disk).boot() > first);
    assert!(opened(&Memory::default()).boot() >= u64::try_from(BEGIN / 1_000_000).unwrap());
}

#[test]
fn a_hub_that_takes_all_leaves_little_on_disk() {
    let mut random = fastrand::Rng::with_seed(8);
    let dir = tempfile::tempdir().unwrap();
    let mut spool = Spool::open(Folder::open(dir.path()).unwrap(), LIMIT_MIN, moment(0)).unwrap();
    for n in 0..600 {
        spool.append(mixed(n * 20, 20, &mut random));
        let (number, _) = spool.after(n).unwrap().unwrap();
        spool.acknowledge(number);
        assert!(spool.bytes() < 2 * JOURNAL_LEN_DONE);
    }
    spool.close();
    assert_eq!(spool.fill().deliveries, 0);
    let mut spool = Spool::open(Folder::open(dir.path()).unwrap(), LIMIT_MIN, moment(0)).unwrap();
    assert_eq!((spool.newest(), spool.after(0).unwrap()), (600, None));
}

/// Another enrolment: its numbers begin anew, and what waits goes by them; from another vantage it is left
/// out.
#[test]
fn p24_numbers_begin_anew_with_each_enrolment() {
    let mut random = fastrand::Rng::with_seed(5);
    for (agent, left) in [("fra/2", 3), ("nyc/1", 0)] {
        let disk = Memory::default();
        let mut spool = opened(&disk);
        spool.welcome("fra/1", 0, None).unwrap();
        for n in 0..8 {
            spool.append(mixed(n * 10, 10, &mut random));
        }
        spool.acknowledge(5);
        spool.close();
        let mut spool = opened(&disk.well());
        spool.welcome(agent, 0, None).unwrap();
        let numbers: Vec<u64> = all_after(&mut spool, 0)
            .into_iter()
            .map(|(n, _)| n)
            .collect();
        assert_eq!(numbers, (1..=left).collect::<Vec<_>>());
        spool.append(delivery(Vec::new(), 1));
        assert_eq!(spool.newest(), left + 1);
    }
}

/// Of a segment whose beginning the hub has long had, the end is what waits.
#[test]
fn the_oldest_that_waits_is_none_that_the_hub_has() {
    let mut spool = opened(&Memory::default());
    let second = 1_000_000;
    for n in 0..100 {
        spool.append(delivery(vec![Harvest::Own(Own::Began)], n * second));
    }
    assert_eq!(spool.fill().oldest, Some(moment(0)));
    for kept in [50, 99] {
        spool.acknowledge(kept);
        let oldest = spool.fill().oldest.unwrap().duration_since(moment(0));
        let wanted = i64::try_from(kept).unwrap();
        assert!((oldest.as_secs() - wanted).abs() <= 1, "{kept}: {oldest}");
    }
    spool.acknowledge(100);
    assert_eq!(spool.fill().oldest, None);
}

/// Twice killed while no hub was there: the numbers of the first start were forgotten, and used again by
/// the second one. What the hub has under them is not what waits here.
#[test]
fn p02_numbers_that_were_forgotten_hide_nothing_that_waits() {
    let disk = Memory::default();
    let mut first = opened(&disk);
    first.welcome("fra/1", 0, None).unwrap();
    for n in 0..5 {
        first.append(of_start(first.boot(), n));
    }
    first.acknowledge(5);
    // The disk takes nothing more, and the hub has what was in memory.
    disk.room(Some(0));
    for n in 5..20 {
        first.append(of_start(first.boot(), n));
        assert_eq!(
            first.after(first.newest() - 1).unwrap().unwrap().0,
            first.newest()
        );
        first.acknowledge(first.newest());
    }
    let (given, of) = (first.newest(), first.boot());
    drop(first);
    // No hub is there.
    let disk = disk.well();
    let mut second = opened(&disk);
    assert!(second.newest() < given);
    for n in 100..105 {
        second.append(of_start(second.boot(), n));
    }
    let newest = second.boot();
    drop(second);
    let mut third = opened(&disk);
    third.welcome("fra/1", given, Some(of)).unwrap();
    let mut sent = Vec::new();
    let mut after = given;
    while let Some((number, delivery)) = third.after(after).unwrap() {
        assert_eq!(number, after + 1, "without a gap");
        sent.push(delivery.at);
        after = number;
    }
    let wanted: Vec<Timestamp> = (100..105).map(moment).collect();
    assert_eq!(sent, wanted);
    // What the hub has of the second start is ours.
    third.acknowledge(after - 2);
    drop(third);
    let mut fourth = opened(&disk);
    fourth.welcome("fra/1", after, Some(newest)).unwrap();
    assert_eq!(fourth.after(after).unwrap(), None);
}

/// A start without a hub wrote what it saw. Then the disk took nothing more, the hub came and took all of
/// it, and the process was killed before any of that could be written down.
#[test]
fn p02_what_was_taken_while_the_disk_was_full_is_not_brought_again() {
    let disk = Memory::default();
    let mut first = opened(&disk);
    for n in 0..5 {
        first.append(of_start(first.boot(), n));
    }
    disk.room(Some(0));
    first.welcome("fra/1", 0, None).unwrap();
    assert_eq!(all_after(&mut first, 0).len(), 5);
    first.acknowledge(3);
    let boot = first.boot();
    drop(first);
    let mut second = opened(&disk.well());
    second.append(of_start(second.boot(), 100));
    second.welcome("fra/1", 3, Some(boot)).unwrap();
    let left: Vec<_> = all_after(&mut second, 3)
        .into_iter()
        .map(|(number, delivery)| (number, delivery.at))
        .collect();
    assert_eq!(left, [(4, moment(3)), (5, moment(4)), (6, moment(100))]);
}

/// While the disk takes nothing deliveries are put together; what was measured in between is not of the
/// clock that the earlier ones are of, which may have been set since.
#[test]
fn p15_what_waits_is_of_one_clock() {
    let disk = Memory::default();
    let mut spool = opened(&disk);
    disk.room(Some(0));
    let offsets = [None, None, Some(40), Some(41), Some(3_600_041), None];
    for (at, offset_ms) in (0..).zip(offsets) {
        spool.append(Delivery {
            offset_ms,
            ..of_start(spool.boot(), at)
        });
    }
    disk.room(None);
    let all = all_after(&mut spool, 0);
    let told: Vec<_> = all
        .iter()
        .map(|(_, d)| (d.offset_ms, d.harvest.len()))
        .collect();
    assert_eq!(
        told,
        [(None, 2), (Some(41), 2), (Some(3_600_041), 1), (None, 1)]
    );
}

/// A start that could not write down that it was is known by what it left behind.
#[test]
fn a_start_that_was_not_written_down_is_told_from_the_next() {
    let disk = Memory::default();
    let mut first = opened(&disk);
    let late = first.boot() + 1_000;
    first.append(of_start(late, 1));
    drop(first);
    assert!(opened(&disk).boot() > late);
}
