//! Completions that know the names of the project.

use std::path::PathBuf;

use clap_complete::engine::CompletionCandidate;
use clap_complete::env::{CompleteEnv, Shells};

use super::help;
use crate::registry::{CHANNELS, CONNECTORS};

/// The variable in which a shell asks for completions.
const VARIABLE: &str = "TIDEGATE_COMPLETE";

/// Answers a shell that asks for completions. Returns whether it was one.
pub(crate) fn answer() -> bool {
    let folder = std::env::current_dir().ok();
    let complete = CompleteEnv::with_factory(help::command).var(VARIABLE);
    complete.try_complete(std::env::args_os(), folder.as_deref()).unwrap_or(true)
}

/// Returns the script that a shell loads; `None` if the shell is not known.
pub(crate) fn script(shell: &str) -> Option<String> {
    let mut script = Vec::new();
    let completer = Shells::builtins();
    completer
        .completer(shell)?
        .write_registration(VARIABLE, "tidegate", "tidegate", "tidegate", &mut script)
        .ok()?;
    String::from_utf8(script).ok()
}

/// The syncs of the project that the command line is about.
pub(crate) fn syncs() -> Vec<CompletionCandidate> {
    let Some(project) = project() else { return Vec::new() };
    project
        .syncs
        .iter()
        .map(|(id, sync)| {
            let help = format!("{} → {}", sync.source(), sync.destination());
            CompletionCandidate::new(id.as_str()).help(Some(help.into()))
        })
        .collect()
}

/// Its connections.
pub(crate) fn connections() -> Vec<CompletionCandidate> {
    let Some(project) = project() else { return Vec::new() };
    project
        .connections
        .iter()
        .map(|(id, spec)| CompletionCandidate::new(id.as_str()).help(Some(spec.kind.clone().into())))
        .collect()
}

/// Its syncs and connections.
pub(crate) fn syncs_and_connections() -> Vec<CompletionCandidate> {
    syncs().into_iter().chain(connections()).collect()
}

/// Its connections, and the types of all connectors.
pub(crate) fn connections_and_types() -> Vec<CompletionCandidate> {
    connections().into_iter().chain(types()).collect()
}

/// The types of all connectors.
pub(crate) fn types() -> Vec<CompletionCandidate> {
    CONNECTORS
        .iter()
        .map(|connector| CompletionCandidate::new(connector.kind).help(Some(connector.title.into())))
        .collect()
}

/// The project that the words after `--project` name, or that of this folder. A project
/// file that is being edited may be invalid: then there are no names.
fn project() -> Option<tidegate_project::Project> {
    let words: Vec<String> = std::env::args().collect();
    let path = words.iter().enumerate().find_map(|(at, word)| match word.strip_prefix("--project") {
        Some("") => words.get(at + 1).cloned(),
        Some(rest) => rest.strip_prefix('=').map(str::to_owned),
        None => None,
    });
    let path = PathBuf::from(path.as_deref().unwrap_or("."));
    tidegate_project::read(&path, CONNECTORS, CHANNELS).ok()?.ok()
}
