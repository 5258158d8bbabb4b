//! The help and the output of every verb on narrow and wide terminals, as people see them.
//!
//! `UPDATE=1 cargo test -p tidegate snapshots` rewrites `snapshots/*.txt`.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::Project;

/// The verbs in the order of the help, with those below `secret`.
const VERBS: &[&str] = &[
    "demo",
    "init",
    "connectors",
    "setup",
    "check",
    "doctor",
    "validate",
    "schema",
    "preview",
    "plan",
    "run",
    "serve",
    "apply",
    "retry",
    "dismiss",
    "status",
    "runs",
    "rows",
    "events",
    "alerts",
    "alerts list",
    "alerts test",
    "pause",
    "resume",
    "reset",
    "people",
    "people add",
    "people list",
    "people link",
    "people remove",
    "tokens",
    "tokens add",
    "tokens list",
    "tokens remove",
    "audit",
    "audit list",
    "audit verify",
    "secret",
    "secret set",
    "secret generate-key",
    "secret list",
    "secret remove",
    "secret rotate",
    "users",
    "users erase",
    "users erasures",
    "backup",
    "restore",
    "sandbox",
    "exposures",
    "mcp",
    "completions",
];

/// What a person types, in this order; a text after `<` comes on stdin.
const SESSION: &[&str] = &[
    "validate",
    "connectors",
    "setup braze",
    "check",
    "preview customers --rows 1",
    "plan customers",
    "plan customers --requests 1",
    "run customers",
    "run customers",
    "run --all",
    "retry customers",
    "status",
    "status customers",
    "runs",
    "rows",
    "rows --rejected",
    "rows --limit 2",
    "rows --open",
    "rows --open --by reason",
    "rows --by day --since 7d",
    "rows --by user",
    "rows --sync orders",
    "rows --run nosuch",
    "rows --since soon",
    "rows --user 2",
    "pause customers --why 'migration until Friday'",
    "status",
    "run customers",
    "resume customers",
    "reset customers",
    "events",
    "alerts list",
    "alerts test",
    "people list",
    "people remove ada",
    "tokens list",
    "secret list",
    "secret set braze_key < sesame",
    "secret list",
    "secret remove braze_key",
    "users erasures 2",
    "check nope",
    "run orders",
    "run --dry-run customers",
    "fly",
];

/// The customers of the template, and two that the platform rejects.
const CUSTOMERS: &str = "\
id,first_name,email,plan
1,Amélie,amelie@example.com,free
2,小明,xiaoming@example.com,pro
3,ليلى,layla@example.com,pro
,Nameless,nameless@example.com,free
5,Odd
";

#[test]
fn snapshots_of_each_help_fit_the_terminal() {
    for width in [80, 160] {
        let mut shown = String::new();
        for verb in [""].iter().chain(VERBS) {
            let words: Vec<&str> = verb.split(' ').filter(|word| !word.is_empty()).chain(["-h"]).collect();
            let project = Project::new("");
            let output =
                project.tidegate(&words).env("COLUMNS", width.to_string()).output().expect("it starts");
            let text = String::from_utf8(output.stdout).expect("text");
            let _ = writeln!(shown, "$ tidegate {}\n{text}", words.join(" "));
        }
        fits(&shown, width);
        compare(&format!("help-{width}.txt"), &shown);
    }
}

#[test]
fn snapshots_leave_no_verb_out() {
    let help = Project::new("").done(&["-h"]).stdout;
    let (verbs, _) = help.split_once("\nOptions:").expect("options follow the verbs");
    let named = verbs.lines().filter_map(|line| line.strip_prefix("  ")?.split_whitespace().next());
    let named: Vec<&str> = named.filter(|name| *name != "help").collect();
    assert!(named.len() > 15, "{named:?}");
    for name in named {
        assert!(VERBS.contains(&name), "the help of `{name}` has no snapshot");
    }
}

#[test]
fn snapshots_of_each_output_fit_the_terminal() {
    for width in [80, 160] {
        let project = Project::new("");
        let folder = project.path().join("shop");
        let mut shown = session(&folder, width, "init --template files");
        std::fs::write(folder.join("drops/customers.csv"), CUSTOMERS).expect("written");
        for line in SESSION {
            shown += &session(&folder, width, line);
        }
        let shown = masked(&shown.replace(&folder.display().to_string(), "/home/you/shop"));
        fits(&shown, width);
        compare(&format!("output-{width}.txt"), &shown);
    }
}

/// What one command prints, stdout before stderr.
fn session(folder: &Path, width: usize, line: &str) -> String {
    let (typed, input) = line.split_once(" < ").unwrap_or((line, ""));
    let mut words: Vec<String> = vec![String::new()];
    let mut quoted = false;
    for letter in typed.chars() {
        match letter {
            '\'' => quoted = !quoted,
            ' ' if !quoted => words.push(String::new()),
            letter => words.last_mut().expect("a word").push(letter),
        }
    }
    std::fs::create_dir_all(folder).expect("a folder");
    let mut process = Command::new(env!("CARGO_BIN_EXE_tidegate"))
        .args(&words)
        .current_dir(folder)
        .env("COLUMNS", width.to_string())
        .env("USER", "you")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("tidegate starts");
    process.stdin.take().expect("piped").write_all(input.as_bytes()).expect("written");
    let output = process.wait_with_output().expect("it ends");
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let code = output.status.code().unwrap_or(-1);
    let code = if code == 0 { String::new() } else { format!("[exit code {code}]\n") };
    format!("$ tidegate {line}\n{stdout}{stderr}{code}\n")
}

/// Replaces what differs from run to run by something of the same width.
fn masked(text: &str) -> String {
    let mut text = text.to_owned();
    for (shape, replacement) in [
        ("dddd-dd-dd dd:dd:ddZ", "2026-01-31 12:00:00Z"),
        ("dddd-dd-dd", "2026-01-31"),
        ("ddddddddTdddddd-aaaaaa", "20260131T120000-abc123"),
        (" d.d s", " 0.1 s"),
    ] {
        let mut done = String::new();
        let mut rest = text.as_str();
        while let Some(letter) = rest.chars().next() {
            if starts_with(rest, shape) {
                done += replacement;
                rest = &rest[shape.len()..];
            } else {
                done.push(letter);
                rest = &rest[letter.len_utf8()..];
            }
        }
        text = done;
    }
    text
}

/// Whether a text begins with a shape: `d` is a digit, `a` a letter or digit.
fn starts_with(text: &str, shape: &str) -> bool {
    text.len() >= shape.len()
        && text.bytes().zip(shape.bytes()).all(|(byte, shape)| match shape {
            b'd' => byte.is_ascii_digit(),
            b'a' => byte.is_ascii_alphanumeric(),
            shape => byte == shape,
        })
}

/// Asserts that tables and helps are not wider than the terminal. Sentences and
/// payloads on a line of their own are wrapped by the terminal.
fn fits(text: &str, width: usize) {
    for line in text.lines().filter(|line| line.contains("   ") && !line.contains('{')) {
        assert!(line.chars().count() <= width, "{width} columns: {line}");
    }
}

fn compare(name: &str, shown: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/snapshots").join(name);
    if std::env::var("UPDATE").is_ok_and(|update| update == "1") {
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        std::fs::write(path, shown).expect("written");
        return;
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = kept.lines().zip(shown.lines()).find(|(kept, shown)| kept != shown);
    assert!(
        kept == shown,
        "snapshots/{name} is not what the program prints: UPDATE=1 cargo test -p tidegate snapshots\n{differs:#?}"
    );
}
