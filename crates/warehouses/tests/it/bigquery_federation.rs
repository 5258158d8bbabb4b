//! Workload identity federation: a workload of another platform logs in without a key.

use std::path::PathBuf;

use serde_json::{Value, json};
use tidegate_model::{ErrorKind, ReadMode, Secret, Source};
use tidegate_transport::jwt::RsaKey;

use crate::bigquery_server::Warehouse;
use crate::databricks_server::{by, read, rows, selection};

/// What the double of scripts/server/bigquery knows as a provider.
const PROVIDER: &str =
    "//iam.googleapis.com/projects/1234/locations/global/workloadIdentityPools/shop/providers/idp";

/// A workload: a file with its token, as its platform leaves one.
struct Workload {
    folder: tempfile::TempDir,
    warehouse: Warehouse,
}

impl Workload {
    async fn new() -> Workload {
        let workload =
            Workload { folder: tempfile::tempdir().expect("a folder"), warehouse: Warehouse::new().await };
        workload.leave(&json!({}));
        workload
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("token")
    }

    /// Puts a token into the file, whose claims are changed by `changes`.
    fn leave(&self, changes: &Value) {
        let pem = std::env::var("TIDEGATE_TEST_BIGQUERY_KEY").expect("scripts/test sets it");
        let key = RsaKey::from_pem(&std::fs::read_to_string(pem).expect("a key"), "key").expect("a key");
        let name = self.warehouse.account();
        let mut claims = json!({
            "iss": "https://idp.example", "aud": format!("https:{PROVIDER}"), "iat": 1, "exp": 4_000_000_000_u64,
            "sub": name.split('@').next(),
        });
        let claims_now = claims.as_object_mut().expect("an object");
        claims_now.extend(changes.as_object().cloned().unwrap_or_default());
        let token: Secret = key.token(None, &claims).expect("a token");
        std::fs::write(self.file(), token.expose()).expect("written");
    }

    /// Opens the source as this workload, as a service account if `impersonates`.
    fn source(&self, impersonates: bool) -> std::sync::Arc<dyn Source> {
        let address = self.warehouse.address();
        let mut configuration = json!({
            "type": "external_account",
            "audience": PROVIDER,
            "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
            "token_url": format!("{address}/sts/token"),
            "credential_source": { "file": self.file() },
        });
        if impersonates {
            let account = self.warehouse.account();
            configuration["service_account_impersonation_url"] =
                format!("{address}/iam/v1/projects/-/serviceAccounts/{account}:generateAccessToken").into();
        }
        self.warehouse.source_with(json!({
            "service_account_key": null, "workload_identity": configuration.to_string(),
        }))
    }
}

#[tokio::test]
async fn a_workload_reads_without_a_key_as_itself_and_as_a_service_account() {
    let workload = Workload::new().await;
    let selected = selection(json!({ "query": "SELECT 1 AS id" }));
    for impersonates in [false, true] {
        let source = workload.source(impersonates);
        let batches = read(&*source, &selected, &ReadMode::Full).await.unwrap();
        assert_eq!(rows(&batches), ["{\"id\":1}"]);
        let checks = source.check(Some(&selected)).await.unwrap();
        assert!(checks.passed(), "{checks:?}");
        let who = match impersonates {
            true => workload.warehouse.account(),
            false => format!("principalSet:{}/*", PROVIDER.split("/providers").next().unwrap()),
        };
        assert_eq!(checks.0[0].detail, format!("BigQuery, as {who}"));
    }
}

#[tokio::test]
async fn a_token_that_ends_during_a_read_is_replaced_by_what_the_platform_left_meanwhile() {
    let workload = Workload::new().await;
    let table = workload.warehouse.table("numbers");
    let sql = format!("CREATE TABLE `{table}` AS SELECT id FROM UNNEST(GENERATE_ARRAY(0, 39)) AS id");
    workload.warehouse.run(&sql).await;
    let expected: Vec<String> = (0..40).map(|id| format!("{{\"id\":{id}}}")).collect();
    for impersonates in [false, true] {
        let faults = json!({ "page": ["expired"], "token": ["503"] });
        workload.warehouse.set(json!({ "rows_per_page": 10 })).await;
        let source = workload.source(impersonates);
        source.check(None).await.unwrap();
        workload.warehouse.set(json!({ "rows_per_page": 10, "faults": faults })).await;
        workload.leave(&json!({ "jti": "a later one" }));
        let selected = selection(json!({ "table": table }));
        let batches = match read(&*source, &selected, &by("id", None)).await {
            Ok(batches) => batches,
            // The exchange was not answered: the run tries again.
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
                read(&*source, &selected, &by("id", None)).await.unwrap()
            }
        };
        assert_eq!(rows(&batches), expected);
        assert_eq!(workload.warehouse.faults_left().await, 0);
    }
}

#[tokio::test]
async fn check_says_why_a_workload_may_not_log_in_and_what_lets_it() {
    let workload = Workload::new().await;
    workload.leave(&json!({ "aud": "https://other.example" }));
    let refused = |checks: tidegate_model::Checks| {
        let first = checks.0.into_iter().next().expect("a check");
        assert!(!first.passed && first.name == "login", "{first:?}");
        (first.detail, first.remedy.unwrap_or_default())
    };
    let (said, remedy) = refused(workload.source(false).check(None).await.unwrap());
    assert!(said.contains("does not match the expected audience"), "{said}");
    assert!(remedy.contains("another issuer or audience"), "{remedy}");

    workload.leave(&json!({}));
    workload.warehouse.set(json!({ "without": ["iam.serviceAccounts.getAccessToken"] })).await;
    let (said, remedy) = refused(workload.source(true).check(None).await.unwrap());
    assert!(said.contains("iam.serviceAccounts.getAccessToken"), "{said}");
    assert!(remedy.contains("--role=roles/iam.workloadIdentityUser"), "{remedy}");

    workload.warehouse.set(json!({ "without": ["bigquery.jobs.create"] })).await;
    let checks = workload.source(false).check(None).await.unwrap();
    let failed = checks.0.iter().find(|check| !check.passed).expect("a failed check");
    let remedy = failed.remedy.as_deref().unwrap();
    assert!(remedy.contains("--member=\"principalSet://iam.googleapis.com/projects/1234/"), "{remedy}");
}
