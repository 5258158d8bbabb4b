//! People, sessions, tokens, invitations and the audit log.

use std::time::Duration;

use jiff::Timestamp;
use tidegate_model::Clock;
use tidegate_model::people::{Deed, Invitation, Person, Role, Session, Token};

use crate::store::backend::Backend;

fn person(name: &str, role: Role, created_at: Timestamp) -> Person {
    let password = Some("hash".to_owned());
    Person { name: name.to_owned(), role, rows: true, by_groups: false, created_at, password }
}

fn session(hash: &str, person: &str, at: Timestamp) -> Session {
    Session { hash: hash.to_owned(), person: person.to_owned(), created_at: at, seen_at: at }
}

/// Also over a restart; a change of the person ends the sessions, and so does removal.
pub async fn a_person_is_kept_and_a_change_ends_the_sessions(backend: &dyn Backend) {
    let store = backend.open().await;
    let (at, book) = (backend.clock().now(), store.people_book());
    book.put_person(&person("lin", Role::Viewer, at)).await.expect("added");
    book.put_person(&person("ada", Role::Admin, at)).await.expect("added");
    book.open_session(&session("s1", "ada", at), at).await.expect("opened");
    book.open_session(&session("s2", "lin", at), at).await.expect("opened");

    let store = backend.open().await;
    let book = store.people_book();
    let names: Vec<String> = book.people().await.expect("people").into_iter().map(|one| one.name).collect();
    assert_eq!(names, ["ada", "lin"]);
    assert_eq!(book.session("s1").await.expect("asked"), Some(session("s1", "ada", at)));
    let later = at + Duration::from_secs(60);
    book.see_session("s1", later).await.expect("seen");
    assert_eq!(book.session("s1").await.expect("asked").expect("one").seen_at, later);

    let changed = Person { rows: false, by_groups: true, ..person("ada", Role::Editor, later) };
    book.put_person(&changed).await.expect("changed");
    let known = book.person("ada").await.expect("asked").expect("one");
    assert_eq!(known, Person { created_at: at, ..changed });
    assert!(book.session("s1").await.expect("asked").is_none(), "the role changed");
    assert!(book.session("s2").await.expect("asked").is_some());
    assert!(book.remove_person("lin").await.expect("removed"));
    assert!(!book.remove_person("lin").await.expect("asked"));
    assert!(book.session("s2").await.expect("asked").is_none());
}

/// A session that is older than the next one allows goes with it.
pub async fn old_sessions_go_when_a_new_one_opens(backend: &dyn Backend) {
    let store = backend.open().await;
    let (at, book) = (backend.clock().now(), store.people_book());
    let later = at + Duration::from_secs(60);
    book.open_session(&session("s1", "ada", at), at).await.expect("opened");
    book.open_session(&session("s2", "ada", later), later).await.expect("opened");
    assert!(book.session("s1").await.expect("asked").is_none());
    book.end_session("s2").await.expect("ended");
    assert!(book.session("s2").await.expect("asked").is_none());
}

/// A name is taken until the token is removed.
pub async fn a_token_is_found_by_its_hash_until_it_is_removed(backend: &dyn Backend) {
    let store = backend.open().await;
    let (at, book) = (backend.clock().now(), store.people_book());
    let token = Token {
        name: "airflow".to_owned(),
        hash: "h1".to_owned(),
        role: Role::Editor,
        rows: false,
        created_at: at,
        expires_at: at + Duration::from_secs(60),
        used_at: None,
    };
    assert!(book.add_token(&token).await.expect("added"));
    assert!(!book.add_token(&Token { hash: "h2".to_owned(), ..token.clone() }).await.expect("asked"));
    assert_eq!(book.token("h1").await.expect("asked"), Some(token.clone()));
    assert!(book.token("h2").await.expect("asked").is_none());
    book.see_token("h1", at).await.expect("seen");
    assert_eq!(book.tokens().await.expect("tokens"), [Token { used_at: Some(at), ..token }]);
    assert!(book.remove_token("airflow").await.expect("removed"));
    assert!(!book.remove_token("airflow").await.expect("asked"));
    assert!(book.token("h1").await.expect("asked").is_none());
}

/// Accepting it uses it up, and a newer one replaces it.
pub async fn an_invitation_is_accepted_once(backend: &dyn Backend) {
    let store = backend.open().await;
    let (at, book) = (backend.clock().now(), store.people_book());
    let invitation = |hash: &str, person: Option<&str>| Invitation {
        hash: hash.to_owned(),
        person: person.map(str::to_owned),
        expires_at: at,
    };
    book.invite(&invitation("i1", None)).await.expect("invited");
    book.invite(&invitation("i2", None)).await.expect("invited");
    book.invite(&invitation("i3", Some("lin"))).await.expect("invited");
    assert!(book.invitation("i1").await.expect("asked").is_none(), "a newer one replaced it");
    assert_eq!(book.invitation("i3").await.expect("asked"), Some(invitation("i3", Some("lin"))));

    assert!(book.accept("i2", &person("ada", Role::Admin, at)).await.expect("accepted"));
    assert!(!book.accept("i2", &person("eve", Role::Admin, at)).await.expect("asked"));
    let names: Vec<String> = book.people().await.expect("people").into_iter().map(|one| one.name).collect();
    assert_eq!(names, ["ada"]);
}

/// Numbers have no gaps, and each entry is given the hash of the one before.
pub async fn the_audit_log_is_a_chain(backend: &dyn Backend) {
    fn hash(before: &str, seq: u64, deed: &Deed) -> String {
        format!("{before}>{seq}{}", deed.action)
    }
    let store = backend.open().await;
    let (at, book) = (backend.clock().now(), store.people_book());
    let deed = |action: &str| Deed {
        at,
        actor: "ada".to_owned(),
        via: "page".to_owned(),
        action: action.to_owned(),
        subject: "orders".to_owned(),
    };
    for action in ["a", "b", "c"] {
        book.append_deed(&deed(action), hash).await.expect("appended");
    }
    let store = backend.open().await;
    let book = store.people_book();
    let all = book.audit_from(0, 10).await.expect("entries");
    let hashes: Vec<&str> = all.iter().map(|entry| entry.hash.as_str()).collect();
    assert_eq!(hashes, [">1a", ">1a>2b", ">1a>2b>3c"]);
    assert_eq!(all[1].deed, deed("b"));
    let page = book.audit_from(1, 1).await.expect("entries");
    assert_eq!(page.iter().map(|entry| entry.seq).collect::<Vec<_>>(), [2]);
    let last = async |before| -> Vec<u64> {
        let entries = book.audit_last(before, 2).await.expect("entries");
        entries.iter().map(|entry| entry.seq).collect()
    };
    assert_eq!(last(None).await, [3, 2]);
    assert_eq!(last(Some(2)).await, [1]);
}
