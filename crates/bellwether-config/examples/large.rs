//! How long a large configuration takes: 20,000 services in 100,000 lines.
//!
//! `cargo run --release -p bellwether-config --example large [SERVICES]`

use std::fmt::Write as _;
use std::io::Write as _;

use bellwether_config::{Source, System, read};

fn main() {
    let told = std::env::args().nth(1).and_then(|n| n.parse().ok());
    let services: usize = told.unwrap_or(20_000);
    let mut text = String::from("services:\n");
    for n in 0..services {
        let need = (n + 1) % services;
        let _ = write!(
            text,
            "  - name: service-{n}\n    url: https://www{n}.shop.example/health\n    labels: {{ team: team-{} }}\n    needs: [service-{need}]\n    expect: {{ status: [200], within: 800ms, body: {{ contains: \"Add to cart\" }} }}\n",
            n % 50
        );
    }
    let (lines, bytes) = (text.lines().count(), text.len());
    let source = Source {
        path: "large.yaml".into(),
        text,
    };
    let before = cpu_ms();
    let loaded = read(vec![source], &System).expect("a valid configuration");
    let read = cpu_ms() - before;
    let before = cpu_ms();
    let redacted = loaded.config.redacted();
    let shown = cpu_ms() - before;
    let _ = writeln!(
        std::io::stdout(),
        "{} services, {lines} lines, {bytes} bytes: read in {read} ms of CPU; redacted in {shown} ms ({} entries)",
        loaded.config.services.len(),
        redacted["services"].as_array().map_or(0, Vec::len),
    );
}

/// User and system time of this process, milliseconds, by the clock ticks of Linux (proc(5): a
/// hundred a second).
fn cpu_ms() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let behind_name = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
    let fields = behind_name.split(' ').skip(11).take(2);
    fields
        .filter_map(|field| field.parse::<u64>().ok())
        .sum::<u64>()
        * 10
}
