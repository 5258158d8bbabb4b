//! Alerts, and the notices that tell of them.

use std::time::Duration;

use jiff::Timestamp;
use tidegate_model::Clock;
use tidegate_model::alert::{Alert, AlertQuery, Change, Notice, Recipient, Trigger};

use crate::store::backend::Backend;

fn alert(id: &str, opened_at: Timestamp) -> Alert {
    Alert {
        id: id.to_owned(),
        subject: "orders".to_owned(),
        trigger: Trigger::Failed,
        summary: "the key was refused".to_owned(),
        opened_at,
        resolved_at: None,
    }
}

fn notice(id: &str, alert: &str, channel: &str, due_at: Timestamp) -> Notice {
    Notice {
        id: id.to_owned(),
        alert: alert.to_owned(),
        change: Change::Opened,
        recipient: Recipient { channel: channel.to_owned(), contact: None },
        attempts: 0,
        due_at: Some(due_at),
        sent_at: None,
        error: None,
    }
}

/// The open ones first, each on one page, whatever its size.
pub async fn alerts_come_page_by_page(backend: &dyn Backend) {
    let store = backend.open().await;
    let (book, at) = (store.alert_book(), backend.clock().now());
    for number in 0..9_u32 {
        // Some open at the same time.
        let opened_at = at + Duration::from_secs(u64::from(number / 2));
        let subject = format!("sync-{number}");
        let one = Alert { subject, ..alert(&format!("a{number}"), opened_at) };
        assert!(book.open(&one).await.expect("opened"));
        if number % 3 == 0 {
            assert!(book.resolve(&one.id, opened_at).await.expect("resolved"));
        }
    }
    let all = book.list(100).await.expect("alerts");
    assert_eq!((all.len(), book.count_open().await.expect("count")), (9, 6));
    for (resolved, expected) in [(true, &all[..]), (false, &all[..6])] {
        for limit in 1..=10 {
            let (mut seen, mut after) = (Vec::new(), None);
            loop {
                let page = book.page(&AlertQuery { resolved, after, limit }).await.expect("a page");
                let Some(last) = page.last() else { break };
                assert!(page.len() <= limit);
                after = Some(last.cursor());
                seen.extend(page);
            }
            assert_eq!(seen, expected, "{limit} on a page");
        }
    }
}

/// Also over a restart; one about another trigger or sync is another alert.
pub async fn an_alert_is_open_once_until_it_is_resolved(backend: &dyn Backend) {
    let store = backend.open().await;
    let at = backend.clock().now();
    let book = store.alert_book();
    assert!(book.open(&alert("a1", at)).await.expect("opened"));
    assert!(!book.open(&alert("a2", at)).await.expect("asked"), "it is open");
    let other = Alert { trigger: Trigger::InDoubt, ..alert("a3", at + Duration::from_secs(1)) };
    assert!(book.open(&other).await.expect("opened"));
    book.explain("a1", "the table is gone").await.expect("explained");

    let store = backend.open().await;
    let book = store.alert_book();
    let open = book.list(10).await.expect("alerts");
    assert_eq!(open.iter().map(|alert| alert.id.as_str()).collect::<Vec<_>>(), ["a3", "a1"]);
    assert_eq!(open[1].summary, "the table is gone");
    let end = at + Duration::from_secs(60);
    assert!(book.resolve("a1", end).await.expect("resolved"));
    assert!(!book.resolve("a1", end).await.expect("asked"), "it was resolved");
    book.explain("a1", "too late").await.expect("asked");
    assert_eq!(book.find("a1").await.expect("found").expect("one").resolved_at, Some(end));
    assert_eq!(book.find("a1").await.expect("found").expect("one").summary, "the table is gone");
    assert!(book.find("a2").await.expect("asked").is_none());
    assert!(book.open(&alert("a4", end)).await.expect("opened"), "it opens again");
    let ids = |alerts: Vec<Alert>| alerts.into_iter().map(|alert| alert.id).collect::<Vec<_>>();
    assert_eq!(ids(book.list(10).await.expect("alerts")), ["a4", "a3", "a1"], "open ones first");
    assert_eq!(ids(book.list(0).await.expect("alerts")), ["a4", "a3"]);
}

/// Recipients and changes count separately.
pub async fn a_recipient_is_told_of_a_change_once(backend: &dyn Backend) {
    let store = backend.open().await;
    let (at, book) = (backend.clock().now(), store.alert_book());
    book.open(&alert("a1", at)).await.expect("opened");
    book.add_notice(&notice("n1", "a1", "mail", at)).await.expect("added");
    book.add_notice(&notice("n2", "a1", "mail", at)).await.expect("added");
    book.add_notice(&notice("n3", "a1", "chat", at)).await.expect("added");
    let contact = Recipient { channel: "mail".to_owned(), contact: Some("ada@example.com".to_owned()) };
    let personal = Notice { recipient: contact, ..notice("n4", "a1", "mail", at) };
    book.add_notice(&personal).await.expect("added");
    let resolved = Notice { change: Change::Resolved, ..notice("n5", "a1", "mail", at) };
    book.add_notice(&resolved).await.expect("added");

    let kept = book.notices("a1").await.expect("notices");

    let ids: Vec<&str> = kept.iter().map(|notice| notice.id.as_str()).collect();
    assert_eq!(ids, ["n1", "n3", "n4", "n5"]);
    assert_eq!(kept[2], personal);
    assert!(book.notices("a2").await.expect("none").is_empty());
}

/// Until its time is over, or it is written back.
pub async fn a_notice_that_is_due_goes_to_one_process(backend: &dyn Backend) {
    let store = backend.open().await;
    let (at, book) = (backend.clock().now(), store.alert_book());
    let until = at + Duration::from_secs(60);
    book.open(&alert("a1", at)).await.expect("opened");
    book.add_notice(&notice("n1", "a1", "mail", at)).await.expect("added");
    book.add_notice(&notice("n2", "a1", "chat", until)).await.expect("added");

    let taken = book.take_due(at, until, 10).await.expect("taken");
    assert_eq!(taken.len(), 1, "the other one is not due");
    assert!(backend.open().await.alert_book().take_due(at, until, 10).await.expect("asked").is_empty());
    assert_eq!(book.take_due(until, until, 10).await.expect("taken").len(), 2, "its process did not answer");

    let sent = Notice {
        attempts: 1,
        due_at: None,
        sent_at: Some(until),
        error: Some("503".to_owned()),
        ..taken[0].clone()
    };
    book.update_notice(&sent).await.expect("noted");
    let ids: Vec<String> =
        book.take_due(until, until, 10).await.expect("taken").into_iter().map(|one| one.id).collect();
    assert_eq!(ids, ["n2"]);
    assert_eq!(book.notices("a1").await.expect("notices")[0], sent);
}

/// What is open stays, however old it is.
pub async fn old_alerts_go_with_their_notices(backend: &dyn Backend) {
    let store = backend.open().await;
    let (at, book) = (backend.clock().now(), store.alert_book());
    let later = at + Duration::from_secs(60);
    book.open(&alert("a1", at)).await.expect("opened");
    book.add_notice(&notice("n1", "a1", "mail", at)).await.expect("added");
    book.resolve("a1", at).await.expect("resolved");
    book.open(&alert("a2", at)).await.expect("opened");

    book.trim(later).await.expect("trimmed");

    let left: Vec<String> = book.list(10).await.expect("alerts").into_iter().map(|one| one.id).collect();
    assert_eq!(left, ["a2"]);
    assert!(book.notices("a1").await.expect("asked").is_empty());
    assert!(book.take_due(later, later, 10).await.expect("asked").is_empty());
}
