//! A provider inside the test, which is honest until it is told otherwise.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use jiff::SignedDuration;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use tidegate_model::people::Role;
use tidegate_model::{ErrorKind, Http, HttpFailure, Secret};

use super::*;
use crate::scheduler::tests::{AHEAD, Stage};

const ISSUER: &str = "https://id.example.com";
const BACK: &str = "https://tidegate.example.com/sign-in/provider/back";

/// A key of the provider, with its name.
fn key(name: &str) -> (EncodingKey, Jwk) {
    let pair = rcgen::KeyPair::generate().expect("a key");
    let key = EncodingKey::from_ec_der(&pair.serialize_der());
    let mut public = Jwk::from_encoding_key(&key, Algorithm::ES256).expect("a key");
    public.common.key_id = Some(name.to_owned());
    (key, public)
}

/// What the provider does next.
struct Provider {
    signs: Mutex<(EncodingKey, String)>,
    publishes: Mutex<Vec<Jwk>>,
    /// Claims that replace those of an honest token.
    claims: Mutex<Value>,
    /// The token as a whole, in place of one that is made.
    token: Mutex<Option<String>>,
    nonce: Mutex<String>,
    asked: Mutex<Vec<http::Request<Bytes>>>,
}

impl Provider {
    fn claims(&self, changes: &Value) {
        *self.claims.lock().expect("free") = changes.clone();
    }

    fn token(&self) -> String {
        if let Some(token) = self.token.lock().expect("free").clone() {
            return token;
        }
        let mut claims = json!({
            "iss": ISSUER, "aud": "tidegate", "sub": "17", "exp": 4_000_000_000_u64,
            "nonce": *self.nonce.lock().expect("free"),
            "email": "Ada@example.com", "email_verified": true,
        });
        for (claim, value) in self.claims.lock().expect("free").as_object().expect("an object") {
            claims[claim.as_str()] = value.clone();
        }
        let (key, name) = &*self.signs.lock().expect("free");
        let header = Header { kid: Some(name.clone()), ..Header::new(Algorithm::ES256) };
        jsonwebtoken::encode(&header, &claims, key).expect("a token")
    }
}

#[async_trait]
impl Http for Provider {
    async fn send(&self, request: http::Request<Bytes>) -> Result<http::Response<Bytes>, HttpFailure> {
        let path = request.uri().path().to_owned();
        self.asked.lock().expect("free").push(request);
        let body = match path.as_str() {
            "/.well-known/openid-configuration" => json!({
                "issuer": ISSUER,
                "authorization_endpoint": "https://id.example.com/authorize?tenant=a",
                "token_endpoint": "https://id.example.com/token",
                "jwks_uri": "https://id.example.com/keys",
                "userinfo_endpoint": "https://id.example.com/userinfo",
            }),
            "/keys" => json!({ "keys": *self.publishes.lock().expect("free") }),
            "/token" => json!({ "id_token": self.token(), "access_token": "canary" }),
            "/userinfo" => json!({ "sub": "17", "groups": ["data"], "iss": "https://evil.example" }),
            _ => panic!("{path}"),
        };
        Ok(http::Response::new(body.to_string().into()))
    }
}

/// An engine with a provider, and an admin who has a password.
async fn stage(roles: &[&str]) -> (Engine, Arc<Provider>) {
    let stage = Stage::start(1, 1);
    stage.stop.cancel();
    let (key, public) = key("k1");
    let provider = Arc::new(Provider {
        signs: Mutex::new((key, "k1".to_owned())),
        publishes: Mutex::new(vec![public]),
        claims: Mutex::new(json!({})),
        token: Mutex::default(),
        nonce: Mutex::default(),
        asked: Mutex::default(),
    });
    let settings = OidcSettings {
        issuer: ISSUER.to_owned(),
        client_id: "tidegate".to_owned(),
        client_secret: Some(Secret::new("s:e/cret")),
        scopes: "openid email".to_owned(),
        name_claim: "email".to_owned(),
        groups_claim: "groups".to_owned(),
        roles: roles.iter().map(|role| role.parse().expect("a role")).collect(),
        ca_file: None,
    };
    let oidc = Oidc::new(settings, provider.clone()).expect("a provider");
    let engine = Engine::new(stage.engine.config.clone()).with_oidc(oidc);
    engine.put_person("root", Role::Admin, true, Some("correct horse battery")).await.expect("added");
    (engine, provider)
}

/// The value of a pair in the query of an address.
fn pair(address: &str, name: &str) -> String {
    let query = address.split_once('?').expect("a query").1;
    let found = query.split('&').find_map(|pair| pair.strip_prefix(&format!("{name}=")));
    found.unwrap_or_else(|| panic!("{name}: {address}")).to_owned()
}

/// Signs in as an honest browser does.
async fn sign_in(engine: &Engine, provider: &Provider) -> Result<SignedIn, Error> {
    let there = engine.begin_sign_in(BACK).await?;
    *provider.nonce.lock().expect("free") = pair(&there.address, "nonce");
    let back = FromProvider {
        code: Some("c0de".to_owned()),
        state: Some(pair(&there.address, "state")),
        ..FromProvider::default()
    };
    engine.finish_sign_in(&back, Some(&there.secret), BACK).await
}

#[tokio::test]
async fn a_person_whom_an_admin_added_signs_in_by_the_address_and_no_one_else_does() {
    let (engine, provider) = stage(&[]).await;
    let refused = sign_in(&engine, &provider).await.expect_err("not added");
    assert_eq!(refused.kind(), ErrorKind::Denied);
    assert_eq!(refused.message(), "`ada@example.com` may not sign in here");

    engine.put_person("ada@example.com", Role::Viewer, false, None).await.expect("added");
    let signed_in = sign_in(&engine, &provider).await.expect("signed in");
    assert_eq!((signed_in.name.as_str(), signed_in.new_role), ("ada@example.com", None));
    let visitor = engine.visitor_by_session(&signed_in.session).await.expect("asked").expect("one");
    assert_eq!(visitor.role, Role::Viewer);

    let asked = provider.asked.lock().expect("free");
    let exchange = asked.iter().rev().find(|request| request.uri().path() == "/token").expect("one");
    // Source: RFC 6749, 2.3.1: `tidegate:s%3Ae%2Fcret`.
    assert_eq!(exchange.headers()["authorization"], "Basic dGlkZWdhdGU6cyUzQWUlMkZjcmV0");
    let form = String::from_utf8_lossy(exchange.body());
    assert!(
        form.starts_with("grant_type=authorization_code&code=c0de&redirect_uri=https%3A%2F%2Ftide"),
        "{form}"
    );
    assert!(form.contains("&code_verifier=") && !form.contains("cret"), "{form}");
}

#[tokio::test]
async fn the_groups_of_a_person_give_the_highest_role_and_take_it_back() {
    let (engine, provider) = stage(&["data=viewer+rows", "cn=ops,dc=example=editor"]).await;
    // The groups are in the userinfo only, whose other claims replace none.
    let first = sign_in(&engine, &provider).await.expect("signed in");
    assert_eq!(first.new_role.as_deref(), Some("viewer"));
    let visitor = engine.visitor_by_session(&first.session).await.expect("asked").expect("one");
    assert_eq!((visitor.role, visitor.rows), (Role::Viewer, true));
    let again = sign_in(&engine, &provider).await.expect("signed in");
    assert_eq!(again.new_role, None);
    assert!(
        engine.visitor_by_session(&first.session).await.expect("asked").is_some(),
        "the role is the same"
    );

    provider.claims(&json!({ "groups": ["data", "cn=ops,dc=example"] }));
    let promoted = sign_in(&engine, &provider).await.expect("signed in");
    assert_eq!(promoted.new_role.as_deref(), Some("editor"));
    assert!(
        engine.visitor_by_session(&first.session).await.expect("asked").is_none(),
        "it has another role now"
    );

    provider.claims(&json!({ "groups": ["sales"] }));
    sign_in(&engine, &provider).await.expect_err("no group has a role");
    assert!(engine.visitor_by_session(&promoted.session).await.expect("asked").is_none());
    let names: Vec<String> = engine.people().await.expect("people").into_iter().map(|one| one.name).collect();
    assert_eq!(names, ["root"]);

    // A person whom an admin added keeps that role, whatever the groups say.
    engine.put_person("ada@example.com", Role::Admin, false, None).await.expect("added");
    provider.claims(&json!({ "groups": ["data"] }));
    let kept = sign_in(&engine, &provider).await.expect("signed in");
    let visitor = engine.visitor_by_session(&kept.session).await.expect("asked").expect("one");
    assert_eq!((kept.new_role, visitor.role), (None, Role::Admin));
}

#[tokio::test]
async fn a_token_that_is_not_for_this_program_this_attempt_or_this_time_signs_no_one_in() {
    let (engine, provider) = stage(&["data=viewer"]).await;
    for (changes, word) in [
        (json!({ "aud": "another" }), "signature, issuer or audience"),
        (json!({ "iss": "https://evil.example" }), "signature, issuer or audience"),
        (json!({ "aud": ["tidegate", "another"] }), "`azp`"),
        (json!({ "azp": "another" }), "`azp`"),
        (json!({ "nonce": "of another attempt" }), "another attempt"),
        (json!({ "sub": "18" }), "about another person"),
        (json!({ "email_verified": false }), "verified address"),
        (json!({ "email_verified": null }), "verified address"),
        (json!({ "email": null }), "sends no `email`"),
    ] {
        provider.claims(&changes);
        let refused = sign_in(&engine, &provider).await.expect_err("refused");
        assert!(refused.message().contains(word), "{changes}: {refused}");
        assert!(!refused.chain().contains("canary"), "{refused}");
    }
    provider.claims(&json!({ "exp": 1_000 }));
    AHEAD.set(SignedDuration::from_mins(30));
    let refused = sign_in(&engine, &provider).await.expect_err("refused");
    AHEAD.set(SignedDuration::ZERO);
    assert!(refused.message().contains("it has expired"), "{refused}");
    provider.claims(&json!({}));
    let honest = provider.token();
    let (_, rest) = honest.split_once('.').expect("a head");
    // {"alg":"none"}, and {"alg":"HS256"} with the public key as its secret would be alike.
    for head in ["eyJhbGciOiJub25lIn0", "eyJhbGciOiJIUzI1NiIsImtpZCI6ImsxIn0"] {
        *provider.token.lock().expect("free") = Some(format!("{head}.{rest}"));
        let refused = sign_in(&engine, &provider).await.expect_err("refused");
        assert_eq!(refused.kind(), ErrorKind::Unexpected, "{refused}");
    }
    assert_eq!(engine.people().await.expect("people").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_new_key_of_the_provider_is_found_and_a_key_it_does_not_publish_proves_nothing() {
    let (engine, provider) = stage(&["data=viewer"]).await;
    sign_in(&engine, &provider).await.expect("signed in");
    let (new, public) = key("k2");
    *provider.signs.lock().expect("free") = (new, "k2".to_owned());
    tokio::time::advance(std::time::Duration::from_secs(60)).await;
    let refused = sign_in(&engine, &provider).await.expect_err("it is not published");
    assert!(refused.message().contains("does not publish its key"), "{refused}");
    provider.publishes.lock().expect("free").push(public);
    sign_in(&engine, &provider).await.expect_err("keys are not asked for at each attempt");
    tokio::time::advance(std::time::Duration::from_secs(60)).await;
    sign_in(&engine, &provider).await.expect("signed in");

    let (foreign, _) = key("k2");
    *provider.signs.lock().expect("free") = (foreign, "k2".to_owned());
    let refused = sign_in(&engine, &provider).await.expect_err("another key of the same name");
    assert!(refused.message().contains("signature"), "{refused}");
}

#[tokio::test]
async fn only_the_browser_that_was_sent_to_the_provider_comes_back() {
    let (engine, provider) = stage(&["data=viewer"]).await;
    let (mine, other) =
        (engine.begin_sign_in(BACK).await.expect("begun"), engine.begin_sign_in(BACK).await.expect("begun"));
    *provider.nonce.lock().expect("free") = pair(&mine.address, "nonce");
    let back = FromProvider {
        code: Some("c0de".to_owned()),
        state: Some(pair(&mine.address, "state")),
        ..FromProvider::default()
    };
    for secret in [None, Some(other.secret.as_str()), Some("")] {
        let refused = engine.finish_sign_in(&back, secret, BACK).await.expect_err("another browser");
        assert_eq!(refused.kind(), ErrorKind::Denied);
    }
    let elsewhere = FromProvider { issuer: Some("https://evil.example".to_owned()), ..back.clone() };
    let refused = engine.finish_sign_in(&elsewhere, Some(&mine.secret), BACK).await.expect_err("refused");
    assert!(refused.message().contains("another identity provider"), "{refused}");
    let denied = FromProvider { code: None, error: Some("access_denied".to_owned()), ..back.clone() };
    let refused = engine.finish_sign_in(&denied, Some(&mine.secret), BACK).await.expect_err("refused");
    assert_eq!(refused.message(), "id.example.com did not sign you in: access_denied");
    engine.finish_sign_in(&back, Some(&mine.secret), BACK).await.expect("signed in");
}

#[test]
fn roles_of_groups_are_read_and_wrong_ones_say_what_is_expected() {
    let role = |text: &str| text.parse::<GroupRole>();
    let read = role("cn=ops,dc=example=admin+rows").expect("a role");
    assert_eq!((read.group.as_str(), read.role, read.rows), ("cn=ops,dc=example", Role::Admin, true));
    assert!(role("ops").expect_err("no role").starts_with("expected GROUP=ROLE"));
    assert!(role("ops=owner").expect_err("no role").contains("`viewer`, `editor` and `admin`"));
}
