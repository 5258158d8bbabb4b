//! The schemas of one part, by the id that its messages carry.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use tidegate_model::{Error, Reason, Text};

use super::parts::MessagePart;
use super::settings::SubjectStrategy;
use crate::registry::{Registered, Registry, SchemaId};

/// When a schema that cannot be used is requested again: it may have been fixed.
const RETRY_AFTER: Duration = Duration::from_secs(60);
/// How many ids of a topic that cannot be used are kept in mind.
const KNOWN_MAX: usize = 10_000;

/// Makes a schema ready; a reason if that is impossible.
pub(super) type Compile<T> = fn(&str, &[(String, String)]) -> Result<T, Reason>;

/// The schemas of a registry, each fetched once and kept forever.
pub(super) struct Schemas<T> {
    registry: Arc<Registry>,
    /// What the registry calls schemas of this format.
    kind: &'static str,
    compile: Compile<T>,
    strategy: SubjectStrategy,
    part: MessagePart,
    /// By topic, as one id may mean another schema in another context.
    known: RwLock<HashMap<String, HashMap<SchemaId, Known<T>>>>,
    /// The schema that was used last: the next message usually has it too.
    last: Mutex<Option<(SchemaId, Text, Arc<T>)>>,
    /// Held while asking, so that many messages ask once.
    asking: tokio::sync::Mutex<()>,
}

/// What is known of an id.
enum Known<T> {
    /// Its schema.
    Schema(Arc<T>),
    /// Why there was none that can be used, and when that was.
    Rejected(Reason, Instant),
}

impl<T> Schemas<T> {
    /// No schema is known yet.
    pub(super) fn new(
        registry: &Arc<Registry>,
        kind: &'static str,
        compile: Compile<T>,
        strategy: SubjectStrategy,
        part: MessagePart,
    ) -> Schemas<T> {
        Schemas {
            registry: Arc::clone(registry),
            kind,
            compile,
            strategy,
            part,
            known: RwLock::default(),
            last: Mutex::default(),
            asking: tokio::sync::Mutex::default(),
        }
    }

    /// The schema of an id in a topic.
    ///
    /// # Errors
    /// The registry cannot be asked now.
    pub(super) async fn get(&self, id: SchemaId, topic: &Text) -> Result<Result<Arc<T>, Reason>, Error> {
        if let Some((last, of, schema)) = &*self.last()
            && *last == id
            && of == topic
        {
            return Ok(Ok(Arc::clone(schema)));
        }
        let schema = self.look_up(id, topic).await?;
        if let Ok(schema) = &schema {
            *self.last() = Some((id, topic.clone(), Arc::clone(schema)));
        }
        Ok(schema)
    }

    fn last(&self) -> MutexGuard<'_, Option<(SchemaId, Text, Arc<T>)>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn look_up(&self, id: SchemaId, topic: &str) -> Result<Result<Arc<T>, Reason>, Error> {
        if let Some(known) = self.known(id, topic) {
            return Ok(known);
        }
        let _asking = self.asking.lock().await;
        if let Some(known) = self.known(id, topic) {
            return Ok(known);
        }
        let found = self.registry.schema(id, self.subject(topic).as_deref()).await?;
        let schema = match found {
            Some(registered) => self.prepare(id, &registered),
            None => Err(Reason::new("unknown_schema", format!("the schema registry knows no schema {id}"))),
        };
        let known = match &schema {
            Ok(schema) => Known::Schema(Arc::clone(schema)),
            Err(reason) => Known::Rejected(reason.clone(), Instant::now()),
        };
        let mut all = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let of_topic = all.entry(topic.to_owned()).or_default();
        if of_topic.len() >= KNOWN_MAX {
            of_topic.retain(|_, known| matches!(known, Known::Schema(_)));
        }
        of_topic.insert(id, known);
        Ok(schema)
    }

    fn known(&self, id: SchemaId, topic: &str) -> Option<Result<Arc<T>, Reason>> {
        let all = self.known.read().unwrap_or_else(PoisonError::into_inner);
        match all.get(topic)?.get(&id)? {
            Known::Schema(schema) => Some(Ok(Arc::clone(schema))),
            Known::Rejected(reason, since) => (since.elapsed() < RETRY_AFTER).then(|| Err(reason.clone())),
        }
    }

    fn prepare(&self, id: SchemaId, registered: &Registered) -> Result<Arc<T>, Reason> {
        if registered.kind != self.kind {
            return Err(Reason::new(
                "wrong_schema_type",
                format!("schema {id} is of type {}, not {}: correct the format", registered.kind, self.kind),
            ));
        }
        (self.compile)(&registered.text, &registered.references)
            .map(Arc::new)
            .map_err(|reason| Reason::new(reason.code, format!("schema {id}: {}", reason.message)))
    }

    /// The subject, if it follows from the topic alone.
    fn subject(&self, topic: &str) -> Option<String> {
        let part = match self.part {
            MessagePart::Key => "key",
            MessagePart::Value => "value",
        };
        (self.strategy == SubjectStrategy::TopicName).then(|| format!("{topic}-{part}"))
    }
}
