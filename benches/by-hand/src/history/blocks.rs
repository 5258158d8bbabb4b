//! A block of statuses against a stream of Arrow IPC.

use std::hint::black_box;
use std::io::Cursor;
use std::sync::Arc;

use anyhow::Result;
use arrow_array::{ArrayRef, FixedSizeBinaryArray, RecordBatch, StringArray, UInt8Array};
use arrow_buffer::{Buffer, OffsetBuffer};
use arrow_ipc::CompressionType;
use arrow_ipc::reader::StreamReader;
use arrow_ipc::writer::{IpcWriteOptions, StreamWriter};
use arrow_schema::{ArrowError, DataType, Field, Schema};
use tidegate_model::store::{Delivered, TextColumn};
use xxhash_rust::xxh3::xxh3_64;

use super::block::{Block, encode};
use super::rows;
use crate::clock::on_thread;
use crate::table::{Part, Way};

const TIMES: usize = 100;

fn schema() -> Arc<Schema> {
    Arc::new(Schema::new(vec![
        Field::new("status", DataType::UInt8, false),
        Field::new("row", DataType::FixedSizeBinary(16), false),
        Field::new("key", DataType::Utf8, false),
        Field::new("user", DataType::Utf8, false),
    ]))
}

fn texts(column: &TextColumn) -> ArrayRef {
    let bounds = OffsetBuffer::from_lengths(column.lengths());
    Arc::new(StringArray::new(bounds, Buffer::from(column.joined().as_bytes()), None))
}

fn to_ipc(rows: &Delivered, compression: Option<CompressionType>) -> Result<Vec<u8>, ArrowError> {
    let hashes: Vec<u8> = rows.rows().iter().flat_map(|hash| hash.0.to_le_bytes()).collect();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(UInt8Array::from_value(0, rows.len())),
        Arc::new(FixedSizeBinaryArray::try_new(16, hashes.into(), None)?),
        texts(rows.key_texts()),
        texts(rows.users()),
    ];
    let batch = RecordBatch::try_new(schema(), columns)?;
    let options = IpcWriteOptions::default().try_with_compression(compression)?;
    let mut writer = StreamWriter::try_new_with_options(Vec::new(), &schema(), options)?;
    writer.write(&batch)?;
    writer.finish()?;
    let bytes = writer.into_inner()?;
    // Ours has a checksum, IPC has none.
    black_box(xxh3_64(&bytes));
    Ok(bytes)
}

fn from_ipc(bytes: &[u8]) -> Result<RecordBatch, ArrowError> {
    black_box(xxh3_64(bytes));
    let mut batches = StreamReader::try_new(Cursor::new(bytes), None)?;
    batches.next().unwrap_or_else(|| Err(ArrowError::IpcError("no batch".to_owned())))
}

fn repeat(mut work: impl FnMut() + 'static) -> impl FnMut() -> std::time::Duration {
    move || on_thread(|| (0..TIMES).for_each(|_| work()))
}

/// Encoding and decoding.
pub(crate) fn parts() -> Result<Vec<Part>> {
    let (delivered, _) = rows(0);
    let delivered = Arc::new(delivered);
    let ours = encode(std::slice::from_ref(delivered.as_ref()), &[])?;
    let size = |bytes: &[u8]| format!("{:.1} bytes a row", bytes.len() as f64 / delivered.len() as f64);
    let (rows, block) = (Arc::clone(&delivered), ours.clone());
    let mut writing = vec![
        Way::new("ours", repeat(move || drop(black_box(encode(std::slice::from_ref(rows.as_ref()), &[])))))
            .with_note(size(&ours)),
    ];
    let mut reading = vec![Way::new("ours", repeat(move || drop(black_box(Block::decode(&block)))))];
    for (name, compression) in [
        ("Arrow IPC", None),
        ("Arrow IPC, lz4", Some(CompressionType::LZ4_FRAME)),
        ("Arrow IPC, zstd", Some(CompressionType::ZSTD)),
    ] {
        let bytes = to_ipc(&delivered, compression)?;
        let rows = Arc::clone(&delivered);
        writing.push(
            Way::new(name, repeat(move || drop(black_box(to_ipc(&rows, compression)))))
                .with_note(size(&bytes)),
        );
        reading.push(Way::new(name, repeat(move || drop(black_box(from_ipc(&bytes))))));
    }
    let items = delivered.len() * TIMES;
    Ok(vec![
        Part { name: "encode a block of rows", items, ways: writing },
        Part { name: "decode a block of rows", items, ways: reading },
    ])
}
