//! What the client library says, as people read it.

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use tidegate_model::{Error, ErrorKind};

use crate::access::Access;

/// What a code is about.
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

/// Whether waiting cannot mend it, so that reading ends with it.
pub(crate) fn is_final(code: Code) -> bool {
    matches!(kind_of(code), ErrorKind::Denied | ErrorKind::Missing | ErrorKind::Settings)
}

/// The error of a code: what was being done, the library's own words, what to do next.
pub(crate) fn explain(doing: &str, code: Code, words: Option<&str>, access: &Access) -> Error {
    let said = words.filter(|words| !words.is_empty()).map_or_else(|| code.to_string(), str::to_owned);
    let error = Error::new(kind_of(code), format!("{doing}: {}", first(&said)));
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
            "the brokers must speak TLS on this port, with a certificate that `tls.ca` or the machine trusts",
        ),
        Code::BrokerTransportFailure | Code::AllBrokersDown | Code::Resolve | Code::OperationTimedOut => error
            .hint("check `brokers`, `security` and the way there: the port must answer, and so must the addresses that the brokers advertise"),
        _ => error,
    }
}

/// The code inside an error of the client library, where it has one.
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

/// An error of the client library in terms of this program.
pub(crate) fn wrap(doing: &str, error: &KafkaError, access: &Access) -> Error {
    match code_of(error) {
        Some(code) => explain(doing, code, None, access),
        None => Error::new(ErrorKind::Unexpected, format!("{doing}: {}", first(&error.to_string()))),
    }
}

/// The first 300 characters: enough to tell, too little to flood.
fn first(text: &str) -> String {
    text.chars().take(300).collect()
}
