//! What every sink of events is tried with, whatever its system.

use std::sync::Arc;

use serde_json::Value;
use tidegate_model::{
    Connector, ConnectorContext, Error, ErrorKind, Event, Json, Layout, LoggedEvent, Offset, Outcome,
    Settings, Sink, SinkTarget, StreamId, SyncId, Text,
};

/// Event number `at`, whose texts have every sign that a statement could stumble over.
fn event(at: u64) -> LoggedEvent {
    let logged_at = jiff::Timestamp::constant(1_772_366_400, 123_456_000);
    let event = Event {
        id: format!("e'{at}\\").into(),
        kind: "message.push.clicked".into(),
        at: logged_at,
        user: "u1".into(),
        app: "a1".into(),
        message: Text::new(),
        template: Text::new(),
        payload: Json::trusted(r#"{"language":"漢\"字","device_type":9007199254740993,"subscribed":true}"#),
    };
    LoggedEvent { offset: Offset::new(0, at), logged_at, event }
}

pub(crate) fn events(range: std::ops::Range<u64>) -> Vec<LoggedEvent> {
    range.map(event).collect()
}

/// Opens a sink of message events.
pub(crate) fn open(
    connector: &Connector,
    settings: &Settings,
    target: Value,
    context: &ConnectorContext,
) -> Arc<Sink> {
    let target = SinkTarget {
        sync: SyncId::new("export"),
        stream: StreamId::new("push"),
        layout: Layout::Messages,
        settings: crate::databricks_server::selection(target),
    };
    (connector.sink.expect("a sink").open)(settings, &target, context).expect("opens")
}

/// Delivers thirty events, half of them twice: in one delivery and in two.
pub(crate) async fn thirty_come_again(sink: &Sink, what: &str) {
    let mut twice = events(0..20);
    twice.extend(events(10..20));
    for items in [&twice[..], &events(15..30)[..]] {
        let receipt = sink.deliver(items).await.unwrap_or_else(|error| panic!("{what}: {error:?}"));
        assert_eq!(receipt.outcomes, vec![Outcome::Delivered; items.len()], "{what}");
    }
}

/// Returns the cells of event 7 as texts: those of `time` and `day` are written as the system does.
pub(crate) fn cells_of_seven(time: &str, day: &str) -> Vec<Option<String>> {
    let cells = ["e'7\\", time, "漢\"字", "9007199254740993", "true", day];
    cells.into_iter().map(|cell| Some(cell.to_owned())).chain([None]).collect()
}

/// Delivers events until all of them are delivered, as the engine does: what is not known is offered again.
pub(crate) async fn deliver_at_last(sink: &Sink, items: &[LoggedEvent], what: &str) {
    for attempt in 1.. {
        match sink.deliver(items).await {
            Ok(receipt) if receipt.outcomes.iter().all(|outcome| *outcome == Outcome::Delivered) => return,
            Ok(receipt) => assert!(attempt < 4, "{what}: {receipt:?}"),
            Err(error) => {
                let transient = matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Throttled(_));
                assert!(transient && attempt < 4, "{what}: {error:?}");
            }
        }
    }
}

/// Returns the error of a table with a column that does not keep every value.
pub(crate) async fn refused(sink: &Sink) -> Error {
    let error = sink.deliver(&events(0..3)).await.expect_err("a column that cuts values");
    assert_eq!(error.kind(), ErrorKind::Settings, "{error:?}");
    error
}
