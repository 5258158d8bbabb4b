//! Project files in the documentation and in the examples: complete ones validate, all others are YAML
//! in the words of today.

use std::path::{Path, PathBuf};

use saphyr_parser::{Event, Parser};

use crate::support::{Project, repository};

/// Keys of earlier project files that no list of retired words can hold, since they are plain English.
const RETIRED: &[&str] = &["from", "to", "map"];

/// A YAML block of a document, or a whole example.
struct Block {
    /// The file and the line of its first line, for messages.
    place: String,
    text: String,
}

/// Returns the files below a folder that end in one of these names, without build output and hidden folders.
fn files(folder: &Path, endings: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        if path.is_dir() {
            if !name.starts_with('.') && name != "target" && name != "node_modules" {
                found.extend(files(&path, endings));
            }
        } else if endings.iter().any(|ending| name.ends_with(ending)) {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Returns the YAML blocks of a Markdown file, without the indentation that their fences have.
fn blocks(path: &Path) -> Vec<Block> {
    let text = std::fs::read_to_string(path).expect("a text");
    let mut found: Vec<Block> = Vec::new();
    let mut fence: Option<usize> = None;
    for (at, line) in text.lines().enumerate() {
        let bare = line.trim_start();
        match fence {
            None if bare.starts_with("```yaml") || bare.starts_with("```yml") => {
                fence = Some(line.len() - bare.len());
                found.push(Block { place: format!("{}:{}", path.display(), at + 2), text: String::new() });
            }
            Some(_) if bare.starts_with("```") => fence = None,
            Some(indentation) => {
                let block = found.last_mut().expect("a fence opened it");
                block.text.push_str(line.get(indentation..).unwrap_or_default());
                block.text.push('\n');
            }
            None => {}
        }
    }
    assert_eq!(fence, None, "{}: a block does not end", path.display());
    found
}

/// Whether a block has this key at its top level.
fn has(text: &str, key: &str) -> bool {
    text.lines().any(|line| line.split_once(':').is_some_and(|(name, _)| name == key))
}

/// Returns every key of a YAML mapping, at any depth.
fn keys(text: &str) -> Result<Vec<String>, String> {
    let (mut found, mut open) = (Vec::new(), Vec::new());
    for event in Parser::new_from_str(text) {
        let (event, _) = event.map_err(|cause| cause.to_string())?;
        let begins = matches!(event, Event::Scalar(..) | Event::MappingStart(..) | Event::SequenceStart(..));
        if begins && open.is_empty() && !matches!(event, Event::MappingStart(..)) {
            return Err("not a mapping".to_owned());
        }
        // The last flag tells whether a key comes next; a list has none.
        if begins && let Some(Some(key_next)) = open.last_mut() {
            if *key_next && let Event::Scalar(key, ..) = &event {
                found.push(key.to_string());
            }
            *key_next = !*key_next;
        }
        match event {
            Event::MappingStart(..) => open.push(Some(true)),
            Event::SequenceStart(..) => open.push(None),
            Event::MappingEnd | Event::SequenceEnd => drop(open.pop()),
            _ => {}
        }
    }
    Ok(found)
}

/// Returns what is wrong with a block as a fragment: no mapping, or a key of earlier project files.
fn wrong_fragment(block: &Block) -> Option<String> {
    if block.text.contains("{ env:") {
        return Some(format!("{}: write `${{NAME}}` instead of `{{ env: NAME }}`", block.place));
    }
    let keys = match keys(&block.text) {
        Ok(keys) => keys,
        Err(cause) => return Some(format!("{}: {cause}", block.place)),
    };
    let retired = keys.iter().find(|key| RETIRED.contains(&key.as_str()))?;
    Some(format!("{}: `{retired}` is a key of earlier project files", block.place))
}

/// Returns what `tidegate validate` says against a project.
fn wrong_project(place: &str, text: &str) -> Option<String> {
    let told = Project::new(text).done(&["validate"]);
    (told.code != 0).then(|| format!("{place}: {}{}\n{text}", told.stdout, told.stderr))
}

#[test]
fn documents_every_complete_project_in_docs_and_examples_validates() {
    let root = repository();
    let mut documents = vec![root.join("README.md")];
    documents.extend(files(&root.join("docs"), &[".md"]));
    documents.extend(files(&root.join("examples"), &[".md"]));
    let (mut wrong, mut projects, mut fragments) = (Vec::new(), 0, 0);
    for block in documents.iter().flat_map(|path| blocks(path)) {
        wrong.extend(wrong_fragment(&block));
        if has(&block.text, "connections") {
            // Connections alone are a project without syncs.
            let end = if has(&block.text, "syncs") { "" } else { "syncs:\n" };
            wrong.extend(wrong_project(&block.place, &(block.text + end)));
            projects += 1;
        } else {
            fragments += 1;
        }
    }
    for path in files(&root.join("examples"), &["tidegate.yaml", "tidegate.yml"]) {
        let text = std::fs::read_to_string(&path).expect("a text");
        wrong.extend(wrong_project(&path.display().to_string(), &text));
        projects += 1;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(projects >= 10 && fragments >= 5, "{projects} projects and {fragments} fragments were found");
}

/// A connector's page names syncs whose other end is elsewhere, so its connections alone are a project.
#[test]
fn documents_the_connections_on_every_page_of_a_connector_validate() {
    let (mut wrong, mut connections) = (Vec::new(), 0);
    for path in files(&repository().join("crates"), &["README.md"]) {
        for block in blocks(&path) {
            wrong.extend(wrong_fragment(&block));
            if has(&block.text, "connections") {
                let end = block.text.find("\nsyncs:").map_or(block.text.len(), |at| at + 1);
                wrong.extend(wrong_project(&block.place, &format!("{}syncs:\n", &block.text[..end])));
                connections += 1;
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(connections >= 10, "{connections} blocks with connections were found");
}

#[test]
fn documents_a_block_with_an_unknown_or_retired_key_is_found() {
    let block = |text: &str| Block { place: "a.md:1".to_owned(), text: text.to_owned() };
    assert_eq!(wrong_fragment(&block("destination: { connection: braze, object: event }\n")), None);
    for text in ["to: { connection: braze }\n", "a:\n  - { env: NAME }\n", "- a\n", "a: [\n", "plain\n"] {
        assert!(wrong_fragment(&block(text)).is_some(), "{text}");
    }
    let right = "connections:\n  a: { type: files, path: . }\nsyncs:\n";
    assert_eq!(wrong_project("a.md:1", right), None);
    let told = wrong_project("a.md:1", &right.replace("path", "pathh")).expect("an unknown key");
    assert!(told.contains("a.md:1") && told.contains("pathh"), "{told}");
}
