//! Settings of a folder, wherever it is.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;
use tidegate_model::Secret;

use crate::aws::AwsSettings;

/// A folder on this machine or in an object store.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LakeSettings {
    /// The folder: a path on this machine, `s3://bucket/folder`, `gs://bucket/folder` or
    /// `az://container/folder`. Relative paths start at the project's folder, which is also the default.
    pub path: String,
    /// Region of the bucket, for example `eu-central-1` (S3).
    pub region: Option<String>,
    /// Another address of the store: of one that speaks the S3 protocol, for example
    /// `https://minio.example.com`, or of an emulator of Google's or Azure's.
    #[schemars(extend("format" = "url"))]
    pub endpoint: Option<String>,
    /// Access key (S3). Without one and without `profile`, the default chain of AWS is used: the
    /// environment, the shared files, a web identity, the container's role, the machine's role.
    pub access_key_id: Option<Secret>,
    /// Secret of the access key (S3).
    pub secret_access_key: Option<Secret>,
    /// Token of temporary credentials (S3).
    pub session_token: Option<Secret>,
    /// A profile of the shared files `~/.aws/config` and `~/.aws/credentials`, instead of an access key (S3).
    pub profile: Option<String>,
    /// A role to assume, for example `arn:aws:iam::123456789012:role/tidegate` (S3).
    pub role_arn: Option<String>,
    /// The external id that the role's trust policy asks for (S3).
    pub external_id: Option<String>,
    /// The name of the role's session, as CloudTrail shows it (S3). Default: `tidegate`.
    pub session_name: Option<String>,
    /// The address of the token service (STS), if it is not the region's own (S3).
    #[schemars(extend("format" = "url"))]
    pub sts_endpoint: Option<String>,
    /// PEM file with the authority that signed the store's certificate, or with that certificate itself,
    /// if the system's authorities are not enough. They are trusted besides.
    pub ca_file: Option<PathBuf>,
    /// Storage account (Azure).
    pub account: Option<String>,
    /// Key of the storage account (Azure).
    pub account_key: Option<Secret>,
    /// Key of a service account: its JSON text (Google).
    pub service_account_key: Option<Secret>,
    /// Credential configuration of workload identity federation, instead of a key: the JSON that `gcloud iam
    /// workload-identity-pools create-cred-config` makes (Google).
    pub workload_identity: Option<Secret>,
}

impl LakeSettings {
    /// Returns the AWS account behind an `s3://` path, as every other AWS service takes it.
    ///
    /// `region` is the bucket's region, if the settings name none.
    pub(super) fn aws(&self, region: &str) -> AwsSettings {
        AwsSettings {
            region: self.region.clone().unwrap_or_else(|| region.to_owned()),
            endpoint: None,
            access_key_id: self.access_key_id.as_ref().map(|id| id.expose().to_owned()),
            secret_access_key: self.secret_access_key.clone(),
            session_token: self.session_token.clone(),
            profile: self.profile.clone(),
            role_arn: self.role_arn.clone(),
            external_id: self.external_id.clone(),
            session_name: self.session_name.clone(),
            sts_endpoint: self.sts_endpoint.clone(),
            ca_file: self.ca_file.clone(),
        }
    }
}
