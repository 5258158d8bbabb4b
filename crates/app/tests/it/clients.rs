//! Clients that nobody here wrote work against the sandbox, unchanged but for the base URL.

use std::path::Path;
use std::process::Command;

use crate::support::{Sandbox, repository, variable};

/// Runs a program against a sandbox of its own.
fn prove(interpreter: &Path, program: &Path) {
    let sandbox = Sandbox::start(&["--memory", "--no-limits"]);
    let ended = Command::new(interpreter).arg(program).arg(&sandbox.url).output();
    let ended = ended.unwrap_or_else(|cause| panic!("{}: {cause}", interpreter.display()));
    let (told, complaint) = (String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
    assert!(ended.status.success(), "{} found a difference\n{told}\n{complaint}", program.display());
    let proofs = told.lines().filter(|line| line.starts_with("ok  ")).count();
    assert!(proofs >= 15, "only {proofs} things were proved:\n{told}");
}

fn python(program: &str) {
    prove(Path::new(&variable("TIDEGATE_TEST_PYTHON")), &repository().join("clients/python").join(program));
}

fn node(program: &str) {
    prove(Path::new("node"), &Path::new(&variable("TIDEGATE_TEST_NODE_CLIENTS")).join(program));
}

#[test]
fn clients_the_official_python_client_of_onesignal_works() {
    python("onesignal_client.py");
}

#[test]
fn clients_the_python_client_of_braze_works() {
    python("braze_client.py");
}

#[test]
fn clients_the_official_node_client_of_onesignal_works() {
    node("onesignal.mjs");
}

#[test]
fn clients_the_node_client_of_braze_works() {
    node("braze.mjs");
}
