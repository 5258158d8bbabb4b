//! Errors of the client library and of brokers, with their kind and the next step.

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use tidegate_model::{Error, ErrorKind};

use crate::access::Access;

/// Returns the kind of an error code.
pub(crate) fn kind_of(code: Code) -> ErrorKind {
    match code {
        Code::Authentication
        | Code::SaslAuthenticationFailed
        | Code::UnsupportedSASLMechanism
        | Code::IllegalSASLState
        | Code::SecurityDisabled
        | Code::TopicAuthorizationFailed
        | Code::GroupAuthorizationFailed
        | Code::ClusterAuthorizationFailed => ErrorKind::Denied,
        Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition | Code::InvalidTopic => {
            ErrorKind::Missing
        }
        Code::InvalidGroupId
        | Code::InvalidSessionTimeout
        | Code::InconsistentGroupProtocol
        | Code::FencedInstanceId => ErrorKind::Settings,
        Code::BrokerTransportFailure
        | Code::AllBrokersDown
        | Code::Resolve
        | Code::SSL
        | Code::OperationTimedOut
        | Code::TimedOutQueue
        | Code::WaitingForCoordinator
        | Code::NetworkException
        | Code::RequestTimedOut
        | Code::LeaderNotAvailable
        | Code::BrokerNotAvailable
        | Code::ReplicaNotAvailable
        | Code::NotLeaderForPartition
        | Code::CoordinatorLoadInProgress
        | Code::CoordinatorNotAvailable
        | Code::NotCoordinator
        | Code::RebalanceInProgress
        | Code::UnstableOffsetCommit
        | Code::KafkaStorageError => ErrorKind::Unavailable,
        _ => ErrorKind::Unexpected,
    }
}

/// Returns whether waiting cannot fix the error, so that reading ends with it.
pub(crate) fn is_final(code: Code) -> bool {
    matches!(kind_of(code), ErrorKind::Denied | ErrorKind::Missing | ErrorKind::Settings)
}

/// Returns what a code means, without its name in the library: `Unknown topic or partition`.
pub(crate) fn words_of(code: Code) -> String {
    let named = code.to_string();
    let words = named.split_once(" (").map_or(&*named, |(_, words)| words.trim_end_matches(')'));
    words.trim_start_matches("Broker: ").trim_start_matches("Local: ").to_owned()
}

/// Returns the error of a code: the operation, the library's own message, the next step.
///
/// For readers of a topic; [`explain_topic`] is for its writers.
pub(crate) fn explain(doing: &str, code: Code, message: Option<&str>, access: &Access) -> Error {
    let message = message.filter(|message| !message.is_empty()).map_or_else(|| words_of(code), str::to_owned);
    let error = Error::new(kind_of(code), format!("{doing}: {}", first(&message)));
    match code {
        Code::TopicAuthorizationFailed => error.hint(access.topic_commands()),
        Code::GroupAuthorizationFailed => error.hint(access.group_commands()),
        Code::ClusterAuthorizationFailed => error.hint(format!("allow {} to use the cluster", access.user())),
        Code::Authentication | Code::SaslAuthenticationFailed => {
            error.hint("correct user and password, or the API key, then run `tidegate check`")
        }
        Code::UnsupportedSASLMechanism | Code::IllegalSASLState | Code::SecurityDisabled => {
            error.hint("set `security` and `sasl.mechanism` to what the brokers listen with")
        }
        Code::UnknownTopic | Code::UnknownTopicOrPartition => error.hint(
            "create the topic or correct its name; brokers also hide topics that a user may not describe",
        ),
        Code::SSL => error.hint(
            "the brokers must speak TLS on this port, with a certificate that `tls.ca` or the machine trusts; \
             for a port without TLS write `security: plaintext`",
        ),
        Code::BrokerTransportFailure | Code::AllBrokersDown | Code::Resolve | Code::OperationTimedOut => error
            .hint(
                "check `brokers`, `security` and the network: the port must answer, and so must the addresses \
                 that the brokers advertise",
            ),
        _ => error,
    }
}

/// Explains to a writer why an operation on a topic failed. `operations` are the rights that it needs
/// on the topic.
pub(crate) fn explain_topic(
    access: &Access,
    operations: &[&str],
    operation: &str,
    topic: &str,
    code: Code,
) -> Error {
    let (brokers, user) = (access.brokers(), access.user());
    let doing = format!("{operation} the topic `{topic}`");
    match code {
        Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition => {
            Error::new(ErrorKind::Missing, format!("{doing}: Kafka at {brokers} has no such topic"))
                .hint(format!("run: {}", access.create_command(topic)))
        }
        Code::TopicAuthorizationFailed => {
            Error::new(ErrorKind::Denied, format!("{doing}: Kafka at {brokers} denies it to {user}"))
                .hint(format!("run: {}", access.write_command(operations, topic)))
        }
        Code::ClusterAuthorizationFailed => Error::new(
            ErrorKind::Denied,
            format!("{doing}: Kafka at {brokers} denies {user} to write idempotently or to create topics"),
        )
        .hint(format!(
            "allow {user} IDEMPOTENT_WRITE on the cluster, which brokers before 2.8 require, and CREATE, \
                 or create the topic yourself: {}",
            access.create_command(topic)
        )),
        Code::Authentication | Code::SaslAuthenticationFailed => {
            Error::new(ErrorKind::Denied, format!("Kafka at {brokers} rejects the credentials"))
                .hint("correct the key or the password, and the SASL mechanism")
        }
        Code::SSL => Error::settings(format!("TLS with Kafka at {brokers} failed"))
            .hint("check the certificate authority under `tls`, and that the port speaks TLS; else write `security: plaintext`"),
        Code::MessageSizeTooLarge => {
            Error::new(ErrorKind::TooLarge, format!("{doing}: the request is larger than it takes"))
                .hint("raise max.message.bytes of the topic")
        }
        Code::QueueFull => Error::new(ErrorKind::Throttled(None), format!("{doing}: too much is waiting")),
        Code::InvalidTopic | Code::PolicyViolation | Code::InvalidReplicationFactor | Code::InvalidConfig => {
            Error::settings(format!("{doing}: Kafka at {brokers} rejects it: {}", words_of(code)))
        }
        Code::NotEnoughReplicas | Code::NotEnoughReplicasAfterAppend => Error::new(
            ErrorKind::Unavailable,
            format!("{doing}: too few of its replicas are alive to make it durable"),
        )
        .hint("start the brokers that are down; reading continues automatically"),
        Code::AllBrokersDown
        | Code::BrokerTransportFailure
        | Code::Resolve
        | Code::OperationTimedOut
        | Code::RequestTimedOut
        | Code::MessageTimedOut
        | Code::TimedOutQueue
        | Code::BrokerNotAvailable
        | Code::LeaderNotAvailable
        | Code::NotLeaderForPartition
        | Code::NetworkException
        | Code::KafkaStorageError => {
            Error::new(ErrorKind::Unavailable, format!("{doing}: Kafka at {brokers} does not answer: {}", words_of(code)))
                .hint("check `brokers` and the firewall in between; reading continues automatically")
        }
        _ => Error::new(ErrorKind::Unexpected, format!("{doing}: Kafka at {brokers} answers: {}", words_of(code))),
    }
}

/// Returns the code inside an error of the client library, if it has one.
pub(crate) fn code_of(error: &KafkaError) -> Option<Code> {
    match error {
        KafkaError::AdminOp(code)
        | KafkaError::ConsumerCommit(code)
        | KafkaError::ConsumerQueueClose(code)
        | KafkaError::Flush(code)
        | KafkaError::Global(code)
        | KafkaError::GroupListFetch(code)
        | KafkaError::MessageConsumption(code)
        | KafkaError::MessageConsumptionFatal(code)
        | KafkaError::MessageProduction(code)
        | KafkaError::MetadataFetch(code)
        | KafkaError::OffsetFetch(code)
        | KafkaError::Rebalance(code)
        | KafkaError::SetPartitionOffset(code)
        | KafkaError::StoreOffset(code) => Some(*code),
        _ => None,
    }
}

/// Converts an error of the client library.
pub(crate) fn wrap(doing: &str, error: &KafkaError, access: &Access) -> Error {
    match code_of(error) {
        Some(code) => explain(doing, code, None, access),
        None => Error::new(ErrorKind::Unexpected, format!("{doing}: {}", first(&error.to_string()))),
    }
}

/// Returns the first 300 characters of what the client library says, without how long it took and how often.
fn first(text: &str) -> String {
    let text = text.split_once(" (after ").map_or(text, |(said, _)| said);
    text.chars().take(300).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_told_in_words_and_not_by_its_name_in_the_library() {
        assert_eq!(words_of(Code::UnknownTopicOrPartition), "Unknown topic or partition");
        assert_eq!(words_of(Code::AllBrokersDown), "All broker connections are down");
        let said = "b:1: Connection refused (after 0ms in state CONNECT, 1 identical error(s) suppressed)";
        assert_eq!(first(said), "b:1: Connection refused");
    }
}
