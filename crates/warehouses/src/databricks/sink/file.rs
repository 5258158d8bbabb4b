//! The files of a volume.

use bytes::Bytes;
use http::Method;
use jiff::Timestamp;
use serde::Deserialize;
use tidegate_model::address::{encoded, encoded_path};
use tidegate_model::{Error, ErrorKind};
use tidegate_transport::http::answer::RequestError;

use crate::databricks::client::Client;

/// Pages of a folder that are read at most: a thousand files each.
const PAGES_MAX: usize = 100;

#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    contents: Vec<FoundFile>,
    next_page_token: Option<String>,
}

/// A file of a folder.
#[derive(Deserialize)]
pub struct FoundFile {
    /// Its path, from `/Volumes` on.
    pub path: String,
    /// When it was written last, in milliseconds since 1970.
    last_modified: i64,
}

impl FoundFile {
    /// Returns whether the file was written last before this time.
    pub fn is_older_than(&self, time: Timestamp) -> bool {
        self.last_modified < time.as_millisecond()
    }
}

impl Client {
    /// Lists the files of a folder.
    ///
    /// Source: Databricks REST API reference, Files, `GET /api/2.0/fs/directories{path}`.
    ///
    /// # Errors
    /// What the workspace said, or what kept it from answering.
    pub async fn files(&self, folder: &str) -> Result<Vec<FoundFile>, Error> {
        let first = format!("/api/2.0/fs/directories{}", encoded_path(folder));
        let mut path = first.clone();
        let mut found = Vec::new();
        for _ in 0..PAGES_MAX {
            let page: Page = self.get(&path).await?;
            found.extend(page.contents);
            let Some(token) = page.next_page_token.filter(|token| !token.is_empty()) else { break };
            path = format!("{first}?page_token={}", encoded(&token));
        }
        Ok(found)
    }

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
