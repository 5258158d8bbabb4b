//! `tidegate events`

use tidegate_engine::service::{Engine, KindCount};
use tidegate_model::event::KindPattern;
use tidegate_model::{ConnectionId, Error, EventSelection};

use super::documents::{Events as LastEvents, Kinds, LoggedEvent};
use crate::DONE;
use crate::cli::{Events, Output, ProjectArgs};
use crate::output::table::{Table, numeric, word};
use crate::output::{self, moment, number};

pub(super) async fn events(args: &ProjectArgs, query: Events, out: Output) -> Result<u8, Error> {
    let engine = args.showing_engine().await?;
    let mut stream = query.stream.map(ConnectionId::new);
    if stream.is_none() && query.last.is_some() {
        stream = Some(only_stream(&engine)?);
    }
    if let Some(stream) = &stream
        && !engine.ingest_endpoints().iter().any(|endpoint| endpoint.connection == *stream)
    {
        let ingest_endpoints: Vec<String> =
            engine.ingest_endpoints().iter().map(|endpoint| endpoint.connection.to_string()).collect();
        let error = Error::settings(format!("no events come in through `{stream}`"));
        return Err(if ingest_endpoints.is_empty() {
            error.hint("no connection of this project receives events: add one of type events, onesignal or pinpoint")
        } else {
            error.hint(format!("events come in through: {}", ingest_endpoints.join(", ")))
        });
    }
    match (stream, query.last) {
        (Some(stream), Some(limit)) => {
            let kinds = query.kind.into_iter().map(KindPattern::new).collect();
            let selection = EventSelection { kinds, ..EventSelection::default() };
            let logged = engine.last_events(&stream, &selection, limit).await?;
            let events = logged.iter().map(|logged| LoggedEvent {
                offset: logged.offset,
                event: output::raw(logged.event.payload.as_str()),
            });
            let last = LastEvents { events: events.collect() };
            if out == Output::Text && last.events.is_empty() {
                output::note("no events yet");
                return Ok(DONE);
            }
            // One line each for people too: a payload has no other form.
            let out = if out == Output::Text { Output::Jsonl } else { out };
            output::listing(out, &last, &last.events);
        }
        (stream, _) => {
            let counts = engine.event_counts(stream.as_ref()).await?;
            let kinds = Kinds { kinds: selected(counts, query.kind) };
            match out {
                Output::Text if kinds.kinds.is_empty() => output::note("no events yet"),
                Output::Text => output::table(&table(&kinds.kinds)),
                _ => output::listing(out, &kinds, &kinds.kinds),
            }
        }
    }
    Ok(DONE)
}

/// The connection whose events are shown if none is named.
fn only_stream(engine: &Engine) -> Result<ConnectionId, Error> {
    match engine.ingest_endpoints() {
        [endpoint] => Ok(endpoint.connection.clone()),
        endpoints => {
            let names: Vec<&str> = endpoints.iter().map(|endpoint| endpoint.connection.as_str()).collect();
            let error = Error::settings("`--last` shows the events of one connection");
            Err(error.hint(match &*names {
                [] => "no connection of this project receives events: add one of type events, onesignal or pinpoint".to_owned(),
                names => format!("name one: {}", names.join(", ")),
            }))
        }
    }
}

/// The counts of kinds that a pattern takes.
fn selected(counts: Vec<KindCount>, pattern: Option<String>) -> Vec<KindCount> {
    let Some(pattern) = pattern.map(KindPattern::new) else { return counts };
    counts.into_iter().filter(|count| pattern.fits(&count.kind)).collect()
}

fn table(counts: &[KindCount]) -> Table {
    let mut table = Table::new([word("connection"), word("kind"), numeric("events"), word("last")]);
    for count in counts {
        table.row([
            count.stream.to_string().into(),
            count.kind.as_str().into(),
            number(count.events).into(),
            moment(count.last).into(),
        ]);
    }
    table
}
