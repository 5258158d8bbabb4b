//! The help: verbs in groups, and examples for each verb.

use clap::builder::StyledStr;
use clap::{Command, CommandFactory};

use super::Cli;

/// The verbs in the order in which a new user meets them.
const GROUPS: &[(&str, &[&str])] = &[
    ("Set up", &["demo", "init", "connectors", "setup", "check", "doctor", "validate", "schema"]),
    ("Look first", &["preview", "plan"]),
    ("Move data", &["run", "serve", "apply", "retry", "dismiss"]),
    ("See what happened", &["status", "runs", "rows", "events", "alerts"]),
    ("Control", &["pause", "resume", "reset"]),
    ("Access", &["people", "tokens", "audit"]),
    (
        "Tools",
        &["secret", "users", "backup", "restore", "sandbox", "exposures", "mcp", "completions", "help"],
    ),
];

/// Examples of each verb: a command, and what it is for.
const EXAMPLES: &[(&str, &[(&str, &str)])] = &[
    (
        "demo",
        &[
            ("tidegate demo", "rows out and events back"),
            ("tidegate demo --once", "without the dashboard, for scripts"),
            ("tidegate demo b --listen 127.0.0.1:9000", "a second one beside the first"),
        ],
    ),
    (
        "init",
        &[
            ("tidegate init shop", "a project that runs without an account"),
            ("tidegate init shop --template postgres", "from a PostgreSQL table to Braze"),
            ("tidegate init shop --template empty", "to set everything up in the dashboard"),
        ],
    ),
    (
        "validate",
        &[("tidegate validate", ""), ("tidegate validate --output json", "errors with line and column")],
    ),
    (
        "schema",
        &[
            ("tidegate schema > tidegate.schema.json", "to complete keys in editors"),
            ("tidegate schema rows", "of what `rows --output json` prints"),
        ],
    ),
    (
        "plan",
        &[
            ("tidegate plan orders_to_braze", "counts and reasons"),
            ("tidegate plan orders_to_braze --requests 1", "the first request, byte for byte"),
        ],
    ),
    ("check", &[("tidegate check", "every sync"), ("tidegate check shop", "one connection")]),
    ("doctor", &[("tidegate doctor", "what is wrong here, and what to do")]),
    (
        "setup",
        &[
            ("tidegate setup shop", "a connection of the project"),
            ("tidegate setup postgres --set user=tidegate", "before there is a project"),
        ],
    ),
    ("preview", &[("tidegate preview orders_to_braze --rows 2", "")]),
    (
        "run",
        &[
            ("tidegate run orders_to_braze", "one sync"),
            ("tidegate run --all --parallel 4", "all of them, four at a time"),
            ("tidegate run customers --full", "also rows that were sent before"),
        ],
    ),
    (
        "serve",
        &[
            ("tidegate serve", "on this machine only"),
            ("tidegate serve --listen 0.0.0.0:8080", "on every network interface"),
            ("tidegate serve --listen 0.0.0.0:8443 --tls-cert server.pem --tls-key key.pem", "by https"),
        ],
    ),
    (
        "apply",
        &[
            ("tidegate apply --dry-run", "what would change at the server of this machine"),
            (
                "tidegate apply --server https://tidegate.example.com",
                "another machine, with a token in TIDEGATE_TOKEN",
            ),
        ],
    ),
    ("status", &[("tidegate status", "all syncs"), ("tidegate status orders_to_braze", "one, in detail")]),
    (
        "events",
        &[
            ("tidegate events", "counts by kind"),
            ("tidegate events push --last 10 --kind 'message.push.*'", "the latest ten"),
        ],
    ),
    (
        "runs",
        &[
            ("tidegate runs orders_to_braze --limit 5", ""),
            ("tidegate runs --output jsonl", "one run a line, for programs"),
        ],
    ),
    (
        "rows",
        &[
            ("tidegate rows --open", "rows that still need attention"),
            ("tidegate rows --open --by reason", "grouped by reason"),
            ("tidegate rows --user user-17 --since 7d", "what happened to one user"),
        ],
    ),
    (
        "retry",
        &[
            ("tidegate retry orders_to_braze", "every rejected row of the sync"),
            ("tidegate retry orders_to_braze --user user-17", "those of one user"),
        ],
    ),
    (
        "dismiss",
        &[
            ("tidegate dismiss orders_to_braze --note 'test orders'", "every rejected row of the sync"),
            ("tidegate dismiss orders_to_braze --user user-17 --note 'left us'", "those of one user"),
        ],
    ),
    ("pause", &[("tidegate pause orders_to_braze --why 'migration until Friday'", "")]),
    ("resume", &[("tidegate resume orders_to_braze", "")]),
    (
        "reset",
        &[
            ("tidegate reset orders_to_braze", "says what follows, and asks"),
            ("tidegate reset orders_to_braze --yes", "for scripts"),
        ],
    ),
    (
        "alerts",
        &[
            ("tidegate alerts list --resolved 10", "what is wrong, and what was"),
            ("tidegate alerts test ops", "a message by one channel"),
        ],
    ),
    (
        "secret",
        &[
            ("tidegate secret set braze_key < key.txt", ""),
            ("tidegate secret generate-key snowflake_key", ""),
            ("tidegate secret generate-key shop_ssh --ssh", ""),
            ("tidegate secret list", ""),
        ],
    ),
    (
        "people",
        &[
            ("tidegate people add ada --role admin --rows", "prints a link to choose a password"),
            ("tidegate people list", ""),
        ],
    ),
    ("tokens", &[("tidegate tokens add airflow --role editor --days 90", "")]),
    ("audit", &[("tidegate audit list", ""), ("tidegate audit verify", "whether an entry was changed")]),
    (
        "users",
        &[("tidegate users erase user-17", ""), ("tidegate users erasures", "what was erased and when")],
    ),
    ("backup", &[("tidegate backup /mnt/backup/2026-11-30", "everything, while `serve` runs")]),
    (
        "restore",
        &[
            ("tidegate restore /mnt/backup/2026-11-30", "if there is no state yet"),
            ("tidegate restore /mnt/backup/2026-11-30 --replace", "the present state is kept beside it"),
        ],
    ),
    (
        "sandbox",
        &[
            ("tidegate sandbox", "state in the data folder"),
            (r#"tidegate sandbox --memory --faults '{"throttled": 0.05}'"#, "5% of requests get a 429"),
        ],
    ),
    ("exposures", &[("tidegate exposures > models/tidegate.yml", "in the dbt project")]),
    (
        "mcp",
        &[
            ("tidegate mcp", "can look, and change nothing"),
            ("tidegate mcp --write --project /srv/tidegate", "can run, pause, resume and retry"),
        ],
    ),
    ("connectors", &[("tidegate connectors", ""), ("tidegate connectors postgres", "its page and settings")]),
    (
        "completions",
        &[
            ("tidegate completions bash > ~/.local/share/bash-completion/completions/tidegate", ""),
            ("tidegate completions zsh > ~/.zfunc/_tidegate", ""),
        ],
    ),
];

/// Exit codes, below the help of all verbs.
const EXIT_CODES: &str = "\
Exit codes: 0 done, 1 failed, 2 wrong usage or configuration, 3 partial (rows
were rejected or are in doubt).

Start with `tidegate init`; `tidegate help VERB` shows examples.";

/// Returns the command line with its verbs in groups and the examples of each verb.
pub(crate) fn command() -> Command {
    // A help is the same whatever the variables hold, which may be secrets.
    let mut command = Cli::command()
        .mut_args(|option| option.hide_env_values(true))
        .mut_subcommands(|verb| verb.mut_args(|option| option.hide_env_values(true)));
    let groups = StyledStr::from(groups(&command));
    for (verb, examples) in EXAMPLES {
        command = command.mut_subcommand(verb, |command| command.after_help(listed(examples)));
    }
    command.before_help(groups).after_help(EXIT_CODES).help_template(
        "{about-with-newline}\n{usage-heading} {usage}\n\n{before-help}Options:\n{options}{after-help}",
    )
}

/// The verbs below the titles of their groups.
fn groups(command: &Command) -> String {
    let mut text = String::new();
    for (title, verbs) in GROUPS {
        text.push_str(&format!("{title}:\n"));
        for verb in *verbs {
            let about = command.find_subcommand(verb).and_then(Command::get_about);
            let about =
                about.map_or_else(|| "Shows this help, or that of a verb".to_owned(), StyledStr::to_string);
            text.push_str(&format!("  {verb:<12} {about}\n"));
        }
        text.push('\n');
    }
    text.truncate(text.trim_end().len());
    text
}

/// Examples under each other, with what they are for after them if it fits.
fn listed(examples: &[(&str, &str)]) -> String {
    /// The command line that leaves room for a comment at 80 columns.
    const NARROW: usize = 46;
    let width = examples.iter().map(|(line, _)| line.len()).max().unwrap_or_default();
    let mut text = "Examples:".to_owned();
    for (line, purpose) in examples {
        match purpose.is_empty() {
            true => text.push_str(&format!("\n  {line}")),
            false if width <= NARROW => text.push_str(&format!("\n  {line:<width$}  # {purpose}")),
            false => text.push_str(&format!("\n  # {purpose}\n  {line}")),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::{EXAMPLES, GROUPS};
    use crate::cli::Cli;

    fn verbs() -> Vec<String> {
        Cli::command().get_subcommands().map(|verb| verb.get_name().to_owned()).collect()
    }

    #[test]
    fn every_verb_stands_in_one_group_of_the_help() {
        let mut grouped: Vec<&str> = GROUPS.iter().flat_map(|(_, verbs)| verbs.iter().copied()).collect();
        grouped.retain(|verb| *verb != "help");
        grouped.sort_unstable();
        let mut verbs = verbs();
        verbs.sort_unstable();
        assert_eq!(grouped, verbs);
    }

    #[test]
    fn every_verb_has_an_example_and_every_example_parses() {
        for verb in verbs() {
            assert!(EXAMPLES.iter().any(|(name, _)| *name == verb), "{verb} has no example");
        }
        for (line, _) in EXAMPLES.iter().flat_map(|(_, examples)| examples.iter()) {
            let line =
                line.split([' ']).take_while(|word| !["<", ">"].contains(word)).collect::<Vec<_>>().join(" ");
            let mut words: Vec<String> = vec![String::new()];
            let mut quoted = false;
            for letter in line.chars() {
                match letter {
                    '\'' => quoted = !quoted,
                    ' ' if !quoted => words.push(String::new()),
                    letter => words.last_mut().expect("a word").push(letter),
                }
            }
            let parsed = Cli::command().try_get_matches_from(&words);
            assert!(parsed.is_ok(), "{line}: {}", parsed.expect_err("wrong"));
        }
    }

    #[test]
    fn every_line_of_the_first_help_fits_on_eighty_columns() {
        for line in super::groups(&Cli::command()).lines() {
            assert!(line.chars().count() <= 80, "{line}");
        }
    }
}
