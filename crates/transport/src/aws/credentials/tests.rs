//! How long credentials are cached, and what a rejected role says. The sources of the default chain
//! read the environment of the process: `app/tests/it/aws_credentials.rs` starts one for each.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use jiff::SignedDuration;
use serde_json::{Value, json};
use tidegate_model::{ErrorKind, Http, HttpFailure};
use tidegate_testkit::ManualClock;

use super::CredentialsProvider;
use crate::aws::tests::settings;
use tidegate_testkit::http::{Canned, context};

fn provider(members: &Value, http: Arc<dyn Http>, clock: &ManualClock) -> CredentialsProvider {
    let mut whole = json!({ "region": "eu-west-1" });
    whole.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    CredentialsProvider::open(&settings(whole), &context(http, clock)).expect("a provider")
}

/// Source: AWS docs, STS API reference, AssumeRole.
fn role(id: &str, until: &str) -> Result<(u16, String), HttpFailure> {
    Ok((
        200,
        format!(
            "<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleResult>\
             <AssumedRoleUser><Arn>arn:aws:sts::1:assumed-role/x/tidegate</Arn>\
             <AssumedRoleId>A:tidegate</AssumedRoleId></AssumedRoleUser>\
             <Credentials><AccessKeyId>{id}</AccessKeyId><SecretAccessKey>s</SecretAccessKey>\
             <SessionToken>t</SessionToken><Expiration>{until}</Expiration></Credentials>\
             </AssumeRoleResult></AssumeRoleResponse>"
        ),
    ))
}

const LATER: &str = "2026-03-01T13:00:00Z";

#[tokio::test]
async fn a_key_in_the_settings_needs_no_call() {
    let given = json!({ "access_key_id": "GIVEN", "secret_access_key": "s" });
    let provider = provider(&given, Canned::new([]), &ManualClock::default());
    assert_eq!(provider.credentials().await.expect("credentials").id, "GIVEN");
}

#[tokio::test]
async fn a_role_is_assumed_with_its_external_id_and_session_name() {
    let far = Canned::new([role("ROLE", LATER)]);
    let mut members = with_role();
    members["external_id"] = json!("e 1");
    members["session_name"] = json!("nightly");
    members["sts_endpoint"] = json!("https://sts.example.com");

    let found =
        provider(&members, far.clone(), &ManualClock::default()).credentials().await.expect("credentials");

    assert_eq!((found.id.as_str(), found.expires), ("ROLE", Some(LATER.parse().unwrap())));
    let request = far.requests().remove(0);
    assert_eq!(request.uri().host(), Some("sts.example.com"));
    let form = String::from_utf8_lossy(request.body()).into_owned();
    assert!(form.contains("Action=AssumeRole&") && form.contains("ExternalId=e%201"), "{form}");
    assert!(form.contains("RoleSessionName=nightly"), "{form}");
    assert!(request.headers()["authorization"].to_str().unwrap().contains("Credential=GIVEN/20260301/"));
}

#[tokio::test]
async fn a_role_that_may_not_be_assumed_names_the_trust_policy() {
    let denied = "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>Sender</Type>\
                  <Code>AccessDenied</Code><Message>not authorized to perform: sts:AssumeRole</Message></Error>\
                  </ErrorResponse>";
    for (answer, kind) in [
        (Ok((403, denied.to_owned())), ErrorKind::Denied),
        (Ok((503, String::new())), ErrorKind::Unavailable),
    ] {
        let provider = provider(&with_role(), Canned::new([answer]), &ManualClock::default());
        let error = provider.credentials().await.expect_err("no role");
        assert_eq!(error.kind(), kind, "{error:?}");
        if kind == ErrorKind::Denied {
            assert!(error.with_words().contains("sts:AssumeRole"), "{error:?}");
            assert!(error.next_step().contains("trust policy"), "{}", error.next_step());
        }
    }
}

fn with_role() -> Value {
    json!({ "access_key_id": "GIVEN", "secret_access_key": "s", "role_arn": "arn:aws:iam::1:role/x" })
}

#[tokio::test]
async fn credentials_are_cached_and_renewed_before_they_expire() {
    let clock = ManualClock::default();
    let far = Canned::new([role("ONE", LATER), role("TWO", "2026-03-01T14:00:00Z")]);
    let provider = provider(&with_role(), far.clone(), &clock);

    for _ in 0..3 {
        assert_eq!(provider.credentials().await.expect("credentials").id, "ONE");
    }
    clock.advance(SignedDuration::from_mins(56));

    assert_eq!(provider.credentials().await.expect("credentials").id, "TWO");
    assert_eq!(far.requests().len(), 2);
}

#[tokio::test]
async fn previous_credentials_are_used_while_the_renewal_fails() {
    let clock = ManualClock::default();
    let down = || Err(HttpFailure::NotSent("refused".into()));
    let far = Canned::new([role("ONE", LATER), down(), down()]);
    let provider = provider(&with_role(), far.clone(), &clock);
    provider.credentials().await.expect("credentials");

    clock.advance(SignedDuration::from_mins(56));
    for _ in 0..3 {
        assert_eq!(provider.credentials().await.expect("still good").id, "ONE");
    }
    assert_eq!(far.requests().len(), 2, "a failed source is not asked again for a while");

    clock.advance(SignedDuration::from_mins(4));
    assert_eq!(provider.credentials().await.expect_err("expired").kind(), ErrorKind::Unavailable);
}

/// Answers after others had their turn.
struct Slow(AtomicUsize);

#[async_trait]
impl Http for Slow {
    async fn send(&self, _: Request<Bytes>) -> Result<Response<Bytes>, HttpFailure> {
        self.0.fetch_add(1, Ordering::Relaxed);
        tokio::task::yield_now().await;
        let (status, body) = role("ONE", LATER)?;
        Ok(Response::builder().status(status).body(body.into()).expect("an answer"))
    }
}

#[tokio::test]
async fn concurrent_calls_renew_credentials_once() {
    let far = Arc::new(Slow(AtomicUsize::new(0)));
    let provider = provider(&with_role(), far.clone(), &ManualClock::default());

    let all = futures_util::future::join_all((0..20).map(|_| provider.credentials())).await;

    assert!(all.into_iter().all(|credentials| credentials.is_ok_and(|credentials| credentials.id == "ONE")));
    assert_eq!(far.0.load(Ordering::Relaxed), 1);
}
