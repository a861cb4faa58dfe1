//! Prints the permissions that the template grants and no run used, from a file that stacks wrote because
//! `LOCAL_PERMISSIONS_FILE` named it.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Parser;
use local::aws_proxy::unused;
use local::template::{Permission, Place, Template};
use serde::Deserialize;

/// Prints the permissions that the roles of template.yaml grant and no run used.
#[derive(Debug, Parser)]
struct Arguments {
    /// File that the stacks appended to; any number of them, in any order
    file: PathBuf,
}

/// A line of the file.
#[derive(Debug, Deserialize)]
struct Used {
    function: String,
    #[serde(flatten)]
    permission: Permission,
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut used: BTreeMap<String, BTreeSet<Permission>> = BTreeMap::new();
    for line in std::fs::read_to_string(Arguments::parse().file)?.lines() {
        let Used {
            function,
            permission,
        } = serde_json::from_str(line)?;
        used.entry(function).or_default().insert(permission);
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../template.yaml");
    let template = Template::parse(&std::fs::read_to_string(path)?)?;
    let parameters = template.parameters(&BTreeMap::new())?;
    // The addresses do not matter: no ARN in a role contains one.
    let place = Place::local("http://127.0.0.1:1", "http://127.0.0.1:3");
    let topology = template.topology(&parameters, &place)?;
    let mut output = io::stdout();
    for function in &topology.functions {
        let used = used.remove(&function.name).unwrap_or_default();
        for Permission { action, resource } in unused(&topology.roles[&function.role], &used) {
            writeln!(output, "{} {action} {resource}", function.name)?;
        }
    }
    Ok(())
}
