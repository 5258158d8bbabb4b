//! The settings of a cluster.

use std::path::PathBuf;

use http::Uri;
use schemars::JsonSchema;
use serde::Deserialize;
use tidegate_model::clear_text::{self, Proof};
use tidegate_model::{Error, Result, Secret};
use tidegate_transport::aws::AwsSettings;

/// An OpenSearch cluster, a domain of Amazon OpenSearch Service or a collection of OpenSearch
/// Serverless. `region` says that requests are signed for AWS; `user` and `password` sign in by name.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct OpenSearchSettings {
    /// The address of the cluster, for example `https://search.example.com:9200`, or the endpoint of
    /// the domain or the collection.
    #[schemars(extend("format" = "url", "examples" = ["https://search.example.com:9200"]))]
    pub(super) endpoint: String,
    /// The user to sign in as. Together with `password`.
    pub(super) user: Option<String>,
    /// The user's password.
    pub(super) password: Option<Secret>,
    /// The region of the domain or the collection at AWS, for example `eu-central-1`: requests are
    /// signed. Without keys and profile, credentials come from AWS's default chain.
    pub(super) region: Option<String>,
    /// What is signed for at AWS. Default: `es`.
    #[serde(default)]
    pub(super) service: AwsService,
    /// The id of an access key (AWS). Together with `secret_access_key`.
    pub(super) access_key_id: Option<String>,
    /// The secret of the access key (AWS).
    pub(super) secret_access_key: Option<Secret>,
    /// The session token that belongs to a temporary access key (AWS).
    pub(super) session_token: Option<Secret>,
    /// A profile of the shared files `~/.aws/config` and `~/.aws/credentials`, instead of an access key.
    pub(super) profile: Option<String>,
    /// A role to assume, for example `arn:aws:iam::123456789012:role/tidegate`.
    pub(super) role_arn: Option<String>,
    /// The external id that the role's trust policy asks for.
    pub(super) external_id: Option<String>,
    /// The name of the role's session, as CloudTrail shows it. Default: `tidegate`.
    pub(super) session_name: Option<String>,
    /// The address of the token service (STS), if it is not the region's own.
    #[schemars(extend("format" = "url"))]
    pub(super) sts_endpoint: Option<String>,
    /// PEM file with the authority that signed the server's certificate, or with that certificate
    /// itself, if the system's authorities are not enough. They are trusted besides.
    pub(super) ca_file: Option<PathBuf>,
}

/// What requests are signed for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum AwsService {
    /// A domain of OpenSearch Service.
    #[default]
    Es,
    /// A collection of OpenSearch Serverless.
    Aoss,
}

impl AwsService {
    /// Returns its name in signatures.
    pub(super) fn name(self) -> &'static str {
        match self {
            AwsService::Es => "es",
            AwsService::Aoss => "aoss",
        }
    }
}

/// How to prove who is asking.
#[expect(clippy::large_enum_variant, reason = "there is one of it, while a connection is opened")]
pub(super) enum Login<'a> {
    /// Not at all.
    Anonymous,
    /// By name and password.
    Password(&'a str, &'a Secret),
    /// By a signature of AWS.
    Aws(AwsSettings),
}

impl OpenSearchSettings {
    /// Returns the address without a slash at its end.
    ///
    /// # Errors
    /// [`tidegate_model::ErrorKind::Settings`] for one that is none, or that gives a password away.
    pub(super) fn address(&self) -> Result<&str> {
        let wrong = |why: &str| {
            Error::settings(format!("`endpoint`: {why}"))
                .hint("write the address of the cluster, for example https://search.example.com:9200")
        };
        let address = self.endpoint.trim().trim_end_matches('/');
        let uri: Uri = address.parse().map_err(|_| wrong("this is not an address"))?;
        if uri.host().is_none_or(str::is_empty) || uri.scheme().is_none() {
            return Err(wrong("this is not an address"));
        }
        if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            return Err(wrong("a password does not belong into it").hint("write it as `user` and `password`"));
        }
        if uri.query().is_some() {
            return Err(wrong("only a host, a port and a path belong into it"));
        }
        match self.login()? {
            Login::Anonymous => {}
            Login::Password(..) => clear_text::validate("endpoint", &uri, Proof::Credential)?,
            Login::Aws(_) => clear_text::validate("endpoint", &uri, Proof::Signature)?,
        }
        Ok(address)
    }

    /// Returns how to sign in.
    ///
    /// # Errors
    /// [`tidegate_model::ErrorKind::Settings`] for settings that exclude each other.
    pub(super) fn login(&self) -> Result<Login<'_>> {
        let login = match (&self.user, &self.password, &self.region) {
            (Some(_), Some(_), Some(_)) | (Some(_), None, Some(_)) | (None, Some(_), Some(_)) => {
                return Err(Error::settings("`user` and `region` exclude each other")
                    .hint("keep `region` if the domain trusts IAM, or `user` and `password` if it has its own users"));
            }
            (Some(user), Some(password), None) => Login::Password(user, password),
            (None, None, None) => Login::Anonymous,
            (None, None, Some(region)) => Login::Aws(self.aws(region)),
            _ => return Err(Error::settings("`user` and `password` belong together")),
        };
        let for_aws = [
            ("access_key_id", self.access_key_id.is_some()),
            ("secret_access_key", self.secret_access_key.is_some()),
            ("session_token", self.session_token.is_some()),
            ("profile", self.profile.is_some()),
            ("role_arn", self.role_arn.is_some()),
            ("service", self.service != AwsService::Es),
        ];
        match for_aws.iter().find(|(_, set)| *set) {
            Some((name, _)) if self.region.is_none() => {
                Err(Error::settings(format!("`{name}` is for AWS, and `region` is missing"))
                    .hint("add the region of the domain, for example eu-central-1"))
            }
            _ => Ok(login),
        }
    }

    fn aws(&self, region: &str) -> AwsSettings {
        AwsSettings {
            region: region.to_owned(),
            endpoint: None,
            access_key_id: self.access_key_id.clone(),
            secret_access_key: self.secret_access_key.clone(),
            session_token: self.session_token.clone(),
            profile: self.profile.clone(),
            role_arn: self.role_arn.clone(),
            external_id: self.external_id.clone(),
            session_name: self.session_name.clone(),
            sts_endpoint: self.sts_endpoint.clone(),
            ca_file: None,
        }
    }
}
