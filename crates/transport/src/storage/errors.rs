//! What went wrong at a store, in the program's own words.

use std::error::Error as _;
use std::io;

use object_store::client::HttpError;
use tidegate_model::{Error, ErrorKind};

use crate::tls::Distrust;

/// Words in the answers of stores that refuse temporary credentials with a 400.
///
/// Source: Amazon S3 API reference, "Error responses".
const EXPIRED: &[&str] = &["ExpiredToken", "TokenRefreshRequired", "InvalidToken"];
/// Words in the answers of stores that ask for patience.
const BUSY: &[&str] = &["SlowDown", "RequestTimeout", "InternalError", "ServiceUnavailable", "ServerBusy"];

/// Explains what a store answered. `doing` names the thing: `writing to s3://lake/events`.
pub fn explain(doing: &str, cause: &object_store::Error) -> Error {
    use object_store::Error as Answer;

    // Credentials that were not found have their own words.
    if let Some(own) = own_error(cause) {
        return Error::new(own.kind(), format!("{doing}: {}", own.message())).hint(own.next_step());
    }
    if let Some(distrust) = Distrust::of(cause) {
        return Error::settings(format!("{doing}: the certificate of the store {}", distrust.said()))
            .hint(distrust.remedy("`endpoint`"));
    }
    let (kind, hint) = match cause {
        Answer::NotFound { .. } => (ErrorKind::Missing, Some(GONE)),
        Answer::PermissionDenied { .. } | Answer::Unauthenticated { .. } => {
            (ErrorKind::Denied, Some(PERMISSIONS))
        }
        Answer::InvalidPath { .. } | Answer::UnknownConfigurationKey { .. } => (ErrorKind::Settings, None),
        Answer::NotSupported { .. } | Answer::NotImplemented { .. } => (ErrorKind::Settings, Some(UNABLE)),
        Answer::Generic { source, .. } => by_causes(source.as_ref()),
        // Without the read-back that these are meant for, only another writer explains them.
        Answer::AlreadyExists { .. } | Answer::Precondition { .. } => (ErrorKind::Unavailable, None),
        _ => (ErrorKind::Unexpected, None),
    };
    let error = Error::new(kind, format!("{doing}: {}", shortened(&told(doing, cause))));
    match hint {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

fn own_error(cause: &object_store::Error) -> Option<&Error> {
    let mut next = cause.source();
    while let Some(inner) = next {
        if let Some(own) = inner.downcast_ref::<Error>() {
            return Some(own);
        }
        next = inner.source();
    }
    None
}

const GONE: &str = "create the bucket or the folder, or correct `path`, then run `tidegate check`";
const PERMISSIONS: &str = "let the credential list and read objects there (on S3: s3:ListBucket, s3:GetObject), and write and \
     delete them if it is a destination (s3:PutObject, s3:DeleteObject), then run `tidegate check`";
const UNABLE: &str = "choose a store that can write an object only where none is";
const READ_ONLY: &str =
    "make the folder writable for the user that Tidegate runs as, then run `tidegate check`";
const EXPIRED_HINT: &str = "renew the temporary credential, then run `tidegate check`";

fn by_causes(first: &(dyn std::error::Error + 'static)) -> (ErrorKind, Option<&'static str>) {
    let mut next = Some(first);
    while let Some(cause) = next {
        if let Some(io) = cause.downcast_ref::<io::Error>()
            && let Some(known) = by_disk(io.kind())
        {
            return known;
        }
        if cause.downcast_ref::<HttpError>().is_some() {
            return (ErrorKind::Unavailable, None);
        }
        let text = cause.to_string();
        // Listing alone does not distinguish these.
        if text.contains("status code: 404") {
            return (ErrorKind::Missing, Some(GONE));
        }
        if text.contains("status code: 403") || text.contains("status code: 401") {
            return (ErrorKind::Denied, Some(PERMISSIONS));
        }
        if EXPIRED.iter().any(|word| text.contains(word)) {
            return (ErrorKind::Denied, Some(EXPIRED_HINT));
        }
        if BUSY.iter().any(|word| text.contains(word)) || text.contains("status code: 5") {
            return (ErrorKind::Unavailable, None);
        }
        if text.contains("status code: 429") {
            return (ErrorKind::Throttled(None), None);
        }
        next = cause.source();
    }
    (ErrorKind::Unexpected, None)
}

fn by_disk(kind: io::ErrorKind) -> Option<(ErrorKind, Option<&'static str>)> {
    match kind {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            Some((ErrorKind::Denied, Some(READ_ONLY)))
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            Some((ErrorKind::Storage, None))
        }
        io::ErrorKind::NotFound => Some((ErrorKind::Missing, Some(GONE))),
        io::ErrorKind::NotADirectory | io::ErrorKind::IsADirectory => Some((ErrorKind::Settings, Some(GONE))),
        _ => None,
    }
}

/// The sentence that says most: on a disk the one with the path, of a store its
/// own words. The causes around it repeat each other.
fn told(doing: &str, cause: &object_store::Error) -> String {
    if let object_store::Error::Generic { store: "LocalFileSystem", source } = cause {
        return on_disk(doing, source.as_ref());
    }
    let mut last = cause.to_string();
    let mut host = host_in(&last);
    let mut next = cause.source();
    while let Some(inner) = next {
        last = inner.to_string();
        host = host.or_else(|| host_in(&last));
        next = inner.source();
    }
    if last.starts_with(UNRESOLVED) {
        let host = host.map(|host| format!(" {host}")).unwrap_or_default();
        return format!("the name of the host{host} cannot be resolved");
    }
    match (member(&last, "Code"), member(&last, "Message")) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        _ => last,
    }
}

/// How the system begins to say that a name cannot be resolved.
const UNRESOLVED: &str = "failed to lookup address information";

/// The host of the first address in a text.
fn host_in(text: &str) -> Option<String> {
    let (_, rest) = text.split_once("https://").or_else(|| text.split_once("http://"))?;
    let host = rest.split(['/', ' ', ')', ',', '?']).next().unwrap_or_default();
    (!host.is_empty()).then(|| host.to_owned())
}

/// What went wrong on a disk: the file, unless `doing` names it, and the reason.
fn on_disk(doing: &str, source: &(dyn std::error::Error + 'static)) -> String {
    let text = source.to_string();
    let mut io = source.downcast_ref::<io::Error>();
    let mut next = source.source();
    while let Some(cause) = next {
        io = cause.downcast_ref().or(io);
        next = cause.source();
    }
    let Some(io) = io else { return text };
    let said = io.to_string();
    let reason = match io.kind() {
        io::ErrorKind::NotADirectory => return "it is not a folder".to_owned(),
        io::ErrorKind::IsADirectory => "it is a folder",
        io::ErrorKind::NotFound => "it is not there",
        io::ErrorKind::PermissionDenied => "permission denied",
        io::ErrorKind::ReadOnlyFilesystem => "the file system is read-only",
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "no space is left",
        _ => said.split(" (os error ").next().unwrap_or(&said),
    };
    let name_of = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
    let path =
        text.split_whitespace().find(|word| word.starts_with('/')).map(|word| word.trim_end_matches(':'));
    let file = path.map(name_of).filter(|file| !file.is_empty() && *file != name_of(doing));
    file.map_or_else(|| reason.to_owned(), |file| format!("{file}: {reason}"))
}

/// What is in an element of an XML answer.
fn member<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    Some(rest.split_once(&format!("</{name}>"))?.0)
}

fn shortened(text: &str) -> String {
    const MOST: usize = 300;
    let line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind_of(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> ErrorKind {
        explain("writing", &object_store::Error::Generic { store: "x", source: source.into() }).kind()
    }

    #[test]
    fn a_full_disk_a_read_only_folder_and_an_expired_token_have_their_own_kinds() {
        assert_eq!(kind_of(io::Error::from(io::ErrorKind::StorageFull)), ErrorKind::Storage);
        assert_eq!(kind_of(io::Error::from(io::ErrorKind::ReadOnlyFilesystem)), ErrorKind::Denied);
        assert_eq!(kind_of("status code: 400: <Code>ExpiredToken</Code>"), ErrorKind::Denied);
        assert_eq!(kind_of("Server returned non-2xx status code: 503: x"), ErrorKind::Unavailable);
        assert_eq!(kind_of("something else"), ErrorKind::Unexpected);
    }

    #[test]
    fn a_store_is_quoted_in_its_own_words() {
        let answer = "status code: 404 Not Found: <Error><Code>NoSuchBucket</Code><Message>It is gone</Message></Error>";
        let error =
            explain("listing s3://x", &object_store::Error::Generic { store: "S3", source: answer.into() });
        assert_eq!(
            (error.kind(), error.message()),
            (ErrorKind::Missing, "listing s3://x: NoSuchBucket: It is gone")
        );
    }

    #[test]
    fn a_name_that_cannot_be_resolved_is_named() {
        let inner = "Error performing GET https://lake.s3.nowhere.example/?list-type=2 in 1.2s";
        assert_eq!(host_in(inner).as_deref(), Some("lake.s3.nowhere.example"));
        let source = "failed to lookup address information: Name or service not known";
        let error = explain(
            "listing s3://lake",
            &object_store::Error::Generic { store: "S3", source: source.into() },
        );
        assert_eq!(error.message(), "listing s3://lake: the name of the host cannot be resolved");
    }

    #[test]
    fn what_fails_on_a_disk_is_one_sentence_with_one_path() {
        #[derive(Debug)]
        struct Local(&'static str, io::Error);
        impl std::fmt::Display for Local {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "{}: {}", self.0, self.1)
            }
        }
        impl std::error::Error for Local {
            fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
                Some(&self.1)
            }
        }
        let said = |text, code| {
            let source = Box::new(Local(text, io::Error::from_raw_os_error(code)));
            let cause = object_store::Error::Generic { store: "LocalFileSystem", source };
            explain("opening the table /lake/orders", &cause).message().to_owned()
        };
        let walk = "Unable to walk dir: IO error for operation on /lake/orders/_delta_log";
        assert_eq!(said(walk, 20), "opening the table /lake/orders: it is not a folder");
        let open = "Unable to open file /lake/orders/part-1.parquet";
        assert_eq!(said(open, 13), "opening the table /lake/orders: part-1.parquet: permission denied");
        assert_eq!(
            said("Unable to open file /lake/orders", 2),
            "opening the table /lake/orders: it is not there"
        );
        let other = said("Unable to sync data to disk for /lake/orders", 5);
        assert!(other.ends_with("/lake/orders: Input/output error"), "{other}");
    }

    #[test]
    fn the_innermost_cause_is_what_people_read() {
        let inner = io::Error::other("no space left");
        let error =
            explain("writing to /lake", &object_store::Error::Generic { store: "x", source: inner.into() });
        assert_eq!(error.message(), "writing to /lake: no space left");
    }
}
