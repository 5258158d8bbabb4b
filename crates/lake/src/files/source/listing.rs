//! Which files a pattern means.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use globset::{Glob, GlobSet};
use jiff::Timestamp;
use tidegate_model::{Error, ErrorKind, Reason};

use super::bucket::Bucket;
use super::handle::Handle;
use super::object::ObjectFile;

/// Folders below folders that are looked into; ends circles of links.
const DEPTH_MAX: usize = 32;

/// A file that was found.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// Its path below the folder, with `/` between names.
    pub name: String,
    /// Where it is.
    pub location: Location,
    /// When it was last changed, in microseconds.
    pub modified_us: i64,
    /// Its length in bytes.
    pub size: u64,
    /// What identifies the content of an object, if the store says so.
    pub tag: Option<String>,
}

/// Where a file is.
#[derive(Clone, Debug)]
pub enum Location {
    /// On this machine.
    Disk(PathBuf),
    /// In this folder of a store.
    Object(Bucket),
}

impl Default for Location {
    fn default() -> Location {
        Location::Disk(PathBuf::new())
    }
}

impl Found {
    /// Opens the file. Of an object nothing is read yet.
    ///
    /// # Errors
    /// The system does not give it.
    pub fn open(&self) -> io::Result<Handle> {
        let bucket = match &self.location {
            Location::Disk(path) => return Ok(Handle::Disk(File::open(path)?)),
            Location::Object(bucket) => bucket,
        };
        let (store, path, runtime) = bucket.object(&self.name).map_err(io::Error::other)?;
        let name = format!("{}{}", bucket.name(), self.name).into();
        let print = match &self.tag {
            Some(tag) => format!("object {tag}"),
            None => format!("object {} {}", self.modified_us, self.size),
        };
        Ok(Handle::Object(ObjectFile::new(store, runtime, path, name, self.tag.clone(), self.size), print))
    }
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
    /// What fits and is no file: its name, and what it is.
    pub ignored: Vec<(String, &'static str)>,
}

/// A pattern such as `orders/**/*.csv`: `*`, `?`, `[a-z]` and `{a,b}` stand for parts of a name.
#[derive(Clone, Debug)]
pub struct Pattern {
    segments: Vec<Segment>,
}

/// One part between slashes.
#[derive(Clone, Debug)]
struct Segment {
    text: String,
    names: GlobSet,
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`] for one that is empty or leaves the folder.
    pub fn parse(text: &str) -> Result<Pattern, Error> {
        let segments: Vec<&str> = text.split('/').filter(|segment| !matches!(*segment, "" | ".")).collect();
        let leaves = text.starts_with('/') || segments.contains(&"..");
        if segments.is_empty() || leaves {
            return Err(Error::settings("`path`: expected a pattern below the connection's folder")
                .hint("for example orders/*.csv; another folder is a connection of its own"));
        }
        Ok(Pattern { segments: segments.into_iter().map(Segment::parse).collect::<Result<_, _>>()? })
    }

    /// Returns the pattern as it was written.
    pub fn text(&self) -> String {
        joined(&self.segments)
    }

    /// Returns whether the pattern names one file only.
    pub fn is_one_file(&self) -> bool {
        !self.segments.iter().any(Segment::is_pattern)
    }

    /// Returns the folder that every file is in, as the pattern names it; empty if it names none.
    pub fn folder(&self) -> String {
        let named = self.segments.iter().take_while(|segment| !segment.is_pattern());
        joined(&self.segments[..named.count().min(self.segments.len() - 1)])
    }

    /// Returns whether a path below the connection's folder fits.
    pub fn fits(&self, path: &str) -> bool {
        fn fit(segments: &[Segment], names: &[&str]) -> bool {
            match (segments.split_first(), names.split_first()) {
                (None, None) => true,
                (Some((segment, rest)), _) if segment.is_anywhere() && !rest.is_empty() => {
                    fit(rest, names)
                        || names.split_first().is_some_and(|(name, deeper)| {
                            segment.fits(name) && !deeper.is_empty() && fit(segments, deeper)
                        })
                }
                // The last `**` stands for any file, at any depth.
                (Some((segment, _)), Some(_)) if segment.is_anywhere() => {
                    names.iter().all(|name| segment.fits(name))
                }
                (Some((segment, rest)), Some((name, deeper))) => segment.fits(name) && fit(rest, deeper),
                _ => false,
            }
        }
        fit(&self.segments, &path.split('/').collect::<Vec<_>>())
    }

    /// Returns the files that fit; none if the folder is empty.
    ///
    /// # Errors
    /// [`ErrorKind::Missing`] if the folder is not there, [`ErrorKind::Denied`]
    /// if it may not be read.
    pub fn list(&self, folder: &Path) -> Result<Listing, Error> {
        // Folders that the pattern names must be there: a mount that is gone is no empty folder.
        let above = self.folder();
        let deep = if above.is_empty() { 0 } else { above.split('/').count() };
        let segments = &self.segments[deep..];
        let below = folder.join(&above);
        let mut listing = Listing::default();
        walk(&below, &above, segments, DEPTH_MAX, &mut listing).map_err(|cause| explain(&below, &cause))?;
        listing.files.sort_by(|a, b| (a.modified_us, &a.name).cmp(&(b.modified_us, &b.name)));
        listing.files.dedup_by(|a, b| a.name == b.name);
        listing.odd.dedup();
        listing.ignored.sort();
        listing.ignored.dedup();
        Ok(listing)
    }
}

impl Segment {
    fn parse(text: &str) -> Result<Segment, Error> {
        // A set reports a pattern that is too large; a glob alone would panic.
        let names = Glob::new(text).and_then(|glob| GlobSet::builder().add(glob).build());
        let names = names.map_err(|cause| match cause.kind() {
            globset::ErrorKind::Regex(_) => {
                Error::settings("`path`: the pattern is too large").hint("use fewer braces")
            }
            kind => Error::settings(format!("`path`: `{text}` is not a pattern: {kind}"))
                .hint("write `[[]` for a bracket and `[{]` for a brace that are part of a name"),
        })?;
        Ok(Segment { text: text.to_owned(), names })
    }

    fn is_pattern(&self) -> bool {
        self.text.contains(['*', '?', '[', '{', '\\'])
    }

    /// Whether it stands for any folders.
    fn is_anywhere(&self) -> bool {
        self.text == "**"
    }

    /// Whether it stands for this name; a dot in front has to be written.
    fn fits(&self, name: &str) -> bool {
        (self.text.starts_with('.') || !name.starts_with('.'))
            && (self.is_anywhere() || self.names.is_match(name))
    }
}

fn joined(segments: &[Segment]) -> String {
    segments.iter().map(|segment| segment.text.as_str()).collect::<Vec<_>>().join("/")
}

/// Returns a failure to read a folder or a file.
pub fn explain(path: &Path, cause: &io::Error) -> Error {
    let (kind, what) = match cause.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => (ErrorKind::Missing, "is not there"),
        io::ErrorKind::PermissionDenied => (ErrorKind::Denied, "may not be read"),
        _ => (ErrorKind::Unavailable, "cannot be read"),
    };
    // `./drops` below the folder `.` is `./drops`, not `././drops`.
    let shown: PathBuf = path.components().collect();
    let error = Error::new(kind, format!("{} {what}: {cause}", shown.display()));
    match kind {
        ErrorKind::Missing => error.hint("correct `path`; relative paths start at the project's folder"),
        ErrorKind::Denied => error.hint("let the user that runs tidegate read it"),
        _ => error,
    }
}

fn walk(
    folder: &Path,
    above: &str,
    segments: &[Segment],
    depth: usize,
    listing: &mut Listing,
) -> io::Result<()> {
    let Some((segment, rest)) = segments.split_first() else { return Ok(()) };
    if depth == 0 {
        return Ok(());
    }
    let anywhere = segment.is_anywhere();
    if anywhere && !rest.is_empty() {
        walk(folder, above, rest, depth, listing)?;
    }
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let os_name = entry.file_name();
        let name = os_name.to_string_lossy();
        if !segment.fits(&name) {
            continue;
        }
        let full = if above.is_empty() { name.to_string() } else { format!("{above}/{name}") };
        let metadata = match fs::metadata(entry.path()) {
            // A file that went away since the folder was read counts as absent.
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => {
                if rest.is_empty() && entry.file_type().is_ok_and(|kind| kind.is_symlink()) {
                    listing.ignored.push((full, "a link to a file that is not there"));
                }
                continue;
            }
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
            let location = Location::Disk(entry.path());
            listing.files.push(Found { name: full, location, modified_us, size, tag: None });
        } else if rest.is_empty() {
            listing.ignored.push((full, if metadata.is_dir() { "a folder" } else { "no regular file" }));
        }
    }
    Ok(())
}

/// When a file was last changed, in microseconds.
fn modified_us(metadata: &fs::Metadata) -> i64 {
    let modified = metadata.modified().ok().and_then(|at| Timestamp::try_from(at).ok());
    modified.unwrap_or(Timestamp::MIN).as_microsecond()
}

/// Returns why a file or a folder gives no rows.
pub fn malformed(cause: &io::Error) -> Reason {
    let why = match cause.kind() {
        io::ErrorKind::PermissionDenied => "it may not be read; let the user that runs tidegate read it",
        _ => "it cannot be read",
    };
    Reason::new("unreadable_file", format!("{why} ({cause})"))
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
            ("*.{csv,json}", "a.json", true),
            ("part-[0-9].csv", "part-x.csv", false),
            ("part-[!0-9].csv", "part-x.csv", true),
            ("*", ".hidden", false),
            (".*", ".hidden", true),
            ("a[[]1].csv", "a[1].csv", true),
        ] {
            assert_eq!(Segment::parse(pattern).unwrap().fits(name), fitting, "{pattern} {name}");
        }
    }

    #[test]
    fn a_pattern_fits_the_path_of_an_object_as_it_fits_files() {
        for (pattern, path, fitting) in [
            ("orders/*.csv", "orders/a.csv", true),
            ("orders/*.csv", "orders/deep/a.csv", false),
            ("orders/**/*.csv", "orders/a.csv", true),
            ("orders/**/*.csv", "orders/day=1/hour=2/a.csv", true),
            ("orders/**/*.csv", "orders/.trash/a.csv", false),
            ("**/*.csv", "a.csv", true),
            ("**", "deep/er/a.csv", true),
            ("day=*/a.csv", "day=1/a.csv", true),
            ("*", "a/b", false),
        ] {
            assert_eq!(Pattern::parse(pattern).unwrap().fits(path), fitting, "{pattern} {path}");
        }
    }

    #[test]
    fn a_pattern_cannot_leave_its_folder() {
        for text in ["", "/etc/*", "../*.csv", "a/../../b.csv", "a[.csv"] {
            assert!(Pattern::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_pattern_that_nests_too_deep_is_an_error() {
        let deep = format!("{}x{}", "{".repeat(400), "}".repeat(400));
        assert!(Pattern::parse(&deep).is_err());
    }
}
