//! Where credentials are found, and how long they are cached.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use jiff::SignedDuration;
use serde_json::{Value, json};
use tidegate_model::{ErrorKind, Http, HttpFailure, Result};
use tidegate_testkit::ManualClock;

use super::CredentialsProvider;
use crate::aws::tests::settings;
use tidegate_testkit::http::{Canned, context};

fn provider(
    members: &Value,
    variables: &[(&str, &str)],
    http: Arc<dyn Http>,
    clock: &ManualClock,
) -> CredentialsProvider {
    let mut whole = json!({ "region": "eu-west-1" });
    whole.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    let variables: BTreeMap<String, String> =
        variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let variables = Arc::new(move |name: &str| variables.get(name).cloned());
    CredentialsProvider::with(&settings(whole), &context(http, clock), variables).expect("a provider")
}

/// The id of the key that is found.
async fn found(members: Value, variables: &[(&str, &str)], http: Arc<dyn Http>) -> Result<String> {
    provider(&members, variables, http, &ManualClock::default())
        .credentials()
        .await
        .map(|credentials| credentials.id)
}

fn unreachable() -> Arc<Canned> {
    Canned::new([Err(HttpFailure::NotSent("no route".into()))])
}

fn read_response(id: &str, until: &str) -> Result<(u16, String), HttpFailure> {
    let body = json!({ "AccessKeyId": id, "SecretAccessKey": "s", "Token": "t", "Expiration": until, "Code": "Success" });
    Ok((200, body.to_string()))
}

fn role(id: &str, until: &str) -> Result<(u16, String), HttpFailure> {
    Ok((
        200,
        format!(
            "<Credentials><AccessKeyId>{id}</AccessKeyId><SecretAccessKey>s</SecretAccessKey>\
             <SessionToken>t</SessionToken><Expiration>{until}</Expiration></Credentials>"
        ),
    ))
}

const LATER: &str = "2026-03-01T13:00:00Z";

/// A home with the two shared files.
fn home() -> tempfile::TempDir {
    let home = tempfile::tempdir().expect("a folder");
    let folder = home.path().join(".aws");
    std::fs::create_dir(&folder).expect("a folder");
    let config = "[profile chained]\nrole_arn = arn:aws:iam::1:role/b\nsource_profile = middle\n\
                  [profile middle]\nrole_arn = arn:aws:iam::1:role/a\nsource_profile = base\nexternal_id = e\n\
                  [profile loop]\nrole_arn = arn:aws:iam::1:role/a\nsource_profile = loop2\n\
                  [profile loop2]\nrole_arn = arn:aws:iam::1:role/a\nsource_profile = loop\n\
                  [profile browser]\nsso_session = x\n";
    std::fs::write(folder.join("config"), config).expect("written");
    let credentials = "[base]\naws_access_key_id = BASE\naws_secret_access_key = s\n";
    std::fs::write(folder.join("credentials"), credentials).expect("written");
    home
}

fn text(path: &Path) -> &str {
    path.to_str().expect("text")
}

#[tokio::test]
async fn settings_take_precedence_over_the_environment() {
    let variables = [("AWS_ACCESS_KEY_ID", "ENV"), ("AWS_SECRET_ACCESS_KEY", "s")];
    let given = json!({ "access_key_id": "GIVEN", "secret_access_key": "s" });
    assert_eq!(found(given, &variables, Canned::new([])).await.expect("credentials"), "GIVEN");
    assert_eq!(found(json!({}), &variables, Canned::new([])).await.expect("credentials"), "ENV");
}

#[tokio::test]
async fn half_a_key_in_the_environment_is_an_error_and_not_skipped() {
    let error = found(json!({}), &[("AWS_ACCESS_KEY_ID", "ENV")], Canned::new([])).await.expect_err("half");
    assert_eq!(error.kind(), ErrorKind::Settings);
    assert!(error.message().contains("AWS_SECRET_ACCESS_KEY"), "{error:?}");
}

#[tokio::test]
async fn a_profile_assumes_the_roles_of_its_source_profiles() {
    let home = home();
    let variables = [("HOME", text(home.path()))];
    assert_eq!(
        found(json!({ "profile": "base" }), &variables, Canned::new([])).await.expect("credentials"),
        "BASE"
    );

    let far = Canned::new([role("MIDDLE", LATER), role("END", LATER)]);
    let credentials =
        found(json!({ "profile": "chained" }), &variables, far.clone()).await.expect("credentials");

    assert_eq!(credentials, "END");
    let requests = far.requests();
    let form = |at: usize| String::from_utf8_lossy(requests[at].body()).into_owned();
    assert!(form(0).contains("role%2Fa") && form(0).contains("ExternalId=e"), "{}", form(0));
    assert!(form(1).contains("role%2Fb"), "{}", form(1));
    assert!(requests[0].headers()["authorization"].to_str().unwrap().contains("Credential=BASE/"));
    assert!(requests[1].headers()["authorization"].to_str().unwrap().contains("Credential=MIDDLE/"));
}

#[tokio::test]
async fn a_profile_that_cannot_work_says_why() {
    let home = home();
    let variables = [("HOME", text(home.path()))];
    for (profile, why) in
        [("loop", "leads back"), ("browser", "by a browser"), ("none", "is not in the shared files")]
    {
        let error =
            found(json!({ "profile": profile }), &variables, Canned::new([])).await.expect_err(profile);
        assert_eq!(error.kind(), ErrorKind::Settings, "{error:?}");
        assert!(error.message().contains(why), "{error:?}");
    }
}

#[tokio::test]
async fn a_web_identity_is_exchanged_for_a_role() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("token");
    std::fs::write(&file, "header.body+sign\n").expect("written");
    let variables =
        [("AWS_WEB_IDENTITY_TOKEN_FILE", text(&file)), ("AWS_ROLE_ARN", "arn:aws:iam::1:role/pod")];
    let far = Canned::new([role("POD", LATER)]);

    assert_eq!(found(json!({}), &variables, far.clone()).await.expect("credentials"), "POD");

    let request = far.requests().remove(0);
    let form = std::str::from_utf8(request.body()).unwrap();
    assert!(form.ends_with("&WebIdentityToken=header.body%2Bsign"), "{form}");
    assert!(!request.headers().contains_key("authorization"), "the token is all there is");
}

#[tokio::test]
async fn a_container_is_asked_with_its_token() {
    let variables = [
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://169.254.170.23/v1/credentials"),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "eks"),
    ];
    let far = Canned::new([read_response("POD", LATER)]);

    assert_eq!(found(json!({}), &variables, far.clone()).await.expect("credentials"), "POD");

    let request = far.requests().remove(0);
    assert_eq!(request.headers()["authorization"], "eks");
    let elsewhere = [("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://example.com/")];
    let error = found(json!({}), &elsewhere, Canned::new([])).await.expect_err("not a local address");
    assert_eq!(error.kind(), ErrorKind::Settings);
}

#[tokio::test]
async fn a_machine_is_asked_last_with_a_session() {
    let far = Canned::new([
        Ok((200, "session".to_owned())),
        Ok((200, "web-server\n".to_owned())),
        read_response("MACHINE", LATER),
    ]);

    assert_eq!(found(json!({}), &[], far.clone()).await.expect("credentials"), "MACHINE");

    let requests = far.requests();
    assert_eq!(requests[0].method(), "PUT");
    assert_eq!(
        requests[2].uri(),
        "http://169.254.169.254/latest/meta-data/iam/security-credentials/web-server"
    );
    assert_eq!(requests[2].headers()["x-aws-ec2-metadata-token"], "session");
}

#[tokio::test]
async fn missing_credentials_are_an_error_that_names_the_chain() {
    for (variables, far) in
        [(vec![], unreachable()), (vec![("AWS_EC2_METADATA_DISABLED", "true")], Canned::new([]))]
    {
        let error = found(json!({}), &variables, far).await.expect_err("nothing");
        assert_eq!(error.kind(), ErrorKind::Settings);
        assert!(error.message().contains("the shared files"), "{error:?}");
        assert!(error.next_step().contains("`access_key_id`"), "{}", error.next_step());
    }
}

fn with_role() -> Value {
    json!({ "access_key_id": "GIVEN", "secret_access_key": "s", "role_arn": "arn:aws:iam::1:role/x" })
}

#[tokio::test]
async fn credentials_are_cached_and_renewed_before_they_expire() {
    let clock = ManualClock::default();
    let far = Canned::new([role("ONE", LATER), role("TWO", "2026-03-01T14:00:00Z")]);
    let provider = provider(&with_role(), &[], far.clone(), &clock);

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
    let provider = provider(&with_role(), &[], far.clone(), &clock);
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
    let provider = provider(&with_role(), &[], far.clone(), &ManualClock::default());

    let all = futures_util::future::join_all((0..20).map(|_| provider.credentials())).await;

    assert!(all.into_iter().all(|credentials| credentials.is_ok_and(|credentials| credentials.id == "ONE")));
    assert_eq!(far.0.load(Ordering::Relaxed), 1);
}
