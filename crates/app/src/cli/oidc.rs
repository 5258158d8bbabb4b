//! The identity provider by which people sign in.

use std::path::PathBuf;

use clap::Args;
use tidegate_engine::service::{GroupRole, OidcSettings};
use tidegate_model::{Error, Secret};

/// The secret of this program at the provider, unless a file has it.
const SECRET: &str = "TIDEGATE_OIDC_CLIENT_SECRET";

/// How people sign in besides passwords.
#[derive(Debug, Args)]
pub(crate) struct Oidc {
    /// The issuer of an OpenID Connect provider by which people sign in.
    #[arg(long, env = "TIDEGATE_OIDC_ISSUER", value_name = "URL", requires = "oidc_client_id")]
    oidc_issuer: Option<String>,
    /// The name of this program at the provider. Its secret is read from `TIDEGATE_OIDC_CLIENT_SECRET`.
    #[arg(long, env = "TIDEGATE_OIDC_CLIENT_ID", value_name = "ID", requires = "oidc_issuer")]
    oidc_client_id: Option<String>,
    /// A file with the secret of this program at the provider.
    #[arg(
        long,
        env = "TIDEGATE_OIDC_CLIENT_SECRET_FILE",
        value_name = "FILE",
        requires = "oidc_issuer",
        hide_short_help = true
    )]
    oidc_client_secret_file: Option<PathBuf>,
    /// The role of a group at the provider: `GROUP=ROLE`, or `GROUP=ROLE+rows` with the right to see values of
    /// rows. Several are separated by `;`. The highest role counts, for people that no admin has added.
    #[arg(long, env = "TIDEGATE_OIDC_ROLES", value_name = "GROUP=ROLE", value_delimiter = ';')]
    oidc_role: Vec<GroupRole>,
    /// The claim that lists the groups of a person.
    #[arg(
        long,
        env = "TIDEGATE_OIDC_GROUPS_CLAIM",
        value_name = "CLAIM",
        default_value = "groups",
        hide_short_help = true
    )]
    oidc_groups_claim: String,
    /// The claim that is the name of a person here. `email` counts if the provider has verified it.
    #[arg(
        long,
        env = "TIDEGATE_OIDC_NAME_CLAIM",
        value_name = "CLAIM",
        default_value = "email",
        hide_short_help = true
    )]
    oidc_name_claim: String,
    /// The scopes to ask the provider for.
    #[arg(
        long,
        env = "TIDEGATE_OIDC_SCOPES",
        value_name = "SCOPES",
        default_value = "openid email profile",
        hide_short_help = true
    )]
    oidc_scopes: String,
    /// A PEM file of certificate authorities to trust besides the system's, for the provider.
    #[arg(long, env = "TIDEGATE_OIDC_CA_FILE", value_name = "FILE", hide_short_help = true)]
    oidc_ca_file: Option<PathBuf>,
}

impl Oidc {
    /// Returns the settings, if there is a provider.
    ///
    /// # Errors
    /// If the file of the secret cannot be read.
    pub(crate) fn settings(self) -> Result<Option<OidcSettings>, Error> {
        let (Some(issuer), Some(client_id)) = (self.oidc_issuer, self.oidc_client_id) else {
            return Ok(None);
        };
        let secret = match &self.oidc_client_secret_file {
            Some(file) => Some(std::fs::read_to_string(file).map_err(|cause| {
                Error::settings(format!("`--oidc-client-secret-file`: {} cannot be read", file.display()))
                    .hint("name a text file that the user who runs tidegate may read")
                    .caused_by(cause)
            })?),
            None => std::env::var(SECRET).ok(),
        };
        let secret = secret.map(|secret| secret.trim().to_owned()).filter(|secret| !secret.is_empty());
        Ok(Some(OidcSettings {
            issuer,
            client_id,
            client_secret: secret.map(Secret::new),
            scopes: self.oidc_scopes,
            name_claim: self.oidc_name_claim,
            groups_claim: self.oidc_groups_claim,
            roles: self.oidc_role,
            ca_file: self.oidc_ca_file,
        }))
    }
}
