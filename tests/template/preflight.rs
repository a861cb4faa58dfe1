//! `docs/operating/preflight.py` compares an account's concurrency with what the template can use.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
};

use crate::TOPOLOGY;

/// A directory with a program `aws` that answers like this.
struct Account(PathBuf);

impl Account {
    fn answers(name: &str, script: &str) -> Self {
        // Several tests use the same account at once, and each removes its own.
        static MADE: AtomicU32 = AtomicU32::new(0);
        let made = MADE.fetch_add(1, Ordering::Relaxed);
        let directory = format!("preflight-{name}-{}-{made}", std::process::id());
        let directory = std::env::temp_dir().join(directory);
        fs::create_dir_all(&directory).expect("a writable directory");
        let aws = directory.join("aws");
        fs::write(&aws, format!("#!/bin/sh\n{script}\n")).expect("it is written");
        let executable = fs::Permissions::from_mode(0o755);
        fs::set_permissions(&aws, executable).expect("it is ours");
        Self(directory)
    }

    /// An account with this concurrency, and this much of it unreserved.
    fn with(concurrency: u32, unreserved: u32) -> Self {
        let name = format!("{concurrency}-{unreserved}");
        Self::answers(&name, &format!("echo {concurrency} {unreserved}"))
    }

    /// The status and the output of the script with these parameters.
    fn preflight(&self, parameters: &[&str]) -> (Option<i32>, String) {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let ended = Command::new("python3")
            .arg(root.join("docs/operating/preflight.py"))
            .args(parameters)
            // Not the test's own path: a wrapper of Python could put another `aws` before this one.
            .env("PATH", format!("{}:/usr/bin:/bin", self.0.display()))
            .output()
            .expect("Python is installed");
        let said = [ended.stdout, ended.stderr].concat();
        (
            ended.status.code(),
            String::from_utf8_lossy(&said).into_owned(),
        )
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        // A leftover directory is harmless.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What all event sources of the template use at once.
fn used() -> u32 {
    let limits = TOPOLOGY.mappings.iter();
    let limits = limits.filter_map(|mapping| mapping.maximum_concurrency);
    limits.map(u32::from).sum()
}

#[test]
fn an_account_with_enough_concurrency_passes_the_preflight() {
    let (status, said) = Account::with(1_000, 1_000).preflight(&[]);
    assert_eq!(status, Some(0), "{said}");
    assert!(said.contains(&format!("use up to {}:", used())), "{said}");
}

#[test]
fn the_preflight_of_a_small_account_says_what_to_set() {
    let (status, said) = Account::with(10, 10).preflight(&[]);
    assert_eq!(status, Some(1), "{said}");
    for told in [
        format!("10 remain for {} from event sources", used()),
        "--quota-code L-B99A9384".to_owned(),
        "SyncConcurrency=2".to_owned(),
    ] {
        assert!(said.contains(&told), "{told}: {said}");
    }
}

#[test]
fn the_preflight_counts_the_chosen_parameters() {
    let account = Account::with(used() + 10, used() + 10);
    assert_eq!(account.preflight(&[]).0, Some(0));
    let (status, said) = account.preflight(&["SyncConcurrency=30"]);
    assert_eq!(status, Some(1), "{said}");
    let (status, said) = account.preflight(&["Concurrency=30"]);
    assert_eq!(status, Some(2), "{said}");
    assert!(said.contains("no parameter Concurrency"), "{said}");
}

#[test]
fn the_preflight_refuses_a_reservation_that_lambda_would_refuse() {
    let reserve = ["ApiReservedConcurrency=8", "ReconcileReservedConcurrency=1"];
    let (status, said) = Account::with(10, 10).preflight(&reserve);
    assert_eq!(status, Some(1), "{said}");
    assert!(
        said.contains("refuses to reserve 9: 10 must stay"),
        "{said}"
    );
    let (status, said) = Account::with(200, 108).preflight(&reserve);
    assert_eq!(status, Some(1), "{said}");
    assert!(
        said.contains("refuses to reserve 9: 100 must stay"),
        "{said}"
    );
    let (status, said) = Account::with(1_000, 1_000).preflight(&reserve);
    assert_eq!(status, Some(0), "{said}");
}

#[test]
fn the_preflight_says_why_it_cannot_read_the_account() {
    let account = Account::answers("denied", "echo no rights >&2; exit 254");
    let (status, said) = account.preflight(&[]);
    assert_eq!(status, Some(2), "{said}");
    let told = "cannot read the account's concurrency: no rights";
    assert!(said.contains(told), "{said}");
}
