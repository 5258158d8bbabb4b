//! Signing in by an identity of AWS: against moto, and into the double.

use bytes::Bytes;
use serde_json::{Value, json};
use tidegate_model::{ConnectorContext, ErrorKind, Http as _};
use tidegate_testkit::http::Canned;
use tidegate_transport::http::RealHttp;
use tidegate_warehouses::redshift::CONNECTOR;

use crate::postgres_server::{context, unique};
use crate::redshift_server::Cluster;

fn identity(endpoint: Option<&str>) -> Value {
    json!({
        "region": "us-east-1", "access_key_id": "AKIDEXAMPLE", "secret_access_key": "example", "endpoint": endpoint,
    })
}

fn moto() -> String {
    std::env::var("TIDEGATE_TEST_MOTO").expect("see scripts/server/moto")
}

/// Makes a cluster of moto's, which has no database.
async fn cluster_of_moto(http: &RealHttp) -> String {
    let name = unique("c").replace('_', "-");
    let form = format!(
        "Action=CreateCluster&Version=2012-12-01&ClusterIdentifier={name}&NodeType=ra3.large&ClusterType=single-node\
         &MasterUsername=root&MasterUserPassword=Secret-1"
    );
    let request = http::Request::post(moto())
        .header("content-type", "application/x-www-form-urlencoded")
        .header(
            "authorization",
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260101/us-east-1/redshift/aws4_request, SignedHeaders=host, Signature=0",
        )
        .body(Bytes::from(form))
        .expect("a request");
    let answer = http.send(request).await.expect("moto answers");
    assert!(answer.status().is_success(), "{answer:?}");
    name
}

/// What moto gives is a user and a password that the double does not know.
#[tokio::test]
async fn a_password_is_asked_of_aws_for_the_cluster_of_the_settings() {
    let http = std::sync::Arc::new(RealHttp::new().expect("a client"));
    let name = cluster_of_moto(&http).await;
    let cluster = Cluster::new().await;
    let context = ConnectorContext { http, ..context() };
    let open = |cluster_name: &str| {
        let settings = cluster.settings(json!({
            "user": "tidegate", "password": null, "cluster": cluster_name, "aws": identity(Some(&moto())),
        }));
        (CONNECTOR.source.expect("a source").open)(&settings, &context).expect("opens")
    };
    let error = open(&name).check(None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied, "{error:?}");
    assert!(
        error.message().contains("password authentication failed for user \"IAM:tidegate\""),
        "{error:?}"
    );
    let error = open("none-of-these").check(None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Missing, "{error:?}");
    assert_eq!(error.next_step(), "correct `cluster` or the region");
}

#[tokio::test]
async fn a_password_that_aws_gave_signs_in() {
    let cluster = Cluster::new().await;
    let user = cluster.user("sha256|Given-by-aws-1").await;
    let answer = json!({ "dbUser": user, "dbPassword": "Given-by-aws-1", "expiration": 1.7e9 }).to_string();
    let context = ConnectorContext { http: Canned::once(200, answer), ..context() };
    let settings = cluster.settings(json!({
        "user": "IAMR:tidegate", "password": null, "workgroup": "shop", "aws": identity(None),
    }));
    let source = (CONNECTOR.source.expect("a source").open)(&settings, &context).expect("opens");
    assert!(source.check(None).await.unwrap().passed());
}

/// The settings differ in the key of the identity alone: the user that they name is the same.
#[tokio::test]
async fn two_identities_of_aws_never_share_a_connection() {
    let cluster = Cluster::new().await;
    let user = cluster.user("sha256|Given-by-aws-1").await;
    let open = |key: &str, password: &str| {
        let answer = json!({ "dbUser": user, "dbPassword": password, "expiration": 1.7e9 }).to_string();
        let context = ConnectorContext { http: Canned::once(200, answer), ..context() };
        let mut identity = identity(None);
        identity["access_key_id"] = key.into();
        let settings = cluster.settings(json!({
            "user": "IAMR:tidegate", "password": null, "workgroup": "shop", "aws": identity,
        }));
        (CONNECTOR.source.expect("a source").open)(&settings, &context).expect("opens")
    };
    let first = open("AKIDEXAMPLE", "Given-by-aws-1");
    assert!(first.check(None).await.unwrap().passed());
    assert_eq!(cluster.open().await, 1, "the connection waits for the next read");
    let again = open("AKIDEXAMPLE", "wrong");
    assert!(again.check(None).await.unwrap().passed(), "the same identity uses it");
    let other = open("AKIDOTHER", "wrong");
    assert_eq!(other.check(None).await.unwrap_err().kind(), ErrorKind::Denied, "another one signs in itself");
}

#[test]
fn settings_of_a_sign_in_that_exclude_each_other_are_refused() {
    for (changes, message) in [
        (json!({ "cluster": "c" }), "`password` and the sign-in by an identity of AWS exclude each other"),
        (json!({ "cluster": "c", "workgroup": "w" }), "`cluster` and `workgroup` exclude each other"),
        (json!({ "aws": identity(None) }), "`aws` belongs to a `cluster`, a `workgroup` or `staging`"),
        (json!({ "cluster": "c", "password": null }), "`aws` is missing: the identity that signs in"),
    ] {
        let mut members = json!({ "host": "h", "database": "d", "user": "u", "password": "p" });
        let members = members.as_object_mut().expect("an object");
        members.extend(changes.as_object().expect("an object").clone());
        members.retain(|_, value| !value.is_null());
        let settings = tidegate_model::Settings::new(members.clone());
        let error = (CONNECTOR.source.expect("a source").open)(&settings, &context()).err().expect(message);
        assert_eq!(error.message(), message);
    }
}
