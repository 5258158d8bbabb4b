//! Arrow batches as Parquet files.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use arrow_array::RecordBatch;
use arrow_schema::{Schema, SchemaRef};
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;
use schemars::JsonSchema;
use serde::Deserialize;
use tidegate_model::Error;

use crate::batch::Day;

/// How the pages of a Parquet file are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Codec {
    /// Quick.
    #[default]
    Snappy,
    /// Smaller.
    Zstd,
    /// Not at all.
    None,
}

/// About as many bytes as the file of one request has, where all is of one day.
const FILE_BYTES: usize = 3 << 19;
/// Files that grow at the same time. Rows of further days wait, so that events
/// of many days do not take much memory.
const GROWING: usize = 16;
/// Columns whose values hardly repeat: looking for repetitions would only cost.
const UNIQUE: &[&str] = &["event_id", "_id", "_index", "payload"];
/// Columns of which every file holds almost the whole range: no reader could
/// skip a page by their bounds.
const UNBOUNDED: &[&str] =
    &["event_id", "_id", "payload", "token", "subscription_id", "onesignal_id", "external_id", "user_id"];

/// The contents of files that grow, one for each day.
pub(crate) struct Contents {
    codec: Codec,
    days: BTreeMap<Day, Content>,
}

enum Content {
    Growing(Box<ArrowWriter<Vec<u8>>>),
    Waiting(Vec<RecordBatch>),
}

impl Contents {
    /// No files yet.
    pub(crate) fn new(codec: Codec) -> Contents {
        Contents { codec, days: BTreeMap::new() }
    }

    /// Appends rows to the file of a day.
    pub(crate) fn write(&mut self, day: Day, rows: RecordBatch) -> Result<(), Error> {
        let full = self.days.len() >= GROWING;
        let content = match self.days.entry(day) {
            Entry::Occupied(content) => content.into_mut(),
            Entry::Vacant(vacant) if full => vacant.insert(Content::Waiting(Vec::new())),
            Entry::Vacant(vacant) => {
                vacant.insert(Content::Growing(Box::new(writer(self.codec, rows.schema())?)))
            }
        };
        match content {
            Content::Growing(writer) => writer.write(&rows).map_err(fault)?,
            Content::Waiting(waiting) => waiting.push(rows),
        }
        Ok(())
    }

    /// The finished files.
    pub(crate) fn finish(self) -> impl Iterator<Item = Result<(Day, Bytes), Error>> {
        let codec = self.codec;
        self.days.into_iter().map(move |(day, content)| Ok((day, content.finish(codec)?)))
    }
}

impl Content {
    fn finish(self, codec: Codec) -> Result<Bytes, Error> {
        let writer = match self {
            Content::Growing(writer) => *writer,
            Content::Waiting(waiting) => {
                let schema =
                    waiting.first().map(RecordBatch::schema).unwrap_or_else(|| Schema::empty().into());
                let mut writer = writer(codec, schema)?;
                waiting.iter().try_for_each(|rows| writer.write(rows)).map_err(fault)?;
                writer
            }
        };
        let mut file = writer.into_inner().map_err(fault)?;
        // It waits for the files of other days.
        file.shrink_to_fit();
        Ok(file.into())
    }
}

/// The Arrow schema is left out of the file: other readers have no use for it.
fn writer(codec: Codec, schema: SchemaRef) -> Result<ArrowWriter<Vec<u8>>, Error> {
    let compression = match codec {
        Codec::Snappy => Compression::SNAPPY,
        Codec::Zstd => Compression::ZSTD(ZstdLevel::default()),
        Codec::None => Compression::UNCOMPRESSED,
    };
    let properties = WriterProperties::builder()
        .set_compression(compression)
        .set_created_by(concat!("tidegate ", env!("CARGO_PKG_VERSION")).to_owned());
    let properties = UNIQUE.iter().fold(properties, |properties, column| {
        properties.set_column_dictionary_enabled(ColumnPath::from(*column), false)
    });
    let properties = UNBOUNDED.iter().fold(properties, |properties, column| {
        properties.set_column_statistics_enabled(ColumnPath::from(*column), EnabledStatistics::None)
    });
    let options =
        ArrowWriterOptions::new().with_properties(properties.build()).with_skip_arrow_metadata(true);
    ArrowWriter::try_new_with_options(Vec::with_capacity(FILE_BYTES), schema, options).map_err(fault)
}

fn fault(cause: ParquetError) -> Error {
    Error::internal("writing a Parquet file").caused_by(cause)
}

#[cfg(test)]
mod tests {
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

    use super::*;
    use crate::batch::tests::logged;
    use crate::batch::{Shape, steps};

    #[test]
    fn files_of_more_days_than_grow_at_once_are_whole() {
        let mut contents = Contents::new(Codec::Snappy);
        let days = i32::try_from(GROWING).expect("small") + 3;
        for at in 0..2 {
            let event = logged(at, "2026-03-01T00:00:00Z");
            let shape =
                Shape { layout: tidegate_model::Layout::Messages, synced: event.logged_at, split: false };
            let (_, rows) = steps(&[&event], shape).next().expect("a step").expect("rows").remove(0);
            (0..days).for_each(|day| contents.write(Day(day), rows.clone()).expect("written"));
        }

        let files: Vec<(Day, Bytes)> = contents.finish().collect::<Result<_, _>>().expect("files");

        assert_eq!(files.iter().map(|(day, _)| day.0).collect::<Vec<_>>(), (0..days).collect::<Vec<_>>());
        for (_, file) in files {
            let reader = ParquetRecordBatchReaderBuilder::try_new(file).expect("a Parquet file");
            assert_eq!(reader.metadata().file_metadata().num_rows(), 2);
        }
    }
}
