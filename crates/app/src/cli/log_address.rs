//! The address of an event log that is not files.

use std::fmt;
use std::str::FromStr;

use jiff::SignedDuration;
use tidegate_kafka::LogSettings;
use tidegate_model::{ConnectionId, Error};
use tidegate_project::{ConnectionSpec, Project};

/// The type of connections that can keep an event log.
const TYPE: &str = "kafka";
/// What a person reads who writes an address that cannot be used.
const FORM: &str = "write `kafka://CONNECTION`, or `kafka://CONNECTION/acme.?partitions=12&replicas=3`; \
    brokers and credentials are those of the connection";

/// An event log in topics of a Kafka connection: `kafka://CONNECTION/PREFIX?partitions=N&replicas=N`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LogAddress {
    connection: ConnectionId,
    /// How the names of topics begin.
    prefix: Option<String>,
    /// The partitions of topics that are created.
    partitions: Option<u16>,
    /// The replicas of topics that are created.
    replicas: Option<u16>,
}

impl FromStr for LogAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<LogAddress, String> {
        let rest = text.strip_prefix("kafka://").ok_or_else(|| FORM.to_owned())?;
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (connection, prefix) = path.split_once('/').unwrap_or((path, ""));
        if connection.is_empty() || connection.contains([':', '@', ',']) {
            return Err(FORM.to_owned());
        }
        let prefix = Some(prefix.to_owned()).filter(|prefix| !prefix.is_empty());
        let mut address = LogAddress {
            connection: ConnectionId::new(connection),
            prefix,
            partitions: None,
            replicas: None,
        };
        for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            let number = value.parse::<u16>().ok().filter(|number| *number > 0);
            match (name, number) {
                ("partitions", Some(_)) => address.partitions = number,
                ("replicas", Some(_)) => address.replicas = number,
                _ => return Err(format!("`{parameter}` is not a parameter with a number: {FORM}")),
            }
        }
        Ok(address)
    }
}

impl fmt::Display for LogAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "kafka://{}", self.connection)
    }
}

impl LogAddress {
    /// Returns the connection that the log is kept in.
    pub(crate) fn connection(&self) -> &ConnectionId {
        &self.connection
    }

    /// Returns the connection, and how the log in it is kept for this number of days.
    ///
    /// # Errors
    /// [`Settings`](tidegate_model::ErrorKind::Settings) if the project has no such connection.
    pub(crate) fn settings<'a>(
        &self,
        project: &'a Project,
        days: u32,
    ) -> Result<(&'a ConnectionSpec, LogSettings), Error> {
        let connection = project.connections.get(&self.connection).filter(|spec| spec.kind == TYPE);
        let connection = connection.ok_or_else(|| {
            let of_type = project.connections.iter().filter(|(_, spec)| spec.kind == TYPE);
            let names: Vec<String> = of_type.map(|(id, _)| format!("`kafka://{id}`")).collect();
            let hint = match names.is_empty() {
                true => "add a connection with `type: kafka` to the project".to_owned(),
                false => format!("the project has {}", names.join(", ")),
            };
            Error::settings(format!("--log: `{}` is not a connection of type kafka", self.connection))
                .hint(hint)
        })?;
        let usual = LogSettings::default();
        let settings = LogSettings {
            prefix: self.prefix.clone().unwrap_or(usual.prefix),
            partitions: self.partitions.unwrap_or(usual.partitions),
            replicas: self.replicas,
            retention: SignedDuration::from_hours(24 * i64::from(days)),
            dedup_window: usual.dedup_window,
        };
        Ok((connection, settings))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_names_a_connection_and_not_a_broker() {
        let plain: LogAddress = "kafka://main".parse().expect("an address");
        assert_eq!((plain.connection.as_str(), plain.prefix, plain.partitions), ("main", None, None));
        let full: LogAddress = "kafka://main/acme.?partitions=6&replicas=3".parse().expect("an address");
        assert_eq!(full.prefix.as_deref(), Some("acme."));
        assert_eq!((full.partitions, full.replicas), (Some(6), Some(3)));
        for wrong in [
            "main",
            "kafka://",
            "kafka://broker:9092",
            "kafka://user@broker",
            "kafka://main?partitions=0",
            "kafka://main?partitions=many",
            "kafka://main?compression=zstd",
        ] {
            assert!(wrong.parse::<LogAddress>().is_err(), "{wrong}");
        }
    }
}
