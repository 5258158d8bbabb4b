//! The client library, set up for one connection.

use std::path::Path;
use std::sync::Arc;

use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::consumer::BaseConsumer;
use tidegate_model::{ConnectorContext, Error};
use tokio::runtime::Handle;

use crate::context::{Context, RebalanceListener};
use crate::settings::{KafkaSettings, Mechanism, Sasl};
use crate::token::Tokens;

/// Settings of the library that `properties` may change: all about speed and
/// patience. Offsets, credentials and programs to run are not among them.
///
/// Source: librdkafka 2.12, CONFIGURATION.md.
const FREE: &[&str] = &[
    "api.version.",
    "batch.",
    "broker.address.",
    "check.crcs",
    "client.dns.lookup",
    "client.id",
    "client.rack",
    "compression.",
    "connections.max.idle.ms",
    "fetch.",
    "group.instance.id",
    "heartbeat.interval.ms",
    "isolation.level",
    "linger.ms",
    "max.partition.fetch.bytes",
    "max.poll.interval.ms",
    "message.timeout.ms",
    "metadata.",
    "queue.buffering.",
    "queued.max.messages.kbytes",
    "queued.min.messages",
    "receive.message.max.bytes",
    "reconnect.",
    "retry.",
    "session.timeout.ms",
    "socket.",
    "ssl.cipher.suites",
    "ssl.endpoint.identification.algorithm",
    "topic.metadata.",
];

/// Makes clients of one connection.
#[derive(Clone)]
pub(crate) struct Client {
    config: ClientConfig,
    tokens: Option<Arc<Tokens>>,
}

impl Client {
    /// Configures the library. Nothing is contacted yet.
    ///
    /// # Errors
    /// Settings that cannot work.
    pub(crate) fn new(settings: &KafkaSettings, tools: &ConnectorContext) -> Result<Client, Error> {
        let sasl = settings.login()?;
        let mut config = ClientConfig::new();
        for (name, value) in DEFAULTS {
            config.set(*name, *value);
        }
        for (name, value) in &settings.properties {
            let free =
                FREE.iter().any(|free| free == name || (free.ends_with('.') && name.starts_with(free)));
            if !free {
                return Err(Error::settings(format!("`properties`: `{name}` cannot be set here"))
                    .hint("connection, login and certificates have settings of their own"));
            }
            config.set(name, value.text());
        }
        config.set("bootstrap.servers", settings.brokers.0.join(","));
        config.set("security.protocol", settings.security().name());
        let mut tokens = None;
        if let Some(sasl) = &sasl {
            log_in(&mut config, sasl);
            let ca_file = sasl.oidc.as_ref().and_then(|oidc| oidc.ca_file.as_deref());
            let http = tools.trusting(ca_file)?.http;
            tokens = Tokens::of(sasl, &http, &tools.clock).map(Arc::new);
        }
        trust(&mut config, settings, &tools.project);
        config.set_log_level(RDKafkaLogLevel::Warning);
        config.create_native_config().map_err(|error| unusable(&error))?;
        Ok(Client { config, tokens })
    }

    /// Creates a consumer with additional settings; `listener` follows its partitions.
    ///
    /// # Errors
    /// Settings that the library rejects, such as a certificate that cannot be read.
    pub(crate) fn consumer(
        &self,
        more: &[(&str, &str)],
        listener: Option<Arc<dyn RebalanceListener>>,
    ) -> Result<BaseConsumer<Context>, Error> {
        self.create(more, listener, |context| context)
    }

    /// Creates any client of the library with additional settings; `wrap` makes its context.
    ///
    /// # Errors
    /// Settings that the library rejects, such as a certificate that cannot be read.
    pub(crate) fn create<C: ClientContext, T: FromClientConfigAndContext<C>>(
        &self,
        more: &[(&str, &str)],
        listener: Option<Arc<dyn RebalanceListener>>,
        wrap: impl FnOnce(Context) -> C,
    ) -> Result<T, Error> {
        let runtime = Handle::try_current()
            .map_err(|cause| Error::internal("start Kafka outside of the runtime").caused_by(cause))?;
        let mut config = self.config.clone();
        for (name, value) in more {
            config.set(*name, *value);
        }
        let context = wrap(Context::new(self.tokens.clone(), runtime, listener));
        config.create_with_context(context).map_err(|error| unusable(&error))
    }

    /// Returns whether a setting of the library is set.
    pub(crate) fn sets(&self, name: &str) -> bool {
        self.config.get(name).is_some()
    }

    /// Returns a setting of the library in milliseconds.
    pub(crate) fn millis(&self, name: &str) -> Option<u64> {
        self.config.get(name)?.parse().ok()
    }
}

const DEFAULTS: &[(&str, &str)] = &[
    ("client.id", "tidegate"),
    ("enable.auto.commit", "false"),
    ("enable.auto.offset.store", "false"),
    ("enable.partition.eof", "true"),
    ("auto.offset.reset", "earliest"),
    ("allow.auto.create.topics", "false"),
    ("partition.assignment.strategy", "cooperative-sticky"),
    ("isolation.level", "read_committed"),
    // A process that was killed frees its partitions after this time.
    ("session.timeout.ms", "15000"),
    ("heartbeat.interval.ms", "3000"),
    // Reading ahead is bounded; a full queue is checked again soon.
    ("queued.max.messages.kbytes", "16384"),
    ("fetch.queue.backoff.ms", "10"),
    // One fetch per broker is in flight at a time: while it waits for partitions at their
    // end, partitions whose queue was full when it was sent get nothing.
    ("fetch.wait.max.ms", "100"),
    ("reconnect.backoff.ms", "100"),
    ("reconnect.backoff.max.ms", "10000"),
    ("socket.connection.setup.timeout.ms", "10000"),
    ("log.connection.close", "false"),
    ("socket.nagle.disable", "true"),
];

fn log_in(config: &mut ClientConfig, sasl: &Sasl) {
    config.set("sasl.mechanism", sasl.mechanism.name());
    if sasl.mechanism != Mechanism::Oauthbearer {
        config.set("sasl.username", sasl.username.as_deref().unwrap_or_default());
        config.set("sasl.password", sasl.password.as_ref().map(|secret| secret.expose()).unwrap_or_default());
    }
}

fn trust(config: &mut ClientConfig, settings: &KafkaSettings, project: &Path) {
    let Some(tls) = &settings.tls else { return };
    let absolute = |path: &Path| project.join(path).display().to_string();
    if let Some(ca) = &tls.ca {
        config.set("ssl.ca.location", absolute(ca));
    }
    if let Some(certificate) = &tls.certificate {
        config.set("ssl.certificate.location", absolute(certificate));
    }
    if let Some(key) = &tls.key {
        config.set("ssl.key.pem", key.expose());
    }
    if let Some(password) = &tls.key_password {
        config.set("ssl.key.password", password.expose());
    }
}

/// Names the rejected setting, never its value, which may be a secret.
fn unusable(error: &rdkafka::error::KafkaError) -> Error {
    use rdkafka::error::KafkaError;
    match error {
        // Its third and fourth parts are the name and the value.
        KafkaError::ClientConfig(_, cause, name, _) if !cause.contains('"') => {
            Error::settings(format!("the Kafka client rejects `{name}`: {cause}"))
        }
        KafkaError::ClientConfig(_, _, name, _) => {
            Error::settings(format!("the Kafka client rejects the value of `{name}`"))
        }
        KafkaError::ClientCreation(cause) => {
            Error::settings(format!("the Kafka client rejects its settings: {cause}"))
        }
        _ => Error::settings("the Kafka client rejects its settings"),
    }
}
