//! Files of one crate import each other in one direction, but for a module and what is inside it.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use crate::{entries, name, read, root};

/// A module's place within its crate: `["findings", "analyses"]`.
type Module = Vec<String>;
/// A path as it is imported, from the crate's root.
type Import = Vec<String>;

/// A crate's modules that have a file of their own.
struct Sources {
    imports: BTreeMap<Module, Vec<Import>>,
}

impl Sources {
    /// Everything below `src` but tests.
    fn of(src: &Path) -> Self {
        let mut texts = BTreeMap::new();
        collect(src, &mut Vec::new(), &mut texts);
        let imports = texts
            .iter()
            .map(|(module, text)| (module.clone(), imports(module, text)))
            .collect();
        Self { imports }
    }

    /// The module that an import is from. A name that a module has imported itself is its origin's.
    fn origin(&self, import: &[String], depth: usize) -> Option<&Module> {
        let longest = (0..=import.len()).rev();
        let mut prefixes = longest.map(|length| &import[..length]);
        let (module, imported) = prefixes.find_map(|prefix| self.imports.get_key_value(prefix))?;
        let passed_on = import.get(module.len()).and_then(|item| {
            let again = imported.iter().find(|path| path.last() == Some(item))?;
            self.origin(again, depth.checked_sub(1)?)
        });
        passed_on.or(Some(module))
    }

    /// Which modules import which, but for a module and what is inside it.
    fn edges(&self) -> BTreeMap<&Module, BTreeSet<&Module>> {
        let related =
            |one: &Module, other: &Module| one.starts_with(other) || other.starts_with(one);
        self.imports
            .iter()
            .map(|(module, imports)| {
                let origins = imports.iter().filter_map(|import| self.origin(import, 4));
                let others = origins.filter(|origin| !related(origin, module));
                (module, others.collect())
            })
            .collect()
    }

    /// The modules that can be reached from themselves, each with a way back.
    fn circles(&self) -> Vec<String> {
        let edges = self.edges();
        let mut circles = Vec::new();
        let mut known = BTreeSet::new();
        for &start in edges.keys() {
            let mut ways: Vec<Vec<&Module>> = edges[start].iter().map(|next| vec![*next]).collect();
            let mut seen = BTreeSet::new();
            while let Some(way) = ways.pop() {
                let last = *way.last().expect("no way is empty");
                if last == start {
                    let members: BTreeSet<_> = way.iter().copied().collect();
                    if known.insert(members) {
                        let names = way.iter().map(|module| module.join("::"));
                        circles.push(names.collect::<Vec<_>>().join(" -> "));
                    }
                    continue;
                }
                if seen.insert(last) {
                    let further = edges.get(last).into_iter().flatten();
                    ways.extend(further.map(|next| [way.as_slice(), &[*next]].concat()));
                }
            }
        }
        circles
    }
}

fn collect(folder: &Path, module: &mut Module, texts: &mut BTreeMap<Module, String>) {
    for path in entries(folder) {
        let name = name(&path);
        let stem = name.strip_suffix(".rs").unwrap_or(&name).to_owned();
        // Tests may look at everything. A `bin` is a crate of its own.
        if ["tests", "testing", "samples", "bin"].contains(&stem.as_str()) {
            continue;
        }
        let is_own = ["lib", "main", "mod"].contains(&stem.as_str());
        if !is_own {
            module.push(stem);
        }
        if path.is_dir() {
            collect(&path, module, texts);
        } else if name.ends_with(".rs") {
            let text = read(&path);
            let text = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
            // A `main.rs` beside a `lib.rs` is wiring, and imports the library by its name.
            if name != "main.rs" {
                texts.insert(module.clone(), without_comments(text));
            }
        }
        if !is_own {
            module.pop();
        }
    }
}

fn without_comments(text: &str) -> String {
    let lines = text.lines();
    lines
        .map(|line| line.split("//").next().unwrap_or_default())
        .collect::<Vec<_>>()
        .join("\n")
}

/// What a module's text imports of its own crate, by `use` and by paths in the code.
fn imports(module: &Module, text: &str) -> Vec<Import> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(at) = ["crate::", "super::", "self::"]
        .iter()
        .filter_map(|root| rest.find(root))
        .min()
    {
        let (before, path) = rest.split_at(at);
        let is_path =
            !before.ends_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | ':' | '$'));
        rest = &path["self::".len()..];
        if !is_path {
            continue;
        }
        let mut tree = Vec::new();
        expand(path, &mut Vec::new(), &mut tree);
        found.extend(tree.into_iter().filter_map(|path| absolute(module, &path)));
    }
    found
}

/// Takes a path apart, and the tree in braces at its end. Gives what follows it.
fn expand<'a>(text: &'a str, prefix: &mut Vec<String>, found: &mut Vec<Import>) -> &'a str {
    let text = text.trim_start();
    if let Some(mut inner) = text.strip_prefix('{') {
        loop {
            inner = inner.trim_start();
            if let Some(after) = inner.strip_prefix('}') {
                return after;
            }
            let depth = prefix.len();
            let after = expand(inner, prefix, found);
            prefix.truncate(depth);
            let after = after.trim_start();
            match after.strip_prefix(',') {
                Some(next) => inner = next,
                None => return after.strip_prefix('}').unwrap_or(""),
            }
        }
    }
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_');
    let (segment, after) = text.split_at(end.unwrap_or(text.len()));
    if segment.is_empty() {
        return "";
    }
    prefix.push(segment.to_owned());
    if let Some(next) = after.strip_prefix("::") {
        let next = next.strip_prefix('<').map_or(next, |_| "");
        if !next.is_empty() {
            return expand(next, prefix, found);
        }
    }
    found.push(prefix.clone());
    let after = after.trim_start();
    match after.strip_prefix("as ") {
        Some(renamed) => renamed.trim_start_matches(|c: char| c.is_alphanumeric() || c == '_'),
        None => after,
    }
}

fn absolute(module: &Module, path: &[String]) -> Option<Import> {
    let mut base = module.clone();
    let mut segments = path.iter().filter(|segment| *segment != "self");
    let mut rest = Vec::new();
    while let Some(segment) = segments.next() {
        match segment.as_str() {
            "crate" => base.clear(),
            "super" => _ = base.pop()?,
            _ => {
                rest.push(segment.clone());
                rest.extend(segments.by_ref().cloned());
            }
        }
    }
    Some([base, rest].concat())
}

/// The folders of sources of every crate that is ours.
fn crates() -> Vec<PathBuf> {
    let folders = ["shared", "functions", "infra"].map(|folder| entries(&root().join(folder)));
    let sources = folders.into_iter().flatten().map(|path| path.join("src"));
    sources.filter(|path| path.exists()).collect()
}

#[test]
fn files_of_a_crate_import_each_other_in_one_direction() {
    let mut circles = Vec::new();
    for src in crates() {
        let of = name(src.parent().expect("it is in its crate"));
        let sources = Sources::of(&src);
        let found = sources.circles();
        println!(
            "{of}: {} files, {} circles",
            sources.imports.len(),
            found.len()
        );
        circles.extend(found.into_iter().map(|circle| format!("{of}: {circle}")));
    }
    assert!(circles.is_empty(), "{circles:#?}");
}

#[test]
fn a_circle_is_seen_through_names_that_are_passed_on() {
    let module = |name: &str| vec![name.to_owned()];
    let texts = [
        ("a", "use super::B;"),
        ("b", "use crate::{c::{self, D}, e};"),
        ("c", "fn f() { crate::a::g(); }"),
        ("e", ""),
    ];
    let mut imports_of: BTreeMap<Module, Vec<Import>> = texts
        .into_iter()
        .map(|(name, text)| (module(name), imports(&module(name), text)))
        .collect();
    imports_of.insert(Vec::new(), imports(&Vec::new(), "pub use self::b::B;"));
    let sources = Sources {
        imports: imports_of,
    };
    assert_eq!(sources.circles(), ["b -> c -> a"]);
}
