//! Databricks' own clients against the double: a double that only satisfies our connector proves
//! nothing.

use std::process::Command;

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: see scripts/server/databricks"))
}

#[test]
fn clients_the_sdk_the_sql_connector_and_the_kernel_of_databricks_accept_the_double() {
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/../../clients/python/databricks/official.py");
    let ended = Command::new(variable("TIDEGATE_TEST_DATABRICKS_PYTHON"))
        .args([program, &variable("TIDEGATE_TEST_DATABRICKS")])
        .args([variable("TIDEGATE_TEST_DATABRICKS_TLS_PORT"), variable("TIDEGATE_TEST_DATABRICKS_CA")])
        .output()
        .expect("Python starts");
    let (told, complaint) = (String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
    assert!(ended.status.success(), "{told}\n{complaint}");
    let proofs = told.lines().filter(|line| line.starts_with("ok  ")).count();
    assert!(proofs >= 19, "only {proofs} things were proved:\n{told}");
}
