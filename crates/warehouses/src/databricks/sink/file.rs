//! Events as a Parquet file, and the files of a volume.

use bytes::Bytes;
use http::Method;
use jiff::Timestamp;
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use tidegate_model::address::encoded_path;
use tidegate_model::{Error, ErrorKind, LoggedEvent};
use tidegate_transport::arrow::events::{Shape, schema, steps};
use tidegate_transport::http::answer::RequestError;

use super::table::EventTable;
use crate::databricks::client::Client;

/// Returns the events as a Parquet file.
///
/// # Errors
/// [`ErrorKind::Internal`]: events fit their columns.
pub fn encode(table: &EventTable, items: &[LoggedEvent], synced: Timestamp) -> Result<Bytes, Error> {
    let events: Vec<&LoggedEvent> = items.iter().collect();
    let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
    let mut writer =
        ArrowWriter::try_new(Vec::new(), schema(table.layout), Some(properties)).map_err(fault)?;
    for step in steps(&events, Shape { layout: table.layout, synced, split: false }) {
        for (_, rows) in step? {
            writer.write(&rows).map_err(fault)?;
        }
    }
    Ok(writer.into_inner().map_err(fault)?.into())
}

fn fault(cause: ParquetError) -> Error {
    Error::internal("writing a Parquet file").caused_by(cause)
}

impl Client {
    /// Writes a file, in place of one that may be there.
    ///
    /// Source: Databricks REST API reference, Files, `PUT /api/2.0/fs/files{path}`.
    ///
    /// # Errors
    /// What the workspace said, or what kept it from answering.
    pub async fn upload(&self, path: &str, content: Bytes) -> Result<(), Error> {
        let path = format!("/api/2.0/fs/files{}?overwrite=true", encoded_path(path));
        let body = Some((content, "application/octet-stream"));
        self.call(Method::PUT, &path, body).await.map(|_| ()).map_err(RequestError::into_error)
    }

    /// Reads a file, to prove that it may be read.
    ///
    /// # Errors
    /// What the workspace said, or what kept it from answering.
    pub async fn read_file(&self, path: &str) -> Result<(), Error> {
        let path = format!("/api/2.0/fs/files{}", encoded_path(path));
        self.call(Method::GET, &path, None).await.map(|_| ()).map_err(RequestError::into_error)
    }

    /// Removes a file. One that is not there is no error.
    ///
    /// # Errors
    /// What the workspace said, or what kept it from answering.
    pub async fn remove(&self, path: &str) -> Result<(), Error> {
        let path = format!("/api/2.0/fs/files{}", encoded_path(path));
        match self.call(Method::DELETE, &path, None).await.map_err(RequestError::into_error) {
            Err(error) if error.kind() != ErrorKind::Missing => Err(error),
            _ => Ok(()),
        }
    }
}
