//! Twenty days.

use super::*;

fn days(seeds: std::ops::Range<u64>) {
    for seed in seeds {
        // Where there are files in memory, a day takes a second or two.
        let memory = Path::new("/dev/shm");
        let dir = match memory.is_dir() {
            true => tempfile::tempdir_in(memory),
            false => tempfile::tempdir(),
        };
        let dir = dir.unwrap();
        let told = day(seed, 24, dir.path()).unwrap_or_else(|why| panic!("seed {seed}: {why}"));
        println!("seed {seed}: {told:?}");
        assert!(
            told.links > 5 && told.starts > 3 && told.rows > 10_000,
            "{told:?}"
        );
    }
}

#[test]
fn p02_c07_days_of_a_bad_link_1() {
    days(1..6);
}

#[test]
fn p02_c07_days_of_a_bad_link_2() {
    days(6..11);
}

#[test]
fn p02_c07_days_of_a_bad_link_3() {
    days(11..16);
}

#[test]
fn p02_c07_days_of_a_bad_link_4() {
    days(16..21);
}
