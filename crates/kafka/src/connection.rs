//! One Kafka connection, shared by reading and checking.

use std::path::PathBuf;
use std::sync::Arc;

use tidegate_model::{Clock, ConnectorContext, Error, Http};

use crate::access::Access;
use crate::client::Client;
use crate::decode::Decoder;
use crate::metadata::ClusterMetadata;
use crate::selection::KafkaSelection;
use crate::settings::KafkaSettings;

/// A connection: its settings, and what opens clients and decoders with them.
pub(crate) struct Connection {
    pub(crate) settings: KafkaSettings,
    pub(crate) client: Client,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) dry_run: bool,
    http: Arc<dyn Http>,
    project: PathBuf,
}

impl Connection {
    /// Creates a connection. Nothing is contacted yet.
    ///
    /// # Errors
    /// Settings that cannot work.
    pub(crate) fn new(settings: KafkaSettings, context: &ConnectorContext) -> Result<Connection, Error> {
        let ca_file = settings.registry.as_ref().and_then(|registry| registry.ca_file.as_deref());
        let http = context.trusting(ca_file)?.http;
        Ok(Connection {
            client: Client::new(&settings, context)?,
            settings,
            clock: Arc::clone(&context.clock),
            dry_run: context.dry_run,
            http,
            project: context.project.clone(),
        })
    }

    /// Creates the decoder of a selection.
    ///
    /// # Errors
    /// Settings that cannot work together, and schemas that cannot be read.
    pub(crate) fn decoder(&self, selection: &KafkaSelection) -> Result<Decoder, Error> {
        let registry = self.settings.registry.as_ref();
        let new = |format| Decoder::new(format, registry, Arc::clone(&self.http), &self.project);
        let Some(columns) = &selection.columns else { return new(&selection.format) };
        let mut format = selection.format.clone();
        format.fields.retain(|name, _| columns.contains(name));
        Ok(new(&format)?.with_only(columns))
    }

    /// Creates a decoder of the default format, without a registry.
    ///
    /// # Errors
    /// None that is known.
    pub(crate) fn plain_decoder(&self) -> Result<Decoder, Error> {
        Decoder::new(&Default::default(), None, Arc::clone(&self.http), &self.project)
    }

    /// Returns the bootstrap servers, for messages.
    pub(crate) fn brokers(&self) -> String {
        self.settings.brokers.0.join(",")
    }

    /// Opens a consumer, as the group of the selection if there is one, and
    /// queries the cluster with it. Blocks.
    ///
    /// # Errors
    /// Those of `query`, and settings that the client library rejects.
    pub(crate) fn with_metadata<T>(
        &self,
        selection: Option<&KafkaSelection>,
        query: impl FnOnce(&ClusterMetadata<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let access = Access::new(&self.settings, selection);
        let group = selection.map(|selection| ("group.id", selection.group.as_str()));
        let consumer = self.client.consumer(group.as_slice(), None)?;
        query(&ClusterMetadata { consumer: &consumer, access: &access, brokers: &self.brokers() })
    }
}
