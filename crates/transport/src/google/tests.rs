//! Which login is taken, what is asked, and what a refusal says. A server that grants tokens is asked in the
//! tests of BigQuery.

use std::sync::Arc;

use jiff::SignedDuration;
use serde_json::{Value, json};
use tidegate_model::{ErrorKind, HttpFailure, Secret};
use tidegate_testkit::ManualClock;
use tidegate_testkit::http::{Canned, context};

use super::{Environment, GivenLogin, GoogleTokens};

type Answer = Result<(u16, String), HttpFailure>;

const SCOPE: &str = "https://www.googleapis.com/auth/bigquery";
const SUBJECT: &str = "eyJhbGciOiJub25lIn0.f00d-4-subject";

fn answer(status: u16, body: &Value) -> Answer {
    Ok((status, body.to_string()))
}

fn token(name: &str) -> Answer {
    answer(200, &json!({ "access_token": name, "expires_in": 3599, "token_type": "Bearer" }))
}

fn nowhere() -> Environment {
    Environment { credentials: None, metadata: "metadata.test".to_owned(), aws_region: None }
}

/// A configuration with a token in a file, changed by `changes`.
fn configuration(changes: &Value) -> Value {
    let mut whole = json!({
        "type": "external_account",
        "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/q",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "token_url": "https://sts.test/v1/token",
        "credential_source": { "file": "/nowhere/token" },
    });
    whole.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    whole
}

fn federated(
    configuration: &Value,
    answers: impl IntoIterator<Item = Answer>,
) -> Result<(GoogleTokens, Arc<Canned>, ManualClock), tidegate_model::Error> {
    let (http, clock) = (Canned::new(answers), ManualClock::default());
    let federation = Secret::new(configuration.to_string());
    let given = GivenLogin { key: None, federation: Some(&federation) };
    let tokens = GoogleTokens::open(given, &nowhere(), SCOPE, &context(http.clone(), &clock))?;
    Ok((tokens, http, clock))
}

fn impersonation() -> Value {
    json!("https://iam.test/v1/projects/-/serviceAccounts/a@p.iam.gserviceaccount.com:generateAccessToken")
}

fn form(request: &http::Request<bytes::Bytes>) -> Value {
    url::form_urlencoded::parse(request.body())
        .map(|(name, value)| (name.into_owned(), json!(value)))
        .collect()
}

#[tokio::test]
async fn without_a_login_the_metadata_server_of_the_machine_is_asked_once() {
    let http = Canned::new([token("ya29.machine"), Ok((200, "a@p.iam.gserviceaccount.com\n".to_owned()))]);
    let context = context(http.clone(), &ManualClock::default());
    let tokens = GoogleTokens::open(GivenLogin::default(), &nowhere(), SCOPE, &context).unwrap();
    for _ in 0..2 {
        assert_eq!(tokens.token().await.unwrap().expose(), "ya29.machine");
    }
    assert_eq!(tokens.known_member(), None);
    assert_eq!(tokens.member().await.unwrap(), "serviceAccount:a@p.iam.gserviceaccount.com");
    let asked: Vec<String> = http.requests().iter().map(|request| request.uri().to_string()).collect();
    let place = "http://metadata.test/computeMetadata/v1/instance/service-accounts/default";
    assert_eq!(asked, [format!("{place}/token"), format!("{place}/email")]);
}

#[tokio::test]
async fn the_file_that_the_environment_names_is_used_before_the_machine() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("federation.json");
    std::fs::write(&file, configuration(&json!({})).to_string()).unwrap();
    let environment = Environment { credentials: Some(file.clone()), ..nowhere() };
    let open = || {
        let context = context(Canned::new([]), &ManualClock::default());
        GoogleTokens::open(GivenLogin::default(), &environment, SCOPE, &context)
    };
    let member = open().unwrap().known_member().unwrap();
    assert_eq!(
        member,
        "principalSet://iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/*"
    );
    std::fs::remove_file(&file).unwrap();
    let error = open().unwrap_err();
    assert!(error.message().starts_with("the variable GOOGLE_APPLICATION_CREDENTIALS names "), "{error}");
}

#[tokio::test]
async fn a_token_in_a_file_is_exchanged_as_it_is_now_for_one_that_is_kept_until_it_ends() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    let source = json!({ "credential_source": { "file": file } });
    let (tokens, http, clock) = federated(&configuration(&source), [token("one"), token("two")]).unwrap();
    std::fs::write(&file, "first\n").unwrap();
    for _ in 0..2 {
        assert_eq!(tokens.token().await.unwrap().expose(), "one");
    }
    std::fs::write(&file, "second").unwrap();
    clock.advance(SignedDuration::from_mins(59));
    assert_eq!(tokens.token().await.unwrap().expose(), "two");
    let asked = http.requests();
    assert_eq!(
        form(&asked[0]),
        json!({
            "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
            "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/q",
            "scope": SCOPE,
            "requested_token_type": "urn:ietf:params:oauth:token-type:access_token",
            "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
            "subject_token": "first",
        })
    );
    assert_eq!((asked.len(), &form(&asked[1])["subject_token"]), (2, &json!("second")));
}

#[tokio::test]
async fn a_service_account_is_asked_for_with_what_was_exchanged() {
    let source = json!({
        "service_account_impersonation_url": impersonation(),
        "service_account_impersonation": { "token_lifetime_seconds": 600 },
        "credential_source": {
            "url": "https://idp.test/token",
            "headers": { "Metadata": "True" },
            "format": { "type": "json", "subject_token_field_name": "access_token" },
        },
    });
    let answers = [
        answer(200, &json!({ "access_token": SUBJECT })),
        token("federated"),
        answer(200, &json!({ "accessToken": "account", "expireTime": "2999-01-01T00:00:00Z" })),
    ];
    let (tokens, http, _) = federated(&configuration(&source), answers).unwrap();
    assert_eq!(tokens.known_member().unwrap(), "serviceAccount:a@p.iam.gserviceaccount.com");
    assert_eq!(tokens.token().await.unwrap().expose(), "account");
    let asked = http.requests();
    assert_eq!(asked[0].headers()["metadata"], "True");
    let exchanged = form(&asked[1]);
    assert_eq!(exchanged["subject_token"], SUBJECT);
    assert_eq!(exchanged["scope"], "https://www.googleapis.com/auth/cloud-platform");
    assert_eq!(asked[2].headers()["authorization"], "Bearer federated");
    let body: Value = serde_json::from_slice(asked[2].body()).unwrap();
    assert_eq!(body, json!({ "scope": [SCOPE], "lifetime": "600s" }));
}

#[tokio::test]
async fn a_refusal_says_what_to_compare_and_never_repeats_the_token() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, SUBJECT).unwrap();
    let source = json!({
        "credential_source": { "file": file }, "service_account_impersonation_url": impersonation(),
    });
    let refused = |code: &str| {
        answer(400, &json!({ "error": code, "error_description": format!("{SUBJECT} is refused.") }))
    };
    let denied = answer(
        403,
        &json!({ "error": { "code": 403, "message": "Permission 'iam.serviceAccounts.getAccessToken' denied" } }),
    );
    for (answers, kind, said, next) in [
        (vec![refused("invalid_grant")], ErrorKind::Denied, "does not accept", "issuer or audience"),
        (vec![refused("invalid_target")], ErrorKind::Denied, "does not accept", "`audience`"),
        (vec![refused("unauthorized_client")], ErrorKind::Denied, "does not accept", "condition"),
        (
            vec![token("federated"), denied],
            ErrorKind::Denied,
            "no token of a@p.iam.gserviceaccount.com is given out: Permission",
            "--role=roles/iam.workloadIdentityUser --member=\"principalSet://iam.googleapis.com/projects/1/",
        ),
        (vec![answer(503, &json!({}))], ErrorKind::Unavailable, "Google answered 503", ""),
    ] {
        let (tokens, ..) = federated(&configuration(&source), answers).unwrap();
        let error = tokens.token().await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error:?}");
        assert!(error.message().contains(said) && error.next_step().contains(next), "{error:?}");
        assert!(!format!("{error:?}").contains(SUBJECT), "{error:?}");
    }
}

#[tokio::test]
async fn a_token_that_is_not_there_yet_is_waited_for() {
    for (content, why) in [(None, "No such file"), (Some(""), "it is empty")] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        if let Some(content) = content {
            std::fs::write(&file, content).unwrap();
        }
        let source = json!({ "credential_source": { "file": file } });
        let (tokens, ..) = federated(&configuration(&source), []).unwrap();
        let error = tokens.token().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
        assert!(error.message().contains(why), "{error}");
    }
}

#[test]
fn a_configuration_that_cannot_work_is_refused_by_what_is_wrong_with_it() {
    for (changes, said) in [
        (json!({ "type": "service_account" }), "key of a service account"),
        (json!({ "type": "authorized_user" }), "login of a person"),
        (json!({ "type": "gdch" }), "`external_account`"),
        (json!({ "audience": "" }), "`audience`"),
        (json!({ "token_url": "http://sts.example" }), "token_url`: over http://"),
        (json!({ "service_account_impersonation_url": "https://iam.test/x" }), "names no service account"),
        (json!({ "credential_source": {} }), "`credential_source`"),
        (json!({ "credential_source": { "environment_id": "azure9" } }), "`environment_id`"),
        (
            json!({ "credential_source": { "environment_id": "aws1", "regional_cred_verification_url": "https://example.com" } }),
            "token service of AWS",
        ),
        (
            json!({ "credential_source": { "executable": { "command": "/bin/x" } } }),
            "a program is not started",
        ),
        (json!({ "credential_source": { "url": "http://example.com/t" } }), "https://"),
        (json!({ "credential_source": { "url": "http://169.254.169.254/t" } }), "https://"),
        (
            json!({ "credential_source": { "file": "t", "format": { "type": "json" } } }),
            "subject_token_field_name",
        ),
    ] {
        let error = federated(&configuration(&changes), []).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Settings, "{error:?}");
        assert!(error.message().starts_with("`workload_identity"), "{error}");
        assert!(error.message().contains(said), "{error}");
    }
}

#[test]
fn a_key_and_a_configuration_are_told_apart_and_not_taken_together() {
    let open = |key: Option<&Secret>, federation: Option<&Secret>| {
        let context = context(Canned::new([]), &ManualClock::default());
        GoogleTokens::open(GivenLogin { key, federation }, &nowhere(), SCOPE, &context).unwrap_err()
    };
    let both = Secret::new(configuration(&json!({})).to_string());
    assert_eq!(open(Some(&both), None).next_step(), "set it as `workload_identity`");
    let error = open(Some(&both), Some(&both));
    assert_eq!(error.message(), "both `service_account_key` and `workload_identity` are set");
}
