//! Verbs and options of other tools, answered with the verb that does it here.

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Command, CommandFactory};

use super::Cli;

/// A verb that other tools have, and the answer.
const VERBS: &[(&[&str], &str)] = &[
    (&["list", "ls"], "`tidegate status` lists the syncs, `tidegate connectors` what can be connected"),
    (&["debug", "test", "diagnose"], "`tidegate check` tests connections, privileges and mappings"),
    (&["sync", "load", "build", "trigger", "execute"], "`tidegate run SYNC` runs a sync once"),
    (&["dry-run", "dryrun", "diff"], "`tidegate plan SYNC` shows what a run would send and sends nothing"),
    (
        &["start", "server", "daemon", "worker", "scheduler", "watch"],
        "`tidegate serve` runs syncs on their schedules",
    ),
    (&["parse", "lint", "compile"], "`tidegate validate` checks the project file"),
    (&["discover", "source", "destination", "spec"], "`tidegate connectors` lists the connectors"),
    (&["history", "logs", "log", "jobs"], "`tidegate runs` lists runs, `tidegate rows` the status of rows"),
    (
        &["errors", "failures", "failed", "rejected"],
        "`tidegate rows --open` lists the rows that need attention",
    ),
    (&["show", "sample"], "`tidegate preview SYNC` shows rows and the records they become"),
    (&["deploy", "push"], "`tidegate apply` gives the project file to a server that runs"),
    (&["replay", "rerun"], "`tidegate retry SYNC` sends rejected rows again"),
    (&["stop", "disable"], "`tidegate pause SYNC` keeps a sync from running"),
    (&["enable", "unpause", "continue"], "`tidegate resume SYNC` lets a paused sync run again"),
    (&["version"], "`tidegate --version` prints the version"),
];

/// An option that other tools have, and the answer.
const OPTIONS: &[(&[&str], &str)] = &[
    (
        &["--dry-run", "--dryrun", "--preview"],
        "`tidegate plan SYNC` shows what a run would send and sends nothing",
    ),
    (
        &["--select", "--models", "--sync", "--syncs", "-s", "-m"],
        "write the names of syncs without an option: `tidegate run SYNC`",
    ),
    (&["--exclude"], "write the names of the syncs to run: `tidegate run SYNC SYNC`"),
    (
        &["--full-refresh", "--full-resync"],
        "`tidegate run SYNC --full` sends all rows once more, also those that were sent before",
    ),
    (&["--json", "--format", "-o"], "write `--output json` or `--output jsonl`"),
    (&["--config", "--file", "--project-dir", "-f", "-c", "-p"], "write `--project PATH`"),
    (&["--state", "--state-dir", "--data-dir"], "write `--data DIR`"),
    (&["--threads", "--concurrency", "-j"], "write `--parallel N`"),
    (&["--limit", "--max-rows"], "`tidegate preview SYNC --rows N` shows some rows; a run takes all of them"),
    (&["--quiet", "-q"], "progress is shown on terminals only; redirect stderr to silence everything else"),
    (&["--debug", "--log-level"], "write `-v` or `-vv`, or set `RUST_LOG`"),
    (&["--failed", "--errors"], "write `--open` for rows that need attention, or `--rejected` for all"),
    (&["--port", "--host", "--bind", "--address"], "write `--listen ADDRESS:PORT`"),
];

/// Returns what does here what an unknown verb or option does elsewhere.
pub(crate) fn hint(error: &clap::Error) -> Option<&'static str> {
    if error.kind() == ErrorKind::ValueValidation {
        return Some(match variable(error) {
            Some(_) => "correct the variable, or unset it",
            None => "correct the value; the command with `--help` says what it takes",
        });
    }
    if error.kind() == ErrorKind::MissingRequiredArgument {
        let lacks = |name: &str| match error.get(ContextKind::InvalidArg) {
            Some(ContextValue::Strings(names)) => names.iter().any(|missing| missing.contains(name)),
            _ => false,
        };
        return Some(match (lacks("<SYNC>"), lacks("<SYNCS|--all>")) {
            (true, _) => "name a sync: `tidegate status` lists them",
            (_, true) => "name syncs, which `tidegate status` lists, or write `--all`",
            _ => "the command with `--help` says what it takes, with examples",
        });
    }
    for (kind, habits) in [(ContextKind::InvalidSubcommand, VERBS), (ContextKind::InvalidArg, OPTIONS)] {
        let Some(ContextValue::String(written)) = error.get(kind) else { continue };
        let written = written.split(['=', ' ']).next().unwrap_or_default();
        if let Some((_, answer)) = habits.iter().find(|(words, _)| words.contains(&written)) {
            return Some(answer);
        }
    }
    None
}

/// Returns what is wrong with a command line, without usage and tips.
pub(crate) fn sentence(error: &clap::Error) -> String {
    let text = error.to_string();
    let line = text.lines().next().unwrap_or_default();
    let line = line.strip_prefix("error: ").unwrap_or(line);
    let line = match variable(error) {
        Some((option, name)) => line.replace(&format!("'{option}'"), &name),
        None => line.to_owned(),
    };
    let missing = missing(error).unwrap_or(line);
    PLAIN.iter().fold(missing, |line, (theirs, ours)| line.replace(theirs, ours))
}

/// Returns the option whose value is wrong and the variable that it comes from, unless it is on the command
/// line.
fn variable(error: &clap::Error) -> Option<(String, String)> {
    let ContextValue::String(option) = error.get(ContextKind::InvalidArg)? else { return None };
    let long = option.strip_prefix("--")?.split([' ', '=']).next()?;
    let written =
        |word: String| word.strip_prefix("--").is_some_and(|word| word.split('=').next() == Some(long));
    if std::env::args().any(written) {
        return None;
    }
    let command = Cli::command();
    let mut options =
        command.get_arguments().chain(command.get_subcommands().flat_map(Command::get_arguments));
    let name = options.find(|option| option.get_long() == Some(long))?.get_env()?;
    Some((option.clone(), name.to_string_lossy().into_owned()))
}

/// Returns which arguments a command lacks, as a sentence.
fn missing(error: &clap::Error) -> Option<String> {
    if error.kind() != ErrorKind::MissingRequiredArgument {
        return None;
    }
    let ContextValue::Strings(names) = error.get(ContextKind::InvalidArg)? else { return None };
    Some(format!("the command needs {}", names.join(" and ")))
}

/// Words of the standard library about numbers, and ours.
const PLAIN: &[(&str, &str)] = &[
    ("invalid digit found in string", "expected a whole number"),
    ("cannot parse integer from empty string", "expected a whole number"),
    ("number too large to fit in target type", "the number is too large"),
    ("number too small to fit in target type", "the number is too small"),
];

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use crate::cli::Cli;

    fn refused(words: &[&str]) -> clap::Error {
        Cli::command().try_get_matches_from([&["tidegate"], words].concat()).expect_err("wrong")
    }

    fn answer(words: &[&str]) -> Option<&'static str> {
        super::hint(&refused(words))
    }

    #[test]
    fn a_command_without_its_sync_says_where_to_find_one() {
        for (words, lacks, next) in [
            (&["plan"][..], "the command needs <SYNC>", "`tidegate status`"),
            (&["run"], "the command needs <SYNCS|--all>", "`--all`"),
            (&["dismiss", "orders"], "the command needs --note <TEXT>", "--help"),
        ] {
            assert_eq!(super::sentence(&refused(words)), lacks);
            assert!(answer(words).is_some_and(|answer| answer.contains(next)), "{words:?}");
        }
    }

    #[test]
    fn the_words_of_other_tools_are_answered_with_the_verb_that_does_it() {
        for (words, verb) in [
            (&["list"][..], "tidegate status"),
            (&["diagnose"], "tidegate check"),
            (&["run", "orders", "--dry-run"], "tidegate plan"),
            (&["run", "--select", "orders"], "tidegate run SYNC"),
            (&["run", "orders", "--full-refresh"], "tidegate run SYNC --full"),
            (&["status", "--json"], "--output json"),
            (&["run", "orders", "--config=x.yaml"], "--project"),
        ] {
            let answer = answer(words).unwrap_or_else(|| panic!("{words:?} has no answer"));
            assert!(answer.contains(verb), "{words:?}: {answer}");
        }
        assert_eq!(answer(&["fly"]), None);
    }

    #[test]
    fn no_answer_is_about_a_verb_or_option_that_exists() {
        let command = Cli::command();
        for word in super::VERBS.iter().flat_map(|(words, _)| words.iter()) {
            assert!(command.find_subcommand(word).is_none(), "`{word}` is a verb");
        }
    }
}
