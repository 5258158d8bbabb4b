//! The settings.

use std::num::NonZeroU32;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;
use tidegate_model::{Error, Secret};
use tidegate_transport::aws::{Arn, AwsSettings};
use tidegate_transport::sql::selection::{Selected, selected};
use tidegate_transport::storage::LakeSettings;
use tidegate_transport::tls::Tls;
use tidegate_tunnel::TunnelSettings;

use crate::postgres::settings::{ConnectTimeout, PostgresSettings, Span};

use super::iam::Home;
use super::relation::{self, Relation};

/// How to reach a database of Amazon Redshift.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RedshiftSettings {
    /// Host name of the endpoint, without its port and database.
    #[schemars(extend("format" = "host", "examples" = ["shop.abc123.eu-central-1.redshift.amazonaws.com"]))]
    pub host: String,
    /// Port of the endpoint.
    #[serde(default = "default_port", deserialize_with = "tidegate_transport::settings::port")]
    pub port: u16,
    /// Name of the database.
    pub database: String,
    /// User to log in as. With `workgroup`, AWS gives the name: `IAMR:` and the name of the role, or `IAM:` and
    /// that of the user.
    pub user: String,
    /// The user's password. Leave it out to sign in by an identity of AWS, see `cluster` and `workgroup`.
    pub password: Option<Secret>,
    /// The identifier of the provisioned cluster, to sign in by an identity of AWS instead of a password.
    pub cluster: Option<String>,
    /// The name of the workgroup of Redshift Serverless, to sign in by an identity of AWS instead of a password.
    pub workgroup: Option<String>,
    /// The identity of AWS that signs in, with `cluster` or `workgroup`, and that reads and writes the folder of `staging`.
    pub aws: Option<AwsSettings>,
    /// The folder in S3 that events wait in until they are copied, for exports, and that rows are unloaded to.
    pub staging: Option<StagingSettings>,
    /// How all rows of a table or query are read: fetched from a cursor, or unloaded to the folder of `staging`.
    /// Reads by a cursor column are always fetched. Default: `cursor`.
    #[serde(default)]
    pub read: ReadBy,
    /// Whether the connection is encrypted and the server has to prove who it is.
    #[serde(default)]
    pub tls: Tls,
    /// PEM file with the authority that signed the server's certificate, for example Amazon's bundle for
    /// Redshift. Without it, the system's authorities count.
    pub ca_file: Option<PathBuf>,
    /// An SSH server that connects to the database, if this machine cannot. `host` and `port` are then those that
    /// the SSH server sees.
    pub tunnel: Option<TunnelSettings>,
    /// Longest time a statement may take, for example `10m`. Without it, the limit of the user or of the
    /// workload queue holds.
    pub statement_timeout: Option<Span>,
    /// Longest time connecting may take, for example `10s`.
    #[serde(default)]
    pub connect_timeout: ConnectTimeout,
    /// How many connections all syncs that read with these settings have at once, in one process;
    /// the others wait for their turn. Default: 8.
    #[serde(default = "default_max_connections")]
    pub max_connections: NonZeroU32,
    /// How many rows are fetched at once from the cursor of a read. Amazon advises 1,000 at most for
    /// clusters of one node. Default: 1,000.
    #[serde(default = "default_fetch_rows")]
    pub fetch_rows: NonZeroU32,
}

fn default_port() -> u16 {
    5439
}

fn default_max_connections() -> NonZeroU32 {
    NonZeroU32::MIN.saturating_add(7)
}

fn default_fetch_rows() -> NonZeroU32 {
    NonZeroU32::MIN.saturating_add(999)
}

/// How all rows are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReadBy {
    /// Fetched from a cursor.
    #[default]
    Cursor,
    /// Unloaded to S3 as Parquet files, which are read and removed.
    Unload,
}

/// The folder in S3 that events wait in until they are copied, and that rows are unloaded to.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StagingSettings {
    /// The folder: `s3://bucket/folder`.
    #[schemars(extend("examples" = ["s3://bucket/tidegate"]))]
    pub path: String,
    /// Where the bucket is reached, if not at its region's own address: a VPC endpoint or an emulator.
    #[schemars(extend("format" = "url"))]
    pub endpoint: Option<String>,
    /// The role by which `COPY` reads the files and `UNLOAD` writes them. Default: the default role of the cluster or the workgroup.
    #[schemars(extend("examples" = ["arn:aws:iam::123456789012:role/redshift-copy"]))]
    pub copy_role: Option<String>,
}

/// Where events are staged.
#[derive(Clone, Debug)]
pub struct Staging {
    /// The folder.
    pub folder: LakeSettings,
    /// The region of the bucket.
    pub region: String,
    /// The role by which `COPY` reads it; the default one if absent.
    pub copy_role: Option<String>,
}

impl RedshiftSettings {
    /// Returns where events are staged.
    ///
    /// # Errors
    /// Settings of an export that are missing or cannot work.
    pub fn staging(&self) -> Result<Staging, Error> {
        let Some((staging, aws)) = self.staging.as_ref().zip(self.aws.as_ref()) else {
            let what = match self.read {
                ReadBy::Cursor => "an export needs `staging` and `aws`: events are copied from S3",
                ReadBy::Unload => "`read: unload` needs `staging` and `aws`: rows are unloaded to S3",
            };
            return Err(Error::settings(what).hint(
                "add `staging: { path: s3://bucket/folder }` and `aws: { region: … }` to the connection",
            ));
        };
        if !staging.path.starts_with("s3://") || staging.path.contains(['\'', '\\']) {
            return Err(Error::settings("`staging.path`: expected `s3://bucket/folder`")
                .hint("Redshift copies files from S3 alone"));
        }
        if let Some(role) = &staging.copy_role
            && !Arn::parse(role).is_some_and(|arn| arn.service == "iam" && arn.resource.starts_with("role/"))
        {
            return Err(Error::settings("`staging.copy_role`: this is no ARN of a role").hint(
                "it looks like arn:aws:iam::123456789012:role/name; leave it out for the default role",
            ));
        }
        let folder = LakeSettings {
            path: staging.path.clone(),
            region: Some(aws.region.clone()),
            endpoint: staging.endpoint.clone(),
            access_key_id: aws.access_key_id.clone().map(Secret::new),
            secret_access_key: aws.secret_access_key.clone(),
            session_token: aws.session_token.clone(),
            profile: aws.profile.clone(),
            role_arn: aws.role_arn.clone(),
            external_id: aws.external_id.clone(),
            session_name: aws.session_name.clone(),
            sts_endpoint: aws.sts_endpoint.clone(),
            ca_file: aws.ca_file.clone(),
            ..LakeSettings::default()
        };
        Ok(Staging { folder, region: aws.region.clone(), copy_role: staging.copy_role.clone() })
    }

    /// Returns where the database runs and the identity that signs in there; `None` if a password does.
    ///
    /// # Errors
    /// Settings that exclude each other, or belong together.
    pub fn identity(&self) -> Result<Option<(Home, &AwsSettings)>, Error> {
        let home = match (&self.cluster, &self.workgroup) {
            (Some(_), Some(_)) => {
                return Err(Error::settings("`cluster` and `workgroup` exclude each other"));
            }
            (Some(cluster), None) => Home::Cluster(cluster.clone()),
            (None, Some(workgroup)) => Home::Workgroup(workgroup.clone()),
            (None, None) if self.aws.is_some() && self.staging.is_none() => {
                return Err(Error::settings("`aws` belongs to a `cluster`, a `workgroup` or `staging`")
                    .hint("name the one that the identity signs in to, or remove `aws`"));
            }
            (None, None) => return Ok(None),
        };
        if self.password.is_some() {
            return Err(Error::settings(
                "`password` and the sign-in by an identity of AWS exclude each other",
            )
            .hint("remove `password`, or `cluster`, `workgroup` and `aws`"));
        }
        match &self.aws {
            Some(aws) => Ok(Some((home, aws))),
            None => Err(Error::settings("`aws` is missing: the identity that signs in")
                .hint("add at least `aws: { region: … }`; credentials come from AWS's default chain then")),
        }
    }

    /// Returns the settings of a connection.
    ///
    /// # Errors
    /// Names the setting that cannot work.
    pub fn connection(&self) -> Result<PostgresSettings, Error> {
        if let Some((host, _)) = self.host.split_once(':')
            && !host.is_empty()
            && !host.contains(['/', ':'])
        {
            return Err(Error::settings("`host`: expected a host name without a port")
                .hint("the console shows `host:port/database`; each of them has its own setting"));
        }
        PostgresSettings {
            host: self.host.clone(),
            port: self.port,
            database: self.database.clone(),
            user: self.user.clone(),
            password: self.password.clone(),
            tls: self.tls,
            ca_file: self.ca_file.clone(),
            tunnel: self.tunnel.clone(),
            statement_timeout: self.statement_timeout,
            connect_timeout: self.connect_timeout,
            max_connections: self.max_connections,
        }
        .checked()
    }
}

/// What to read: exactly one of `table` and `query`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(extend("oneOf" = [{ "required": ["table"] }, { "required": ["query"] }]))]
pub struct RedshiftSelection {
    /// A table or view, `schema.table` or `database.schema.table`. Names that hold a dot are written in double
    /// quotes.
    #[schemars(extend("examples" = ["public.orders"]))]
    pub table: Option<String>,
    /// One `SELECT` statement.
    pub query: Option<String>,
    /// The columns that name a row.
    #[schemars(skip)]
    pub key: Option<Vec<String>>,
    /// The columns that are read; all of them if absent. Set by
    /// [`tidegate_transport::sql::selection::narrow`], never by a person.
    #[schemars(skip)]
    pub columns: Option<Vec<String>>,
}

impl RedshiftSelection {
    /// What a selection reads from.
    ///
    /// # Errors
    /// [`tidegate_model::ErrorKind::Settings`] for anything but one table or one query.
    pub fn relation(&self) -> Result<Relation, Error> {
        match selected(self.table.as_deref(), self.query.as_deref(), "public.orders")? {
            Selected::Table(table) => Relation::written(table),
            Selected::Query(query) => relation::query(query),
        }
    }
}
