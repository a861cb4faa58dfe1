//! `docs/faults.md` and the tests name the same faults.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

const DOCS: &str = include_str!("../../docs/faults.md");

/// The test names in the last column of the document's tables.
fn documented() -> BTreeSet<&'static str> {
    let rows = DOCS.lines().filter_map(|line| line.strip_suffix('|'));
    let cells = rows.filter_map(|row| row.rsplit('|').next());
    let words = cells.flat_map(|cell| cell.split('`').skip(1).step_by(2));
    words.filter(|word| word.contains('_')).collect()
}

/// The files below a directory.
fn sources(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).expect("the sources exist") {
        let path = entry.expect("a listable directory").path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else {
            found.push(path);
        }
    }
    found
}

/// The names of the functions whose line begins like this.
fn functions(sources: &[String], beginning: &str) -> BTreeSet<String> {
    let lines = sources.iter().flat_map(|source| source.lines());
    let names = lines.filter_map(|line| line.strip_prefix(beginning)?.split(['(', '<']).next());
    names.map(str::to_owned).collect()
}

#[test]
fn faults_md_names_every_fault_and_only_existing_tests() {
    let files = sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("faults"));
    let read = |path: &PathBuf| fs::read_to_string(path).expect("a readable source");
    let sources: Vec<String> = files.iter().map(read).collect();
    let tests = functions(&sources, "async fn ");
    let every_type = functions(&sources, "pub(super) async fn ");
    for name in documented() {
        assert!(
            tests.contains(name) || every_type.contains(name),
            "docs/faults.md names {name}, which does not exist"
        );
    }
    let faults = tests.iter().filter(|name| name.starts_with("fault_"));
    for name in faults.chain(&every_type) {
        assert!(
            documented().contains(name.as_str()),
            "docs/faults.md does not name {name}"
        );
    }
}
