//! Records into the built-in platform.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Map, Value};
use tidegate_model::{
    Body, Checks, Clock, ConnectorContext, Destination, Error, Idempotency, Json, Limits, ObjectKind,
    ObjectSpec, Outcome, Platform, Reason, Receipt, Record, Result, Settings,
};

use super::settings::{ProfilesSettings, Target};
use super::{Durability, Event, Key, Profiles, Purchase, Session};

/// Erases a user from the file.
pub(crate) fn erase(settings: &Settings, context: &ConnectorContext, user: &str) -> Result<u64> {
    let settings: ProfilesSettings = settings.parse()?;
    crate::erase(&file(settings, context), user)
}

fn file(settings: ProfilesSettings, context: &ConnectorContext) -> PathBuf {
    settings.file.map_or_else(|| context.data.join("profiles.db"), |file| context.project.join(file))
}

/// Opens the platform for one kind of object. The file is opened with the first use.
pub(crate) fn open(
    settings: &Settings,
    kind: ObjectKind,
    target: &Settings,
    context: &ConnectorContext,
) -> Result<Arc<dyn Platform>> {
    let settings: ProfilesSettings = settings.parse()?;
    let target: Target = target.parse()?;
    if kind == ObjectKind::CatalogItem && target.catalog.as_deref().unwrap_or_default().is_empty() {
        return Err(
            Error::settings("`destination.catalog` is missing").hint("name the catalog the items go to")
        );
    }
    let file = file(settings, context);
    Ok(Arc::new(ProfilesPlatform {
        kind,
        store: Arc::new(Store {
            // A dry run changes nothing outside.
            file: (!context.dry_run).then_some(file),
            catalog: target.catalog.unwrap_or_default(),
            clock: Arc::clone(&context.clock),
            opened: Mutex::new(None),
        }),
    }))
}

struct ProfilesPlatform {
    kind: ObjectKind,
    store: Arc<Store>,
}

struct Store {
    file: Option<PathBuf>,
    catalog: String,
    clock: Arc<dyn Clock>,
    opened: Mutex<Option<Arc<Profiles>>>,
}

#[async_trait]
impl Destination<Record> for ProfilesPlatform {
    async fn check(&self) -> Result<Checks> {
        let name = self.store.file.as_ref().map_or("memory".into(), |file| file.display().to_string());
        let totals = self.store.blocking(|store| store.transact(|session| session.totals())).await?;
        let mut checks = Checks::default();
        checks.pass(format!("writing to {name}"), format!("it holds {} users", totals.users));
        Ok(checks)
    }

    fn limits(&self) -> Limits {
        Limits { max_in_flight: 2, bucket: "profiles", ..Limits::GENEROUS }
    }

    fn estimated_size(&self, record: &Record) -> usize {
        record.estimated_size()
    }

    fn validate(&self, record: &Record) -> Result<(), Reason> {
        let object = match &record.body {
            Body::User { attributes } => attributes,
            Body::Event { properties, .. } => properties,
            Body::Purchase(bought) => &bought.properties,
            Body::CatalogItem { fields, .. } => fields,
            Body::Deletion | Body::CatalogRemoval { .. } => return Ok(()),
        };
        if object.is_object() { Ok(()) } else { Err(not_an_object()) }
    }

    async fn deliver(&self, records: &[Record]) -> Result<Receipt> {
        let records = records.to_vec();
        let outcomes = self
            .store
            .blocking(move |store| {
                store.transact(|session| {
                    records.iter().map(|record| put(session, &store.catalog, record)).collect()
                })
            })
            .await?;
        Ok(Receipt { outcomes, rate_limit: None })
    }
}

impl Platform for ProfilesPlatform {
    fn object(&self) -> ObjectSpec {
        let idempotency = match self.kind {
            ObjectKind::Event | ObjectKind::Purchase => Idempotency::Keyed(Duration::MAX),
            ObjectKind::User | ObjectKind::Deletion | ObjectKind::CatalogItem => Idempotency::Idempotent,
        };
        let identifiers: &[&str] = match self.kind {
            ObjectKind::CatalogItem => &["id"],
            _ => &["external_id", "alias", "platform_id", "email", "phone"],
        };
        ObjectSpec { kind: self.kind, idempotency, identifiers }
    }
}

impl Store {
    /// Runs `work` on a thread that may block.
    async fn blocking<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Store) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let store = Arc::clone(self);
        tokio::task::spawn_blocking(move || work(&store))
            .await
            .map_err(|cause| Error::internal("the built-in platform stopped in its work").caused_by(cause))?
    }

    fn transact<T>(&self, work: impl FnOnce(&Session<'_>) -> Result<T>) -> Result<T> {
        let profiles = {
            let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
            match &*opened {
                Some(profiles) => Arc::clone(profiles),
                None => {
                    let profiles = Arc::new(Profiles::open(self.file.as_deref(), Durability::PowerCut)?);
                    Arc::clone(opened.insert(profiles))
                }
            }
        };
        profiles.transact(self.clock.now(), work)
    }
}

/// Applies one record.
fn put(session: &Session<'_>, catalog: &str, record: &Record) -> Result<Outcome> {
    match &record.body {
        Body::CatalogItem { id, fields } => {
            if !fields.is_object() {
                return Ok(Outcome::Rejected(not_an_object()));
            }
            session.create_catalog(catalog, "", "[]")?;
            session.put_item(catalog, id, fields.as_str())?;
            return Ok(Outcome::Delivered);
        }
        Body::CatalogRemoval { id } => {
            session.remove_item(catalog, id)?;
            return Ok(Outcome::Delivered);
        }
        Body::Deletion => {
            if let Some(user) = session.find(&record.identity)? {
                session.delete(user)?;
            }
            return Ok(Outcome::Delivered);
        }
        Body::User { .. } | Body::Event { .. } | Body::Purchase(_) => {}
    }

    let attributes = match &record.body {
        Body::User { attributes } => match object(attributes) {
            Ok(attributes) => Some(attributes),
            Err(reason) => return Ok(Outcome::Rejected(reason)),
        },
        _ => None,
    };
    let Some(user) = session.find_or_create(&record.identity)? else {
        return Ok(Outcome::Rejected(Reason::new(
            "user_not_found",
            "no user has this platform id; a platform id never creates one",
        )));
    };
    let name = record.id.to_string();
    let key = Some(Key { name: &name, since: None });
    match &record.body {
        Body::Event { name, time, properties, app_id } => {
            let properties = properties.as_str();
            let time = time.unwrap_or(session.now);
            session.record_event(user, &Event { name, time, properties, app_id: app_id.as_deref(), key })?;
        }
        Body::Purchase(bought) => {
            let purchase = Purchase {
                product_id: &bought.product_id,
                currency: &bought.currency,
                price: &bought.price,
                quantity: bought.quantity,
                time: bought.time.unwrap_or(session.now),
                properties: bought.properties.as_str(),
                app_id: bought.app_id.as_deref(),
                key,
            };
            session.record_purchase(user, &purchase)?;
        }
        _ => session.merge(user, &attributes.unwrap_or_default())?,
    }
    Ok(Outcome::Delivered)
}

fn object(json: &Json) -> Result<Map<String, Value>, Reason> {
    serde_json::from_str(json.as_str()).map_err(|_| not_an_object())
}

fn not_an_object() -> Reason {
    Reason::new("not_an_object", "the attributes, properties or fields are not a JSON object")
}
