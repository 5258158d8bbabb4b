//! What needs no server: settings, statements, and the steps of an administrator.

use serde_json::json;
use tidegate_model::{ConnectionId, Error, Settings};
use tidegate_testkit::http::raw;

use super::CONNECTOR;
use super::settings::RedshiftSettings;

fn settings(changes: &serde_json::Value) -> Settings {
    let mut members = json!({ "host": "shop.abc.eu-central-1.redshift.amazonaws.com", "database": "shop", "user": "tidegate" });
    members.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    raw(members)
}

#[test]
fn an_endpoint_as_the_console_shows_it_is_explained() {
    let connection = |changes: serde_json::Value| -> Result<_, Error> {
        settings(&changes).parse::<RedshiftSettings>()?.connection()
    };
    assert_eq!(connection(json!({})).unwrap().port, 5439);
    let endpoint = "shop.abc.eu-central-1.redshift.amazonaws.com:5439/shop";
    let error = connection(json!({ "host": endpoint })).unwrap_err();
    assert_eq!(error.message(), "`host`: expected a host name without a port");
    assert!(error.next_step().contains("host:port/database"), "{error:?}");
    assert!(connection(json!({ "ca_file": "bundle.pem", "tls": "require" })).is_err());
    assert!(connection(json!({ "fetch_rows": 0 })).is_err());
}

#[test]
fn setup_prints_the_statements_for_the_names_of_the_project() {
    let name = ConnectionId::new("red");
    let selected = raw(json!({ "table": "Sales.orders" }));
    let text =
        (CONNECTOR.setup.unwrap())(&name, &settings(&json!({ "port": 5440 })), Some(&selected)).unwrap();
    for line in [
        "CREATE USER \"tidegate\" PASSWORD 'sha256|<strong-unique-password>';",
        "GRANT USAGE ON SCHEMA \"Sales\" TO \"tidegate\";",
        "GRANT SELECT ON TABLE \"Sales\".\"orders\" TO \"tidegate\";",
        "-- Security group of the cluster or the workgroup: allow TCP 5440 from the address of this machine.",
        "-- Then: tidegate check red",
    ] {
        assert!(text.lines().any(|printed| printed == line), "{line}\n{text}");
    }
    let text = (CONNECTOR.setup.unwrap())(&name, &settings(&json!({})), None).unwrap();
    assert!(text.contains("GRANT SELECT ON TABLE \"<your_schema>\".\"<table>\" TO \"tidegate\";"), "{text}");
}
