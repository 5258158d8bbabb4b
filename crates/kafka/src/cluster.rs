//! A cluster that records are written to.

use std::time::Duration;

use rdkafka::client::{Client, ClientContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use tidegate_model::{ConnectorContext, Error, Settings};

use crate::access::Access;
use crate::client::Client as Clients;
use crate::errors;
use crate::settings::KafkaSettings;

/// How long to wait for a response about a topic.
pub(crate) const RESPONSE_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest name of a topic. Source: Kafka, `Topic.MAX_NAME_LENGTH`.
const TOPIC_BYTES_MAX: usize = 249;

/// The brokers, the credentials and the rights that are needed there.
#[derive(Clone)]
pub(crate) struct Cluster {
    /// Creates clients.
    pub(crate) client: Clients,
    /// The identity of this client, for messages.
    pub(crate) access: Access,
    /// The rights that are needed on a topic.
    pub(crate) operations: &'static [&'static str],
}

impl Cluster {
    /// Creates the clients of a cluster. Nothing is contacted yet.
    ///
    /// # Errors
    /// Settings that cannot work.
    pub(crate) fn new(
        settings: &Settings,
        operations: &'static [&'static str],
        context: &ConnectorContext,
    ) -> Result<Cluster, Error> {
        let settings: KafkaSettings = settings.parse()?;
        let client = Clients::new(&settings, context)?;
        Ok(Cluster { client, access: Access::new(&settings, None), operations })
    }

    /// Returns the error of an operation on a topic, with what to do about it.
    pub(crate) fn explain(&self, operation: &str, topic: &str, code: Code) -> Error {
        errors::explain_topic(&self.access, self.operations, operation, topic, code)
    }
}

/// Checks the name of a topic.
///
/// # Errors
/// [`tidegate_model::ErrorKind::Settings`] that says which names Kafka accepts.
pub(crate) fn check_topic(setting: &str, topic: &str) -> Result<(), Error> {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if topic.is_empty()
        || topic.len() > TOPIC_BYTES_MAX
        || !topic.bytes().all(legal)
        || matches!(topic, "." | "..")
    {
        return Err(Error::settings(format!("`{setting}`: `{topic}` is not a valid name of a topic"))
            .hint("use up to 249 letters, digits, dots, underscores and hyphens"));
    }
    Ok(())
}

/// Returns the number of partitions of a topic; `None` if there is no such topic. Blocks.
///
/// # Errors
/// The code of the response, or of its absence.
pub(crate) fn partitions<C: ClientContext>(client: &Client<C>, topic: &str) -> Result<Option<i32>, Code> {
    let metadata = client.fetch_metadata(Some(topic), RESPONSE_TIMEOUT).map_err(|error| code(&error))?;
    let Some(found) = metadata.topics().iter().find(|found| found.name() == topic) else { return Ok(None) };
    match found.error().map(Code::from) {
        None => Ok(Some(i32::try_from(found.partitions().len()).unwrap_or(i32::MAX))),
        Some(Code::UnknownTopicOrPartition | Code::UnknownTopic) => Ok(None),
        Some(code) => Err(code),
    }
}

/// Returns the code of an error of the library.
pub(crate) fn code(error: &KafkaError) -> Code {
    error.rdkafka_error_code().unwrap_or(Code::Unknown)
}

/// Runs blocking work on a thread that may block.
///
/// # Errors
/// Those of `work`; [`Error::internal`] if it was interrupted.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|cause| Error::internal("waiting for Kafka was interrupted").caused_by(cause))?
}
