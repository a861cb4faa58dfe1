//! What `sam build` compiles, and for what.

use crate::text;

/// What cargo-lambda chooses for itself where the workspace's release profile is silent. It would have a panic abort the
/// process, which the runtime turns into an error answer only if it unwinds.
const CHOSEN: [&str; 4] = [
    "codegen-units = 1",
    "lto = \"fat\"",
    "panic = \"unwind\"",
    "strip = true",
];

#[test]
fn the_release_profile_leaves_no_choice_to_cargo_lambda() {
    let manifest = text("Cargo.toml");
    let profile = manifest
        .split("\n[")
        .find(|section| section.starts_with("profile.release]"))
        .expect("there is a release profile");
    for line in CHOSEN {
        assert!(profile.lines().any(|one| one == line), "it lacks {line}");
    }
}

#[test]
fn the_architecture_is_chosen_in_the_template_alone() {
    let configuration = text("samconfig.toml");
    let settings = configuration.lines().filter(|line| !line.starts_with('#'));
    let elsewhere: Vec<_> = settings
        .filter(|line| line.contains("Architecture"))
        .collect();
    assert!(elsewhere.is_empty(), "samconfig.toml: {elsewhere:?}");
    let commands = text("docs/operating/deploy.md");
    assert!(
        !commands.contains("Architecture="),
        "deploy.md overrides it"
    );
}

#[test]
fn what_sam_builds_is_not_committed() {
    assert!(text(".gitignore").lines().any(|line| line == "/.aws-sam"));
}
