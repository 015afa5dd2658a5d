use std::io::Read as _;

use super::super::answer::Answer;
use super::*;
use crate::testing::{check_ask, job};

/// What a worker says to these orders.
fn told(orders: &[Order]) -> Vec<Told> {
    let (input, mut say) = io::pipe().unwrap();
    let (mut hear, output) = io::pipe().unwrap();
    let manner = Manner {
        at_once: 2,
        remembers: true,
        beats: false,
    };
    let worker = std::thread::spawn(move || serve_many(input.into(), output, manner));
    let wanted = orders
        .iter()
        .filter(|order| matches!(order, Order::Probe { .. }));
    let count = wanted.count();
    for order in orders {
        say.write_all(&frame::encode(order).unwrap()).unwrap();
    }
    let mut told: Vec<Told> = (0..count)
        .map(|_| frame::read(&mut hear).unwrap())
        .collect();
    drop(say);
    let mut rest = Vec::new();
    hear.read_to_end(&mut rest).unwrap();
    assert!(rest.is_empty());
    assert!(worker.join().unwrap().is_ok());
    told.sort_by_key(|told| told.number);
    told
}

fn probe(number: u64, setting: u32) -> Order {
    let address = crate::testing::LOCALHOST;
    Order::Probe {
        number,
        setting,
        wanted: Wanted::Address { address },
    }
}

#[test]
fn each_order_is_answered_by_its_own_job() {
    let listener = std::net::TcpListener::bind((crate::testing::LOCALHOST, 0)).unwrap();
    let at = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            std::thread::spawn(move || {
                let mut request = [0; 4096];
                let text = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
                if stream.read(&mut request).is_ok_and(|len| len > 0) {
                    let _ = stream.write_all(text);
                }
            });
        }
    });
    let setting = |setting, target: &str| Order::Setting {
        setting,
        job: Box::new(job(target)),
    };
    let mut orders = vec![
        setting(1, &format!("http://svc.test:{}/", at.port())),
        setting(2, &format!("tcp://svc.test:{}", at.port())),
    ];
    orders.extend((0..10).map(|number| probe(number, 1 + u32::try_from(number % 2).unwrap())));
    orders.push(probe(10, 3));
    let told = told(&orders);
    let kinds: Vec<Vec<ProbeKind>> = told
        .iter()
        .map(|told| told.observations.iter().map(|o| o.probe).collect())
        .collect();
    for (number, kinds) in kinds.iter().enumerate().take(10) {
        let expected: &[ProbeKind] = match number % 2 {
            0 => &[ProbeKind::Tcp, ProbeKind::Http],
            _ => &[ProbeKind::Tcp],
        };
        assert_eq!(kinds, expected, "{number}");
    }
    let Outcome::NotRun(not_run) = &told[10].observations[0].outcome else {
        panic!("{:?}", told[10]);
    };
    assert_eq!(not_run.reason, NotRunReason::Limit);
}

/// A judge of tests: as many records as there are is the status.
fn counted(
    _: &CheckAsk,
    records: Vec<Observation>,
    _: jiff::Timestamp,
) -> (Brief, Vec<Observation>) {
    let brief = Brief {
        status: u16::try_from(records.len()).ok(),
        ..Brief::unknown("monitor.limit".into())
    };
    (brief, records)
}

#[test]
fn a_visit_is_judged_where_that_is_asked_for_and_told_where_it_is_not_usual() {
    // Nobody listens there.
    let target = "tcp://127.0.0.9:9";
    let usual = counted(
        &check_ask(target),
        vec![record(0)],
        jiff::Timestamp::UNIX_EPOCH,
    );
    let (input, mut say) = io::pipe().unwrap();
    let (mut hear, output) = io::pipe().unwrap();
    let manner = Manner {
        at_once: 1,
        remembers: true,
        beats: false,
    };
    let worker =
        std::thread::spawn(move || serve_many_judged(input.into(), output, manner, counted));
    let job = Box::new(job("tcp://common.test:1"));
    let mut orders = vec![Order::Setting { setting: 1, job }];
    let wishes = [None, Some(vec![]), Some(vec![1, usual.0.look()])];
    orders.extend((0..).zip(wishes).map(|(number, usual)| Order::Probe {
        number,
        setting: 1,
        wanted: Wanted::Visit {
            ask: check_ask(target),
            resolver: None,
            turn: 0,
            deadline_ms: 5000,
            usual,
        },
    }));
    for order in &orders {
        say.write_all(&frame::encode(order).unwrap()).unwrap();
    }
    let mut answers: Vec<Answer> = (0..3).map(|_| heard(&mut hear)).collect();
    drop(say);
    assert!(worker.join().unwrap().is_ok());
    answers.sort_by_key(Answer::number);
    let [
        Answer::Told(told),
        Answer::Judged(new),
        Answer::Judged(known),
    ] = &answers[..]
    else {
        panic!("one is told, two are judged");
    };
    assert_eq!(told.observations[0].probe, ProbeKind::Tcp);
    let records = new.records.as_ref().unwrap().read().unwrap();
    assert_eq!(records[0].outcome, told.observations[0].outcome);
    assert_eq!(new.brief, usual.0);
    assert_eq!((&known.brief, &known.records), (&usual.0, &None));
}

/// A panic of the rules is the answer to its own visit, and the worker goes on.
#[test]
fn rules_that_panic_end_no_worker() {
    fn panics(_: &CheckAsk, _: Vec<Observation>, _: jiff::Timestamp) -> (Brief, Vec<Observation>) {
        panic!("a rule of tests");
    }
    let (input, mut say) = io::pipe().unwrap();
    let (mut hear, output) = io::pipe().unwrap();
    let manner = Manner {
        at_once: 1,
        remembers: true,
        beats: false,
    };
    let worker =
        std::thread::spawn(move || serve_many_judged(input.into(), output, manner, panics));
    let job = Box::new(job("tcp://common.test:1"));
    let setting = Order::Setting { setting: 1, job };
    say.write_all(&frame::encode(&setting).unwrap()).unwrap();
    for number in 0..2 {
        let order = Order::Probe {
            number,
            setting: 1,
            wanted: Wanted::Visit {
                // Nobody listens there.
                ask: check_ask("tcp://127.0.0.9:9"),
                resolver: None,
                turn: 0,
                deadline_ms: 5000,
                usual: Some(vec![]),
            },
        };
        say.write_all(&frame::encode(&order).unwrap()).unwrap();
        let Answer::Judged(judged) = heard(&mut hear) else {
            panic!("it is not judged");
        };
        assert_eq!(
            judged.brief,
            Brief::unknown("monitor.probe_panicked".into())
        );
    }
    drop(say);
    assert!(worker.join().unwrap().is_ok());
}

fn heard(from: &mut impl io::Read) -> Answer {
    let mut head = [0; frame::HEAD_LEN];
    from.read_exact(&mut head).unwrap();
    let mut content = vec![0; usize::try_from(u32::from_le_bytes(head)).unwrap()];
    from.read_exact(&mut content).unwrap();
    Answer::read(&content).unwrap()
}

fn record(len: usize) -> Observation {
    Observation {
        id: String::new(),
        probe: ProbeKind::Http,
        began: jiff::Timestamp::UNIX_EPOCH,
        took_ms: 0.0,
        waits: 0,
        outcome: Outcome::NotRun(NotRun {
            reason: NotRunReason::Deadline,
            detail: "x".repeat(len),
            subject: String::new(),
            address: None,
            via: None,
        }),
    }
}

/// However many records there are, what is judged is bounded, and says what is missing.
#[test]
fn records_that_are_judged_are_bounded() {
    let mut report = Report::kept(7);
    for _ in 0..RECORDS_MAX + 3 {
        report.add(&record(1));
    }
    report.close(3);
    let kept = report.kept.unwrap();
    assert_eq!(kept.len(), RECORDS_MAX + 1);
    let Outcome::NotRun(last) = &kept[RECORDS_MAX].outcome else {
        panic!("{:?}", kept[RECORDS_MAX].probe);
    };
    assert!(
        last.detail.starts_with("3 records are left out"),
        "{}",
        last.detail
    );
}

/// What has no room in a frame leaves a record that says so, and the frame can be read.
#[test]
fn records_that_are_too_much_are_told_of() {
    for (lens, kept) in [
        (vec![FRAME_LEN_MAX, 10], 1),
        (vec![REPORT_LEN_MAX, 10, 10], 1),
        (vec![REPORT_LEN_MAX - 1000, REPORT_LEN_MAX - 10_000, 10], 2),
    ] {
        let mut report = Report::new(7);
        for len in &lens {
            report.add(&record(*len));
        }
        report.close(3);
        let mut framed = Vec::new();
        frame::append_content(&mut framed, &report.text).unwrap();
        let told: Told = frame::read(&mut &framed[..]).unwrap();
        assert_eq!(told.observations.len(), kept + 1);
        let Outcome::NotRun(last) = &told.observations[kept].outcome else {
            panic!("{:?}", told.observations[kept].probe);
        };
        assert_eq!(last.reason, NotRunReason::Limit);
        let left_out = format!("{} records are left out", lens.len() - kept);
        assert!(last.detail.starts_with(&left_out), "{}", last.detail);
    }
}

#[test]
fn a_job_of_another_version_is_refused() {
    let (input, mut say) = io::pipe().unwrap();
    let mut other = job("tcp://svc.test:1");
    other.schema = "bellwether.worker/0".to_owned();
    let job = Box::new(other);
    let order = Order::Setting { setting: 1, job };
    say.write_all(&frame::encode(&order).unwrap()).unwrap();
    let manner = Manner {
        at_once: 1,
        remembers: false,
        beats: false,
    };
    let ended = serve_many(input.into(), io::sink(), manner);
    assert!(matches!(ended, Err(WorkerError::Schema(_))));
}
