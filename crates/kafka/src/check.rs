//! Proves each right that reading needs.

use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::Offset;
use tidegate_model::{Checks, Error, ErrorKind, Reason};
use tokio::runtime::Handle;

use crate::decode::Decoder;
use crate::errors;
use crate::look::{Look, list};
use crate::message::Message;
use crate::progress::Part;
use crate::selection::KafkaSelection;
use crate::source::Shared;

/// How long one message may take to come.
const FETCH: Duration = Duration::from_secs(10);

/// Looks at the cluster, each topic, the schema registry where a message needs it, and the group.
///
/// # Errors
/// Only what prevents looking at all.
pub(crate) fn run(shared: &Shared, selection: Option<&KafkaSelection>) -> Result<Checks, Error> {
    let mut checks = Checks::default();
    let Some(selection) = selection else {
        shared.look(None, |look| {
            match look.topics() {
                Ok(topics) => checks.pass(
                    "brokers",
                    format!("{} answer, {} topics are ours to see", look.brokers, topics.len()),
                ),
                Err(error) => checks.fail("brokers", error.chain(), error.next_step()),
            }
            Ok(())
        })?;
        return Ok(checks);
    };
    shared.look(Some(selection), |look| {
        let mut all = Vec::new();
        for topic in &selection.topics {
            let name = format!("DESCRIBE on topic {topic}");
            match look.partitions(topic) {
                Ok(parts) => {
                    checks.pass(name, format!("{} partitions", parts.len()));
                    all.extend(parts);
                }
                Err(error) => {
                    let remedy = remedy(&error, &look.access.topic_command(topic));
                    checks.fail(name, error.chain(), remedy);
                    if error.kind() == ErrorKind::Unavailable {
                        return Ok(());
                    }
                }
            }
        }
        let decoder = shared.decoder(selection)?;
        for topic in &selection.topics {
            let parts: Vec<Part> = all.iter().filter(|part| *part.0 == **topic).cloned().collect();
            if parts.is_empty() {
                continue;
            }
            let name = format!("READ on topic {topic}");
            match fetch(look, &parts, &decoder) {
                Ok(None) => checks.pass(name, "there is no message yet"),
                Ok(Some(Ok(Ok(())))) => checks.pass(name, "a message was read"),
                // One message is one rejected row; that it stands for all of them is for people to see.
                Ok(Some(Ok(Err(reason)))) => {
                    checks.pass(name, format!("a message was read, and is no row: {}", reason.message));
                }
                Ok(Some(Err(error))) => {
                    checks.pass(name, "a message was read");
                    checks.fail(format!("schemas of topic {topic}"), error.chain(), error.next_step());
                }
                Err(error) => {
                    checks.fail(name, error.chain(), remedy(&error, &look.access.topic_command(topic)));
                }
            }
        }
        if let Some(part) = all.first() {
            let name = format!("READ on group {}", selection.group);
            match look.committed(std::slice::from_ref(part)) {
                Ok(_) => checks.pass(name, "its committed offsets can be read"),
                Err(error) => checks.fail(name, error.chain(), remedy(&error, &look.access.group_commands())),
            }
        }
        Ok(())
    })?;
    Ok(checks)
}

/// The commands where a right is missing, else the error's own next step.
fn remedy(error: &Error, commands: &str) -> String {
    match error.kind() {
        ErrorKind::Denied if !commands.is_empty() => commands.to_owned(),
        _ => error.next_step().to_owned(),
    }
}

/// What became of a message: a row, or why it is none; an error where that cannot be told.
type Decoded = Result<Result<(), Reason>, Error>;

/// Reads one message of a topic where there is one, without the group, and decodes it.
fn fetch(look: &Look<'_>, parts: &[Part], decoder: &Decoder) -> Result<Option<Decoded>, Error> {
    let doing = "reading a message";
    let wrap = |error: &KafkaError| errors::wrap(doing, error, look.access);
    let edges = look.edges(parts)?;
    // The partition with the most messages is the likeliest to give one.
    let fullest = parts.iter().max_by_key(|part| edges.get(*part).map_or(0, |edges| edges.end - edges.low));
    let Some(part) = fullest else { return Ok(None) };
    let from = edges.get(part).map_or(0, |edges| edges.low);
    look.consumer
        .assign(&list(std::iter::once((part, Offset::Offset(from))))?)
        .map_err(|error| wrap(&error))?;
    let since = Instant::now();
    let found = loop {
        match look.consumer.poll(Duration::from_millis(100)) {
            Some(Ok(message)) => {
                let row = Handle::current().block_on(decoder.row(&Message::of(&message, &part.0)));
                break Ok(Some(row.map(|row| row.map(drop))));
            }
            Some(Err(KafkaError::PartitionEOF(_))) => break Ok(None),
            Some(Err(error)) => {
                let code = errors::code_of(&error).filter(|code| errors::is_final(*code));
                if let Some(code) = code {
                    let words = look.consumer.context().words(code);
                    break Err(errors::explain(doing, code, words.as_deref(), look.access));
                }
            }
            None => {}
        }
        if since.elapsed() > FETCH {
            break Err(Error::new(
                ErrorKind::Unavailable,
                format!("{doing}: the leader of {}[{}] gave nothing", part.0, part.1),
            ));
        }
    };
    let _ = look.consumer.unassign();
    found
}
