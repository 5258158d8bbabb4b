//! Turns of phrase that read as translated: a plain word of English replaces each. See
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

/// Turns that comments had most often.
const TURNS_OF_COMMENTS: &[(&str, &str)] = &[
    ("nobody", "the passive, or the thing that is absent"),
    ("somebody", "a user, an operator, another process"),
    ("anew", "again, or a verb with re-"),
    ("so many", "this many, or a number of"),
    ("nearly all", "almost all"),
    ("nearly always", "usually"),
    ("far side", "other side, or the server's name"),
    ("by itself", "automatically, alone, or nothing"),
    ("stands before", "is before, or precedes"),
    ("stands behind", "is after, or follows"),
    ("stands in the place of", "replaces"),
];

/// Pages that quote the turns, tell of the past, or hold no prose of ours.
const SKIPPED: &[&str] = &["STYLE.md", "CHANGELOG.md", "decisions", "target", "node_modules"];

fn files(folder: &Path, ending: &str, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        if SKIPPED.contains(&name.as_str()) || name.starts_with('.') {
            continue;
        }
        if path.is_dir() {
            files(&path, ending, found);
        } else if name.ends_with(ending) {
            found.push(path);
        }
    }
}

/// A source with its comments alone, on the same lines.
fn comments(source: &str) -> String {
    let lines = source.lines().map(|line| match line.trim_start() {
        comment if comment.starts_with("//") => comment.trim_start_matches(['/', '!']).trim(),
        _ => "",
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// The turns in a text, with their lines. A turn may be split by a line break.
fn turns(text: &str, turns: &[(&'static str, &'static str)]) -> Vec<(usize, &'static str, &'static str)> {
    let lower = text.to_lowercase();
    let plain: String = lower.chars().map(|letter| if letter == '\n' { ' ' } else { letter }).collect();
    let mut found = Vec::new();
    for (turn, instead) in turns {
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
        turns("It goes\non. Nobodys, anew", TURNS).iter().map(|(line, ..)| *line).collect::<Vec<_>>(),
        [2, 1]
    );
    assert!(turns("Renewed for every one; it continues.", TURNS).is_empty());
}

#[test]
fn prose_of_the_pages_has_no_translated_turns() {
    let mut paths = Vec::new();
    files(&repository(), ".md", &mut paths);
    assert!(paths.len() > 40, "only {} pages were read", paths.len());
    let mut found = Vec::new();
    for path in paths {
        let text = std::fs::read_to_string(&path).expect("a text");
        for (line, turn, instead) in turns(&text, TURNS) {
            found.push(format!("{}:{line}: `{turn}`: write {instead}", path.display()));
        }
    }
    assert!(found.is_empty(), "{} turns:\n{}", found.len(), found.join("\n"));
}

#[test]
fn comments_have_no_translated_turns() {
    let mut paths = Vec::new();
    for folder in ["crates", "benches"] {
        files(&repository().join(folder), ".rs", &mut paths);
    }
    let mut found = Vec::new();
    for path in paths {
        let source = std::fs::read_to_string(&path).expect("a source");
        for (line, turn, instead) in turns(&comments(&source), TURNS_OF_COMMENTS) {
            found.push(format!("{}:{line}: `{turn}`: write {instead}", path.display()));
        }
    }
    assert!(found.is_empty(), "{} turns:\n{}", found.len(), found.join("\n"));
}
