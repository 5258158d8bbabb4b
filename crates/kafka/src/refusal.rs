//! What Kafka says about a topic, as the engine and people understand it.

use rdkafka::types::RDKafkaErrorCode as Code;
use tidegate_model::{Error, ErrorKind};

use crate::cluster::Cluster;

impl Cluster {
    /// What kept us from doing something with a topic, and what to do about it.
    pub(crate) fn explain(&self, doing: &str, topic: &str, code: Code) -> Error {
        let (brokers, user) = (self.access.brokers(), self.access.user());
        let doing = format!("{doing} the topic `{topic}`");
        match code {
            Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition => {
                Error::new(ErrorKind::Missing, format!("{doing}: Kafka at {brokers} has no such topic"))
                    .hint(format!("run: {}", self.access.create_command(topic)))
            }
            Code::TopicAuthorizationFailed => {
                Error::new(ErrorKind::Denied, format!("{doing}: Kafka at {brokers} denies it to {user}"))
.hint(format!("run: {}", self.access.write_command(self.operations, topic)))
            }
            Code::ClusterAuthorizationFailed => Error::new(
                ErrorKind::Denied,
                format!(
                    "{doing}: Kafka at {brokers} denies {user} to write idempotently or to make topics"
                ),
            )
            .hint(format!("allow {user} IDEMPOTENT_WRITE on the cluster, which brokers before 2.8 ask for, and CREATE, or make the topic yourself: {}", self.access.create_command(topic))),
            Code::Authentication | Code::SaslAuthenticationFailed => {
                Error::new(ErrorKind::Denied, format!("Kafka at {brokers} refuses our credentials"))
                    .hint("correct the key or the password, and the SASL mechanism")
            }
            Code::SSL => Error::settings(format!("TLS with Kafka at {brokers} failed"))
                .hint("check the certificate authority under `tls`, and that the port speaks TLS"),
            Code::MessageSizeTooLarge => {
                Error::new(ErrorKind::TooLarge, format!("{doing}: the request is larger than it takes"))
                    .hint("raise max.message.bytes of the topic")
            }
            Code::QueueFull => {
                Error::new(ErrorKind::Throttled(None), format!("{doing}: too much is waiting"))
            }
            Code::InvalidTopic
            | Code::PolicyViolation
            | Code::InvalidReplicationFactor
            | Code::InvalidConfig => {
                Error::settings(format!("{doing}: Kafka at {brokers} refuses it: {code}"))
            }
            Code::NotEnoughReplicas | Code::NotEnoughReplicasAfterAppend => Error::new(
                ErrorKind::Unavailable,
                format!("{doing}: too few of its replicas are alive to make it durable"),
            )
            .hint("start the brokers that are down; it goes on by itself"),
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
            | Code::KafkaStorageError => Error::new(
                ErrorKind::Unavailable,
                format!("{doing}: Kafka at {brokers} does not answer: {code}"),
            )
            .hint("check `brokers` and the firewall in between; it goes on by itself"),
            _ => Error::new(ErrorKind::Unexpected, format!("{doing}: Kafka at {brokers} answered {code}")),
        }
    }
}
