//! The pages name tests by their functions. A test that was renamed must be renamed there, too. The threat model names
//! one for each threat.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use crate::{entries, read, root};

/// No test's name is shorter, and hardly any other word between backticks is as long and has as many underscores.
const WORDS: usize = 4;

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for path in entries(folder) {
        if path.is_dir() {
            if !path.ends_with("target") && !path.ends_with("node_modules") {
                sources(&path, found);
            }
        } else if path.extension().is_some_and(|it| it == "rs") {
            found.push(path);
        }
    }
}

/// The names of all functions.
fn functions() -> BTreeSet<String> {
    let mut files = Vec::new();
    for folder in ["shared", "functions", "infra", "tests"] {
        sources(&root().join(folder), &mut files);
    }
    let texts = files.iter().map(|path| read(path)).collect::<Vec<_>>();
    let lines = texts.iter().flat_map(|text| text.lines());
    let after_fn = lines.filter_map(|line| line.split_once("fn ")?.1.split(['(', '<']).next());
    after_fn.map(str::to_owned).collect()
}

fn pages() -> Vec<PathBuf> {
    let folders = [root(), root().join("docs"), root().join("docs/operating")];
    let files = folders.iter().flat_map(|folder| entries(folder));
    let pages = files.filter(|path| path.extension().is_some_and(|it| it == "md"));
    pages.filter(|path| fs::metadata(path).is_ok()).collect()
}

/// What a page calls a test: `a_name`, `module::a_name`, or `the_first_words_…`.
fn named(page: &str) -> impl Iterator<Item = &str> {
    let quoted = page.split('`').skip(1).step_by(2);
    let last = quoted.filter_map(|word| word.rsplit("::").next());
    last.filter(|word| {
        let letters = |it: char| it.is_ascii_lowercase() || it.is_ascii_digit() || it == '_';
        let whole = word.trim_end_matches('…');
        whole.chars().all(letters) && whole.split('_').count() >= WORDS
    })
}

#[test]
fn every_test_that_a_page_names_exists() {
    let functions = functions();
    let mut gone = BTreeSet::new();
    let mut found = 0;
    for page in pages() {
        let text = read(&page);
        for name in named(&text) {
            found += 1;
            let exists = match name.strip_suffix('…') {
                Some(beginning) => functions.iter().any(|it| it.starts_with(beginning)),
                None => functions.contains(name),
            };
            if !exists {
                gone.insert(format!("{}: {name}", crate::name(&page)));
            }
        }
    }
    assert!(found > 50, "the pages name tests: {found}");
    assert!(gone.is_empty(), "{gone:#?}");
}

#[test]
fn every_threat_names_a_test_that_exists() {
    let model = read(&root().join("docs/threat-model.md"));
    let (_, threats) = model.split_once("\n## Threats\n").expect("the threats");
    let (threats, _) = threats
        .split_once("\n## Accepted\n")
        .expect("what is accepted");
    let specs = entries(&root().join("tests/dashboard/specs"));
    let specs: String = specs.iter().map(|spec| read(spec)).collect();
    let mut rows = 0;
    for row in threats.lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").collect();
        let [threat, _, tests] = cells[..] else {
            panic!("not three cells: {row}");
        };
        if threat.trim() == "threat" || threat.contains("---") {
            continue;
        }
        rows += 1;
        let in_browser: Vec<&str> = tests.split('"').skip(1).step_by(2).collect();
        let gone: Vec<_> = in_browser
            .iter()
            .filter(|title| !specs.contains(**title))
            .collect();
        assert!(gone.is_empty(), "no browser test is called {gone:?}");
        // The other test checks that these exist.
        let named = named(tests).count() + in_browser.len();
        assert!(named > 0, "no test shows what stands against:{threat}");
    }
    assert!(rows > 25, "{rows}");
}
