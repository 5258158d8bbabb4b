//! A file of statuses against `ArrowWriter`.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use arrow_array::builder::{StringBuilder, StringDictionaryBuilder};
use arrow_array::types::Int32Type;
use arrow_array::{ArrayRef, FixedSizeBinaryArray, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow_schema::{DataType, Field, Schema};
use jiff::Timestamp;
use parquet::arrow::ArrowWriter;
use tidegate_model::{ObjectKind, Reason, RunId, SyncId};

use super::block::{Block, encode};
use super::parquet::{GROUP_ROWS, HistoryWriter, properties, schema};
use super::status_runs::StatusRuns;
use super::{BATCH, rows};
use crate::clock::on_thread;
use crate::table::{Part, Way};

const BATCHES: usize = 100;
const RUN: &str = "20261122T034501-f7a0b1";
const OBJECT: ObjectKind = ObjectKind::Event;

fn blocks(encoded: &[Vec<u8>]) -> Vec<Block> {
    encoded.iter().map(|block| Block::decode(block).expect("just encoded")).collect()
}

/// As the product writes it.
fn ours(blocks: Vec<Block>, path: PathBuf) -> Result<()> {
    let mut writer = HistoryWriter::create(path, &SyncId::new("orders"), OBJECT)?;
    let run = RunId::new(RUN);
    for block in blocks {
        writer.write(Timestamp::UNIX_EPOCH, &run, block)?;
    }
    writer.finish()?;
    Ok(())
}

/// Rows of a word that stands in many of them.
trait Words: Default {
    fn add(&mut self, word: &str, rows: usize);
    fn array(self) -> ArrayRef;
}

#[derive(Default)]
struct Texts(StringBuilder);

impl Words for Texts {
    fn add(&mut self, word: &str, rows: usize) {
        self.0.append_value_n(word, rows);
    }

    fn array(mut self) -> ArrayRef {
        Arc::new(self.0.finish())
    }
}

#[derive(Default)]
struct Dictionary(StringDictionaryBuilder<Int32Type>);

impl Words for Dictionary {
    fn add(&mut self, word: &str, rows: usize) {
        self.0.append_n(word, rows).expect("few words");
    }

    fn array(mut self) -> ArrayRef {
        Arc::new(self.0.finish())
    }
}

fn reasons(statuses: &StatusRuns, part: impl for<'a> Fn(&'a Reason) -> &'a str) -> StringArray {
    let mut builder = StringBuilder::with_capacity(statuses.len(), 0);
    for (status, rows) in statuses.runs() {
        match status.reason() {
            Some(reason) => builder.append_value_n(part(reason), rows),
            None => builder.append_nulls(rows),
        }
    }
    builder.finish()
}

fn batch<W: Words>(schema: &Arc<Schema>, block: Block) -> Result<RecordBatch> {
    let Block { statuses, rows, key_texts, users } = block;
    let count = statuses.len();
    let (mut run, mut object, mut status) = (W::default(), W::default(), W::default());
    run.add(RUN, count);
    object.add(OBJECT.as_str(), count);
    for (one, rows) in statuses.runs() {
        status.add(one.kind().as_str(), rows);
    }
    let hashes: Vec<u8> = rows.iter().flat_map(|hash| hash.0.to_be_bytes()).collect();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(TimestampMicrosecondArray::from_value(0, count).with_timezone("UTC")),
        run.array(),
        object.array(),
        Arc::new(users.into_array()?),
        Arc::new(key_texts.into_array()?),
        status.array(),
        Arc::new(reasons(&statuses, |reason| &reason.code)),
        Arc::new(reasons(&statuses, |reason| &reason.message)),
        Arc::new(FixedSizeBinaryArray::try_new(16, hashes.into(), None)?),
    ];
    Ok(RecordBatch::try_new(Arc::clone(schema), columns)?)
}

fn library<W: Words>(blocks: Vec<Block>, schema: &Arc<Schema>, path: &Path) -> Result<()> {
    let properties = properties(&SyncId::new("orders")).into_builder();
    let properties = properties.set_max_row_group_row_count(Some(GROUP_ROWS)).build();
    let mut writer = ArrowWriter::try_new(File::create(path)?, Arc::clone(schema), Some(properties))?;
    for block in blocks {
        writer.write(&batch::<W>(schema, block)?)?;
    }
    writer.into_inner()?.sync_all()?;
    Ok(())
}

fn dictionary_schema() -> Arc<Schema> {
    let fields = schema()
        .fields()
        .iter()
        .map(|field| match field.name().as_str() {
            "run" | "object" | "status" => {
                let words = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
                Arc::new(Field::new(field.name(), words, false))
            }
            _ => Arc::clone(field),
        })
        .collect::<Vec<_>>();
    Arc::new(Schema::new(fields))
}

/// Writing one file of a run.
pub(crate) fn parts() -> Result<Vec<Part>> {
    let folder = Arc::new(tempfile::tempdir()?);
    let encoded = (0..BATCHES).map(|at| {
        let (delivered, others) = rows(at);
        encode(&[delivered], &others)
    });
    let encoded: Arc<Vec<Vec<u8>>> = Arc::new(encoded.collect::<Result<_, _>>()?);
    let way = |name: &'static str,
               file: &str,
               write: Box<dyn Fn(Vec<Block>, PathBuf) -> Result<()>>|
     -> Result<Way> {
        let path = folder.path().join(file).join("file.parquet");
        fs::create_dir_all(path.parent().context("a folder")?)?;
        write(blocks(&encoded), path.clone())?;
        let size = fs::metadata(&path)?.len() as f64 / (BATCHES * BATCH) as f64;
        let (encoded, kept) = (Arc::clone(&encoded), Arc::clone(&folder));
        let run = move || -> Duration {
            let (blocks, path) = (blocks(&encoded), path.clone());
            let _ = &kept;
            on_thread(|| write(blocks, path).expect("a file"))
        };
        Ok(Way::new(name, run).with_note(format!("{size:.1} bytes a row")))
    };
    let ways = vec![
        way("ours", "ours", Box::new(ours))?,
        way(
            "`ArrowWriter`, texts",
            "texts",
            Box::new(|blocks, path| library::<Texts>(blocks, &schema(), &path)),
        )?,
        way(
            "`ArrowWriter`, dictionaries",
            "dictionaries",
            Box::new(|blocks, path| library::<Dictionary>(blocks, &dictionary_schema(), &path)),
        )?,
    ];
    Ok(vec![Part { name: "write a history file", items: BATCHES * BATCH, ways }])
}
