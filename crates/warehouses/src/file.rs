//! Events as a Parquet file, which warehouses load.

use bytes::Bytes;
use jiff::Timestamp;
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use tidegate_model::{Error, Layout, LoggedEvent};
use tidegate_transport::arrow::events::{Shape, schema, steps};

/// Returns the events as a Parquet file.
///
/// # Errors
/// [`tidegate_model::ErrorKind::Internal`]: events fit their columns.
pub(crate) fn encode(layout: Layout, items: &[LoggedEvent], synced: Timestamp) -> Result<Bytes, Error> {
    let events: Vec<&LoggedEvent> = items.iter().collect();
    let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
    let mut writer = ArrowWriter::try_new(Vec::new(), schema(layout), Some(properties)).map_err(fault)?;
    for step in steps(&events, Shape { layout, synced, split: false }) {
        for (_, rows) in step? {
            writer.write(&rows).map_err(fault)?;
        }
    }
    Ok(writer.into_inner().map_err(fault)?.into())
}

fn fault(cause: ParquetError) -> Error {
    Error::internal("writing a Parquet file").caused_by(cause)
}
