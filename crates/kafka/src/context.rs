//! What the client library tells us while it is polled.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

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
use crate::feed::{Session, rebalance};
use crate::token::Tokens;

/// Failures that are remembered until somebody asks.
const REMEMBERED: usize = 16;

/// Collects what the library says, and answers what it asks.
pub(crate) struct Context {
    tokens: Option<Arc<Tokens>>,
    runtime: Handle,
    session: Option<Arc<Session>>,
    said: Mutex<VecDeque<(Code, String)>>,
    token_failure: Mutex<Option<Error>>,
}

impl Context {
    pub(crate) fn new(
        tokens: Option<Arc<Tokens>>,
        runtime: Handle,
        session: Option<Arc<Session>>,
    ) -> Context {
        Context { tokens, runtime, session, said: Mutex::default(), token_failure: Mutex::default() }
    }

    /// The words that came last with a code.
    pub(crate) fn words(&self, code: Code) -> Option<String> {
        let said = lock(&self.said);
        said.iter().rev().find(|(known, _)| *known == code).map(|(_, words)| words.clone())
    }

    /// What was said since the last time, oldest first.
    pub(crate) fn take_said(&self) -> Vec<(Code, String)> {
        lock(&self.said).drain(..).collect()
    }

    /// Why there was no token, if so.
    pub(crate) fn take_token_failure(&self) -> Option<Error> {
        lock(&self.token_failure).take()
    }
}

impl ClientContext for Context {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        // What matters comes as an error too, and is told once. Lines here would repeat with each attempt.
        tracing::debug!(?level, facility, message, "kafka client");
    }

    fn stats(&self, statistics: Statistics) {
        if let Some(session) = &self.session {
            session.observe(&statistics);
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let Some(code) = errors::code_of(&error) else { return };
        let mut said = lock(&self.said);
        if said.len() == REMEMBERED {
            said.pop_front();
        }
        said.push_back((code, reason.to_owned()));
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
        parts: &mut TopicPartitionList,
    ) {
        let Some(session) = &self.session else { return };
        match err {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => rebalance::take(session, consumer, parts),
            _ => rebalance::give_up(session, consumer, parts),
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, offsets: &TopicPartitionList) {
        if let Some(session) = &self.session {
            session.committed(result, offsets);
        }
    }
}

/// No holder of these locks can leave them half changed.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
