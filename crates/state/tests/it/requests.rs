//! A request for work is carried out only while its asker asks for it.

use std::path::Path;
use std::sync::Arc;

use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection, SqliteConnection};
use tidegate_model::store::{AbandonedWork, RequestState};
use tidegate_model::{Store, SyncId};
use tidegate_testkit::store::Backend as _;

use crate::embedded::Folder;
use crate::postgres::Database;

/// Lets so much time pass since every request was last asked for.
async fn pass(database: &Path, url: Option<&str>, seconds: i64) {
    let statement = format!("UPDATE requests SET asked_at = asked_at - {seconds} * 1000000");
    match url {
        Some(url) => {
            let mut connection = PgConnection::connect(url).await.expect("connected");
            connection.execute(AssertSqlSafe(statement)).await.expect("done");
        }
        None => {
            let url = format!("sqlite://{}", database.display());
            let mut connection = SqliteConnection::connect(&url).await.expect("opened");
            connection.execute(AssertSqlSafe(statement)).await.expect("done");
        }
    }
}

async fn an_abandoned_request_is_not_begun(store: Arc<dyn Store>, pass: impl AsyncFn(i64)) {
    let orders = SyncId::new("orders");
    let claim = store.claim(&orders).await.expect("asked").taken().expect("free");
    let id = store.request_work(&orders, "reset").await.expect("asked");
    let may_begin = async || {
        let listed = store.requested_work(&claim).await.expect("looked").len();
        assert_eq!(listed == 1, store.begin_work(&claim, &id).await.expect("asked"));
        listed == 1
    };

    pass(11).await;
    assert!(!may_begin().await, "it was last asked for 11 seconds ago");
    pass(-30).await;
    assert!(!may_begin().await, "the clock was set back");
    assert_eq!(store.keep_request(&id).await.expect("asked"), RequestState::Open);
    assert!(may_begin().await, "it is asked for again");

    assert!(store.answer_work(&claim, &id, "done").await.expect("answered"));
    pass(50).await;
    assert_eq!(store.forget_requests().await.expect("looked"), [], "its asker may come back");
    let unanswered = store.request_work(&orders, "retry").await.expect("asked");
    pass(61).await;
    let (work, answer) = ("reset".to_owned(), "done".to_owned());
    let abandoned = AbandonedWork { sync: orders.clone(), work, answer };
    assert_eq!(store.forget_requests().await.expect("looked"), [abandoned]);
    assert_eq!(store.forget_requests().await.expect("looked"), [], "each once");
    for id in [&id, &unanswered] {
        assert_eq!(store.keep_request(id).await.expect("asked"), RequestState::Gone);
    }
}

#[tokio::test]
async fn an_abandoned_request_in_a_data_folder_is_not_begun_and_is_removed() {
    let folder = Folder::new();
    let file = folder.data.path().join("tidegate.db");
    an_abandoned_request_is_not_begun(folder.open().await, async |seconds| pass(&file, None, seconds).await)
        .await;
}

#[tokio::test]
async fn an_abandoned_request_on_a_server_is_not_begun_and_is_removed() {
    let database = Database::new().await;
    let store = tidegate_state::open(database.config()).await.expect("opened");
    let (file, url) = (Path::new(""), database.url.as_str());
    an_abandoned_request_is_not_begun(store, async |seconds| pass(file, Some(url), seconds).await).await;
}
