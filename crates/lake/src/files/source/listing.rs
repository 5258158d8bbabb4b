//! Which files a pattern means.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use tidegate_model::{Error, ErrorKind, Reason};

/// Folders below folders that are looked into; ends circles of links.
const DEPTH_MAX: usize = 32;

/// A file that was found.
#[derive(Clone, Debug)]
pub struct Found {
    /// Its path below the folder, with `/` between names.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
    /// When it was last changed, in microseconds.
    pub modified_us: i64,
    /// Its length in bytes.
    pub size: u64,
}

/// Something in a folder that cannot be looked into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Odd {
    /// Its path below the folder, as far as it is text.
    pub name: String,
    /// When it was last changed, in microseconds.
    pub modified_us: i64,
    /// Why its rows are not read.
    pub reason: Reason,
}

/// What was found in a folder.
#[derive(Debug, Default)]
pub struct Listing {
    /// The files, in the order in which they are read.
    pub files: Vec<Found>,
    /// What cannot be read, whatever else can.
    pub odd: Vec<Odd>,
}

/// A pattern such as `orders/**/*.csv`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    segments: Vec<String>,
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`] for one that is empty or leaves the folder.
    pub fn parse(text: &str) -> Result<Pattern, Error> {
        let segments: Vec<String> =
            text.split('/').filter(|segment| !matches!(*segment, "" | ".")).map(str::to_owned).collect();
        let leaves = text.starts_with('/') || segments.iter().any(|segment| segment == "..");
        if segments.is_empty() || leaves {
            return Err(Error::settings("`path`: expected a pattern below the connection's folder")
                .hint("for example orders/*.csv; another folder is a connection of its own"));
        }
        Ok(Pattern { segments })
    }

    /// The pattern as it was written.
    pub fn text(&self) -> String {
        self.segments.join("/")
    }

    /// Returns whether the pattern stands for one file only.
    pub fn is_one_file(&self) -> bool {
        !self.segments.iter().any(|segment| is_pattern(segment))
    }

    /// Returns the files that fit; none if the folder is empty.
    ///
    /// # Errors
    /// [`ErrorKind::Missing`] if the folder is not there, [`ErrorKind::Denied`]
    /// if it may not be read.
    pub fn list(&self, folder: &Path) -> Result<Listing, Error> {
        // Folders that the pattern names must be there: a mount that is gone is no empty folder.
        let named = self.segments.iter().take_while(|segment| !is_pattern(segment));
        let deep = named.count().min(self.segments.len() - 1);
        let (above, segments) = self.segments.split_at(deep);
        let (above, below) = (above.join("/"), folder.join(above.join("/")));
        let mut listing = Listing::default();
        walk(&below, &above, segments, DEPTH_MAX, &mut listing).map_err(|cause| explain(&below, &cause))?;
        listing.files.sort_by(|a, b| (a.modified_us, &a.name).cmp(&(b.modified_us, &b.name)));
        listing.files.dedup_by(|a, b| a.name == b.name);
        listing.odd.dedup();
        Ok(listing)
    }
}

fn is_pattern(segment: &str) -> bool {
    segment.contains(['*', '?'])
}

/// A failure to read a folder or a file.
pub fn explain(path: &Path, cause: &io::Error) -> Error {
    let (kind, what) = match cause.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => (ErrorKind::Missing, "is not there"),
        io::ErrorKind::PermissionDenied => (ErrorKind::Denied, "may not be read"),
        _ => (ErrorKind::Unavailable, "cannot be read"),
    };
    let error = Error::new(kind, format!("{} {what}: {cause}", path.display()));
    match kind {
        ErrorKind::Missing => error.hint("correct `path`; relative paths start at the project's folder"),
        ErrorKind::Denied => error.hint("let the user that runs tidegate read it"),
        _ => error,
    }
}

fn walk(
    folder: &Path,
    above: &str,
    segments: &[String],
    depth: usize,
    listing: &mut Listing,
) -> io::Result<()> {
    let Some((segment, rest)) = segments.split_first() else { return Ok(()) };
    if depth == 0 {
        return Ok(());
    }
    let anywhere = segment == "**";
    if anywhere && !rest.is_empty() {
        walk(folder, above, rest, depth, listing)?;
    }
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let os_name = entry.file_name();
        let name = os_name.to_string_lossy();
        if (name.starts_with('.') && !segment.starts_with('.')) || !(anywhere || fits(segment, &name)) {
            continue;
        }
        let full = if above.is_empty() { name.to_string() } else { format!("{above}/{name}") };
        let metadata = match fs::metadata(entry.path()) {
            // A file that went away since the folder was read counts as absent.
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => continue,
            Err(cause) => {
                listing.odd.push(Odd { name: full, modified_us: 0, reason: malformed(&cause) });
                continue;
            }
            Ok(metadata) => metadata,
        };
        let modified_us = modified_us(&metadata);
        let wanted =
            metadata.is_dir() && (anywhere || !rest.is_empty()) || metadata.is_file() && rest.is_empty();
        if wanted && os_name.to_str().is_none() {
            let reason = Reason::new("invalid_name", "its name is not valid UTF-8; rename it");
            listing.odd.push(Odd { name: full, modified_us, reason });
        } else if wanted && metadata.is_dir() {
            let below = if anywhere { segments } else { rest };
            match walk(&entry.path(), &full, below, depth - 1, listing) {
                Err(cause) if cause.kind() != io::ErrorKind::NotFound => {
                    listing.odd.push(Odd { name: full, modified_us, reason: malformed(&cause) });
                }
                _ => {}
            }
        } else if wanted {
            let size = metadata.len();
            listing.files.push(Found { name: full, path: entry.path(), modified_us, size });
        }
    }
    Ok(())
}

/// When a file was last changed, in microseconds.
fn modified_us(metadata: &fs::Metadata) -> i64 {
    let modified = metadata.modified().ok().and_then(|at| Timestamp::try_from(at).ok());
    modified.unwrap_or(Timestamp::MIN).as_microsecond()
}

/// Why a file or a folder gives no rows.
pub fn malformed(cause: &io::Error) -> Reason {
    let why = match cause.kind() {
        io::ErrorKind::PermissionDenied => "it may not be read; let the user that runs tidegate read it",
        _ => "it cannot be read",
    };
    Reason::new("unreadable_file", format!("{why} ({cause})"))
}

/// Whether a name fits a pattern of characters, `*` and `?`.
fn fits(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut p, mut n) = (0, 0);
    // The last star, and the position in the name that it was tried for: widened if the rest does not match.
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(character) if *character == '?' || *character == name[n] => (p, n) = (p + 1, n + 1),
            _ => match star {
                Some((at, tried)) => {
                    star = Some((at, tried + 1));
                    (p, n) = (at + 1, tried + 1);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|character| *character == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_and_question_marks_stand_for_parts_of_a_name() {
        for (pattern, name, fitting) in [
            ("*.csv", "a.csv", true),
            ("*.csv", "a.csv.gz", false),
            ("a?c*", "abcd", true),
            ("a?c*", "ac", false),
            ("*a*b*", "xxaxxbxx", true),
            ("*a*b", "ab a", false),
            ("orders.csv", "orders.csv", true),
        ] {
            assert_eq!(fits(pattern, name), fitting, "{pattern} {name}");
        }
    }

    #[test]
    fn a_pattern_cannot_leave_its_folder() {
        for text in ["", "/etc/*", "../*.csv", "a/../../b.csv"] {
            assert!(Pattern::parse(text).is_err(), "{text}");
        }
    }
}
