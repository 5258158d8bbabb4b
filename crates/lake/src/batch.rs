//! Events as Arrow columns, as all sinks that write Parquet have them.

pub(crate) use tidegate_transport::arrow::events::{Day, Shape, steps};

#[cfg(test)]
pub(crate) mod tests {
    use jiff::Timestamp;
    use tidegate_model::{Event, Json, LoggedEvent, Offset, Text};

    pub(crate) fn logged(at: u64, time: &str) -> LoggedEvent {
        let time: Timestamp = time.parse().expect("timestamp");
        let event = Event {
            id: format!("e{at}").into(),
            kind: "message.push.clicked".into(),
            at: time,
            user: "u1".into(),
            app: "a1".into(),
            message: Text::new(),
            template: Text::new(),
            payload: Json::parse(r#"{"device_type":1,"language":"en"}"#.into()).expect("JSON"),
        };
        LoggedEvent { offset: Offset::new(0, at), logged_at: time, event }
    }
}
