//! Puts the cause pages of `docs/causes/` into the program, and a test for each of `scenarios/`.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let out = env::var_os("OUT_DIR").expect("cargo sets OUT_DIR");
    let write = |name: &str, code: &str| {
        fs::write(Path::new(&out).join(name), code).expect("OUT_DIR can be written");
    };
    write("pages.rs", &pages(&repository.join("docs/causes")));
    write(
        "scenario_tests.rs",
        &scenarios(&repository.join("scenarios")),
    );
}

/// Code and page of each cause.
fn pages(folder: &Path) -> String {
    let mut code =
        String::from("/// Code and page of each cause.\nconst PAGES: &[(&str, &str)] = &[\n");
    for path in files(folder, "md") {
        let path = path.canonicalize().expect("a file that was just listed");
        writeln!(
            code,
            "    ({:?}, include_str!({:?})),",
            stem(&path),
            path.display().to_string()
        )
        .expect("a string takes all that is written");
    }
    code.push_str("];\n");
    code
}

/// One test for each scenario, so that a new file needs no other place to be named.
fn scenarios(folder: &Path) -> String {
    let mut code = String::new();
    for path in files(folder, "yaml") {
        let name = stem(&path);
        let function = name.replace('-', "_");
        writeln!(
            code,
            "#[test]\nfn {function}() {{\n    check({name:?});\n}}\n"
        )
        .expect("a string takes all that is written");
    }
    code
}

fn stem(path: &Path) -> String {
    path.file_stem()
        .expect("a file has a name")
        .to_string_lossy()
        .into_owned()
}

/// The files of a folder with this extension, sorted; a change of the folder builds anew.
fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    println!("cargo::rerun-if-changed={}", folder.display());
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap_or_else(|error| panic!("failed to list {}: {error}", folder.display()))
        .map(|entry| entry.expect("a folder can be listed to its end").path())
        .filter(|path| path.extension().is_some_and(|e| e == extension))
        .collect();
    files.sort();
    files
}
