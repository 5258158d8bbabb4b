//! OAuth clients: tokens are asked for, and renewed in the middle of a read.

use serde_json::{Value, json};
use tidegate_model::{Error, ErrorKind, Source};

use crate::databricks_server::{by, read, rows, selection};
use crate::snowflake_server::Account;

/// Opens the source as a client with these settings under `oauth`. The double knows the client by the user.
fn source(account: &Account, changes: &Value) -> std::sync::Arc<dyn Source> {
    let user = account.user();
    let mut oauth = json!({ "client_id": user, "client_secret": format!("f00d-4-secret-of-{user}") });
    oauth.as_object_mut().expect("an object").extend(changes.as_object().expect("an object").clone());
    account.source_with(json!({ "private_key": null, "user": null, "oauth": oauth }))
}

/// The two ways: by a user's refresh token at Snowflake, and for itself at an identity provider.
fn ways(account: &Account) -> [Value; 2] {
    let user = account.user();
    [
        json!({ "refresh_token": format!("refresh-{user}") }),
        json!({ "url": format!("{}/idp/token", account.address()), "scope": "session:role:TIDEGATE_ROLE" }),
    ]
}

#[tokio::test]
async fn a_token_of_oauth_that_ends_during_a_read_is_renewed_and_the_read_continues() {
    let account = Account::new().await;
    let table = account.table("NUMBERS");
    account
        .run(&format!("CREATE TABLE {table} AS SELECT SEQ4() AS ID FROM TABLE(GENERATOR(ROWCOUNT => 40))"))
        .await;
    let selected = selection(json!({ "table": table, "key": ["ID"] }));
    for way in ways(&account) {
        for phase in ["submit", "poll", "part"] {
            let faults = json!({ "rows_per_part": 10, "pending": 1, "faults": { phase: ["ended"] } });
            account.set(faults).await;
            let batches = read(&*source(&account, &way), &selected, &by("ID", None)).await.unwrap();
            assert_eq!(rows(&batches).len(), 40, "{phase}");
            assert_eq!(account.faults_left().await, 0, "{phase}");
            assert_eq!(account.tokens().await, 2, "{phase}");
        }
    }
}

#[tokio::test]
async fn tokens_that_last_for_minutes_are_asked_for_before_they_end() {
    let account = Account::new().await;
    let selected = selection(json!({ "query": "SELECT 1 AS ID", "key": ["ID"] }));
    // They end in less than the time that one is kept for.
    account.set(json!({ "seconds": 30, "rotates": true })).await;
    let [refreshed, _] = ways(&account);
    let batches = read(&*source(&account, &refreshed), &selected, &by("ID", None)).await.unwrap();
    assert_eq!(rows(&batches).len(), 1);
    // Each of them by the refresh token that came with the one before.
    assert!(account.tokens().await > 1);
}

#[tokio::test]
async fn a_client_that_gets_no_token_is_told_what_to_compare() {
    let account = Account::new().await;
    let [refreshed, own] = ways(&account);
    let with = |way: &Value, name: &str, value: &str| {
        let mut way = way.clone();
        way[name] = json!(value);
        way
    };
    for (way, said, next) in [
        (with(&own, "client_secret", "f00d-4-wrong-secret"), "gives out no token", "`oauth.client_secret`"),
        (
            with(&refreshed, "refresh_token", "f00d-4-wrong-token"),
            "gives out no token",
            "authorize the client again",
        ),
        (with(&own, "scope", "session:role:NONE"), "gives out no token", "`oauth.scope`"),
    ] {
        let checks = source(&account, &way).check(None).await.unwrap();
        let login = &checks.0[0];
        assert!(!login.passed && login.name == "login" && login.detail.contains(said), "{login:?}");
        assert!(login.remedy.as_deref().unwrap().contains(next), "{login:?}");
        assert!(!format!("{checks:?}").contains("f00d-4"), "{checks:?}");
    }
    // A token that Snowflake does not accept: the one after it is not accepted either.
    account.set(json!({ "faults": { "submit": ["ended", "ended"] } })).await;
    let checks = source(&account, &own).check(None).await.unwrap();
    assert!(checks.0[0].remedy.as_deref().unwrap().contains("security integration"), "{checks:?}");

    // A server that does not answer at the moment is tried again by the run.
    let nowhere = with(&own, "url", "http://127.0.0.1:1/token");
    let error: Error = source(&account, &nowhere).check(None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
}
