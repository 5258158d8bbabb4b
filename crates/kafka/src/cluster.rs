//! How one cluster is reached, by whoever writes to it.

use std::time::Duration;

use rdkafka::client::{Client, ClientContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use tidegate_model::{Error, Settings, Tools};

use crate::access::Access;
use crate::client::Client as Clients;
use crate::settings::KafkaSettings;

/// The longest wait for an answer about a topic.
pub(crate) const ANSWER: Duration = Duration::from_secs(10);
/// The longest name of a topic. Source: Kafka, `Topic.MAX_NAME_LENGTH`.
const TOPIC_BYTES_MAX: usize = 249;

/// Brokers, credentials, and the rights that are needed there.
#[derive(Clone)]
pub(crate) struct Cluster {
    /// Makes clients.
    pub(crate) client: Clients,
    /// Who we are, for messages.
    pub(crate) access: Access,
    /// What has to be allowed on a topic.
    pub(crate) operations: &'static [&'static str],
}

impl Cluster {
    /// Remembers how to connect. Nothing is reached yet.
    ///
    /// # Errors
    /// Settings that cannot work.
    pub(crate) fn new(
        settings: &Settings,
        operations: &'static [&'static str],
        tools: &Tools,
    ) -> Result<Cluster, Error> {
        let settings: KafkaSettings = settings.parse()?;
        let client = Clients::new(&settings, tools)?;
        Ok(Cluster { client, access: Access::new(&settings, None), operations })
    }
}

/// Whether Kafka takes a name for a topic.
///
/// # Errors
/// [`tidegate_model::ErrorKind::Settings`] that says what it takes.
pub(crate) fn check_topic(setting: &str, topic: &str) -> Result<(), Error> {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if topic.is_empty()
        || topic.len() > TOPIC_BYTES_MAX
        || !topic.bytes().all(legal)
        || matches!(topic, "." | "..")
    {
        return Err(Error::settings(format!(
            "`{setting}`: `{topic}` is no name that Kafka takes for a topic"
        ))
        .hint("use up to 249 letters, digits, dots, underscores and hyphens"));
    }
    Ok(())
}

/// How many partitions a topic has; `None` where there is no such topic. Blocks.
///
/// # Errors
/// What Kafka said, or that it said nothing.
pub(crate) fn partitions<C: ClientContext>(client: &Client<C>, topic: &str) -> Result<Option<i32>, Code> {
    let metadata = client.fetch_metadata(Some(topic), ANSWER).map_err(|error| code(&error))?;
    let Some(found) = metadata.topics().iter().find(|found| found.name() == topic) else { return Ok(None) };
    match found.error().map(Code::from) {
        None => Ok(Some(i32::try_from(found.partitions().len()).unwrap_or(i32::MAX))),
        Some(Code::UnknownTopicOrPartition | Code::UnknownTopic) => Ok(None),
        Some(code) => Err(code),
    }
}

/// What an error of the library is about.
pub(crate) fn code(error: &KafkaError) -> Code {
    error.rdkafka_error_code().unwrap_or(Code::Unknown)
}

/// Runs what blocks where it may.
///
/// # Errors
/// Those of `work`; [`Error::internal`] where it was cut short.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|cause| Error::internal("waiting for Kafka was cut short").caused_by(cause))?
}
