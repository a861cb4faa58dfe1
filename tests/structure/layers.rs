//! Which crate may import which.

use std::collections::{BTreeMap, BTreeSet};

use crate::{entries, name, read, root};

/// The crates under `shared/`, lowest first, each with those of them that it may import.
const LAYERS: [(&str, &[&str]); 8] = [
    ("backoff", &[]),
    ("domain", &[]),
    ("telemetry", &["domain"]),
    ("outbound", &["domain", "telemetry"]),
    ("github", &["backoff", "domain", "outbound", "telemetry"]),
    ("agent", &["backoff", "domain", "outbound"]),
    ("store", &["backoff", "domain", "telemetry"]),
    (
        "runtime",
        &[
            "backoff",
            "domain",
            "github",
            "outbound",
            "store",
            "telemetry",
        ],
    ),
];

/// What the domain may be made of. No AWS, no HTTP, no runtime.
const OF_THE_DOMAIN: [&str; 6] = ["jiff", "serde", "serde_json", "sha2", "thiserror", "uuid"];

/// The dependencies in one section of a manifest.
fn dependencies(manifest: &str, section: &str) -> BTreeSet<String> {
    let heading = format!("[{section}]");
    let lines = manifest.lines().skip_while(|line| *line != heading).skip(1);
    lines
        .take_while(|line| !line.starts_with('['))
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| Some(line.split_once(['.', ' ', '='])?.0.to_owned()))
        .collect()
}

/// The packages in these folders with their dependencies, by name of folder.
fn packages(folder: &str) -> BTreeMap<String, BTreeSet<String>> {
    let folders = entries(&root().join(folder)).into_iter();
    folders
        .filter(|path| path.join("Cargo.toml").exists())
        .map(|path| {
            let manifest = read(&path.join("Cargo.toml"));
            (name(&path), dependencies(&manifest, "dependencies"))
        })
        .collect()
}

#[test]
fn a_crate_imports_only_crates_of_lower_layers() {
    let packages = packages("shared");
    let layers: BTreeMap<&str, &[&str]> = LAYERS.into();
    let names: BTreeSet<&str> = packages.keys().map(String::as_str).collect();
    assert_eq!(names, layers.keys().copied().collect(), "shared/*");
    for (package, imported) in &packages {
        let ours: Vec<&str> = names
            .iter()
            .copied()
            .filter(|name| imported.contains(*name))
            .collect();
        println!("shared/{package} imports {}", ours.join(", "));
        let allowed = layers[package.as_str()];
        let forbidden: Vec<_> = ours.iter().filter(|name| !allowed.contains(name)).collect();
        assert!(forbidden.is_empty(), "{package} imports {forbidden:?}");
        let place = |name: &str| LAYERS.iter().position(|(layer, _)| *layer == name);
        let above = allowed.iter().filter(|name| place(name) >= place(package));
        assert_eq!(
            above.count(),
            0,
            "{package} stands below what it may import"
        );
    }
    let domain: BTreeSet<&str> = packages["domain"].iter().map(String::as_str).collect();
    assert_eq!(domain, OF_THE_DOMAIN.into(), "shared/domain");
}

#[test]
fn no_function_imports_another() {
    let functions = packages("functions");
    for (function, imported) in &functions {
        let others: Vec<_> = functions
            .keys()
            .filter(|name| imported.contains(*name))
            .collect();
        assert!(others.is_empty(), "{function} imports {others:?}");
    }
}
