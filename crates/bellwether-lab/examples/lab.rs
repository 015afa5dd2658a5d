//! The lab by itself, to try a world before the program exists: `lab FILE SEED COMMAND`.

use std::path::Path;
use std::process::ExitCode;

use bellwether_lab::{DrillOptions, WorldEnd, exec, world_main};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["drill-world", job] => match world_main(Path::new(job)) {
            Ok(WorldEnd::Json(json)) => {
                use std::io::Write;
                let _ = std::io::stdout().write_all(json.as_bytes());
                ExitCode::SUCCESS
            }
            Ok(WorldEnd::Exit(code)) => ExitCode::from(code),
            Err(e) => {
                eprintln!("{e:?}");
                ExitCode::FAILURE
            }
        },
        [file, seed, command] => {
            let options = DrillOptions::new(vec![(*file).to_owned()], vec![seed.parse().unwrap_or(1)]);
            match options.and_then(|o| exec(&o, command)) {
                Ok(code) => ExitCode::from(code),
                Err(e) => {
                    eprintln!("{e}: {e:?}");
                    ExitCode::from(2)
                }
            }
        }
        _ => ExitCode::from(2),
    }
}
