//! From names in a project to opened ends.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use jiff::tz::TimeZone;
use tidegate_model::mapping::{MappingSpec, Target, missing_column};
use tidegate_model::source::{Column, Dataset};
use tidegate_model::{
    Columns, ConnectionId, Connector, ConnectorContext, DataType, Error, ErrorKind, Http, Idempotency,
    Mapping, Mode, ObjectKind, Platform, RowHash, SandboxContext, Settings, Source, SyncId, System, Systems,
};

use super::Engine;
use crate::pipeline::{ChangeTracking, CursorOrigin, Import, LookbackRule, Removal};
use tidegate_project::{
    Changed, Compare, ImportSpec, InDoubt, Removed, RowSource, State, Written, not_removable,
};

/// The endpoint that means the vendor's API served by this process.
const SANDBOX: &str = "sandbox";

impl Engine {
    /// A connection: its connector and its settings, secrets in place.
    pub(crate) async fn connection(
        &self,
        id: &ConnectionId,
    ) -> Result<(&'static Connector, Settings), Error> {
        let spec = self.config.project.connections.get(id).ok_or_else(|| {
            Error::new(ErrorKind::Settings, format!("there is no connection `{id}`"))
                .hint("add it under `connections`")
        })?;
        let connector =
            self.config.connectors.iter().find(|connector| connector.kind == spec.kind).ok_or_else(|| {
                Error::new(ErrorKind::Settings, format!("there is no connector `{}`", spec.kind))
            })?;
        let settings = self
            .resolved(&spec.settings)
            .await
            .map_err(|error| error.context(format!("connection `{id}`")).at(id))?;
        Ok((connector, settings))
    }

    /// Returns the system that a connection points to.
    async fn system(&self, id: &ConnectionId) -> Result<System, Error> {
        let (connector, settings) = self.connection(id).await?;
        Ok(System::of(connector, &settings))
    }

    /// Returns settings of the project with their references resolved.
    pub(crate) async fn resolved(&self, written: &Written) -> Result<Settings, Error> {
        written.resolve(&self.config.folder, self.config.store.as_ref()).await
    }

    /// Returns what an import reads, and the time zone of values that have none.
    pub(crate) async fn selection(&self, sync: &ImportSpec) -> Result<(Settings, String), Error> {
        Ok(RowSource::split(&self.resolved(&sync.source.selection).await?))
    }

    pub(crate) fn context(&self, http: Arc<dyn Http>, dry_run: bool) -> ConnectorContext {
        ConnectorContext {
            http,
            clock: self.config.clock.clone(),
            project: self.config.folder.clone(),
            data: self.config.data.clone(),
            dry_run,
        }
    }

    /// The way to speak HTTP with a connection: the network, or a sandbox here.
    pub(crate) fn http(
        &self,
        connector: &'static Connector,
        settings: &Settings,
    ) -> Result<Arc<dyn Http>, Error> {
        let endpoint = settings.members().get("endpoint").and_then(|endpoint| endpoint.as_str());
        let (Some(SANDBOX), Some(sandbox)) = (endpoint, connector.sandbox) else {
            return Ok(self.config.http.clone());
        };
        let mut sandboxes = self.sandboxes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = sandboxes.get(connector.kind) {
            return Ok(open.clone());
        }
        let opened = (sandbox.open)(&SandboxContext {
            data: Some(self.config.data.join("sandbox").join(connector.kind)),
            clock: self.config.clock.clone(),
            faults: self.faults.clone(),
            limits: true,
            settings: match settings.members().get(SANDBOX) {
                Some(serde_json::Value::Object(members)) => Settings::new(members.clone()),
                _ => Settings::default(),
            },
            http: Some(self.config.http.clone()),
            webhooks: self.webhooks.clone(),
        })?;
        sandboxes.insert(connector.kind, opened.clone());
        Ok(opened)
    }

    /// Opens a connection as a source; a dry run leaves no trace there.
    pub(crate) async fn source(&self, id: &ConnectionId, dry_run: bool) -> Result<Arc<dyn Source>, Error> {
        let (connector, settings) = self.connection(id).await?;
        let role = connector.source.ok_or_else(|| {
            Error::settings(format!("rows cannot be read from `{id}` ({})", connector.title))
        })?;
        (role.open)(&settings, &self.context(self.http(connector, &settings)?, dry_run))
            .map_err(|error| error.context(format!("connection `{id}`")).at(id))
    }

    /// Opens a connection as the platform of a sync; with `http` in place of
    /// the network for a dry run.
    pub(crate) async fn platform(
        &self,
        sync: &ImportSpec,
        dry_run: Option<Arc<dyn Http>>,
    ) -> Result<Arc<dyn Platform>, Error> {
        self.platform_for(sync, sync.destination.object, dry_run).await
    }

    /// Opens a connection as the platform of a sync, for one kind of object.
    async fn platform_for(
        &self,
        sync: &ImportSpec,
        object: ObjectKind,
        dry_run: Option<Arc<dyn Http>>,
    ) -> Result<Arc<dyn Platform>, Error> {
        let id = &sync.destination.connection;
        let (connector, settings) = self.connection(id).await?;
        let role = connector
            .platform
            .ok_or_else(|| Error::settings(format!("`{id}` ({}) takes no records", connector.title)))?;
        let context = match dry_run {
            Some(http) => self.context(http, true),
            None => self.context(self.http(connector, &settings)?, false),
        };
        let target = self.resolved(&sync.destination.target).await?;
        (role.open)(&settings, object, &target, &context)
            .map_err(|error| error.context(format!("connection `{id}`")).at(id))
    }

    /// Opens where rows that are gone are sent to, if something is done about them.
    async fn removal(
        &self,
        sync: &ImportSpec,
        dry_run: Option<Arc<dyn Http>>,
    ) -> Result<Option<Removal>, Error> {
        let deletes = match sync.removed {
            Removed::Ignore => return Ok(None),
            Removed::Delete => true,
            Removed::Update => false,
        };
        let object = match sync.destination.object {
            ObjectKind::User if deletes => ObjectKind::Deletion,
            object => object,
        };
        Ok(Some(Removal { platform: self.platform_for(sync, object, dry_run).await?, deletes }))
    }

    /// Opens both ends of a sync and compiles its mapping.
    pub(crate) async fn import(&self, id: &SyncId, dry_run: Option<Arc<dyn Http>>) -> Result<Import, Error> {
        let written = self.import_spec(id)?.mapping.as_ref();
        self.import_with(id, written, dry_run).await
    }

    /// The same with another mapping than the one of the sync.
    pub(super) async fn import_with(
        &self,
        id: &SyncId,
        written: Option<&MappingSpec>,
        dry_run: Option<Arc<dyn Http>>,
    ) -> Result<Import, Error> {
        let sync = self.import_spec(id)?;
        let source = self.source(&sync.source.connection, dry_run.is_some()).await?;
        let platform = self.platform(sync, dry_run.clone()).await?;
        let systems = Systems {
            source: self.system(&sync.source.connection).await?,
            destination: self.system(&sync.destination.connection).await?,
        };
        let removal = self.removal(sync, dry_run).await?;
        let (selection, time_zone) = self.selection(sync).await?;
        let described = source.describe(&selection).await;
        let dataset =
            described.map_err(|error| error.context(format!("sync `{id}`")).at(&sync.source.connection))?;
        let described = Columns::new(dataset.columns.iter().map(|column| column.name.as_str()));
        let columns = expected(sync, &dataset, &described);
        let zone = TimeZone::get(&time_zone)
            .map_err(|cause| Error::settings(format!("`source.time_zone` of `{id}`")).caused_by(cause))?;
        let key = sync.primary_key.clone().unwrap_or_else(|| dataset.key.clone());
        let tracking = tracking(sync, source.as_ref(), &selection, &dataset, &described, &zone)
            .map_err(|error| error.context(format!("sync `{id}`")))?
            .by_key(&key);
        let changed = sync.changed(!key.is_empty());
        let removed = written.filter(|_| removal.is_some());
        let not_removable = removed.and_then(|spec| not_removable(spec, sync.destination.object, &key));
        fits_key(sync, &key)
            .and_then(|()| fits_platform(changed, platform.as_ref()))
            .and_then(|()| not_removable.map_or(Ok(()), Err))
            .map_err(|error| error.context(format!("sync `{id}`")))?;
        let cursor = match &tracking {
            ChangeTracking::Cursor { column, .. } => Some(column),
            ChangeTracking::Full | ChangeTracking::Checkpoint | ChangeTracking::Mirror => None,
        };
        let target = Target {
            sync: id.clone(),
            object: sync.destination.object,
            key,
            cursor: cursor.filter(|column| is_time(column)).map(|column| column.name.clone()),
            cursor_column: cursor.map(|column| column.name.clone()),
            time_zone: zone,
            absent: sync.absent,
        };
        let mapping = match (written, sync.contract) {
            (_, Some(contract)) => Mapping::contract(contract, &target, &columns),
            (Some(spec), None) => Mapping::compile(spec, &target, &columns),
            (None, None) => Err(Error::settings("neither `mapping` nor `contract` is given")),
        };
        let mapping = mapping.map_err(|error| error.context(format!("sync `{id}`")))?;
        let hashes = reads_hashes(sync, &selection).then(|| memo_name(&dataset, &mapping));
        Ok(narrowed(Import {
            compare: sync.compare,
            hashes,
            sync: id.clone(),
            source,
            source_connection: sync.source.connection.clone(),
            systems,
            selection,
            connection: sync.destination.connection.clone(),
            platform,
            mapping: Arc::new(mapping),
            columns,
            open: dataset.open,
            changed,
            keys_for: self.config.project.retention.key_days.map(days),
            removal,
            compares_at_source: sync.mode == Mode::Mirror && sync.state == State::Source,
            limits: Some(sync.limits),
            confirmed: None,
            tracking,
            time_zone,
            resend: sync.in_doubt == InDoubt::Resend,
            retry_for: sync.options.retry_for,
        }))
    }
}

/// Checks what a sync asks of the key of its rows.
fn fits_key(sync: &ImportSpec, key: &[String]) -> Result<(), Error> {
    if !key.is_empty() {
        return Ok(());
    }
    if sync.mode == Mode::Mirror {
        return Err(Error::settings("`mode: mirror` compares rows by their key, and these have none")
            .hint("add `primary_key:` with the columns whose values are different in each row"));
    }
    if sync.changed == Some(Changed::Ignore) {
        return Err(Error::settings("`changed: ignore` needs a key: without one a changed row is a new row")
            .hint("add `primary_key:` with the columns that name a row, or remove `changed`"));
    }
    Ok(())
}

/// Checks that what is sent of a changed row has the effect that is meant.
fn fits_platform(changed: Changed, platform: &dyn Platform) -> Result<(), Error> {
    if changed != Changed::Attributes || platform.object().idempotency == Idempotency::Idempotent {
        return Ok(());
    }
    Err(Error::settings(
        "`changed: attributes` leaves out what was sent before, and increments count each time",
    )
    .hint("send increments by a sync of their own, or remove `changed`"))
}

/// Whether hashes of the rows are read before the rows.
fn reads_hashes(sync: &ImportSpec, selection: &Settings) -> bool {
    match sync.compare {
        Compare::Rows => false,
        Compare::Hashes => true,
        // A query is as much work for the source whatever is read of its rows.
        Compare::Auto => {
            sync.mode == Mode::Mirror
                && sync.state == State::Ours
                && selection.members().contains_key("table")
        }
    }
}

/// The name of what hashes of a source stand for: that of the columns that are read, and of their types.
fn memo_name(dataset: &Dataset, mapping: &Mapping) -> RowHash {
    let places = mapping.needed().unwrap_or_default();
    let columns: Vec<&Column> = places.iter().filter_map(|at| dataset.columns.get(*at)).collect();
    RowHash::of_bytes(format!("{columns:?} {:?}", mapping.key_columns()).as_bytes())
}

/// Reads only the columns that are needed, if the source can: what nothing uses
/// costs no memory and stops no row.
fn narrowed(import: Import) -> Import {
    let Some(places) = import.mapping.needed() else { return import };
    let names: Vec<String> =
        places.iter().filter_map(|&at| import.columns.names().get(at).cloned()).collect();
    let Some(selection) = import.source.narrow(&import.selection, &names) else { return import };
    let tracking = match import.tracking {
        ChangeTracking::Cursor { column, lookback, origin, .. } => ChangeTracking::Cursor {
            at: names
                .iter()
                .position(|name| *name == column.name)
                .expect("the cursor is among the columns that the mapping needs"),
            column,
            lookback,
            origin,
        },
        other => other,
    };
    let mapping = Arc::new(import.mapping.narrowed(places));
    Import { selection, columns: Columns::new(names), mapping, tracking, ..import }
}

/// The columns that a mapping is made for. A source that does not list all of its columns
/// may have any that the sync names.
fn expected(sync: &ImportSpec, dataset: &Dataset, described: &Arc<Columns>) -> Arc<Columns> {
    if !dataset.open {
        return Arc::clone(described);
    }
    let mut names = described.names().to_vec();
    let mapped = sync.mapping.iter().flat_map(MappingSpec::columns);
    for name in mapped.chain(sync.primary_key.iter().flatten().map(String::as_str)) {
        if described.position(name).is_none() && !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    }
    Columns::new(names)
}

/// How new rows of this sync are found.
fn tracking(
    sync: &ImportSpec,
    source: &dyn Source,
    selection: &Settings,
    dataset: &Dataset,
    columns: &Columns,
    time_zone: &TimeZone,
) -> Result<ChangeTracking, Error> {
    match sync.mode {
        Mode::Full => return Ok(ChangeTracking::Full),
        Mode::Mirror => return Ok(ChangeTracking::Mirror),
        Mode::Incremental | Mode::Stream => {}
    }
    if source.supports_checkpoints() || sync.mode == Mode::Stream {
        return Ok(ChangeTracking::Checkpoint);
    }
    let by_contract = sync.contract.map(|contract| contract.cursor);
    let Some(name) = sync.cursor.as_deref().or(by_contract) else {
        return Err(Error::settings("neither `cursor` nor `contract` is given"));
    };
    let at = columns.position(name).ok_or_else(|| missing_column(name, columns).context("`cursor`"))?;
    let column = dataset.columns[at].clone();
    let lookback = LookbackRule::of(&column, sync.lookback)?.in_zone(&column, time_zone);
    let origin = CursorOrigin::of(name, selection);
    Ok(ChangeTracking::Cursor { at, lookback, column, origin })
}

fn days(days: u32) -> Duration {
    Duration::from_secs(86_400 * u64::from(days))
}

/// Whether a cursor column can be the time of an event.
fn is_time(column: &Column) -> bool {
    matches!(column.data_type, DataType::Timestamp | DataType::DateTime | DataType::Date)
}
