//! The rights that are needed, and the commands that grant them.

use std::fmt::Write as _;

use tidegate_model::{ConnectionId, Error, Settings};

use crate::selection::KafkaSelection;
use crate::settings::KafkaSettings;

/// A user, and the topics and group that the rights are for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Access {
    /// The user, if the login has a name.
    principal: Option<String>,
    /// Whether the cluster is on Confluent Cloud, where service accounts hold the rights.
    cloud: bool,
    brokers: String,
    topics: Vec<String>,
    group: Option<String>,
}

impl Access {
    /// Creates the rights of a connection, with a selection also those of its topics and group.
    pub(crate) fn new(settings: &KafkaSettings, selection: Option<&KafkaSelection>) -> Access {
        Access {
            principal: settings.principal().map(str::to_owned),
            cloud: settings.api_key.is_some(),
            brokers: settings.brokers.0.join(","),
            topics: selection.map(|selection| selection.topics.clone()).unwrap_or_default(),
            group: selection.map(|selection| selection.group.clone()),
        }
    }

    /// Returns the user for messages.
    pub(crate) fn user(&self) -> &str {
        match &self.principal {
            Some(principal) => principal,
            None if self.cloud => "the service account",
            None => "the user",
        }
    }

    /// Returns the group, for messages.
    pub(crate) fn group(&self) -> &str {
        self.group.as_deref().unwrap_or_default()
    }

    /// Returns the topics, for messages.
    pub(crate) fn topics(&self) -> String {
        self.topics.join(", ")
    }

    /// Returns the commands for all topics.
    pub(crate) fn topic_commands(&self) -> String {
        let placeholder = vec!["<topic>".to_owned()];
        let topics = if self.topics.is_empty() { &placeholder } else { &self.topics };
        let commands: Vec<String> = topics.iter().map(|topic| self.topic_command(topic)).collect();
        commands.join("\n")
    }

    /// Returns the commands for one topic: READ and DESCRIBE.
    pub(crate) fn topic_command(&self, topic: &str) -> String {
        self.commands(&["READ", "DESCRIBE"], "topic", topic)
    }

    /// Returns the command for the group: READ.
    pub(crate) fn group_commands(&self) -> String {
        self.commands(&["READ"], "consumer-group", self.group.as_deref().unwrap_or("<group>"))
    }

    /// Returns the brokers, for messages.
    pub(crate) fn brokers(&self) -> &str {
        &self.brokers
    }

    /// Returns the commands for writing to a topic.
    pub(crate) fn write_command(&self, operations: &[&str], topic: &str) -> String {
        self.commands(operations, "topic", topic)
    }

    /// Returns the command that creates a topic.
    pub(crate) fn create_command(&self, topic: &str) -> String {
        if self.cloud {
            return format!("confluent kafka topic create {} --partitions 12", quoted(topic));
        }
        format!(
            "kafka-topics --bootstrap-server {} --create --topic {} --partitions 12",
            quoted(&self.brokers),
            quoted(topic)
        )
    }

    // Source: Confluent docs, `confluent kafka acl create`; Apache Kafka docs, `kafka-acls.sh`.
    fn commands(&self, operations: &[&str], resource: &str, name: &str) -> String {
        if self.cloud {
            let command = |operation: &&str| {
                format!(
                    "confluent kafka acl create --allow --service-account <service-account-id> \
                     --operations {operation} --{resource} {}",
                    quoted(name)
                )
            };
            return operations.iter().map(command).collect::<Vec<_>>().join("\n");
        }
        let resource = if resource == "consumer-group" { "group" } else { resource };
        let operations: String = operations.iter().fold(String::new(), |mut all, operation| {
            let _ = write!(all, " --operation {operation}");
            all
        });
        format!(
            "kafka-acls --bootstrap-server {} --add --allow-principal {}{operations} --{resource} {}",
            quoted(&self.brokers),
            quoted(&format!("User:{}", self.principal.as_deref().unwrap_or("<user>"))),
            quoted(name)
        )
    }
}

/// Quotes a word for the shell.
fn quoted(word: &str) -> String {
    let plain = |byte: u8| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b':' | b',' | b'/' | b'@')
    };
    if !word.is_empty() && word.bytes().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// Returns the commands that an administrator runs once.
///
/// # Errors
/// Settings or a selection that cannot work.
pub(crate) fn setup(
    _: &ConnectionId,
    settings: &Settings,
    selection: Option<&Settings>,
) -> Result<String, Error> {
    let settings: KafkaSettings = settings.parse()?;
    settings.login()?;
    let selection = selection.map(KafkaSelection::of).transpose()?;
    let access = Access::new(&settings, selection.as_ref());
    let mut text = String::new();
    if access.cloud {
        let _ = write!(
            text,
            "# 1. A service account and an API key of the cluster. Key and secret go into `api_key` and `api_secret`.
confluent iam service-account create tidegate --description 'reads events for Tidegate'
confluent api-key create --service-account <service-account-id> --resource <cluster-id>

"
        );
    } else {
        let _ = write!(
            text,
            "# 1. A user that can only read, if the brokers require a login (here with SCRAM).
kafka-configs --bootstrap-server {} --alter --entity-type users --entity-name {} --add-config 'SCRAM-SHA-512=[password=<strong-unique-password>]'

",
            quoted(&access.brokers),
            quoted(access.principal.as_deref().unwrap_or("<user>")),
        );
    }
    let _ = write!(
        text,
        "# 2. The topics: read and describe.
{}

# 3. The consumer group: its committed offsets are where all processes of a sync meet.
{}

# 4. Only for exports of events to a topic: make it, and let it be written.
{}
{}

# 5. The way there. Let this machine through to every broker, not to the bootstrap servers alone.
",
        access.topic_commands(),
        access.group_commands(),
        access.create_command("<export-topic>"),
        access.write_command(&["WRITE", "DESCRIBE"], "<export-topic>"),
    );
    Ok(text)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn settings(value: &Value) -> Settings {
        Settings::new(value.as_object().expect("an object").clone())
    }

    #[test]
    fn the_commands_name_user_topics_and_group() {
        let settings = settings(&json!({
            "brokers": "b:9092",
            "sasl": { "mechanism": "scram_sha_512", "username": "tide gate", "password": "x" },
        }));
        let selection = self::settings(&json!({ "topics": "orders", "group": "tidegate-orders" }));
        let text = setup(&ConnectionId::new("kafka"), &settings, Some(&selection)).expect("text");
        assert!(text.contains(
            "kafka-acls --bootstrap-server b:9092 --add --allow-principal 'User:tide gate' --operation READ --operation DESCRIBE --topic orders"
        ), "{text}");
        assert!(text.contains("--operation READ --group tidegate-orders"), "{text}");
    }

    #[test]
    fn on_confluent_cloud_a_service_account_gets_the_rights() {
        let settings = settings(&json!({ "brokers": "b:9092", "api_key": "K", "api_secret": "hush" }));
        let text = setup(&ConnectionId::new("kafka"), &settings, None).expect("text");
        assert!(text.contains("--operations DESCRIBE --topic '<topic>'"), "{text}");
        assert!(text.contains("--operations READ --consumer-group '<group>'"), "{text}");
        assert!(!text.contains("hush"), "{text}");
    }
}
