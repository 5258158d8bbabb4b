//! Pages that were made here, as one column of a file.

use std::fs::File;

use bytes::Bytes;
use parquet::basic::{Compression, Encoding, PageType};
use parquet::column::page::{CompressedPage, Page, PageWriter as _};
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::ParquetError;
use parquet::file::metadata::{ColumnChunkMetaData, OffsetIndexBuilder, PageEncodingStats};
use parquet::file::writer::{SerializedPageWriter, SerializedRowGroupWriter, TrackedWrite};
use parquet::schema::types::ColumnDescPtr;

/// A page of values that are never null, as it is in the file.
pub(super) fn values(body: Vec<u8>, rows: usize, encoding: Encoding) -> CompressedPage {
    let size = body.len();
    let page = Page::DataPage {
        buf: body.into(),
        num_values: rows as u32,
        encoding,
        def_level_encoding: Encoding::RLE,
        rep_level_encoding: Encoding::RLE,
        statistics: None,
    };
    CompressedPage::new(page, size)
}

/// Writes the next column of a row group: one page of values, and the dictionary that it refers to.
pub(super) fn append(
    column: &ColumnDescPtr,
    dictionary: Option<CompressedPage>,
    values: CompressedPage,
    group: &mut SerializedRowGroupWriter<'_, File>,
) -> Result<(), ParquetError> {
    let encodings: Vec<Encoding> =
        dictionary.iter().chain([&values]).map(CompressedPage::encoding).chain([Encoding::RLE]).collect();
    let used = |page_type, encoding| PageEncodingStats { page_type, encoding, count: 1 };
    let mut statistics = Vec::new();
    statistics.extend(dictionary.iter().map(|page| used(PageType::DICTIONARY_PAGE, page.encoding())));
    statistics.push(used(PageType::DATA_PAGE, values.encoding()));

    let mut sink = TrackedWrite::new(Vec::new());
    let mut pages = SerializedPageWriter::new(&mut sink);
    let dictionary = dictionary.map(|page| pages.write_page(page)).transpose()?;
    let values = pages.write_page(values)?;
    let rows = i64::from(values.num_values);
    let size = dictionary.as_ref().map_or(0, |page| page.compressed_size) + values.compressed_size;
    let metadata = ColumnChunkMetaData::builder(column.clone())
        .set_compression(Compression::UNCOMPRESSED)
        .set_encodings(encodings)
        .set_page_encoding_stats(statistics)
        .set_total_compressed_size(size as i64)
        .set_total_uncompressed_size(size as i64)
        .set_num_values(rows)
        .set_dictionary_page_offset(dictionary.map(|page| page.offset as i64))
        .set_data_page_offset(values.offset as i64)
        .build()?;
    let mut offsets = OffsetIndexBuilder::new();
    offsets.append_row_count(rows);
    offsets.append_offset_and_size(values.offset as i64, values.compressed_size as i32);
    let close = ColumnCloseResult {
        bytes_written: size as u64,
        rows_written: rows as u64,
        metadata,
        bloom_filter: None,
        column_index: None,
        offset_index: Some(offsets.build()),
    };
    group.append_column(&Bytes::from(sink.into_inner()?), close)
}
