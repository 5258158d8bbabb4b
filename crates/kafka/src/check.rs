//! Checks each right that reading needs.

use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::Offset;
use tidegate_model::{Checks, Error, ErrorKind, Reason};
use tokio::runtime::Handle;

use crate::connection::Connection;
use crate::decode::Decoder;
use crate::errors;
use crate::message::Message;
use crate::metadata::ClusterMetadata;
use crate::partition::{TopicPartition, list};
use crate::selection::KafkaSelection;

/// How long to wait for a message.
const FETCH_TIMEOUT: Duration = Duration::from_secs(10);

/// Checks the cluster, each topic, the schema registry if a message needs it, and the group.
///
/// # Errors
/// Only what prevents checking at all.
pub(crate) fn run(connection: &Connection, selection: Option<&KafkaSelection>) -> Result<Checks, Error> {
    let mut checks = Checks::default();
    let Some(selection) = selection else {
        connection.with_metadata(None, |metadata| {
            match metadata.topics() {
                Ok(topics) => checks.pass(
                    "brokers",
                    format!("{} respond, {} topics are visible", metadata.brokers, topics.len()),
                ),
                Err(error) => checks.fail("brokers", error.chain(), error.next_step()),
            }
            Ok(())
        })?;
        return Ok(checks);
    };
    connection.with_metadata(Some(selection), |metadata| {
        let mut all = Vec::new();
        for topic in &selection.topics {
            let name = format!("DESCRIBE on topic {topic}");
            match metadata.partitions(topic) {
                Ok(partitions) => {
                    checks.pass(name, format!("{} partitions", partitions.len()));
                    all.extend(partitions);
                }
                Err(error) => {
                    let remedy = remedy(&error, &metadata.access.topic_command(topic));
                    checks.fail(name, error.chain(), remedy);
                    if error.kind() == ErrorKind::Unavailable {
                        return Ok(());
                    }
                }
            }
        }
        let decoder = connection.decoder(selection)?;
        for topic in &selection.topics {
            let partitions: Vec<TopicPartition> =
                all.iter().filter(|partition| *partition.0 == **topic).cloned().collect();
            if partitions.is_empty() {
                continue;
            }
            let name = format!("READ on topic {topic}");
            match fetch(metadata, &partitions, &decoder) {
                Ok(None) => checks.pass(name, "there is no message yet"),
                Ok(Some(Ok(Ok(())))) => checks.pass(name, "a message was read"),
                // One message is one rejected row; whether all are like it is for people to judge.
                Ok(Some(Ok(Err(reason)))) => {
                    checks.pass(name, format!("a message was read, but is not a row: {}", reason.message));
                }
                Ok(Some(Err(error))) => {
                    checks.pass(name, "a message was read");
                    checks.fail(format!("schemas of topic {topic}"), error.chain(), error.next_step());
                }
                Err(error) => {
                    checks.fail(name, error.chain(), remedy(&error, &metadata.access.topic_command(topic)));
                }
            }
        }
        if let Some(partition) = all.first() {
            let name = format!("READ on group {}", selection.group);
            match metadata.committed(std::slice::from_ref(partition)) {
                Ok(_) => checks.pass(name, "its committed offsets can be read"),
                Err(error) => {
                    checks.fail(name, error.chain(), remedy(&error, &metadata.access.group_commands()));
                }
            }
        }
        Ok(())
    })?;
    Ok(checks)
}

/// Returns the commands if a right is missing, else the error's own next step.
fn remedy(error: &Error, commands: &str) -> String {
    match error.kind() {
        ErrorKind::Denied if !commands.is_empty() => commands.to_owned(),
        _ => error.next_step().to_owned(),
    }
}

/// A message became a row or was rejected; an error if neither can be decided.
type Decoded = Result<Result<(), Reason>, Error>;

/// Reads one message of a topic, if there is one, without the group, and decodes it.
fn fetch(
    metadata: &ClusterMetadata<'_>,
    partitions: &[TopicPartition],
    decoder: &Decoder,
) -> Result<Option<Decoded>, Error> {
    let doing = "reading a message";
    let wrap = |error: &KafkaError| errors::wrap(doing, error, metadata.access);
    let watermarks = metadata.watermarks(partitions)?;
    // The partition with the most messages is the likeliest to give one.
    let fullest = partitions.iter().max_by_key(|partition| {
        watermarks.get(*partition).map_or(0, |watermarks| watermarks.end - watermarks.low)
    });
    let Some(partition) = fullest else { return Ok(None) };
    let from = watermarks.get(partition).map_or(0, |watermarks| watermarks.low);
    metadata
        .consumer
        .assign(&list(std::iter::once((partition, Offset::Offset(from))))?)
        .map_err(|error| wrap(&error))?;
    let since = Instant::now();
    let found = loop {
        match metadata.consumer.poll(Duration::from_millis(100)) {
            Some(Ok(message)) => {
                let row = Handle::current().block_on(decoder.row(&Message::of(&message, &partition.0)));
                break Ok(Some(row.map(|row| row.map(drop).map_err(|damaged| damaged.reason))));
            }
            Some(Err(KafkaError::PartitionEOF(_))) => break Ok(None),
            Some(Err(error)) => {
                let code = errors::code_of(&error).filter(|code| errors::is_final(*code));
                if let Some(code) = code {
                    let message = metadata.consumer.context().message_of(code);
                    break Err(errors::explain(doing, code, message.as_deref(), metadata.access));
                }
            }
            None => {}
        }
        if since.elapsed() > FETCH_TIMEOUT {
            break Err(Error::new(
                ErrorKind::Unavailable,
                format!("{doing}: the leader of {}[{}] gave nothing", partition.0, partition.1),
            ));
        }
    };
    let _ = metadata.consumer.unassign();
    found
}
