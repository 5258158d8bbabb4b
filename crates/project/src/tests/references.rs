use serde_json::json;

use super::{changed, one, store, told, valid};

const HOST: &str = "host: localhost }\n  push";

fn shop(written: &str) -> String {
    changed(HOST, &format!("{written} }}\n  push"))
}

/// What the settings of `shop` are in the end.
async fn resolved(written: &str) -> serde_json::Value {
    let project = valid(&shop(written));
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("host.txt"), "of-a-file\n").expect("written");
    let store = store();
    store.put_secret("shop", &tidegate_model::Secret::new("s3cret")).await.expect("kept");
    let settings = project.connections[0].settings.resolve(folder.path(), store.as_ref()).await;
    json!(settings.expect("resolved").members())
}

#[tokio::test]
async fn references_are_resolved_inside_one_scalar_and_once() {
    // Cargo sets these for every test.
    let (name, version) = (env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION_MAJOR"));
    let all = resolved(
        r#"host: "db.${CARGO_PKG_NAME}.${NOT_SET_ANYWHERE:-local}", port: "${CARGO_PKG_VERSION_MAJOR}", password: { secret: shop }, close: "${NOT_SET_ANYWHERE:-true}", names: ["$${X}", "${NOT_SET_ANYWHERE:-${CARGO_PKG_NAME}"]"#,
    )
    .await;
    assert_eq!(
        all,
        json!({
            "host": format!("db.{name}.local"), "port": version.parse::<u16>().expect("a number"),
            "password": "s3cret", "close": true, "names": ["${X}", "${CARGO_PKG_NAME"],
        })
    );
    assert_eq!(resolved("host: { file: host.txt }").await["host"], "of-a-file");
    assert_eq!(resolved("host: h, port: \"5432\"").await["port"], 5432, "a number in quotes is one");
}

#[tokio::test]
async fn what_a_reference_names_and_is_not_there_is_told_with_its_setting() {
    for (written, expected, next) in [
        (
            "host: \"${NOT_SET_ANYWHERE}\"",
            "`connections.shop.host` refers to the environment variable `NOT_SET_ANYWHERE`",
            "export NOT_SET_ANYWHERE=…",
        ),
        ("host: { file: no/such }", "`connections.shop.host` refers to the file `no/such`", "create it"),
        (
            "host: { secret: other }",
            "`connections.shop.host` refers to the secret `other`",
            "run `tidegate secret set other`",
        ),
        (
            "host: h, port: \"${NOT_SET_ANYWHERE:-many}\"",
            "`connections.shop.port` expects a whole number",
            "correct the variable",
        ),
    ] {
        let project = valid(&shop(written));
        let settings = &project.connections[0].settings;
        let error = settings.resolve(std::path::Path::new("."), store().as_ref()).await.expect_err("missing");
        assert!(error.message().contains(expected), "{error}");
        assert!(error.next_step().contains(next), "{}", error.next_step());
    }
}

#[tokio::test]
async fn variables_that_are_not_set_are_named_at_once() {
    let project = valid(&shop("host: \"${NOT_SET_ANYWHERE}\", password: \"${NOT_SET_EITHER}\""));
    let settings = &project.connections[0].settings;
    let error = settings.resolve(std::path::Path::new("."), store().as_ref()).await.expect_err("missing");
    for named in
        ["`connections.shop.host` to `NOT_SET_ANYWHERE`", "`connections.shop.password` to `NOT_SET_EITHER`"]
    {
        assert!(error.message().contains(named), "{error}");
    }
    assert_eq!(error.next_step(), "export NOT_SET_ANYWHERE=… NOT_SET_EITHER=…, then run again");
}

#[test]
fn unset_variables_are_listed_and_are_no_error() {
    let text = shop("host: \"${NOT_SET_ANYWHERE}\", password: \"${CARGO_PKG_NAME}\", endpoint: \"${NOT_SET_EITHER:-sandbox}\"")
        .replace("table: orders", "table: \"${NOT_SET_AS_WELL}\"");
    let unset = valid(&text).unset();
    let names: Vec<&str> = unset.iter().map(|variable| variable.name.as_str()).collect();
    assert_eq!(names, ["NOT_SET_ANYWHERE", "NOT_SET_AS_WELL"]);
    assert_eq!((unset[0].path.as_str(), unset[0].at.line), ("connections.shop.host", 3));
}

#[tokio::test]
async fn in_queries_and_mappings_a_dollar_is_text() {
    let text = changed("table: orders", "query: \"select '${X}'\"")
        .replace("name: { value: order_placed }", "name: { value: \"${X}\" }");
    let project = valid(&text);
    assert!(project.unset().is_empty());
    let sync = super::import(&project);
    assert_eq!(sync.source.selection.shown()["query"], "select '${X}'");
    assert_eq!(json!(sync.mapping)["name"]["value"], "${X}");
}

#[test]
fn a_key_of_the_connectors_own_is_no_reference() {
    let project = valid(&changed("table: orders", "table: orders, schema: { file: orders.avsc }"));
    let selection = super::import(&project).source.selection.shown();
    assert_eq!(selection["schema"], json!({ "file": "orders.avsc" }));
}

#[test]
fn other_ways_to_refer_are_answered() {
    let to = |written: &str| format!("{written} }}\n  push");
    for (written, words) in [
        (
            "host: { env: SHOP_HOST }",
            &["connections.shop.host: `{ env: … }` means nothing", "write `\"${SHOP_HOST}\"`"][..],
        ),
        (
            "host: \"{{ env_var('SHOP_HOST') }}\"",
            &["means nothing in a project file", "write `${SHOP_HOST}`"],
        ),
        ("host: \"${TIDEGATE_STORE}\"", &["`${TIDEGATE_STORE}` never resolves"]),
        ("host: \"${\"", &["a `${` is not closed", "`$${`"]),
        ("host: \"${a-b}\"", &["this is not a reference", "`${NAME:-default}`"]),
        ("host: h, names: \"${X}\"", &["expected a list of text, and a reference gives text"]),
    ] {
        one(HOST, &to(written), words);
    }
    let told = told(&changed(HOST, &to("host: {{ env_var('SHOP_HOST') }}")));
    assert!(
        told[0].contains("`{{ env_var('SHOP_HOST') }}` means nothing")
            && told[0].contains("\"${SHOP_HOST}\""),
        "{told:#?}"
    );
}

#[test]
fn a_reference_without_quotes_inside_braces_is_answered_at_its_place() {
    let text = changed(HOST, "host: ${SHOP_HOST}, password: p${A:-b} }\n  push");
    assert_eq!(
        told(&text),
        [
            "3:33 : `${` is inside `{ }` without quotes, where YAML cannot read it → write \"${SHOP_HOST}\", in quotes",
            "3:58 : `${` is inside `{ }` without quotes, where YAML cannot read it → put the whole value in quotes",
        ]
    );
    valid(&changed(
        "{ type: database, host: localhost }",
        "\n    type: database\n    host: ${NOT_SET_ANYWHERE}",
    ));
}
