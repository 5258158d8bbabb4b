//! Logins to Google Cloud: the key of a service account, workload identity federation, and the service
//! account of a Google machine.

mod aws_identity;
mod call;
mod federation;
mod key;
mod machine;
mod object_store;
mod origin;
#[cfg(test)]
mod tests;
mod tokens;

use std::path::PathBuf;

pub use self::key::account_of;
pub(crate) use self::object_store::StoreCredentials;
pub use self::tokens::{GivenLogin, GoogleTokens};

/// The setting that holds the key of a service account.
const KEY: &str = "service_account_key";
/// The setting that holds the credential configuration of workload identity federation.
const FEDERATION: &str = "workload_identity";
/// The variable that names a file with either of them.
///
/// Source: Google Cloud docs, "How Application Default Credentials works".
const VARIABLE: &str = "GOOGLE_APPLICATION_CREDENTIALS";

/// What the environment of the process says about logins.
#[derive(Clone, Debug)]
pub struct Environment {
    /// A file with a key or a credential configuration.
    pub credentials: Option<PathBuf>,
    /// The host of the metadata server.
    pub metadata: String,
    /// The region of AWS, for a machine there.
    pub aws_region: Option<String>,
}

impl Environment {
    /// Reads the variables that Google's own libraries read.
    pub fn read() -> Environment {
        let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        Environment {
            credentials: variable(VARIABLE).map(PathBuf::from),
            metadata: variable("GCE_METADATA_HOST")
                .or_else(|| variable("GCE_METADATA_ROOT"))
                .unwrap_or_else(|| "metadata.google.internal".to_owned()),
            aws_region: variable("AWS_REGION").or_else(|| variable("AWS_DEFAULT_REGION")),
        }
    }
}
