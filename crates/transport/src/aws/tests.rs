//! A client whose service is inside this process.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value, json};
use tidegate_model::{ErrorKind, Http, HttpFailure};
use tidegate_testkit::ManualClock;
use tidegate_testkit::http::{Canned, context};

use super::client::{AwsClient, ErrorHints, Service};
use super::settings::AwsSettings;
use crate::http::answer::RequestError;

/// Settings from JSON.
pub fn settings(members: Value) -> AwsSettings {
    serde_json::from_value(members).expect("settings")
}

const KINESIS: Service = Service { title: "Kinesis", name: "kinesis", target: "Kinesis_20131202" };
const STATIC: &str = "wJalrXUtnFEMI/K7MDENG";

fn client(members: Value, http: Arc<dyn Http>) -> AwsClient {
    let hints = ErrorHints { missing: "create it".into(), denied: "grant it".into() };
    let context = context(http, &ManualClock::default());
    AwsClient::open(&settings(members), &KINESIS, hints, &context).expect("a client")
}

fn with_key() -> Value {
    json!({ "region": "eu-west-1", "access_key_id": "AKIDEXAMPLE", "secret_access_key": STATIC })
}

#[tokio::test]
async fn a_call_names_its_operation_and_is_signed() {
    let far = Canned::once(200, "{}");

    client(with_key(), far.clone()).call("PutRecords", Bytes::from_static(b"{}")).await.expect("a success");

    let request = far.requests().remove(0);
    assert_eq!(request.uri(), "https://kinesis.eu-west-1.amazonaws.com/");
    assert_eq!(request.headers()["x-amz-target"], "Kinesis_20131202.PutRecords");
    assert_eq!(request.headers()["content-type"], "application/x-amz-json-1.1");
    let authorization = request.headers()["authorization"].to_str().unwrap();
    assert!(authorization.starts_with("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260301/eu-west-1/kinesis/"));
    assert!(
        authorization.contains("SignedHeaders=content-type;host;x-amz-date;x-amz-target,"),
        "{authorization}"
    );
}

#[tokio::test]
async fn credentials_that_a_response_repeats_are_hidden() {
    let body = format!(r#"{{"__type":"AccessDeniedException","Message":"by {STATIC}"}}"#);
    let client = client(with_key(), Canned::once(400, body));

    let Err(RequestError::NoEffect(error)) = client.call("PutRecords", Bytes::new()).await else {
        panic!("denied")
    };

    assert_eq!(error.kind(), ErrorKind::Denied);
    assert_eq!(error.next_step(), "grant it");
    assert!(!format!("{error:?}").contains(STATIC), "{error:?}");
}

fn assumed(id: &str, until: &str) -> Result<(u16, String), HttpFailure> {
    let body = format!(
        "<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>{id}</AccessKeyId>\
         <SecretAccessKey>s-{id}</SecretAccessKey><SessionToken>t-{id}</SessionToken>\
         <Expiration>{until}</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>"
    );
    Ok((200, body))
}

fn expired() -> Result<(u16, String), HttpFailure> {
    Ok((400, r#"{"__type":"ExpiredTokenException","message":"The security token is expired"}"#.to_owned()))
}

fn with_role() -> Value {
    let mut members = with_key();
    members["role_arn"] = json!("arn:aws:iam::123456789012:role/tidegate");
    members["external_id"] = json!("seven/7");
    members
}

#[tokio::test]
async fn expired_credentials_are_replaced_once_and_the_call_is_repeated() {
    let far = Canned::new([
        assumed("one", "2026-03-01T13:00:00Z"),
        expired(),
        assumed("two", "2026-03-01T13:00:00Z"),
        Ok((200, "{}".to_owned())),
    ]);

    client(with_role(), far.clone()).call("PutRecords", Bytes::new()).await.expect("a success");

    let requests = far.requests();
    let form = std::str::from_utf8(requests[0].body()).unwrap();
    assert_eq!(requests[0].uri(), "https://sts.eu-west-1.amazonaws.com/");
    assert!(form.contains("&ExternalId=seven%2F7"), "{form}");
    assert!(form.contains("&RoleArn=arn%3Aaws%3Aiam%3A%3A123456789012%3Arole%2Ftidegate"), "{form}");
    assert_eq!(requests[1].headers()["x-amz-security-token"], "t-one");
    assert_eq!(requests[3].headers()["x-amz-security-token"], "t-two");
}

#[tokio::test]
async fn credentials_that_stay_expired_are_denied() {
    let far = Canned::new([expired()]);
    let Err(RequestError::NoEffect(error)) = client(with_key(), far).call("PutRecords", Bytes::new()).await
    else {
        panic!("denied")
    };
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert!(error.next_step().contains("expired"), "{}", error.next_step());
}
