//! scratch
use bellwether_model::dns::ResolverOrigin;
use bellwether_model::job::*;
use bellwether_probe::{check, cx::Cx, hints, system};
fn main() {
    let args: Vec<String> = std::env::args().collect();
    let rt = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let job = Job {
        schema: JOB_SCHEMA.into(),
        target: args[1].parse().unwrap(),
        expect: Default::default(),
        resolvers: if args.len() > 3 {
            args[3..]
                .iter()
                .map(|a| ResolverAsk {
                    label: a.clone(),
                    address: (a.parse::<std::net::IpAddr>().unwrap(), 53).into(),
                    origin: ResolverOrigin::Given,
                })
                .collect()
        } else {
            system::DEFAULT_RESOLVERS
                .iter()
                .map(|a| ResolverAsk {
                    label: a.to_string(),
                    address: (*a, 53).into(),
                    origin: ResolverOrigin::Default,
                })
                .collect()
        },
        controls: system::default_controls(),
        root_hints: match args.get(2).map(String::as_str) {
            Some("-") | None => hints::shipped_hints(),
            Some(p) => hints::parse_hints(&std::fs::read_to_string(p).unwrap()).unwrap(),
        },
        extra_roots: vec![],
        sources: vec![],
        connect: None,
        family: None,
        egress: Default::default(),
        baseline: None,
        now: jiff::Timestamp::now(),
        asn_table: std::env::var("ASN").ok().map(Into::into),
        deadline_ms: 30000,
        avoid: vec![],
    };
    let start = std::time::Instant::now();
    let quiet = std::env::var("Q").is_ok();
    let cx = Cx::new(job, move |e| match e {
        Event::Observed { key, observation } => {
            println!(
                "{:>6.0} ms  waits {} {}",
                start.elapsed().as_secs_f64() * 1e3,
                observation.waits,
                key
            );
            if !quiet {
                println!(
                    "   {}",
                    serde_json::to_string(&observation.outcome).unwrap()
                );
            }
        }
        Event::Done { queries } => println!(
            "done: {queries} queries {:.0} ms",
            start.elapsed().as_secs_f64() * 1e3
        ),
        Event::Started { .. } => {}
    });
    tokio::task::LocalSet::new().block_on(&rt, check::run(&cx));
}
