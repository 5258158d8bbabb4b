//! Every journey is searched for its own secrets: what `tidegate` says, and what it keeps.
//!
//! A project notes the secrets of its file and of its environment. Output that a journey reads is
//! searched when it is read, and the data folder when the project goes.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// Settings whose values are secret.
const SECRET: [&str; 6] = ["password", "token", "api_key", "secret", "secret_access_key", "session_token"];
/// Shorter values are words that stand in output anyway, such as `test`.
const BYTES_MIN: usize = 12;
/// Larger files hold rows and events: a secret of a setting would be in a small one as well.
const FILE_BYTES_MAX: u64 = 4 << 20;

static NOTED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// Notes a secret.
pub(crate) fn note(secret: &str) {
    if secret.len() >= BYTES_MIN && !secret.contains("${") {
        NOTED.lock().unwrap_or_else(PoisonError::into_inner).insert(secret.to_owned());
    }
}

/// Notes the secrets that a project file holds.
pub(crate) fn note_file(yaml: &str) {
    for name in SECRET {
        for (at, _) in yaml.match_indices(&format!("{name}: ")) {
            let is_whole = !yaml[..at].ends_with(|before: char| before.is_alphanumeric() || before == '_');
            let value = yaml[at + name.len() + 2..].trim_start_matches('"');
            // `{ secret: name }` refers to one.
            let refers = name == "secret" && yaml[..at].trim_end().ends_with('{');
            if is_whole && !refers && !value.starts_with(['{', '[']) {
                note(value.split(['"', ',', '}', ' ', '\n']).next().unwrap_or_default());
            }
        }
    }
}

/// Notes the value of an environment variable if its name says that it is secret.
pub(crate) fn note_variable(name: &str, value: &str) {
    let is_secret = ["PASSWORD", "TOKEN", "KEY", "SECRET"].iter().any(|word| name.contains(word));
    if is_secret && !name.ends_with("_ID") {
        note(value);
    }
}

/// Fails if a process said a secret.
pub(crate) fn search(who: &str, text: &str) {
    if std::thread::panicking() {
        return;
    }
    for secret in NOTED.lock().unwrap_or_else(PoisonError::into_inner).iter() {
        assert!(!text.contains(secret.as_str()), "{who} holds the secret `{secret}`");
    }
}

/// Fails if a file of a data folder holds a secret in plain text.
pub(crate) fn search_folder(folder: &Path) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let (path, Ok(kind)) = (entry.path(), entry.file_type()) else { continue };
        let small = entry.metadata().is_ok_and(|metadata| metadata.len() <= FILE_BYTES_MAX);
        if kind.is_dir() {
            search_folder(&path);
        } else if kind.is_file() && small {
            let bytes = std::fs::read(&path).unwrap_or_default();
            search(&path.display().to_string(), &String::from_utf8_lossy(&bytes));
        }
    }
}

#[test]
fn secrets_of_a_project_file_are_found_in_every_way_to_write_them() {
    note_file(
        "db: { type: postgres, password: \"in-quotes-0123456789\", user: u }\n\
         app:\n  token: in-a-block-0123456789\n\
         aws: { secret_access_key: between-others-0123456789, region: x }\n\
         hint: \"my_token: of-another-name-0123456789\"\n\
         key: { api_key: \"${VARIABLE_OF_A_NAME}\", password: short }\n",
    );
    let noted: Vec<String> = NOTED.lock().expect("unpoisoned").iter().cloned().collect();
    assert_eq!(noted, ["between-others-0123456789", "in-a-block-0123456789", "in-quotes-0123456789"]);
    let said = std::panic::catch_unwind(|| search("a process", "it said in-quotes-0123456789"));
    assert!(said.is_err());
}
