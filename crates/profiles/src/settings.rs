//! The settings of `profiles`.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

/// The built-in platform: users, events, purchases and catalogs in one file.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ProfilesSettings {
    /// The SQLite file, relative to the project's folder. Default: `profiles.db` in the data folder.
    pub(crate) file: Option<PathBuf>,
}

/// Where the records of a sync go.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Target {
    /// The catalog, for `catalog_item`. It is created with its first item.
    #[schemars(extend("x-objects" = ["catalog_item"]))]
    pub(crate) catalog: Option<String>,
}
