//! Logins at Google without a key: an AWS machine, and the variable that Google's own programs read.

use serde_json::json;

use crate::bigquery::BigQuery;
use crate::support::Project;

/// A project whose connection has no key, and the credential configuration of an AWS machine.
async fn machine(settings: &str) -> (Project, BigQuery) {
    let bigquery = BigQuery::new().await;
    let connection = bigquery.connection().replace("service_account_key: { file: key.json }", settings);
    let mut project = Project::new(&format!("connections:\n{connection}syncs: {{}}\n"));
    let (address, account) = (bigquery.address(), bigquery.account());
    let configuration = json!({
        "type": "external_account",
        "audience": "//iam.googleapis.com/projects/1234/locations/global/workloadIdentityPools/shop/providers/idp",
        "subject_token_type": "urn:ietf:params:aws:token-type:aws4_request",
        "token_url": format!("{address}/sts/token"),
        "service_account_impersonation_url":
            format!("{address}/iam/v1/projects/-/serviceAccounts/{account}@shop.iam.gserviceaccount.com:generateAccessToken"),
        "credential_source": {
            "environment_id": "aws1",
            "regional_cred_verification_url":
                "https://sts.{region}.amazonaws.com?Action=GetCallerIdentity&Version=2011-06-15",
        },
    });
    project.write("federation.json", &configuration.to_string());
    // The double knows the machine by the id of its key, and one secret for all.
    for (name, value) in [
        ("AWS_ACCESS_KEY_ID", account),
        ("AWS_SECRET_ACCESS_KEY", "an-example-of-a-secret"),
        ("AWS_REGION", "eu-central-1"),
    ] {
        project.set(name, value);
    }
    (project, bigquery)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_at_aws_logs_in_to_bigquery_without_a_key_of_google() {
    let (mut project, bigquery) = machine("workload_identity: { file: federation.json }").await;
    let ended = project.done(&["check", "warehouse"]);
    assert!(ended.code == 0, "{ended:?}");
    assert!(ended.stdout.contains(&format!("as {}@shop", bigquery.account())), "{ended:?}");

    project.set("AWS_SECRET_ACCESS_KEY", "another-secret");
    let ended = project.done(&["check", "warehouse"]);
    assert!(ended.code != 0 && !ended.stdout.contains("another-secret"), "{ended:?}");
    assert!(
        ended.stdout.contains("does not accept the token of the AWS identity of this machine"),
        "{ended:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_file_that_googles_own_programs_read_is_used_without_a_setting() {
    let (mut project, bigquery) = machine("").await;
    let file = project.path().join("federation.json").display().to_string();
    project.set("GOOGLE_APPLICATION_CREDENTIALS", file);
    let ended = project.done(&["check", "warehouse"]);
    assert!(ended.code == 0 && ended.stdout.contains(bigquery.account()), "{ended:?}");
}
