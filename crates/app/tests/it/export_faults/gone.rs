//! Places that are gone, and credentials that ran out.

use serde_json::json;

use super::aws::{self, Bucket, KEYS};
use super::double::Double;
use super::proxy::Proxy;
use super::{committed, once, paused, project, resume, says, send, until};
use crate::served::Served;
use crate::support::{same, variable};

const FILES: &str = "format: jsonl, layout: events, commit_every: 100ms";

/// A folder in a bucket, as a project writes it.
fn in_bucket(bucket: &Bucket, endpoint: &str) -> String {
    let name = &bucket.name;
    format!(
        "{{ type: files, path: \"s3://{name}/lake\", region: us-east-1, endpoint: \"{endpoint}\", {KEYS} }}"
    )
}

/// The export notices without a command that it is back.
#[tokio::test]
async fn export_into_a_bucket_that_was_removed_goes_on_by_itself_once_it_is_back() {
    let bucket = Bucket::make().await;
    let project = project(&in_bucket(&bucket, &variable("TIDEGATE_TEST_MOTO")), FILES);
    let served = Served::start(&project);
    send(&served, 0..100).await;
    committed(&project).await;
    same("the bucket", &once(0..100), &bucket.events().await);

    bucket.remove().await;
    send(&served, 100..200).await;
    let thing = format!("s3://{}/lake", bucket.name);
    paused(&project, &[&thing, "NoSuchBucket", "Next: create the bucket"]).await;
    says(&served, &["sync failed; retrying automatically"]).await;

    bucket.make_again().await;
    committed(&project).await;
    same("the bucket", &once(100..200), &bucket.events().await);
    until("the export is shown as active", async || {
        project.json(&["status", "out"])[0]["paused"].is_null().then_some(())
    })
    .await;
}

#[tokio::test]
async fn export_into_a_stream_that_is_missing_is_paused_with_the_command_that_makes_it() {
    let moto = variable("TIDEGATE_TEST_MOTO");
    let stream = aws::name();
    let project = project(&aws::account("kinesis", &moto), &format!("stream: {stream}, limits: legacy"));
    let served = Served::start(&project);
    send(&served, 0..100).await;
    let make = format!("aws kinesis create-stream --stream-name {stream}");
    paused(&project, &["ResourceNotFoundException", &make]).await;

    aws::kinesis(&moto, "CreateStream", json!({ "StreamName": stream, "ShardCount": 1 })).await;
    resume(&project);
    committed(&project).await;
    same("the stream", &once(0..100), &aws::in_stream(&moto, &stream).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn export_with_a_credential_that_expired_is_paused_until_it_is_renewed() {
    let double = Double::start(|_, _| None).await;
    double.fail("ExpiredTokenException", u32::MAX);
    let project = project(&aws::account("kinesis", &double.url), "stream: s");
    let served = Served::start(&project);
    send(&served, 0..100).await;

    paused(&project, &["Kinesis answered ExpiredTokenException", "Next: the credentials have expired"]).await;
    assert_eq!(double.taken(), 0);
    // It does not go on knocking.
    let before = double.requests();
    crate::support::pause(std::time::Duration::from_secs(3)).await;
    assert_eq!(double.requests(), before);
    // By hand it says the same.
    let (code, _) = served.stop().await;
    assert_eq!(code, 0);
    let told = project.done(&["run", "out"]);
    assert_eq!(told.code, 1, "{told:?}");
    assert!(told.stderr.contains("Next: the credentials have expired"), "{told:?}");
    let served = Served::start(&project);
    says(&served, &["sync failed; retrying automatically"]).await;

    double.fail("", 0);
    resume(&project);
    until("every record is taken", async || (double.taken() >= 100).then_some(())).await;
    committed(&project).await;
    assert!(double.offers().values().all(|offers| *offers == (1, 0)), "{:?}", double.offers());
}

#[tokio::test]
async fn export_with_a_role_whose_session_expired_takes_it_on_again_and_goes_on() {
    let double = Double::start(|_, _| None).await;
    double.fail("ExpiredTokenException", 1);
    let account = format!(
        "{{ type: kinesis, region: us-east-1, endpoint: \"{}\", sts_endpoint: \"{}\", \
         role_arn: \"arn:aws:iam::123456789012:role/tidegate\", external_id: seven, {KEYS} }}",
        double.url,
        variable("TIDEGATE_TEST_MOTO")
    );
    let project = project(&account, "stream: s");
    let served = Served::start(&project);

    send(&served, 0..100).await;
    committed(&project).await;

    assert!(double.offers().values().all(|offers| *offers == (1, 0)), "{:?}", double.offers());
    assert_eq!(double.taken(), 100);
    let keys = double.requests();
    assert_eq!(keys.len(), 2, "the key of the first session and that of the second: {keys:?}");
    assert!(!keys.contains_key("AKIDEXAMPLE"), "{keys:?}");
    assert!(!served.said().contains("sync failed"), "{}", served.said());
}

#[tokio::test]
async fn export_into_a_bucket_with_an_expired_credential_is_paused_until_it_is_renewed() {
    let bucket = Bucket::make().await;
    let rule = json!({
        "service": "s3", "times": 1,
        "error": { "code": "ExpiredToken", "status": 400, "message": "The provided token has expired." },
    });
    let proxy = Proxy::start("TIDEGATE_TEST_MOTO", rule).await;
    let project = project(&in_bucket(&bucket, &proxy.url), FILES);
    let served = Served::start(&project);
    send(&served, 0..100).await;
    let thing = format!("s3://{}/lake", bucket.name);
    paused(&project, &[&thing, "ExpiredToken", "Next: renew the temporary credential"]).await;
    assert_eq!(proxy.fired().await, 1);

    resume(&project);
    committed(&project).await;
    same("the bucket", &once(0..100), &bucket.events().await);
}

#[tokio::test]
async fn export_into_a_bucket_that_is_busy_waits_and_goes_on() {
    let bucket = Bucket::make().await;
    let rule = json!({
        "service": "s3", "times": 3,
        "error": { "code": "SlowDown", "status": 503, "message": "Please reduce your request rate." },
    });
    let proxy = Proxy::start("TIDEGATE_TEST_MOTO", rule).await;
    let project = project(&in_bucket(&bucket, &proxy.url), FILES);
    let served = Served::start(&project);
    send(&served, 0..100).await;
    committed(&project).await;

    same("the bucket", &once(0..100), &bucket.events().await);
    assert_eq!(proxy.fired().await, 3);
    assert!(!served.said().contains("sync failed"), "{}", served.said());
}
