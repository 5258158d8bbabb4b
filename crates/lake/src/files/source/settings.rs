//! The settings of a source of files.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use tidegate_model::{Error, Reason, RowHash, Selection, Value};
use tidegate_transport::settings::UpToAnHour;

use super::listing::Pattern;

/// Which files to read and how.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FilesSelection {
    /// Pattern below the connection's folder, for example `orders/*.csv`.
    #[schemars(extend("examples" = ["orders/*.csv"]))]
    pub path: String,
    /// Format of the files. Default: by the extension.
    pub format: Option<Format>,
    /// The text between the cells of a CSV file.
    #[serde(default = "default_delimiter")]
    pub delimiter: char,
    /// What encloses a CSV cell that holds a delimiter, a quote or a line break; `""` if
    /// nothing does.
    #[serde(default = "default_quote")]
    pub quote: String,
    /// The text before a quote inside a quoted CSV cell. Without it, such a quote is doubled.
    pub escape: Option<char>,
    /// What a line begins with that is skipped in CSV files.
    pub comment: Option<char>,
    /// Whether the first line of a CSV file names its columns.
    #[serde(default = "default_header")]
    pub header: bool,
    /// Encoding of CSV and JSON Lines files. A byte order mark takes precedence. Default: `utf-8`.
    #[serde(default)]
    pub encoding: Encoding,
    /// How long a file must be unchanged before its last line counts without a line break.
    /// Default: `10s`.
    #[serde(default)]
    pub last_line_after: UpToAnHour<10>,
    /// CSV cells that are null. Default: the empty one.
    #[serde(default = "default_nulls")]
    pub nulls: Vec<String>,
    /// CSV cells that count as absent, as if the file had no such column: see `absent` of a sync.
    /// They take precedence over `nulls`. Default: none.
    #[serde(default)]
    pub absent_cells: Vec<String>,
    /// The columns that name a row.
    #[schemars(skip)]
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

/// How characters are stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum Encoding {
    /// UTF-8.
    #[default]
    #[serde(rename = "utf-8")]
    Utf8,
    /// ISO 8859-1.
    #[serde(rename = "latin-1")]
    Latin1,
    /// Latin 1 with quotes, dashes and the euro sign, as Windows writes it.
    #[serde(rename = "windows-1252")]
    Windows1252,
    /// UTF-16, little-endian if there is no byte order mark.
    #[serde(rename = "utf-16")]
    Utf16,
}

/// Extensions of compressed files, which follow the one of the format, as in `.csv.gz`.
const COMPRESSED: &[&str] = &[".gz", ".gzip", ".zst", ".zstd", ".bz2", ".xz", ".lz4", ".zip"];

impl Format {
    /// Returns the format that an extension stands for, also in front of `.gz` and the like.
    pub fn of(name: &str) -> Option<Format> {
        let name = name.to_ascii_lowercase();
        let name = COMPRESSED.iter().find_map(|end| name.strip_suffix(end)).unwrap_or(&name);
        match name.rsplit_once('.')?.1 {
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

fn default_quote() -> String {
    "\"".to_owned()
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
    /// How the characters of text files are stored.
    pub encoding: Encoding,
    /// How long a file must be unchanged before its end counts as finished.
    pub last_line_after: Duration,
    /// The columns that identify a row, if they are given.
    pub key: Vec<String>,
    format: Option<Format>,
}

/// How a CSV file is written.
#[derive(Clone, Debug)]
pub struct CsvOptions {
    /// Between the cells.
    pub delimiter: u8,
    /// Around a cell that holds what would end it.
    pub quote: Option<u8>,
    /// Before a quote inside quotes; without it such a quote is doubled.
    pub escape: Option<u8>,
    /// At the beginning of lines that are skipped.
    pub comment: Option<u8>,
    /// Whether the first line names the columns.
    pub header: bool,
    /// Cells that are null.
    pub nulls: Vec<String>,
    /// Cells that are absent.
    pub absent_cells: Vec<String>,
}

impl Files {
    /// Reads a selection.
    ///
    /// # Errors
    /// [`tidegate_model::ErrorKind::Settings`] with the setting that cannot work.
    pub fn of(selection: &Selection) -> Result<Files, Error> {
        let selection: FilesSelection = selection.parse()?;
        let csv = CsvOptions::of(&selection)?;
        Ok(Files {
            pattern: Pattern::parse(&selection.path)?,
            csv,
            encoding: selection.encoding,
            last_line_after: selection.last_line_after.0,
            key: selection.key.unwrap_or_default(),
            format: selection.format,
        })
    }

    /// Returns a hash of what decides whether a file can be read.
    pub fn fingerprint(&self) -> String {
        let CsvOptions { delimiter, quote, escape, comment, header, .. } = self.csv;
        let parts = (self.format, self.encoding, delimiter, quote, escape, comment, header);
        let text = Value::Text(format!("{parts:?}").into());
        // Some of it is enough to tell a change.
        format!("{:016x}", RowHash::of_values([&text], &mut Vec::new()).0 >> 64)
    }

    /// Returns the format of a file.
    ///
    /// # Errors
    /// If neither the selection nor its extension tells.
    pub fn format(&self, name: &str) -> Result<Format, Reason> {
        self.format.or_else(|| Format::of(name)).ok_or_else(|| {
            let message = "its extension does not show the format; set `format` to csv, jsonl or parquet, or exclude it by `path`";
            Reason::new("unknown_format", message)
        })
    }
}

impl CsvOptions {
    fn of(selection: &FilesSelection) -> Result<CsvOptions, Error> {
        let mut quotes = selection.quote.chars();
        let quote = match (quotes.next(), quotes.next()) {
            (quote, None) => quote,
            _ => return Err(Error::settings("`quote`: expected one ASCII character, or \"\" for none")),
        };
        let options = CsvOptions {
            delimiter: byte("delimiter", selection.delimiter)?,
            quote: quote.map(|quote| byte("quote", quote)).transpose()?,
            escape: selection.escape.map(|escape| byte("escape", escape)).transpose()?,
            comment: selection.comment.map(|comment| byte("comment", comment)).transpose()?,
            header: selection.header,
            nulls: selection.nulls.clone(),
            absent_cells: selection.absent_cells.clone(),
        };
        let delimiter = Some(options.delimiter);
        if [options.quote, options.escape, options.comment].contains(&delimiter)
            || (options.comment.is_some() && options.comment == options.quote)
        {
            return Err(Error::settings(
                "`delimiter`, `quote`, `escape` and `comment`: one character cannot mean two things",
            ));
        }
        // A quote before a quote is a doubled one.
        Ok(CsvOptions { escape: options.escape.filter(|_| options.escape != options.quote), ..options })
    }
}

fn byte(setting: &str, character: char) -> Result<u8, Error> {
    let byte = u8::try_from(character).ok();
    byte.filter(|byte| byte.is_ascii() && !matches!(byte, b'\n' | b'\r' | 0)).ok_or_else(|| {
        Error::settings(format!("`{setting}`: expected one ASCII character, for example \";\""))
    })
}
