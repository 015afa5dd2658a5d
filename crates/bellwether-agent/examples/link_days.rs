//! Days of a link under a virtual clock, by seed: `link_days SEEDS [HOURS] [FIRST]`. Ends with 1 and the
//! seeds at which something was wrong.

use std::process::ExitCode;
use std::time::Instant;

use bellwether_agent::uplink::simulation::day;

#[expect(clippy::print_stdout, reason = "that is what it is for")]
fn main() -> ExitCode {
    let mut words = std::env::args()
        .skip(1)
        .map(|word| word.parse::<u64>().ok());
    let mut number = |usual| words.next().flatten().unwrap_or(usual);
    let (seeds, hours, first) = (number(20), number(24), number(1));
    let begun = Instant::now();
    let (mut rows, mut lost, mut links, mut starts, mut again) = (0, 0, 0, 0, 0);
    let mut gaps = 0;
    let mut bad = Vec::new();
    for seed in first..first + seeds {
        let memory = std::path::Path::new("/dev/shm");
        let dir = match memory.is_dir() {
            true => tempfile::tempdir_in(memory),
            false => tempfile::tempdir(),
        };
        let lived = dir.map_err(|error| error.to_string());
        match lived.and_then(|dir| day(seed, hours, dir.path())) {
            Ok(told) => {
                rows += told.rows;
                lost += told.lost;
                gaps += told.gaps;
                links += told.links;
                starts += told.starts;
                again += told.again;
            }
            Err(why) => {
                println!("seed {seed}: {why}");
                bad.push(seed);
            }
        }
    }
    println!(
        "{seeds} seeds of {hours} h in {:.1} s: {rows} rows made, {lost} lost with killed processes before the disk had them, \
         {links} links, {starts} starts, {again} deliveries given again, {gaps} numbers missing, all lost with a process while its disk was full; every other row once and in order: {}",
        begun.elapsed().as_secs_f64(),
        if bad.is_empty() { "yes" } else { "no" },
    );
    if bad.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
