//! Words that this project has retired: another word of the field replaces each. See
//! `STYLE.md` and `docs/concepts/vocabulary.md`.

use std::fs;
use std::path::{Path, PathBuf};

/// Retired words, with their inflections.
const RETIRED: &[&str] = &[
    "fate",
    "fates",
    "freight",
    "freights",
    "happening",
    "happenings",
    "inlet",
    "inlets",
    "lane",
    "lanes",
    "mend",
    "mended",
    "mending",
    "mends",
    "outlet",
    "outlets",
    "overlap",
    "overlapped",
    "overlapping",
    "overlaps",
    "parcel",
    "parcels",
    "rehearsal",
    "rehearsals",
    "rehearse",
    "rehearsed",
    "rehearses",
    "rehearsing",
    "settle",
    "settled",
    "settlement",
    "settlements",
    "settler",
    "settles",
    "settling",
];

/// Retired in this form: the words alone have other uses.
const RETIRED_USES: &[&str] =
    &["detect:", "`detect`", "struct Place", "enum Place", "trait Place", "type Place"];

/// Folders that are made, fetched, or tell of the past.
const SKIPPED_FOLDERS: &[&str] = &["target", "node_modules", "decisions", "images"];

/// Files that name the words on purpose, or hold no words of ours.
const SKIPPED_FILES: &[&str] =
    &["CHANGELOG.md", "words.rs", "habits.rs", "Cargo.lock", "package-lock.json", "LICENSE"];

const ENDINGS: &[&str] = &["rs", "md", "toml", "yaml", "yml", "py", "mjs", "sh", "sql", "json"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the repository")
}

/// The files of the repository that hold words of ours.
fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if path.is_dir() {
            if !SKIPPED_FOLDERS.contains(&name) && (!name.starts_with('.') || name == ".ci") {
                files(&path, found);
            }
            continue;
        }
        let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
        let script = ending.is_empty() && path.starts_with(root().join("scripts"));
        if (ENDINGS.contains(&ending) || script) && !SKIPPED_FILES.contains(&name) {
            found.push(path);
        }
    }
}

/// The words of a line: `RowStatus`, `row_status` and `row status` have the same two.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut previous = ' ';
    for letter in line.chars() {
        let new = !letter.is_alphabetic() || (letter.is_uppercase() && previous.is_lowercase());
        if new {
            words.push(String::new());
        }
        if letter.is_alphabetic()
            && let Some(word) = words.last_mut()
        {
            word.extend(letter.to_lowercase());
        }
        previous = letter;
    }
    words.retain(|word| !word.is_empty());
    words
}

#[test]
fn words_are_split_as_people_read_them() {
    assert_eq!(
        words("let rowStatus = row_status(); // RowStatus"),
        ["let", "row", "status", "row", "status", "row", "status"]
    );
}

#[test]
fn no_retired_word_is_in_code_docs_help_or_messages() {
    let mut paths = Vec::new();
    files(&root(), &mut paths);
    assert!(paths.len() > 400, "only {} files were looked at", paths.len());

    let mut found = Vec::new();
    for path in paths {
        let Ok(text) = fs::read_to_string(&path) else { continue };
        for (number, line) in text.lines().enumerate() {
            let retired = words(line).into_iter().find(|word| RETIRED.contains(&word.as_str()));
            let used = RETIRED_USES.iter().find(|used| line.contains(**used)).map(|used| (*used).to_owned());
            if let Some(word) = retired.or(used) {
                let path = path.strip_prefix(root()).unwrap_or(&path).display().to_string();
                found.push(format!("{path}:{}: {word}", number + 1));
            }
        }
    }

    assert!(found.is_empty(), "{} lines have retired words:\n{}", found.len(), found.join("\n"));
}
