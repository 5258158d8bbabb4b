//! Rows of a source as what a run transforms.

use std::sync::Arc;

use async_trait::async_trait;
use tidegate_model::source::Column;
use tidegate_model::store::{BatchCommit, RowColumns, RowResult, RowStatus, RowVersion, SentUser};
use tidegate_model::{
    Batch, Checkpoint, Columns, DataType, Error, ErrorKind, Identity, KeptRow, Mapping, Origin, PartialRow,
    Position, Record, Row, RowHash, RowPart, Source, SyncId, Text, Value,
};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use crate::pipeline::begins::Begins;
use crate::pipeline::import::Import;
use crate::pipeline::kept_row::{self, KeptRows};
use crate::pipeline::read::by_source::AtSource;
use crate::pipeline::read::compare::Duplicates;
use crate::pipeline::read::cursor_state::{self, ChangeTracking};
use crate::pipeline::sent::SentAttributes;
use crate::pipeline::transform::{ItemKeys, PartialItem, Prepared, Transform};

/// The rows of one run.
pub(crate) struct Rows {
    sync: SyncId,
    source: Arc<dyn Source>,
    columns: Arc<Columns>,
    mapping: Arc<Mapping>,
    /// What the ledger keeps of failed rows.
    kept: Arc<KeptRows>,
    /// The cursor column and its place among the columns.
    cursor: Option<(usize, Column)>,
    /// Where the cursor was before this run.
    standing: Option<Position>,
    /// The keys that more than one row has, if rows are compared by their key.
    duplicates: Option<Duplicates>,
    /// Whether what became of rows that are gone is deleted.
    deletes: bool,
    /// What the source compares with, if it does so itself.
    at_source: Option<AtSource>,
    /// What was sent of users, if only attributes that changed are sent.
    sent: Option<Arc<SentAttributes>>,
}

impl Rows {
    pub(crate) fn of(
        import: &Import,
        begins: &Begins,
        kept: Arc<KeptRows>,
        duplicates: &Duplicates,
        sent: Option<&Arc<SentAttributes>>,
    ) -> Rows {
        let cursor_state = begins.cursor_state.as_ref();
        // What a retry sends was not noted: the next run looks at it once more.
        let at_source = begins.at_source.as_ref().filter(|_| begins.kind.moves_checkpoint());
        let cursor = match &import.tracking {
            ChangeTracking::Cursor { at, column, .. } => Some((*at, column.clone())),
            ChangeTracking::Full | ChangeTracking::Checkpoint | ChangeTracking::Mirror => None,
        };
        Rows {
            deletes: import.removal.as_ref().is_some_and(|removal| removal.deletes),
            at_source: at_source.cloned(),
            sent: sent.cloned(),
            duplicates: (import.tracking == ChangeTracking::Mirror).then(|| duplicates.clone()),
            sync: import.sync.clone(),
            source: import.source.clone(),
            columns: import.columns.clone(),
            mapping: import.mapping.clone(),
            kept,
            cursor,
            standing: cursor_state.map(|cursor_state| cursor_state.cursor.clone()),
        }
    }

    /// The names of the key columns.
    fn key_names(&self) -> Vec<&str> {
        let names = self.columns.names();
        self.mapping.key_columns().iter().filter_map(|at| names.get(*at)).map(String::as_str).collect()
    }
}

#[async_trait]
impl Transform for Rows {
    type Read = Row;
    type Sent = Record;
    type Context = Row;
    type User = Identity;

    /// The source may have changed since its columns were looked at: no value may be taken
    /// for another, and no cursor compared with one of another type. More columns after
    /// those that are known do no harm.
    fn validate_batch(&self, batch: &Batch<Row>) -> Result<(), Error> {
        let mut checked: Option<&Arc<Columns>> = None;
        for row in &batch.items {
            if !checked.is_some_and(|checked| Arc::ptr_eq(checked, &row.columns)) {
                if !row.columns.names().starts_with(self.columns.names()) {
                    return Err(Error::new(
                        ErrorKind::Unexpected,
                        format!("the columns of the source changed while `{}` began to read", self.sync),
                    )
                    .hint("run it again: none of these rows was sent"));
                }
                checked = Some(&row.columns);
            }
            if let Some((at, column)) = &self.cursor
                && let Some(value) = row.values.get(*at)
                && !cursor_state::fits(value, &column.data_type)
            {
                let now = value.type_name();
                return Err(match &self.standing {
                    Some(cursor_state) => cursor_state::misfit(&self.sync, &column.name, now, cursor_state),
                    None => Error::new(
                        ErrorKind::Unexpected,
                        format!(
                            "the cursor `{}` was {} when `{}` began to read, and is {now} now",
                            column.name, column.data_type, self.sync
                        ),
                    )
                    .hint("run it again: none of these rows was sent"),
                });
            }
        }
        Ok(())
    }

    #[inline]
    fn identify(&self, row: &Row, origin: Option<&Origin>, scratch: &mut Vec<u8>) -> ItemKeys {
        if let Some(Origin::Removed(key)) = origin {
            return ItemKeys { key: *key, version: RowHash::REMOVED };
        }
        let whole = self.mapping.version_of(row, scratch);
        let version = whole.unmarked();
        let key = match origin {
            // Without a key, equal rows are distinguished by their location.
            Some(origin) if self.mapping.lacks_key(row) => origin.hash(scratch),
            // Without key columns at all, `whole` is this hash already.
            None if self.mapping.has_key() && self.mapping.lacks_key(row) => row.hash(scratch),
            _ => self.mapping.key_of(row, whole, scratch),
        };
        ItemKeys { key, version }
    }

    fn has_keys(&self) -> bool {
        self.mapping.has_key()
    }

    async fn begin_batch(&self) {
        self.kept.look_again().await;
    }

    fn kept_input(&self, part: RowPart) -> KeptRow {
        self.kept.kept(KeptRow::Part(Box::new(part)), Vec::new)
    }

    fn kept(&self, bytes: u64) {
        self.kept.committed(bytes);
    }

    fn partial(
        &self,
        partial: PartialRow,
        input: Option<Text>,
        scratch: &mut Vec<u8>,
    ) -> Option<PartialItem> {
        let PartialRow { row, unreadable, origin } = partial;
        let version = self.mapping.version_of(&row, scratch);
        let whole = row.hash(scratch);
        let location = origin.as_ref().map(Origin::to_string).unwrap_or_default();
        let keyed = self.mapping.key_is_without(&unreadable);
        let key = match (keyed, origin) {
            (true, _) => self.mapping.key_of(&row, version, scratch),
            (false, Some(origin)) => origin.hash(scratch),
            (false, None) => whole,
        };
        let key_text = if keyed { self.mapping.key_text(&row) } else { Text::new() };
        let cursor = self.cursor.as_ref().filter(|(at, _)| !unreadable.contains(at));
        let cursor = cursor.and_then(|_| self.cursor(&row)).filter(|value| !value.is_null()).cloned();
        let mut readable = row.clone();
        for &at in &unreadable {
            if let Some(value) = readable.values.get_mut(at) {
                *value = Value::Null;
            }
        }
        let user = self.mapping.label(&readable).unwrap_or_default();
        let keys = ItemKeys { key, version: if keyed { version } else { whole }.unmarked() };
        let location = (!location.is_empty()).then(|| location.into());
        let part = kept_row::readable(&row, &unreadable, input, location);
        let payload = self.kept.kept(KeptRow::Part(Box::new(part)), || self.key_names());
        Some(PartialItem { keys, key_text, user, cursor, payload })
    }

    fn cursor<'a>(&self, row: &'a Row) -> Option<&'a Value> {
        let (at, column) = self.cursor.as_ref()?;
        match row.values.get(*at)? {
            // A time without a beginning compares with no other: it is before all of them.
            Value::Text(text) if &**text == "-infinity" && column.data_type != DataType::Text => {
                column.data_type.beginning_of_time()
            }
            value => Some(value),
        }
    }

    #[inline]
    fn transform(&self, row: Row, keys: ItemKeys) -> Prepared<Record, Row> {
        if keys.version.is_removed() {
            let sent = self.mapping.removal(&row, keys.key, keys.version, self.deletes);
            return Prepared { sent, context: row };
        }
        let fault =
            self.duplicates.as_ref().and_then(|duplicates| duplicates.fault(&self.mapping, &row, keys.key));
        match fault {
            Some(reason) => Prepared { sent: Err(reason), context: row },
            None => {
                let record = self.mapping.apply(&row, keys.key, keys.version);
                let sent = match &self.sent {
                    Some(sent) => record.map(|record| sent.narrowed(record, keys)),
                    None => record,
                };
                Prepared { sent, context: row }
            }
        }
    }

    fn user<'a>(&self, record: &'a Record) -> &'a Identity {
        &record.identity
    }

    #[inline]
    fn partition_hash(&self, record: &Record) -> u64 {
        match &record.identity {
            Identity::Alias { label, name } => xxh3_64_with_seed(name.as_bytes(), xxh3_64(label.as_bytes())),
            _ => xxh3_64(record.label().as_bytes()),
        }
    }

    #[inline]
    fn describe(&self, keys: ItemKeys, row: &Row, record: &Record, columns: &mut RowColumns) {
        let key_text = |out: &mut String| self.mapping.write_key_text(row, out);
        columns.push(keys.into(), key_text, &record.label());
    }

    fn result(&self, keys: ItemKeys, row: Row, record: Option<&Record>, status: RowStatus) -> RowResult {
        let key_text = self.mapping.key_text(&row);
        let user = match record {
            Some(record) => user_of(record),
            None => self.mapping.label(&row).unwrap_or_default(),
        };
        let payload = (!matches!(status, RowStatus::Delivered)).then_some(row);
        let payload = payload.map(|row| self.kept.kept(row, || self.key_names()));
        RowResult { key: keys.key, key_text, row: keys.version, user, status, payload }
    }

    fn lists_delivered(&self) -> bool {
        true
    }

    async fn committed(&self, checkpoint: &Checkpoint) -> Result<(), Error> {
        self.source.committed(checkpoint).await
    }

    fn sent_users(&self, commit: &BatchCommit) -> Vec<SentUser> {
        self.sent.as_ref().map(|sent| sent.committed(commit)).unwrap_or_default()
    }

    fn keeps_at_source(&self) -> bool {
        self.at_source.is_some()
    }

    async fn remembered(&self, rows: &[RowVersion], rejected: &[RowHash]) -> Result<(), Error> {
        match &self.at_source {
            Some(at_source) => at_source.committed(rows, rejected).await,
            None => Ok(()),
        }
    }
}

/// What people search for, without a copy if there is one to share.
fn user_of(record: &Record) -> Text {
    match &record.identity {
        Identity::ExternalId(id) | Identity::PlatformId(id) | Identity::Email(id) | Identity::Phone(id) => {
            id.clone()
        }
        _ => record.label().into_owned().into(),
    }
}
