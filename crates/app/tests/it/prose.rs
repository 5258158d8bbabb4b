//! Turns of phrase that read as translated: a plain word of English stands in their place. See
//! `STYLE.md`. Pages, the reference (made from the help and the settings) and READMEs are read.

use std::path::{Path, PathBuf};

use crate::support::repository;

/// A turn, and what to write.
const TURNS: &[(&str, &str)] = &[
    ("nobody", "the passive, or the thing that is absent"),
    ("somebody", "a user, an operator, another process"),
    ("anew", "again, or a verb with re-"),
    ("for ever", "forever, or never"),
    ("goes on", "continues"),
    ("go on", "continue"),
    ("went on", "continued"),
    ("as good as", "counts as"),
    ("stands still", "is stopped, or is paused"),
    ("stood still", "was stopped, or was paused"),
    ("by itself", "automatically, alone, or nothing"),
    ("by themselves", "automatically, alone, or nothing"),
    ("what is to do", "pending work"),
    ("is as if", "behaves as if"),
    ("within reach", "available"),
    ("takes nothing more", "accepts nothing more"),
    ("passed over", "skipped"),
    ("where absent", "if absent"),
    ("where none is given", "if none is given"),
    ("where there is none", "if there is none"),
];

/// Pages that quote the turns, tell of the past, or hold no prose of ours.
const SKIPPED: &[&str] = &["STYLE.md", "CHANGELOG.md", "decisions", "target", "node_modules"];

fn pages(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        if SKIPPED.contains(&name.as_str()) || name.starts_with('.') {
            continue;
        }
        if path.is_dir() {
            pages(&path, found);
        } else if name.ends_with(".md") {
            found.push(path);
        }
    }
}

/// The turns in a text, with their lines. A turn may be split by a line break.
fn turns(text: &str) -> Vec<(usize, &'static str, &'static str)> {
    let lower = text.to_lowercase();
    let plain: String = lower.chars().map(|letter| if letter == '\n' { ' ' } else { letter }).collect();
    let mut found = Vec::new();
    for (turn, instead) in TURNS {
        for (at, _) in plain.match_indices(turn) {
            let letter = |letter: Option<char>| letter.is_some_and(char::is_alphanumeric);
            let whole =
                !letter(plain[..at].chars().next_back()) && !letter(plain[at + turn.len()..].chars().next());
            if whole {
                found.push((lower[..at].matches('\n').count() + 1, *turn, *instead));
            }
        }
    }
    found
}

#[test]
fn prose_turns_are_found_as_whole_words_and_across_lines() {
    assert_eq!(
        turns("It goes\non. Nobodys, anew").iter().map(|(line, ..)| *line).collect::<Vec<_>>(),
        [2, 1]
    );
    assert!(turns("Renewed for every one; it continues.").is_empty());
}

#[test]
fn prose_of_the_pages_has_no_translated_turns() {
    let mut paths = Vec::new();
    pages(&repository(), &mut paths);
    assert!(paths.len() > 40, "only {} pages were read", paths.len());
    let mut found = Vec::new();
    for path in paths {
        let text = std::fs::read_to_string(&path).expect("a text");
        for (line, turn, instead) in turns(&text) {
            found.push(format!("{}:{line}: `{turn}`: write {instead}", path.display()));
        }
    }
    assert!(found.is_empty(), "{} turns:\n{}", found.len(), found.join("\n"));
}
