//! The schemas of one part, by the id that its messages carry.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use tidegate_model::{Error, Reason};

use super::Part;
use super::settings::SubjectStrategy;
use crate::registry::{Registered, Registry, SchemaId};

/// An id that the registry does not know is asked for again after this.
const UNKNOWN_FOR: Duration = Duration::from_secs(60);

/// Makes a schema ready; a reason where that is impossible.
pub(super) type Compile<T> = fn(&str, &[(String, String)]) -> Result<T, Reason>;

/// The schemas of a registry, each asked for once and kept for ever.
pub(super) struct Schemas<T> {
    registry: Arc<Registry>,
    /// What the registry calls schemas of this format.
    kind: &'static str,
    compile: Compile<T>,
    strategy: SubjectStrategy,
    part: Part,
    /// By topic, as one id may mean another schema in another context.
    known: RwLock<HashMap<String, HashMap<SchemaId, Known<T>>>>,
    /// Held while asking, so that many messages ask once.
    asking: tokio::sync::Mutex<()>,
}

/// What is known of an id.
enum Known<T> {
    /// Its schema, or why it cannot be used.
    Schema(Result<Arc<T>, Reason>),
    /// The registry did not know it then.
    Unknown(Instant),
}

impl<T> Schemas<T> {
    /// No schema is known yet.
    pub(super) fn new(
        registry: &Arc<Registry>,
        kind: &'static str,
        compile: Compile<T>,
        strategy: SubjectStrategy,
        part: Part,
    ) -> Schemas<T> {
        Schemas {
            registry: Arc::clone(registry),
            kind,
            compile,
            strategy,
            part,
            known: RwLock::default(),
            asking: tokio::sync::Mutex::default(),
        }
    }

    /// The schema of an id in a topic.
    ///
    /// # Errors
    /// The registry cannot be asked now.
    pub(super) async fn get(&self, id: SchemaId, topic: &str) -> Result<Result<Arc<T>, Reason>, Error> {
        if let Some(known) = self.known(id, topic) {
            return Ok(known);
        }
        let _asking = self.asking.lock().await;
        if let Some(known) = self.known(id, topic) {
            return Ok(known);
        }
        let found = self.registry.schema(id, self.subject(topic).as_deref()).await?;
        let known = match found {
            Some(registered) => Known::Schema(self.prepare(id, &registered)),
            None => Known::Unknown(Instant::now()),
        };
        let answer = known.answer(id).unwrap_or_else(|| Err(unknown(id)));
        let mut all = self.known.write().unwrap_or_else(PoisonError::into_inner);
        all.entry(topic.to_owned()).or_default().insert(id, known);
        Ok(answer)
    }

    fn known(&self, id: SchemaId, topic: &str) -> Option<Result<Arc<T>, Reason>> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.get(topic)?.get(&id)?.answer(id)
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

    /// The subject, where it follows from the topic alone.
    fn subject(&self, topic: &str) -> Option<String> {
        let part = match self.part {
            Part::Key => "key",
            Part::Value => "value",
        };
        (self.strategy == SubjectStrategy::TopicName).then(|| format!("{topic}-{part}"))
    }
}

impl<T> Known<T> {
    fn answer(&self, id: SchemaId) -> Option<Result<Arc<T>, Reason>> {
        match self {
            Known::Schema(schema) => Some(schema.clone()),
            Known::Unknown(since) => (since.elapsed() < UNKNOWN_FOR).then(|| Err(unknown(id))),
        }
    }
}

fn unknown(id: SchemaId) -> Reason {
    Reason::new("unknown_schema", format!("the schema registry knows no schema {id}"))
}
