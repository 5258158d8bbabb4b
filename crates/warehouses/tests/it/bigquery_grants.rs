//! Each permission that is missing is named, with what grants it; a key that does not count, too.

use serde_json::json;
use tidegate_model::{ErrorKind, ReadMode};

use crate::bigquery_server::Warehouse;
use crate::databricks_server::{read, selection};

#[tokio::test]
async fn check_names_the_one_permission_that_is_missing_and_what_grants_it() {
    let warehouse = Warehouse::new().await;
    warehouse.run(&format!("CREATE TABLE `{}` (id INT64)", warehouse.table("t"))).await;
    let selected = selection(json!({ "table": warehouse.table("t") }));
    let (dataset, account) = (warehouse.dataset(), warehouse.account());
    let viewer = format!(
        "GRANT `roles/bigquery.dataViewer` ON TABLE `shop`.`{dataset}`.`t` TO \"serviceAccount:{account}\";"
    );
    for (permission, check, remedy) in [
        (
            "bigquery.jobs.create",
            "bigquery.jobs.create on project shop".to_owned(),
            format!(
                "gcloud projects add-iam-policy-binding shop --member=serviceAccount:{account} --role=roles/bigquery.jobUser"
            ),
        ),
        ("bigquery.tables.get", format!("bigquery.tables.get on table shop:{dataset}.t"), viewer.clone()),
        ("bigquery.tables.getData", format!("bigquery.tables.getData on table shop:{dataset}.t"), viewer),
    ] {
        warehouse.set(json!({ "without": [permission] })).await;
        let checks = warehouse.source().check(Some(&selected)).await.unwrap();
        let failed: Vec<_> = checks.0.iter().filter(|check| !check.passed).collect();
        assert_eq!(failed.len(), 1, "{checks:?}");
        assert_eq!(
            (failed[0].name.as_str(), failed[0].remedy.as_deref()),
            (check.as_str(), Some(remedy.as_str()))
        );
        let error = read(&*warehouse.source(), &selected, &ReadMode::Full).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Denied, "{error:?}");
        assert!(error.message().ends_with(&format!("does not have {check}")), "{error:?}");
        assert_eq!(error.next_step(), remedy, "{error:?}");
    }
    warehouse.set(json!({})).await;
    let checks = warehouse.source().check(Some(&selected)).await.unwrap();
    assert!(checks.passed() && checks.0.len() == 5, "{checks:?}");
}

#[tokio::test]
async fn a_key_that_does_not_count_any_more_is_refused_with_what_to_do() {
    let warehouse = Warehouse::new().await;
    let selected = selection(json!({ "query": "SELECT 1 AS id" }));
    let source = warehouse.source_with(json!({ "service_account_key": warehouse.wrong_key() }));
    let error = read(&*source, &selected, &ReadMode::Full).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied, "{error:?}");
    assert!(error.message().contains("Google refuses the key of"), "{error:?}");
    assert!(error.message().contains("Invalid JWT Signature"), "{error:?}");
    let checks = source.check(Some(&selected)).await.unwrap();
    assert!(
        !checks.passed() && checks.0[0].remedy.as_deref().unwrap().contains("make a new one"),
        "{checks:?}"
    );
}
