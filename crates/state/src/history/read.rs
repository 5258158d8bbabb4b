//! Looks rows up in one history file, from its end.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::path::Path;

use arrow_array::cast::AsArray as _;
use arrow_array::types::TimestampMicrosecondType;
use arrow_array::{Array as _, BooleanArray, RecordBatch, StringArray};
use arrow_schema::ArrowError;
use jiff::Timestamp;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowPredicateFn, ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder, RowFilter,
};
use parquet::errors::ParquetError;
use parquet::file::metadata::RowGroupMetaData;
use tidegate_model::store::{RowEntry, StatusKind};
use tidegate_model::{Error, ObjectKind, Reason, RowHash, RunId, SyncId};

use super::parquet::{SYNC_KEY, of_parquet, schema, strange};
use super::{Filter, Line};
use crate::failure;

const BATCH_ROWS: usize = 8_192;

// The columns, in the order of the schema.
const AT: usize = 0;
const RUN: usize = 1;
const OBJECT: usize = 2;
const USER: usize = 3;
const KEY: usize = 4;
const STATUS: usize = 5;
const REASON_CODE: usize = 6;
const REASON: usize = 7;
const ROW_HASH: usize = 8;

/// Returns the newest `limit` rows of a file that are wanted, newest first; `None` if there is no such file.
pub(crate) fn newest(path: &Path, filter: &Filter, limit: usize) -> Result<Option<Vec<Line>>, Error> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(cause) => return Err(failure::of_io(cause, "reading", path)),
    };
    let fail = |cause| of_parquet(cause, "reading", path);
    let metadata = ArrowReaderMetadata::load(&file, ArrowReaderOptions::default()).map_err(fail)?;
    if metadata.schema().fields() != schema().fields() {
        return Err(strange(path));
    }
    let kept = metadata.metadata().file_metadata().key_value_metadata();
    let sync = kept.and_then(|pairs| pairs.iter().find(|pair| pair.key == SYNC_KEY)?.value.as_deref());
    let sync = SyncId::new(sync.ok_or_else(|| strange(path))?);
    let mut lines = Vec::new();
    for group in (0..metadata.metadata().num_row_groups()).rev() {
        if lines.len() == limit {
            break;
        }
        let file = file.try_clone().map_err(|cause| failure::of_io(cause, "reading", path))?;
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(file, metadata.clone());
        let wanted = limit - lines.len();
        lines.extend(newest_of_group(builder, group, &sync, filter, wanted).map_err(
            |failure| match failure {
                Failure::Parquet(cause) => fail(cause),
                Failure::Strange => strange(path),
            },
        )?);
    }
    Ok(Some(lines))
}

enum Failure {
    Parquet(ParquetError),
    Strange,
}

impl From<ParquetError> for Failure {
    fn from(cause: ParquetError) -> Failure {
        Failure::Parquet(cause)
    }
}

fn newest_of_group(
    builder: ParquetRecordBatchReaderBuilder<File>,
    group: usize,
    sync: &SyncId,
    filter: &Filter,
    wanted: usize,
) -> Result<Vec<Line>, Failure> {
    let about = builder.metadata().row_group(group).clone();
    if !may_hold(&builder, &about, group, filter)? {
        return Ok(Vec::new());
    }
    let mut builder = builder.with_row_groups(vec![group]).with_batch_size(BATCH_ROWS);
    if filter.is_empty() {
        let rows = usize::try_from(about.num_rows()).unwrap_or(0);
        builder = builder.with_offset(rows.saturating_sub(wanted));
    } else {
        let asked = [
            (AT, filter.from.is_some() || filter.to.is_some()),
            (RUN, filter.run.is_some()),
            (USER, filter.user.is_some()),
            (STATUS, filter.status.is_some()),
        ];
        let asked = asked.into_iter().filter_map(|(column, asked)| asked.then_some(column));
        let mask = ProjectionMask::leaves(builder.parquet_schema(), asked);
        builder = builder.with_row_filter(RowFilter::new(vec![Box::new(predicate(mask, filter.clone()))]));
    }
    let mut newest = VecDeque::new();
    for batch in builder.build()? {
        let batch = batch.map_err(ParquetError::from)?;
        for at in 0..batch.num_rows() {
            if newest.len() == wanted {
                newest.pop_front();
            }
            newest.push_back(line(&batch, at, sync).ok_or(Failure::Strange)?);
        }
    }
    Ok(newest.into_iter().rev().collect())
}

/// Whether a row group can hold a wanted row, by its lowest and highest values
/// and by the filter of its users.
fn may_hold(
    builder: &ParquetRecordBatchReaderBuilder<File>,
    about: &RowGroupMetaData,
    group: usize,
    filter: &Filter,
) -> Result<bool, ParquetError> {
    let within = |column: usize, value: &str| {
        let statistics = about.column(column).statistics();
        let bounds = statistics.and_then(|known| known.min_bytes_opt().zip(known.max_bytes_opt()));
        bounds.is_none_or(|(low, high)| low <= value.as_bytes() && value.as_bytes() <= high)
    };
    if filter.status.is_some_and(|status| !within(STATUS, status.as_str())) {
        return Ok(false);
    }
    let Some(user) = &filter.user else {
        return Ok(true);
    };
    if !within(USER, user) {
        return Ok(false);
    }
    let users = builder.get_row_group_column_bloom_filter(group, USER)?;
    Ok(users.is_none_or(|users| users.check(user.as_str())))
}

fn predicate(
    mask: ProjectionMask,
    filter: Filter,
) -> ArrowPredicateFn<impl FnMut(RecordBatch) -> Result<BooleanArray, ArrowError> + Send + 'static> {
    ArrowPredicateFn::new(mask, move |batch: RecordBatch| {
        // Only the columns that the filter asks for are read.
        let column = |name: &str| batch.column_by_name(name);
        let times = column("at").map(|times| times.as_primitive::<TimestampMicrosecondType>());
        let runs = column("run").map(|runs| runs.as_string::<i32>());
        let users = column("user").map(|users| users.as_string::<i32>());
        let statuses = column("status").map(|statuses| statuses.as_string::<i32>());
        let holds = |texts: Option<&StringArray>, at: usize, wanted: Option<&str>| {
            wanted.is_none_or(|wanted| texts.is_some_and(|texts| texts.value(at) == wanted))
        };
        let status = filter.status.map(StatusKind::as_str);
        let (from, to) =
            (filter.from.map(Timestamp::as_microsecond), filter.to.map(Timestamp::as_microsecond));
        let wanted = |at: usize| {
            from.is_none_or(|from| times.is_some_and(|times| times.value(at) >= from))
                && to.is_none_or(|to| times.is_some_and(|times| times.value(at) < to))
                && holds(runs, at, filter.run.as_ref().map(RunId::as_str))
                && holds(statuses, at, status)
                && holds(users, at, filter.user.as_deref())
        };
        Ok((0..batch.num_rows()).map(|at| Some(wanted(at))).collect())
    })
}

fn line(batch: &RecordBatch, at: usize, sync: &SyncId) -> Option<Line> {
    let text = |column: usize| batch.column(column).as_string::<i32>().value(at);
    let maybe = |column: usize| batch.column(column).is_valid(at).then(|| text(column).to_owned());
    let micros = batch.column(AT).as_primitive::<TimestampMicrosecondType>().value(at);
    let hash = batch.column(ROW_HASH).as_fixed_size_binary().value(at);
    let entry = RowEntry {
        at: Timestamp::from_microsecond(micros).ok()?,
        sync: sync.clone(),
        run: RunId::new(text(RUN)),
        object: object(text(OBJECT))?,
        user: text(USER).to_owned(),
        key: text(KEY).to_owned(),
        status: status(text(STATUS))?,
        reason: maybe(REASON_CODE).map(|code| Reason::new(code, maybe(REASON).unwrap_or_default())),
        payload: None,
    };
    Some(Line { entry, row: RowHash(u128::from_be_bytes(hash.try_into().ok()?)) })
}

fn object(word: &str) -> Option<ObjectKind> {
    use ObjectKind::{CatalogItem, Deletion, Event, Purchase, User};
    [User, Event, Purchase, Deletion, CatalogItem].into_iter().find(|object| object.as_str() == word)
}

fn status(word: &str) -> Option<StatusKind> {
    use StatusKind::{Delivered, InDoubt, Rejected};
    [Delivered, Rejected, InDoubt].into_iter().find(|status| status.as_str() == word)
}
