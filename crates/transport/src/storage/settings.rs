//! Settings of a folder, wherever it is.

use schemars::JsonSchema;
use serde::Deserialize;
use tidegate_model::Secret;

/// A folder on this machine or in an object store.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LakeSettings {
    /// The folder: a path on this machine, `s3://bucket/folder`, `gs://bucket/folder` or
    /// `az://container/folder`. Relative paths start at the project's folder, which is also the default.
    pub path: String,
    /// Region of the bucket, for example `eu-central-1` (S3).
    pub region: Option<String>,
    /// Where a store that speaks the S3 protocol listens, for example `https://minio.example.com`.
    pub endpoint: Option<String>,
    /// Access key (S3). Without one, the environment, the container's role and the machine's role are asked.
    pub access_key_id: Option<Secret>,
    /// Secret of the access key (S3).
    pub secret_access_key: Option<Secret>,
    /// Token of temporary credentials (S3).
    pub session_token: Option<Secret>,
    /// Storage account (Azure).
    pub account: Option<String>,
    /// Key of the storage account (Azure).
    pub account_key: Option<Secret>,
    /// Key of a service account: its JSON text (Google).
    pub service_account_key: Option<Secret>,
}
