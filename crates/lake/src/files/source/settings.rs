//! What a person types in.

use schemars::JsonSchema;
use serde::Deserialize;
use tidegate_model::{Error, Selection};

use super::listing::Pattern;

/// Which files to read and how.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FilesSelection {
    /// Pattern below the connection's folder, for example `orders/*.csv`.
    pub path: String,
    /// Format of the files. Without it, the extension tells.
    pub format: Option<Format>,
    /// What stands between the cells of a CSV file.
    #[serde(default = "default_delimiter")]
    pub delimiter: char,
    /// Whether the first line of a CSV file names its columns.
    #[serde(default = "default_header")]
    pub header: bool,
    /// CSV cells that mean: nothing here.
    #[serde(default = "default_nulls")]
    pub nulls: Vec<String>,
    /// The columns that name a row.
    pub key: Option<Vec<String>>,
}

/// A file format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Cells between delimiters, RFC 4180.
    Csv,
    /// One JSON object a line.
    Jsonl,
    /// Apache Parquet.
    Parquet,
}

impl Format {
    /// The format that an extension stands for.
    pub fn of(name: &str) -> Option<Format> {
        match name.rsplit_once('.')?.1.to_ascii_lowercase().as_str() {
            "csv" | "tsv" => Some(Format::Csv),
            "jsonl" | "ndjson" => Some(Format::Jsonl),
            "parquet" => Some(Format::Parquet),
            _ => None,
        }
    }
}

fn default_delimiter() -> char {
    ','
}

fn default_header() -> bool {
    true
}

fn default_nulls() -> Vec<String> {
    vec![String::new()]
}

/// A selection that was checked.
#[derive(Clone, Debug)]
pub struct Files {
    /// Which files.
    pub pattern: Pattern,
    /// How to read the CSV files among them.
    pub csv: CsvOptions,
    /// The columns that name a row, where a person said so.
    pub key: Vec<String>,
    format: Option<Format>,
}

/// How a CSV file is written.
#[derive(Clone, Debug)]
pub struct CsvOptions {
    /// Between the cells.
    pub delimiter: u8,
    /// Whether the first line names the columns.
    pub header: bool,
    /// Cells that are null.
    pub nulls: Vec<String>,
}

impl Files {
    /// Reads a selection.
    ///
    /// # Errors
    /// [`tidegate_model::ErrorKind::Settings`] with the setting that cannot work.
    pub fn of(selection: &Selection) -> Result<Files, Error> {
        let selection: FilesSelection = selection.parse()?;
        let delimiter = u8::try_from(selection.delimiter)
            .ok()
            .filter(|byte| byte.is_ascii() && !matches!(byte, b'\n' | b'\r' | b'"'))
            .ok_or_else(|| Error::settings("`delimiter`: expected one ASCII character, for example \";\""))?;
        Ok(Files {
            pattern: Pattern::parse(&selection.path)?,
            csv: CsvOptions { delimiter, header: selection.header, nulls: selection.nulls },
            key: selection.key.unwrap_or_default(),
            format: selection.format,
        })
    }

    /// The format of a file.
    ///
    /// # Errors
    /// [`tidegate_model::ErrorKind::Settings`] where neither the selection nor its extension tells.
    pub fn format(&self, name: &str) -> Result<Format, Error> {
        self.format.or_else(|| Format::of(name)).ok_or_else(|| {
            Error::settings(format!("the extension of {name} does not tell its format"))
                .hint("set `format` to csv, jsonl or parquet")
        })
    }
}
