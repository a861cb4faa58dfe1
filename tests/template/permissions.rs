//! `docs/operating/permissions.md` lists the template's grants, and the code that needs each.

use std::collections::{BTreeMap, BTreeSet};

use local::template::Permission;

use crate::{TOPOLOGY, text};

const DOCUMENT: &str = "docs/operating/permissions.md";

/// Role, action and resource.
type Grant = (String, String, String);

/// A row of the document: its grants, and the files with the items that need them.
struct Row {
    grants: Vec<Grant>,
    needed_by: Vec<(String, Vec<String>)>,
}

/// The texts between backticks.
fn quoted(text: &str) -> Vec<String> {
    let odd = text.split('`').skip(1).step_by(2);
    odd.map(str::to_owned).collect()
}

/// The rows of each table, under a heading that names their role.
fn rows() -> Vec<Row> {
    let mut role = None;
    let mut rows = Vec::new();
    for line in text(DOCUMENT).lines() {
        if let Some(heading) = line.strip_prefix("## ") {
            role = quoted(heading).pop();
        }
        let cells: Vec<&str> = line.split('|').collect();
        let ([_, actions, resources, needed_by, _], Some(role)) = (&cells[..], &role) else {
            continue;
        };
        let (actions, resources) = (quoted(actions), quoted(resources));
        let grants = actions.iter().flat_map(|action| {
            let of = |resource: &String| (role.clone(), action.clone(), resource.clone());
            resources.iter().map(of)
        });
        rows.push(Row {
            grants: grants.collect(),
            needed_by: files(&quoted(needed_by)),
        });
    }
    // The table's head and the line below it list nothing.
    rows.retain(|row| !row.grants.is_empty());
    rows
}

/// Each file with the items that follow it.
fn files(quoted: &[String]) -> Vec<(String, Vec<String>)> {
    let mut files: Vec<(String, Vec<String>)> = Vec::new();
    for text in quoted {
        let is_file = text.ends_with(".rs") || text.ends_with(".yaml");
        match files.last_mut() {
            _ if is_file => files.push((text.clone(), Vec::new())),
            Some((_, items)) => items.push(text.clone()),
            None => panic!("{text} is in no file"),
        }
    }
    files
}

/// A resource as the document names it: its logical id, and an index after its table.
fn short(arn: &str) -> String {
    if let Some(parameter) = TOPOLOGY.secrets.get(arn) {
        return parameter.clone();
    }
    let name = arn.splitn(6, ':').last().unwrap_or_default();
    let name = name.strip_suffix(":*").unwrap_or(name);
    let kinds = ["table/", "log-group:", "function:"];
    let kind = kinds.into_iter().find_map(|kind| name.strip_prefix(kind));
    kind.unwrap_or(name).to_owned()
}

/// Returns whether the file has the item: in Rust a function, with its type; elsewhere the text itself.
fn has(file: &str, item: &str) -> bool {
    let source = text(file);
    if !file.ends_with(".rs") {
        return source.contains(item);
    }
    let (of, function) = match item.rsplit_once("::") {
        Some((of, function)) => (Some(of), function),
        None => (None, item),
    };
    let defined = ["(", "<"].map(|after| format!("fn {function}{after}"));
    let belongs = |of: &str| {
        let is_type = |word: &str| word == of;
        let mut blocks = source.lines().filter(|line| line.starts_with("impl"));
        blocks.any(|line| line.split(|c: char| !c.is_alphanumeric()).any(is_type))
    };
    defined.iter().any(|text| source.contains(text)) && of.is_none_or(belongs)
}

#[test]
fn the_document_lists_exactly_what_the_template_grants() {
    let mut listed = BTreeSet::new();
    for grant in rows().into_iter().flat_map(|row| row.grants) {
        assert!(!listed.contains(&grant), "listed twice: {grant:?}");
        listed.insert(grant);
    }
    let granted: BTreeSet<Grant> = TOPOLOGY
        .roles
        .iter()
        .flat_map(|(role, read)| {
            let grants = read.grants.iter();
            grants.map(|Permission { action, resource }| {
                (role.clone(), action.clone(), short(resource))
            })
        })
        .collect();
    let missing: Vec<_> = granted.difference(&listed).collect();
    let invented: Vec<_> = listed.difference(&granted).collect();
    assert!(missing.is_empty(), "not in {DOCUMENT}: {missing:#?}");
    assert!(invented.is_empty(), "not in template.yaml: {invented:#?}");
}

#[test]
fn the_code_that_needs_each_permission_exists() {
    let mut looked_up: BTreeMap<(String, String), bool> = BTreeMap::new();
    for row in rows() {
        let items: Vec<_> = row
            .needed_by
            .into_iter()
            .flat_map(|(file, items)| {
                assert!(!items.is_empty(), "what of {file} needs {:?}?", row.grants);
                items.into_iter().map(move |item| (file.clone(), item))
            })
            .collect();
        assert!(!items.is_empty(), "nothing needs {:?}", row.grants);
        for (file, item) in items {
            let found = looked_up
                .entry((file.clone(), item.clone()))
                .or_insert_with(|| has(&file, &item));
            assert!(*found, "{file} has no {item}");
        }
    }
}
