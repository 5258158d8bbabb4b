//! A storage root: a folder on this machine or in an object store.

use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use jiff::Timestamp;
use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{MicrosoftAzure, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorage, GoogleCloudStorageBuilder};
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::{BackoffConfig, ClientOptions, DynObjectStore, ObjectStoreExt as _, RetryConfig};
use tidegate_model::clear_text::{self, Proof};
use tidegate_model::{ConnectorContext, Error, Secret};
use url::Url;

use super::errors::explain;
use super::settings::LakeSettings;
use super::stage;
use super::trust::Trusting;
use crate::aws::S3Credentials;
use crate::google::StoreCredentials;
use crate::http::{REMEDY, judge_literal};

pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
/// How old a file is that was written and got no name, when it is removed.
const ABANDONED_AFTER: Duration = Duration::from_secs(3_600);
/// Where S3 looks for buckets without a region.
const DEFAULT_REGION: &str = "us-east-1";

/// A folder and its object store.
#[derive(Clone, Debug)]
pub struct StorageRoot {
    /// The whole bucket, or the whole disk.
    pub store: Arc<DynObjectStore>,
    /// The folder, ending in `/`.
    pub url: Url,
}

impl StorageRoot {
    /// Opens the folder of these settings. Nothing is read yet.
    ///
    /// A dry run works in memory.
    ///
    /// # Errors
    /// [`tidegate_model::ErrorKind::Settings`] for a location that is not valid.
    pub fn open(settings: &LakeSettings, context: &ConnectorContext) -> Result<StorageRoot, Error> {
        if context.dry_run {
            let url = Url::parse("memory:///").map_err(|cause| Error::internal("no URL").caused_by(cause))?;
            return Ok(StorageRoot { store: Arc::new(InMemory::new()), url });
        }
        StorageRoot::open_with(settings, context, &once())
    }

    /// Opens the folder of these settings to read from it, also in a dry run. A request that got no
    /// answer is repeated a few times.
    ///
    /// # Errors
    /// [`tidegate_model::ErrorKind::Settings`] for a location that is not valid.
    pub fn open_to_read(settings: &LakeSettings, context: &ConnectorContext) -> Result<StorageRoot, Error> {
        StorageRoot::open_with(settings, context, &a_few_times())
    }

    fn open_with(
        settings: &LakeSettings,
        context: &ConnectorContext,
        retry: &RetryConfig,
    ) -> Result<StorageRoot, Error> {
        let Some((scheme, _)) = settings.path.split_once("://") else {
            return local(&context.project.join(&settings.path));
        };
        let wrong = |why: &str| Error::settings(format!("`path`: {why}")).hint(EXAMPLES);
        let mut url = Url::parse(&settings.path).map_err(|cause| wrong(&cause.to_string()))?;
        if url.host_str().is_none_or(str::is_empty) {
            return Err(wrong("the name of the bucket is missing"));
        }
        if !url.username().is_empty() && !scheme.starts_with("abfs") || url.password().is_some() {
            return Err(wrong("a credential does not belong into a path"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(wrong("only a bucket and a folder belong into a path"));
        }
        let folder = format!("{}/", url.path().trim_end_matches('/'));
        url.set_path(&folder);
        plain(settings)?;
        let store: Result<Arc<DynObjectStore>, object_store::Error> = match scheme {
            "s3" | "s3a" => s3(settings, context, retry)?.map(|store| Arc::new(store) as _),
            "gs" => google(settings, context, retry)?.map(|store| Arc::new(store) as _),
            "az" | "azure" | "abfs" | "abfss" => {
                azure(settings, context, retry)?.map(|store| Arc::new(store) as _)
            }
            _ => return Err(wrong(&format!("{scheme}:// is not a supported store"))),
        };
        // The cause may quote a credential.
        let store = store.map_err(|_| {
            Error::settings(format!("the settings do not give access to {}", settings.path)).hint(CREDENTIALS)
        })?;
        Ok(StorageRoot { store, url })
    }

    /// Returns a folder inside this one.
    pub fn inside(&self, parts: &[&str]) -> StorageRoot {
        let mut url = self.url.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(parts).push("");
        }
        StorageRoot { store: Arc::clone(&self.store), url }
    }

    /// Returns the path of the folder.
    ///
    /// # Errors
    /// [`tidegate_model::ErrorKind::Settings`] for a name that is not a valid path.
    pub fn folder(&self) -> Result<object_store::path::Path, Error> {
        object_store::path::Path::from_url_path(self.url.path())
            .map_err(|cause| explain("`path`", &cause.into()))
    }

    /// Returns the path of a file in this folder.
    ///
    /// # Errors
    /// [`tidegate_model::ErrorKind::Settings`] for a name that is not a valid path.
    pub fn file(&self, name: &str) -> Result<object_store::path::Path, Error> {
        let parts = name.split('/').filter(|part| !part.is_empty());
        Ok(parts.fold(self.folder()?, |folder, part| folder.join(part)))
    }

    /// Returns its name for messages.
    pub fn name(&self) -> String {
        match self.url.to_file_path() {
            Ok(path) if self.url.scheme() == "file" => path.display().to_string(),
            _ => self.url.to_string(),
        }
    }

    /// Creates the folder on this machine; in an object store a folder is only a name.
    ///
    /// It writes a file first: then the folders survive a power cut.
    pub async fn make(&self) -> Result<(), Error> {
        const FIRST: &str = "_tidegate_first";
        if self.url.scheme() == "file" {
            self.put(FIRST, Bytes::new()).await?;
            self.remove(FIRST).await?;
        }
        Ok(())
    }

    /// Writes a file as a whole: readers see all of it or nothing.
    pub async fn put(&self, name: &str, content: Bytes) -> Result<(), Error> {
        let put = self.store.put(&self.file(name)?, content.into()).await;
        put.map(drop).map_err(|cause| explain(&format!("writing to {}", self.name()), &cause))
    }

    /// Writes a file of this store as a whole, as [`StorageRoot::put`] does. On this machine it is written
    /// first under a name of its own that begins as `stage`, in a folder that readers skip: a process that
    /// dies leaves nothing among the files that they read, and a write that was given up stays apart from the
    /// next. [`StorageRoot::remove_abandoned`] removes what was left there.
    pub async fn put_at(
        &self,
        stage: &str,
        path: &object_store::path::Path,
        content: Bytes,
    ) -> Result<(), Error> {
        let failed = |cause: &object_store::Error| explain(&format!("writing to {}", self.name()), cause);
        let Some(folder) = self.local_folder() else {
            return self.store.put(path, content.into()).await.map(drop).map_err(|cause| failed(&cause));
        };
        let stage = stage::next(stage);
        let staged = folder.join(&stage);
        let written = tokio::task::spawn_blocking(move || stage::write(&staged, &content)).await;
        written.map_err(|cause| Error::internal("writing a file").caused_by(cause))?.map_err(|cause| {
            failed(&object_store::Error::Generic { store: "LocalFileSystem", source: Box::new(cause) })
        })?;
        let named = self.store.rename(&self.file(&stage)?, path).await;
        if named.is_err()
            && let Err(error) = self.remove(&stage).await
        {
            tracing::debug!(error = error.chain(), "a file that got no name stays");
        }
        named.map_err(|cause| failed(&cause))
    }

    /// Removes files of a stage that have got no name for an hour: those of a process that died, or of a
    /// delivery that was given up. A write that is still under way after that fails. In an object store
    /// there are none.
    pub async fn remove_abandoned(&self, stage: &str, now: Timestamp) {
        let Some(folder) = self.local_folder() else { return };
        let (stage, before) = (folder.join(stage), SystemTime::from(now) - ABANDONED_AFTER);
        let removed = tokio::task::spawn_blocking(move || stage::remove_older(&stage, before)).await;
        if let Ok(Err(cause)) = removed {
            tracing::debug!(folder = self.name(), %cause, "files that were abandoned could not be removed");
        }
    }

    /// Returns the folder if it is on this machine.
    pub(super) fn local_folder(&self) -> Option<PathBuf> {
        self.url.to_file_path().ok().filter(|_| self.url.scheme() == "file")
    }

    /// Returns the content of a file; `None` if it does not exist.
    pub async fn get(&self, name: &str) -> Result<Option<Bytes>, Error> {
        let reading = |cause| explain(&format!("reading from {}", self.name()), &cause);
        match self.store.get(&self.file(name)?).await {
            Ok(found) => found.bytes().await.map(Some).map_err(reading),
            // A missing bucket is noticed on the next write.
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(cause) => Err(reading(cause)),
        }
    }

    /// Returns whether a file exists.
    pub async fn has(&self, name: &str) -> Result<bool, Error> {
        match self.store.head(&self.file(name)?).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(cause) => Err(explain(&format!("reading from {}", self.name()), &cause)),
        }
    }

    /// Returns the names of the files in the folder, also in folders below it.
    ///
    /// # Errors
    /// What the store said.
    pub async fn list(&self) -> Result<Vec<String>, Error> {
        let folder = object_store::path::Path::from_url_path(self.url.path())
            .map_err(|cause| explain("`path`", &cause.into()))?;
        let found: Result<Vec<_>, _> = self.store.list(Some(&folder)).try_collect().await;
        let found = found.map_err(|cause| explain(&format!("listing {}", self.name()), &cause))?;
        let inside = |path: &object_store::path::Path| {
            let parts: Vec<_> = path.prefix_match(&folder)?.map(|part| part.as_ref().to_owned()).collect();
            Some(parts.join("/"))
        };
        Ok(found.iter().filter_map(|file| inside(&file.location)).collect())
    }

    /// Removes a file, if it exists.
    pub async fn remove(&self, name: &str) -> Result<(), Error> {
        match self.store.delete(&self.file(name)?).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(cause) => Err(explain(&format!("removing from {}", self.name()), &cause)),
        }
    }
}

const EXAMPLES: &str = "write a folder (`./lake`), `s3://bucket/folder`, `gs://bucket/folder` or \
                        `az://container/folder`";

const CREDENTIALS: &str = "on S3 set `region`; for Google `service_account_key` is the key's JSON text; for Azure \
                           set `account`, and `account_key` as the portal shows it";

/// Credentials and names go into headers and addresses as they are.
fn plain(settings: &LakeSettings) -> Result<(), Error> {
    let secret = |secret: &'_ Option<Secret>| secret.as_ref().map(|secret| secret.expose().to_owned());
    let written = [
        ("region", settings.region.clone()),
        ("account", settings.account.clone()),
        ("access_key_id", secret(&settings.access_key_id)),
        ("secret_access_key", secret(&settings.secret_access_key)),
        ("session_token", secret(&settings.session_token)),
        ("account_key", secret(&settings.account_key)),
    ];
    for (name, text) in written {
        let fits = |text: &String| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        if !text.as_ref().is_none_or(fits) {
            return Err(Error::settings(format!(
                "`{name}`: a space, a line break or another character that is not allowed"
            ))
            .hint("copy the value again, without surrounding characters"));
        }
    }
    let served = |endpoint: &str| {
        Url::parse(endpoint).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
    };
    match &settings.endpoint {
        Some(endpoint) if !served(endpoint) => Err(Error::settings("`endpoint` is not an address")
            .hint("write for example `https://minio.example.com`")),
        // Stores take signatures; the objects are as confidential as the keys.
        Some(endpoint) => match endpoint.parse() {
            Ok(address) => clear_text::validate("endpoint", &address, Proof::Signature),
            Err(_) => Err(Error::settings("`endpoint` is not an address")
                .hint("write for example `https://minio.example.com`")),
        },
        None => Ok(()),
    }
}

/// Reading changes nothing: an answer that is lost, or a 503, need not end a long read.
fn a_few_times() -> RetryConfig {
    const RETRIES: usize = 4;
    RetryConfig { backoff: BackoffConfig::default(), max_retries: RETRIES, retry_timeout: REQUEST_TIMEOUT }
}

/// Only the engine retries.
fn once() -> RetryConfig {
    RetryConfig { backoff: BackoffConfig::default(), max_retries: 0, retry_timeout: REQUEST_TIMEOUT }
}

fn client() -> ClientOptions {
    ClientOptions::new().with_connect_timeout(CONNECT_TIMEOUT).with_timeout(REQUEST_TIMEOUT)
}

/// The identity is that of Kinesis and Firehose with the same settings. Whatever else the environment
/// says about S3 is the library's to read.
fn s3(
    settings: &LakeSettings,
    context: &ConnectorContext,
    retry: &RetryConfig,
) -> Result<Result<AmazonS3, object_store::Error>, Error> {
    let mut builder = AmazonS3Builder::from_env().with_url(&settings.path).with_retry(retry.clone());
    let region = builder.get_config_value(&AmazonS3ConfigKey::Region);
    let account = settings.aws(region.as_deref().unwrap_or(DEFAULT_REGION));
    let mut options = client();
    builder = builder.with_region(&account.region);
    if let Some(endpoint) = &settings.endpoint {
        builder = builder.with_endpoint(endpoint);
        options = options.with_allow_http(endpoint.starts_with("http://"));
    }
    if let Some(trusting) = trusting(settings, context)? {
        builder = builder.with_http_connector(trusting);
    }
    let credentials = S3Credentials::open(&account, context)?;
    Ok(builder.with_credentials(Arc::new(credentials)).with_client_options(options).build())
}

fn trusting(settings: &LakeSettings, context: &ConnectorContext) -> Result<Option<Trusting>, Error> {
    if let Some(endpoint) = &settings.endpoint {
        // One that is no address is named by the library.
        let literal = endpoint.parse::<Url>().map_or(Ok(()), |url| judge_literal(&url, None));
        literal.map_err(|refused| Error::settings(format!("`endpoint`: {refused}")).hint(REMEDY))?;
    }
    Trusting::open(settings.ca_file.as_deref(), settings.endpoint.as_deref(), context)
}

fn google(
    settings: &LakeSettings,
    context: &ConnectorContext,
    retry: &RetryConfig,
) -> Result<Result<GoogleCloudStorage, object_store::Error>, Error> {
    let mut builder =
        GoogleCloudStorageBuilder::from_env().with_url(&settings.path).with_retry(retry.clone());
    let (key, federation) = (settings.service_account_key.as_ref(), settings.workload_identity.as_ref());
    let trusted = context.trusting(settings.ca_file.as_deref())?;
    match StoreCredentials::open(key, federation, &trusted)? {
        Some(credentials) => builder = builder.with_credentials(Arc::new(credentials)),
        None => {
            if let Some(key) = key {
                builder = builder.with_service_account_key(key.expose());
            }
        }
    }
    let mut options = client();
    if let Some(endpoint) = &settings.endpoint {
        builder = builder.with_base_url(endpoint);
        options = options.with_allow_http(endpoint.starts_with("http://"));
    }
    if let Some(trusting) = trusting(settings, context)? {
        builder = builder.with_http_connector(trusting);
    }
    Ok(builder.with_client_options(options).build())
}

fn azure(
    settings: &LakeSettings,
    context: &ConnectorContext,
    retry: &RetryConfig,
) -> Result<Result<MicrosoftAzure, object_store::Error>, Error> {
    let mut builder = MicrosoftAzureBuilder::from_env().with_url(&settings.path).with_retry(retry.clone());
    if let Some(account) = &settings.account {
        builder = builder.with_account(account);
    }
    if let Some(key) = settings.account_key.as_ref().map(Secret::expose) {
        builder = builder.with_access_key(key);
    }
    let mut options = client();
    if let Some(endpoint) = &settings.endpoint {
        builder = builder.with_endpoint(endpoint.clone());
        options = options.with_allow_http(endpoint.starts_with("http://"));
    }
    if let Some(trusting) = trusting(settings, context)? {
        builder = builder.with_http_connector(trusting);
    }
    Ok(builder.with_client_options(options).build())
}

/// Opens a folder on this machine. Writes survive a power cut.
fn local(path: &Path) -> Result<StorageRoot, Error> {
    let path = std::path::absolute(path).map_err(|cause| {
        Error::settings(format!("`path`: {} is not a path", path.display())).caused_by(cause)
    })?;
    let url = Url::from_directory_path(straight(&path))
        .map_err(|()| Error::settings(format!("`path`: {} is not a path", path.display())))?;
    Ok(StorageRoot { store: Arc::new(LocalFileSystem::new().with_fsync(true)), url })
}

/// The path without `.` and `..`, which URLs would resolve in their own way.
fn straight(path: &Path) -> PathBuf {
    let mut straight = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                straight.pop();
            }
            part => straight.push(part),
        }
    }
    straight
}

#[cfg(test)]
mod tests {
    use tidegate_model::ErrorKind;
    use tidegate_testkit::ManualClock;
    use tidegate_testkit::conforms::NoHttp;

    use super::*;

    fn root(path: &str) -> Result<StorageRoot, Error> {
        let folder = tempfile::tempdir().expect("folder");
        let context = ConnectorContext {
            http: Arc::new(NoHttp),
            clock: Arc::new(ManualClock::default()),
            project: folder.path().to_owned(),
            data: folder.path().to_owned(),
            dry_run: false,
        };
        StorageRoot::open(&LakeSettings { path: path.into(), ..LakeSettings::default() }, &context)
    }

    #[test]
    fn a_root_is_a_path_or_a_url_of_a_store() {
        let local = root("/tmp/a b/../lake ü").expect("path");
        assert_eq!(local.url.as_str(), "file:///tmp/lake%20%C3%BC/");
        assert_eq!(local.name(), "/tmp/lake ü/");
        assert_eq!(root("s3://bucket/a/b").expect("S3").url.as_str(), "s3://bucket/a/b/");
        assert_eq!(root("gs://bucket").expect("Google").url.as_str(), "gs://bucket/");
    }

    #[test]
    fn an_invalid_root_is_rejected() {
        for wrong in
            ["s3://", "ftp://host/x", "s3://bucket/x?a=1", "s3://key:secret@bucket/x", "az://container/x"]
        {
            let error = root(wrong).expect_err(wrong);
            assert_eq!(error.kind(), ErrorKind::Settings, "{wrong}");
            assert!(!error.message().contains("secret"), "{error}");
        }
    }

    #[test]
    fn a_credential_with_a_line_break_is_rejected_by_name() {
        let settings = LakeSettings {
            path: "s3://bucket".into(),
            session_token: Some(Secret::new("hidden\n")),
            ..LakeSettings::default()
        };

        let error = plain(&settings).expect_err("a line break");

        assert!(
            error.message().contains("`session_token`") && !error.message().contains("hidden"),
            "{error}"
        );
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn files_that_are_written_at_the_same_time_do_not_mix() {
        let folder = tempfile::tempdir().expect("folder");
        let root = root(folder.path().to_str().expect("text")).expect("path");
        let content = |writer: u8| Bytes::from(vec![writer; (1 << 20) + usize::from(writer)]);
        let mut writers = tokio::task::JoinSet::new();
        for writer in 0..4 {
            let root = root.clone();
            writers.spawn(async move {
                for round in 0..8 {
                    let name = format!("{writer}-{round}");
                    root.put_at("_s/one", &root.file(&name).expect("a path"), content(writer))
                        .await
                        .expect("written");
                }
            });
        }
        writers.join_all().await;

        for (writer, round) in (0..4).flat_map(|writer| (0..8).map(move |round| (writer, round))) {
            let found = root.get(&format!("{writer}-{round}")).await.expect("read").expect("a file");
            assert!(found == content(writer), "{writer}-{round} has {} bytes", found.len());
        }
        assert_eq!(root.list().await.expect("listed").len(), 32, "nothing is left of what was written");
    }

    #[test]
    fn a_folder_inside_stays_inside() {
        let root = root("/tmp/lake").expect("path").inside(&["one signal", "t"]);
        assert_eq!(root.url.as_str(), "file:///tmp/lake/one%20signal/t/");
        assert_eq!(root.file("a=1/b").expect("file").as_ref(), "tmp/lake/one signal/t/a=1/b");
    }
}
