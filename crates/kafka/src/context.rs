//! Callbacks of the client library.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use rdkafka::client::{ClientContext, OAuthToken};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode as Code};
use rdkafka::statistics::Statistics;
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka::types::RDKafkaRespErr;
use tidegate_model::Error;
use tokio::runtime::Handle;

use crate::errors;
use crate::partition::lock;
use crate::token::Tokens;

/// How many errors are kept until they are taken.
const ERRORS_KEPT: usize = 16;

/// Follows the partitions of a consumer. The client library calls it on the
/// thread that polls, while it polls or closes, never two calls at once.
pub(crate) trait RebalanceListener: Send + Sync {
    /// The group assigned partitions. The listener assigns them to the consumer.
    fn on_assigned(&self, consumer: &BaseConsumer<Context>, partitions: &TopicPartitionList);

    /// The group revokes partitions. The listener unassigns them from the consumer.
    fn on_revoked(&self, consumer: &BaseConsumer<Context>, partitions: &TopicPartitionList);

    /// A commit of offsets has ended.
    fn on_commit(&self, result: KafkaResult<()>, offsets: &TopicPartitionList);

    /// The client library reports its statistics, at the interval that the consumer sets.
    fn on_statistics(&self, statistics: &Statistics);
}

/// Keeps the errors that the library reports, and answers its callbacks.
pub(crate) struct Context {
    tokens: Option<Arc<Tokens>>,
    runtime: Handle,
    listener: Option<Arc<dyn RebalanceListener>>,
    errors: Mutex<VecDeque<(Code, String)>>,
    token_failure: Mutex<Option<Error>>,
}

impl Context {
    pub(crate) fn new(
        tokens: Option<Arc<Tokens>>,
        runtime: Handle,
        listener: Option<Arc<dyn RebalanceListener>>,
    ) -> Context {
        Context { tokens, runtime, listener, errors: Mutex::default(), token_failure: Mutex::default() }
    }

    /// Returns the latest message of an error code.
    pub(crate) fn message_of(&self, code: Code) -> Option<String> {
        let errors = lock(&self.errors);
        errors.iter().rev().find(|(known, _)| *known == code).map(|(_, message)| message.clone())
    }

    /// Takes the errors reported since the last call, oldest first.
    pub(crate) fn take_errors(&self) -> Vec<(Code, String)> {
        lock(&self.errors).drain(..).collect()
    }

    /// Takes the error of the last token that could not be fetched.
    pub(crate) fn take_token_failure(&self) -> Option<Error> {
        lock(&self.token_failure).take()
    }
}

impl ClientContext for Context {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        // Serious problems also arrive as errors, once. Log lines repeat with each attempt.
        tracing::debug!(?level, facility, message, "kafka client");
    }

    fn stats(&self, statistics: Statistics) {
        if let Some(listener) = &self.listener {
            listener.on_statistics(&statistics);
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let Some(code) = errors::code_of(&error) else { return };
        let mut errors = lock(&self.errors);
        if errors.len() == ERRORS_KEPT {
            errors.pop_front();
        }
        errors.push_back((code, reason.to_owned()));
    }

    fn generate_oauth_token(&self, _: Option<&str>) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        let tokens = self.tokens.as_ref().ok_or("no token is set up")?;
        tokens.token(&self.runtime).map_err(|error| {
            let message = error.message().replace('\0', "");
            *lock(&self.token_failure) = Some(error);
            message.into()
        })
    }
}

impl ConsumerContext for Context {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Context>,
        err: RDKafkaRespErr,
        partitions: &mut TopicPartitionList,
    ) {
        let Some(listener) = &self.listener else { return };
        match err {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => {
                listener.on_assigned(consumer, partitions);
            }
            _ => listener.on_revoked(consumer, partitions),
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, offsets: &TopicPartitionList) {
        if let Some(listener) = &self.listener {
            listener.on_commit(result, offsets);
        }
    }
}
