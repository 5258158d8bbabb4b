//! Clients of others against the double: a double that only satisfies our connector proves nothing.

use std::process::Command;

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: see scripts/server/snowflake"))
}

#[test]
fn clients_the_oauth_of_snowflakes_own_connector_accepts_the_token_endpoints_of_the_double() {
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/../../clients/python/snowflake/vendor_oauth.py");
    let ended = Command::new(variable("TIDEGATE_TEST_SNOWFLAKE_CONNECTOR_PYTHON"))
        .args([program, &variable("TIDEGATE_TEST_SNOWFLAKE")])
        .output()
        .expect("Python starts");
    let (told, complaint) = (String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
    assert!(ended.status.success(), "{told}\n{complaint}");
    assert_eq!(told.lines().filter(|line| line.starts_with("ok  ")).count(), 5, "{told}");
}

#[test]
fn clients_of_the_snowflake_sql_api_by_other_authors_accept_the_double() {
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/../../clients/python/snowflake/others.py");
    let ended = Command::new(variable("TIDEGATE_TEST_SNOWFLAKE_PYTHON"))
        .args([program, &variable("TIDEGATE_TEST_SNOWFLAKE"), &variable("TIDEGATE_TEST_SNOWFLAKE_KEY")])
        .output()
        .expect("Python starts");
    let (told, complaint) = (String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
    assert!(ended.status.success(), "{told}\n{complaint}");
    let proofs = told.lines().filter(|line| line.starts_with("ok  ")).count();
    assert!(proofs >= 21, "only {proofs} things were proved:\n{told}");
}
