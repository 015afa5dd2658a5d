//! Puts the cause pages of `docs/causes/` into the program.

use std::fmt::Write;
use std::path::Path;
use std::{env, fs};

fn main() {
    let pages = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/causes");
    println!("cargo::rerun-if-changed={}", pages.display());
    let mut files: Vec<_> = fs::read_dir(&pages)
        .expect("docs/causes stands beside crates")
        .map(|entry| entry.expect("docs/causes can be listed").path())
        .filter(|path| path.extension().is_some_and(|e| e == "md"))
        .collect();
    files.sort();
    let mut code =
        String::from("/// Code and page of each cause.\nconst PAGES: &[(&str, &str)] = &[\n");
    for path in files {
        let path = path.canonicalize().expect("a file that was just listed");
        let stem = path
            .file_stem()
            .expect("a file has a name")
            .to_string_lossy();
        writeln!(
            code,
            "    ({stem:?}, include_str!({:?})),",
            path.display().to_string()
        )
        .expect("a string takes all that is written");
    }
    code.push_str("];\n");
    let out = env::var_os("OUT_DIR").expect("cargo sets OUT_DIR");
    fs::write(Path::new(&out).join("pages.rs"), code).expect("OUT_DIR can be written");
}
