//! Which AWS identity a process uses, for each source of credentials: Kinesis and S3 use the same one.
//!
//! moto plays the token service. The metadata of machine and container and the single sign-on are
//! played here, by the shapes of AWS's reference guide: moto's machine answers without the lifetime
//! of its session, which AWS's own library asks for.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use serde_json::json;

use crate::support::{Ended, Project, variable};

/// A service that notes who signed each request, and rejects it.
struct Service {
    url: String,
    signed: Arc<Mutex<Vec<String>>>,
}

impl Service {
    async fn start() -> Service {
        let signed = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&signed);
        let app = Router::new().fallback(any(move |request: Request| {
            let noted = Arc::clone(&noted);
            async move { answer(&request, &noted) }
        }));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        tokio::spawn(async move { axum::serve(listener, app).await });
        Service { url, signed }
    }

    /// The access keys that signed requests, by service, each once.
    fn identities(&self) -> Vec<(String, String)> {
        let mut found: Vec<(String, String)> = self
            .signed
            .lock()
            .expect("unpoisoned")
            .drain(..)
            .filter_map(|header| identity(&header))
            .collect();
        found.sort();
        found.dedup();
        found
    }
}

/// `AWS4-HMAC-SHA256 Credential=ID/20260301/eu-west-1/kinesis/aws4_request, …` as (service, id).
fn identity(header: &str) -> Option<(String, String)> {
    let scope = header.split_once("Credential=")?.1.split(',').next()?;
    let parts: Vec<&str> = scope.split('/').collect();
    Some(((*parts.get(3)?).to_owned(), (*parts.first()?).to_owned()))
}

fn answer(request: &Request, signed: &Mutex<Vec<String>>) -> Response {
    let later = "2099-01-01T00:00:00Z";
    match request.uri().path() {
        // Source: AWS docs, SDKs and Tools Reference Guide, "Container credential provider".
        "/container" => {
            let body = json!({ "AccessKeyId": "CONTAINER", "SecretAccessKey": "s", "Token": "t", "Expiration": later });
            let token = request.headers().get("authorization").and_then(|value| value.to_str().ok());
            if token == Some("pod-token") {
                body.to_string().into_response()
            } else {
                StatusCode::UNAUTHORIZED.into_response()
            }
        }
        // Source: AWS docs, EC2 user guide, "Use the Instance Metadata Service".
        "/latest/api/token" => {
            ([("x-aws-ec2-metadata-token-ttl-seconds", "21600")], "session").into_response()
        }
        "/latest/meta-data/iam/security-credentials/" => "web-server".into_response(),
        "/latest/meta-data/iam/security-credentials/web-server" => {
            let body = json!({ "Code": "Success", "Type": "AWS-HMAC", "LastUpdated": "2026-01-01T00:00:00Z",
                "AccessKeyId": "MACHINE", "SecretAccessKey": "s", "Token": "t", "Expiration": later });
            body.to_string().into_response()
        }
        // Source: AWS docs, IAM Identity Center Portal API reference, "GetRoleCredentials".
        "/federation/credentials" => {
            let role = json!({ "accessKeyId": "SSO", "secretAccessKey": "s", "sessionToken": "t", "expiration": 4_070_908_800_000_u64 });
            json!({ "roleCredentials": role }).to_string().into_response()
        }
        _ => {
            if let Some(header) = request.headers().get("authorization").and_then(|value| value.to_str().ok())
            {
                signed.lock().expect("unpoisoned").push(header.to_owned());
            }
            let body = r#"{"__type":"AccessDeniedException","message":"not here"}"#;
            (StatusCode::FORBIDDEN, [("content-type", "application/x-amz-json-1.1")], body).into_response()
        }
    }
}

/// A project with a stream and a bucket, and a home with the shared files of AWS.
fn project(service: &Service, members: &str) -> Project {
    let account = format!("region: us-east-1, endpoint: \"{}\"{members}", service.url);
    let mut project = Project::new(&format!(
        "connections:\n{}  kinesis: {{ type: kinesis, {account} }}\n  bucket: {{ type: files, path: s3://acme/x, {account} }}\n\
         syncs:\n  records: {{ source: {{ connection: shop }}, destination: {{ connection: kinesis, stream: s }} }}\n  \
         lake: {{ source: {{ connection: shop }}, destination: {{ connection: bucket }} }}\n",
        super::serve::SHOP,
    ));
    let moto = variable("TIDEGATE_TEST_MOTO");
    project.write("home/.aws/credentials", "[base]\naws_access_key_id = BASE\naws_secret_access_key = s\n");
    project.write(
        "home/.aws/config",
        &format!(
            "[profile chained]\nrole_arn = arn:aws:iam::123456789012:role/two\nsource_profile = middle\n\
             [profile middle]\nrole_arn = arn:aws:iam::123456789012:role/one\nsource_profile = base\n\
             [profile circle]\nrole_arn = arn:aws:iam::123456789012:role/one\nsource_profile = circle2\n\
             [profile circle2]\nrole_arn = arn:aws:iam::123456789012:role/one\nsource_profile = circle\n\
             [profile program]\ncredential_process = {}/program\n\
             [profile browser]\nsso_session = acme\nsso_account_id = 123456789012\nsso_role_name = reader\n\
             [sso-session acme]\nsso_region = us-east-1\nsso_start_url = https://acme.awsapps.com/start\n",
            project.path().display()
        ),
    );
    project.write(
        "program",
        "#!/bin/sh\necho '{\"Version\":1,\"AccessKeyId\":\"PROGRAM\",\"SecretAccessKey\":\"s\",\"Expiration\":\"2099-01-01T00:00:00Z\"}'\n",
    );
    std::fs::set_permissions(
        project.path().join("program"),
        std::os::unix::fs::PermissionsExt::from_mode(0o700),
    )
    .expect("executable");
    // `aws sso login` leaves the token in a file that is named after the session: sha1("acme").
    project.write(
        "home/.aws/sso/cache/293abb6b76d7791c0732cc517d38c4b5c734b87f.json",
        r#"{"accessToken":"a","expiresAt":"2099-01-01T00:00:00Z","region":"us-east-1","startUrl":"https://acme.awsapps.com/start"}"#,
    );
    let home = project.path().join("home").display().to_string();
    project.set("HOME", home);
    project.set("AWS_ENDPOINT_URL_STS", moto);
    project.set("AWS_ENDPOINT_URL_SSO", service.url.clone());
    project.set("AWS_EC2_METADATA_DISABLED", "true");
    project
}

/// Runs `check` with these variables; returns who signed, and how it ended.
async fn check(members: &str, variables: &[(&str, String)]) -> (Vec<(String, String)>, Ended) {
    let service = Service::start().await;
    let mut project = project(&service, members);
    for (name, value) in variables {
        project.set(
            name,
            value.replace("{service}", &service.url).replace("{home}", &project.path().display().to_string()),
        );
    }
    project.write("token", "header.body.sign");
    let ended = tokio::task::block_in_place(|| project.done(&["check"]));
    (service.identities(), ended)
}

fn both(id: &str) -> Vec<(String, String)> {
    vec![("kinesis".to_owned(), id.to_owned()), ("s3".to_owned(), id.to_owned())]
}

#[tokio::test(flavor = "multi_thread")]
async fn kinesis_and_s3_use_the_same_identity_from_each_source() {
    let key = || [("AWS_ACCESS_KEY_ID", "ENVIRONMENT".to_owned()), ("AWS_SECRET_ACCESS_KEY", "s".to_owned())];
    let set = |name, value: &str| vec![(name, value.to_owned())];
    for (members, variables, id) in [
        (", access_key_id: GIVEN, secret_access_key: s", key().to_vec(), "GIVEN"),
        ("", key().to_vec(), "ENVIRONMENT"),
        (", profile: base", key().to_vec(), "BASE"),
        ("", set("AWS_PROFILE", "base"), "BASE"),
        (", profile: program", Vec::new(), "PROGRAM"),
        (", profile: browser", Vec::new(), "SSO"),
        (
            "",
            vec![
                ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "{service}/container".to_owned()),
                ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "pod-token".to_owned()),
            ],
            "CONTAINER",
        ),
        (
            "",
            vec![
                ("AWS_EC2_METADATA_DISABLED", "false".to_owned()),
                ("AWS_EC2_METADATA_SERVICE_ENDPOINT", "{service}".to_owned()),
            ],
            "MACHINE",
        ),
    ] {
        let (identities, ended) = check(members, &variables).await;
        assert_eq!(identities, both(id), "{members} {variables:?} {ended:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_is_assumed_at_the_token_service() {
    let sts = format!(", sts_endpoint: \"{}\"", variable("TIDEGATE_TEST_MOTO"));
    let role = format!(
        ", access_key_id: GIVEN, secret_access_key: s, role_arn: \"arn:aws:iam::123456789012:role/x\", external_id: e1{sts}"
    );
    let pod = vec![
        ("AWS_WEB_IDENTITY_TOKEN_FILE", "{home}/token".to_owned()),
        ("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/pod".to_owned()),
    ];
    for (members, variables) in [(role.as_str(), Vec::new()), (", profile: chained", Vec::new()), ("", pod)] {
        let (identities, ended) = check(members, &variables).await;
        // moto makes up a temporary key for each call.
        let services: Vec<&str> = identities.iter().map(|(service, _)| service.as_str()).collect();
        assert_eq!(services, ["kinesis", "s3"], "{members} {ended:?}");
        for (_, id) in &identities {
            assert!(id.len() == 20 && id.starts_with('A'), "{id}: {members} {ended:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_that_cannot_be_had_say_where_they_were_looked_for() {
    for (members, variables, words) in [
        ("", Vec::new(), vec!["no AWS credentials were found", "the shared files", "`access_key_id`"]),
        ("", vec![("AWS_ACCESS_KEY_ID", "HALF".to_owned())], vec!["only one of", "AWS_SECRET_ACCESS_KEY"]),
        (", profile: none", Vec::new(), vec!["`none`"]),
        (", profile: circle", Vec::new(), vec!["`circle`", "loop"]),
    ] {
        let (identities, ended) = check(members, &variables).await;
        assert!(identities.is_empty(), "{identities:?}");
        for word in words {
            assert!(ended.stdout.contains(word) || ended.stderr.contains(word), "`{word}`: {ended:?}");
        }
    }
}
