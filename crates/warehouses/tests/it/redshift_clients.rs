//! Redshift's own client against the double: a double that only satisfies our connector proves nothing.

use std::process::Command;

use crate::redshift_server::address;

#[test]
fn clients_the_connector_of_redshift_for_python_accepts_the_double() {
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/../../clients/python/redshift/official.py");
    let python = std::env::var("TIDEGATE_TEST_REDSHIFT_PYTHON").expect("see scripts/server/redshift");
    let (host, port) = address();
    let ended = Command::new(python).args([program, &host, &port]).output().expect("Python starts");
    let (told, complaint) = (String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
    assert!(ended.status.success(), "{told}\n{complaint}");
    let proofs = told.lines().filter(|line| line.starts_with("ok  ")).count();
    assert!(proofs >= 27, "only {proofs} things were proved:\n{told}");
}
