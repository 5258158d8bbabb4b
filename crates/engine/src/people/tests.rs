//! Signing in, tokens, invitations and the audit log, on a store in memory.

use std::net::IpAddr;

use tidegate_model::ErrorKind;
use tidegate_model::people::Role;

use super::{SignIn, Visitor};
use crate::scheduler::tests::Stage;

const PASSWORD: &str = "correct horse battery";

fn here() -> IpAddr {
    IpAddr::from([127, 0, 0, 1])
}

fn stage() -> Stage {
    let stage = Stage::start(1, 1);
    stage.stop.cancel();
    stage
}

#[tokio::test]
async fn the_first_link_makes_an_admin_once_and_others_are_added_with_links_of_their_own() {
    let stage = stage();
    let engine = &stage.engine;
    let link = engine.invite_first().await.expect("made").expect("there is no person yet");
    assert!(!engine.has_people().await.expect("asked"));
    let short = engine.accept(&link, "ada", "short").await.expect_err("too short");
    assert!(short.message().contains("12 characters"), "{short}");
    let (name, session) = engine.accept(&link, " ada ", PASSWORD).await.expect("accepted");
    assert_eq!(name, "ada");
    let visitor = engine.visitor_by_session(&session).await.expect("asked").expect("signed in");
    assert_eq!(visitor, Visitor { name: "ada".to_owned(), role: Role::Admin, rows: true });
    let again = engine.accept(&link, "eve", PASSWORD).await.expect_err("it was used");
    assert_eq!(again.kind(), ErrorKind::Denied);
    assert_eq!(engine.invite_first().await.expect("asked"), None);

    engine.put_person("lin", Role::Viewer, false, None).await.expect("added");
    let link = engine.invite("lin").await.expect("made");
    let (name, session) = engine.accept(&link, "someone else", PASSWORD).await.expect("accepted");
    assert_eq!(name, "lin", "the link says who it is for");
    let visitor = engine.visitor_by_session(&session).await.expect("asked").expect("signed in");
    assert_eq!((visitor.role, visitor.rows), (Role::Viewer, false));
    engine.sign_out(&session).await.expect("signed out");
    assert_eq!(engine.visitor_by_session(&session).await.expect("asked"), None);
    let last = engine.remove_person("ada").await.expect_err("others would be left without an admin");
    assert_eq!(last.message(), "`ada` is the last admin");
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_name_look_alike_and_the_sixth_attempt_waits() {
    let stage = stage();
    let engine = &stage.engine;
    engine.put_person("ada", Role::Admin, true, Some(PASSWORD)).await.expect("added");
    let attempt =
        async |name: &str, password: &str| engine.sign_in(name, password, here()).await.expect("asked");
    assert!(matches!(attempt("ada", PASSWORD).await, SignIn::Done(_)));
    for _ in 0..3 {
        assert_eq!(attempt("ada", "wrong").await, SignIn::Wrong);
    }
    for _ in 0..2 {
        assert_eq!(attempt("eve", PASSWORD).await, SignIn::Wrong);
    }
    assert!(matches!(attempt("ada", PASSWORD).await, SignIn::Wait(_)), "also with the right password");
    let kept = engine.people().await.expect("people")[0].password.clone().expect("a hash");
    assert!(kept.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{kept}");
}

#[tokio::test]
async fn a_token_has_a_role_an_end_and_no_secret_in_the_store() {
    let stage = stage();
    let engine = &stage.engine;
    let secret = engine.add_token("airflow", Role::Editor, false, 30).await.expect("added");
    assert!(secret.starts_with("tidegate_") && secret.len() > 60, "{secret}");
    let visitor = engine.visitor_by_token(&secret).await.expect("asked").expect("known");
    assert_eq!(visitor, Visitor { name: "token airflow".to_owned(), role: Role::Editor, rows: false });
    assert_eq!(engine.visitor_by_token("tidegate_guess").await.expect("asked"), None);
    let tokens = engine.tokens().await.expect("tokens");
    assert!(!tokens[0].hash.contains(&secret[9..]));
    assert!(engine.add_token("airflow", Role::Viewer, false, 30).await.is_err(), "the name is taken");
    assert!(engine.add_token("long", Role::Viewer, false, 1_000).await.is_err(), "no token is for good");
    engine.remove_token("airflow").await.expect("removed");
    assert_eq!(engine.visitor_by_token(&secret).await.expect("asked"), None);
}

#[tokio::test]
async fn an_audit_log_that_was_changed_says_where() {
    let stage = stage();
    let engine = &stage.engine;
    assert!(engine.verify_audit().await.expect("read").intact, "an empty one is intact");
    for number in 0..5 {
        engine.audit("ada", "page", "pause_sync", &format!("s{number}")).await;
    }
    let verdict = engine.verify_audit().await.expect("read");
    assert!(verdict.intact && verdict.entries == 5 && verdict.last_hash.is_some(), "{verdict:?}");

    stage.store.forge_audit(3, |deed| "eve".clone_into(&mut deed.actor));
    let verdict = engine.verify_audit().await.expect("read");
    assert_eq!((verdict.intact, verdict.broken_at), (false, Some(3)));
}
