//! `tidegate events`

use comfy_table::Table;
use serde_json::json;
use tidegate_engine::service::KindCount;
use tidegate_model::event::KindPattern;
use tidegate_model::{ConnectionId, Error, EventSelection};

use crate::DONE;
use crate::cli::{Events, Output, ProjectArgs};
use crate::output::{self, moment, number};

pub(super) async fn events(args: &ProjectArgs, query: Events, out: Output) -> Result<u8, Error> {
    let engine = args.engine().await?;
    let stream = query.stream.map(ConnectionId::new);
    if let Some(stream) = &stream
        && !engine.ingest_endpoints().iter().any(|endpoint| endpoint.connection == *stream)
    {
        let ingest_endpoints: Vec<String> =
            engine.ingest_endpoints().iter().map(|endpoint| endpoint.connection.to_string()).collect();
        return Err(Error::settings(format!("no events come in through `{stream}`"))
            .hint(format!("events come in through: {}", ingest_endpoints.join(", "))));
    }
    match (stream, query.last) {
        (Some(stream), Some(limit)) => {
            let kinds = query.kind.into_iter().map(KindPattern::new).collect();
            let selection = EventSelection { kinds, ..EventSelection::default() };
            for logged in engine.last_events(&stream, &selection, limit).await? {
                // One line each, in either form: it is data, made for pipes.
                let payload = output::raw(logged.event.payload.as_str());
                output::line(json!({ "offset": logged.offset, "event": payload }).to_string());
            }
        }
        (stream, _) => {
            let counts = engine.event_counts(stream.as_ref()).await?;
            output::print(out, &counts, |counts| table(counts));
        }
    }
    Ok(DONE)
}

fn table(counts: &[KindCount]) -> Table {
    let mut table = output::table(&["stream", "kind", "events", "last"]);
    for count in counts {
        table.add_row([
            count.stream.to_string(),
            count.kind.clone(),
            number(count.events),
            moment(count.last),
        ]);
    }
    table
}
