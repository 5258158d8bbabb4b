//! Arrow batches as Parquet files.

use arrow_array::RecordBatch;
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use schemars::JsonSchema;
use serde::Deserialize;
use tidegate_model::Error;

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

/// One batch as one Parquet file.
///
/// The Arrow schema is left out of the file: other readers have no use for it.
pub(crate) fn encode(batch: &RecordBatch, codec: Codec) -> Result<Bytes, Error> {
    let fault = |cause| Error::internal("writing a Parquet file").caused_by(cause);
    let compression = match codec {
        Codec::Snappy => Compression::SNAPPY,
        Codec::Zstd => Compression::ZSTD(ZstdLevel::default()),
        Codec::None => Compression::UNCOMPRESSED,
    };
    let properties = WriterProperties::builder()
        .set_compression(compression)
        .set_created_by(concat!("tidegate ", env!("CARGO_PKG_VERSION")).to_owned())
        .build();
    let options = ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
    let mut file = Vec::with_capacity(batch.get_array_memory_size() / 4);
    let mut writer = ArrowWriter::try_new_with_options(&mut file, batch.schema(), options).map_err(fault)?;
    writer.write(batch).map_err(fault)?;
    writer.close().map_err(fault)?;
    Ok(file.into())
}
