//! The files of a volume.

use bytes::Bytes;
use http::Method;
use tidegate_model::address::encoded_path;
use tidegate_model::{Error, ErrorKind};
use tidegate_transport::http::answer::RequestError;

use crate::databricks::client::Client;

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
