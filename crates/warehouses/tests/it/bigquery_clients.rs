//! Google's own client against the double: a double that only satisfies our connector proves nothing.

use std::process::Command;

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: see scripts/server/bigquery"))
}

#[test]
fn clients_googles_own_python_client_accepts_the_double_of_bigquery() {
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/../../clients/python/bigquery/official.py");
    let ended = Command::new(variable("TIDEGATE_TEST_BIGQUERY_PYTHON"))
        .args([program, &variable("TIDEGATE_TEST_BIGQUERY")])
        .args([variable("TIDEGATE_TEST_BIGQUERY_KEY"), variable("TIDEGATE_TEST_BIGQUERY_OTHER_KEY")])
        .output()
        .expect("Python starts");
    let (told, complaint) = (String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
    assert!(ended.status.success(), "{told}\n{complaint}");
    let proofs = told.lines().filter(|line| line.starts_with("ok  ")).count();
    assert!(proofs >= 28, "only {proofs} things were proved:\n{told}");
}
