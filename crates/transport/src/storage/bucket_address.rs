//! The address of a bucket for files of the state.

use std::fmt;
use std::str::FromStr;

use tidegate_model::{ConnectorContext, Error};
use url::Url;

use super::bucket::StorageBucket;
use super::settings::LakeSettings;

/// What a person reads who writes an address that cannot be used.
const FORM: &str = "write `s3://BUCKET/FOLDER?region=eu-central-1`, `gs://BUCKET/FOLDER` or \
    `az://CONTAINER/FOLDER?account=NAME`; credentials come from the environment or the machine's role";
/// Parameters that would put a secret into the list of processes.
const SECRETS: &[&str] =
    &["access_key_id", "secret_access_key", "session_token", "account_key", "service_account_key"];

/// A folder in an object store, with the settings of a connection that are no secrets as parameters:
/// `s3://BUCKET/FOLDER?region=eu-central-1`.
#[derive(Clone, Debug)]
pub struct BucketAddress {
    settings: LakeSettings,
    /// GiB of copies that may stay on this machine.
    cache_gib: Option<u32>,
}

impl FromStr for BucketAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<BucketAddress, String> {
        let url = Url::parse(text).map_err(|_| FORM.to_owned())?;
        let is_store = matches!(url.scheme(), "s3" | "gs" | "az") && url.has_host();
        if !is_store || !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
            return Err(FORM.to_owned());
        }
        let path = text.split('?').next().unwrap_or_default().to_owned();
        let mut address =
            BucketAddress { settings: LakeSettings { path, ..LakeSettings::default() }, cache_gib: None };
        for (name, value) in url.query_pairs() {
            address.set(&name, value.into_owned())?;
        }
        Ok(address)
    }
}

impl BucketAddress {
    fn set(&mut self, name: &str, value: String) -> Result<(), String> {
        let settings = &mut self.settings;
        match name {
            "region" => settings.region = Some(value),
            "endpoint" => settings.endpoint = Some(value),
            "profile" => settings.profile = Some(value),
            "role_arn" => settings.role_arn = Some(value),
            "external_id" => settings.external_id = Some(value),
            "session_name" => settings.session_name = Some(value),
            "sts_endpoint" => settings.sts_endpoint = Some(value),
            "ca_file" => settings.ca_file = Some(value.into()),
            "account" => settings.account = Some(value),
            "cache_gib" => {
                let gib = value.parse::<u32>().ok().filter(|gib| *gib > 0);
                self.cache_gib =
                    Some(gib.ok_or_else(|| "`cache_gib` is a number of GiB, 1 or more".to_owned())?);
            }
            secret if SECRETS.contains(&secret) => {
                return Err(format!(
                    "`{secret}` does not belong into an address: set {}",
                    variable_of(secret)
                ));
            }
            _ => return Err(format!("`{name}` is not a parameter: {FORM}")),
        }
        Ok(())
    }

    /// Opens the bucket. Nothing is asked of the store yet.
    ///
    /// # Errors
    /// [`Settings`](tidegate_model::ErrorKind::Settings) for settings that cannot work.
    pub fn open(&self, context: &ConnectorContext) -> Result<StorageBucket, Error> {
        StorageBucket::open(&self.settings, context)
    }

    /// Returns how many bytes of copies may stay on this machine, if the address says so.
    pub fn cache_bytes(&self) -> Option<u64> {
        self.cache_gib.map(|gib| u64::from(gib) << 30)
    }
}

impl fmt::Display for BucketAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.settings.path)
    }
}

/// Returns the variable that a secret is read from. Sources: AWS CLI user guide, "Environment variables"; the
/// documentation of the crate `object_store`, builders of Azure and Google.
fn variable_of(secret: &str) -> &'static str {
    match secret {
        "access_key_id" => "AWS_ACCESS_KEY_ID",
        "secret_access_key" => "AWS_SECRET_ACCESS_KEY",
        "session_token" => "AWS_SESSION_TOKEN",
        "account_key" => "AZURE_STORAGE_ACCOUNT_KEY",
        _ => "GOOGLE_SERVICE_ACCOUNT_KEY",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_names_a_folder_of_a_store_and_never_a_secret() {
        let address: BucketAddress =
            "s3://acme-state/tidegate?region=eu-central-1&endpoint=https%3A%2F%2Fminio.example.com&cache_gib=4"
                .parse()
                .expect("an address");
        assert_eq!(address.to_string(), "s3://acme-state/tidegate");
        assert_eq!(address.settings.region.as_deref(), Some("eu-central-1"));
        assert_eq!(address.settings.endpoint.as_deref(), Some("https://minio.example.com"));
        assert_eq!(address.cache_bytes(), Some(4 << 30));
        for wrong in
            ["acme", "/mnt/state", "s3://", "https://bucket/x", "s3://key:hunter2@bucket", "s3://b?x=1"]
        {
            let error = wrong.parse::<BucketAddress>().expect_err(wrong);
            assert!(error.contains("s3://BUCKET/FOLDER") && !error.contains("hunter2"), "{wrong}: {error}");
        }
        let error = "s3://b/f?secret_access_key=hunter2".parse::<BucketAddress>().expect_err("a secret");
        assert!(error.contains("AWS_SECRET_ACCESS_KEY") && !error.contains("hunter2"), "{error}");
    }
}
