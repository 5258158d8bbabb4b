//! Which files a pattern means.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use tidegate_model::{Error, ErrorKind};

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

    /// The files that fit, in the order in which they are read.
    ///
    /// # Errors
    /// [`ErrorKind::Missing`] if the folder is not there, [`ErrorKind::Denied`]
    /// where it may not be read.
    pub fn list(&self, folder: &Path) -> Result<Vec<Found>, Error> {
        let mut found = Vec::new();
        walk(folder, "", &self.segments, DEPTH_MAX, &mut found).map_err(|cause| explain(folder, &cause))?;
        found.sort_by(|a, b| (a.modified_us, &a.name).cmp(&(b.modified_us, &b.name)));
        found.dedup_by(|a, b| a.name == b.name);
        Ok(found)
    }
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
    found: &mut Vec<Found>,
) -> io::Result<()> {
    let Some((segment, rest)) = segments.split_first() else { return Ok(()) };
    if depth == 0 {
        return Ok(());
    }
    let anywhere = segment == "**";
    if anywhere && !rest.is_empty() {
        walk(folder, above, rest, depth, found)?;
    }
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the name of a file in it is not UTF-8"));
        };
        if (name.starts_with('.') && !segment.starts_with('.')) || !(anywhere || fits(segment, name)) {
            continue;
        }
        // A file that went away since the folder was read is as good as not there.
        let metadata = match fs::metadata(entry.path()) {
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => continue,
            metadata => metadata?,
        };
        let full = if above.is_empty() { name.to_owned() } else { format!("{above}/{name}") };
        if metadata.is_dir() {
            let below = if anywhere { segments } else { rest };
            walk(&entry.path(), &full, below, depth - 1, found)?;
        } else if metadata.is_file() && rest.is_empty() {
            let modified = Timestamp::try_from(metadata.modified()?).unwrap_or(Timestamp::MIN);
            let (modified_us, size) = (modified.as_microsecond(), metadata.len());
            found.push(Found { name: full, path: entry.path(), modified_us, size });
        }
    }
    Ok(())
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
