//! The pages under `docs/reference`: what the program says of itself.
//!
//! `UPDATE=1 cargo test -p tidegate reference_is_up_to_date` rewrites them.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::process::Command;

use serde_json::Value;

use crate::support::repository;

const HEAD: &str = "<!-- Written by a test: UPDATE=1 cargo test -p tidegate reference_is_up_to_date -->\n\n";

#[test]
fn reference_is_up_to_date() {
    let folder = repository().join("docs/reference");
    let update = std::env::var("UPDATE").is_ok_and(|update| update == "1");
    for (name, page) in [
        ("project-file.md", project_file()),
        ("connectors.md", connectors()),
        ("command-line.md", command_line()),
        ("json.md", json_output()),
    ] {
        let path = folder.join(name);
        let page = format!("{HEAD}{}\n", page.trim_end());
        if update {
            std::fs::create_dir_all(&folder).expect("made");
            std::fs::write(&path, page).expect("written");
        } else {
            let kept = std::fs::read_to_string(&path).unwrap_or_default();
            assert!(
                kept == page,
                "docs/reference/{name} is not what the program says: \
                 UPDATE=1 cargo test -p tidegate reference_is_up_to_date"
            );
        }
    }
}

/// What the program prints; the environment of the caller does not show in it.
fn prints(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_tidegate"))
        .args(arguments)
        .env("COLUMNS", "100")
        .env_remove("TIDEGATE_STORE")
        .env_remove("TIDEGATE_HISTORY_DAYS")
        .output()
        .expect("tidegate starts");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

fn json(arguments: &[&str]) -> Value {
    serde_json::from_str(&prints(arguments)).expect("JSON")
}

// --- project files -----------------------------------------------------------

fn project_file() -> String {
    let schema = json(&["schema"]);
    let mut page = "# The project file\n\n\
        `tidegate.yaml` or `tidegate.yml`, in the folder that `--project` names. `tidegate schema` prints the\n\
        same as a JSON Schema for editors; `tidegate validate` checks a file without connecting to anything\n\
        and reports every error with its line and column.\n\n\
        In connections, and in the source and destination of a sync except in `query`, a value may be a\n\
        reference: `${NAME}` or `${NAME:-default}` for an environment variable, also inside of other text,\n\
        `{ file: PATH }` for the text of a file, `{ secret: NAME }` for one that `tidegate secret set` stored.\n\
        Inside `{ }` they need quotes. `$${` is a literal `${`.\n"
        .to_owned();
    write_object(&mut page, "##", "Top level", &schema, &schema);
    page.push_str("\n## Channels\n\nWhat a channel under `alerts.channels` takes besides `type`.\n");
    for channel in schema["$defs"]["Channel"]["oneOf"].as_array().expect("a list") {
        let mut channel = channel.clone();
        let properties = channel["properties"].as_object_mut().expect("properties");
        let kind = properties.shift_remove("type").expect("a type")["const"].clone();
        write_object(&mut page, "###", &format!("`{}`", word(&kind)), &channel, &schema);
    }
    page
}

// --- connectors --------------------------------------------------------------

fn connectors() -> String {
    let mut page = "# Connectors\n\n\
        The settings of each connector under `connections`, and its keys under `source` and\n\
        `destination` of a sync. `tidegate connectors TYPE` prints the page of a connector.\n"
        .to_owned();
    for connector in json(&["connectors", "--output", "json"])["connectors"].as_array().expect("a list") {
        let text = |name: &str| connector[name].as_str().expect("text");
        let _ = write!(page, "\n## {} (`type: {}`)\n", text("title"), text("type"));
        let objects: Vec<String> = connector["objects"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|object| format!("`{}`", word(object)))
            .collect();
        let mut roles = Vec::new();
        if connector["source"] == true {
            roles.push("Rows are read from it.".to_owned());
        }
        if !objects.is_empty() {
            roles.push(format!("It takes {}.", objects.join(", ")));
        }
        if connector["sink"] == true {
            roles.push("Events are exported to it.".to_owned());
        }
        if connector["ingest"] == true {
            roles.push("Events come in through it.".to_owned());
        }
        if connector["sandbox"] == true {
            roles.push("Its API is served by `tidegate sandbox` and by `endpoint: sandbox`.".to_owned());
        }
        let _ = write!(page, "\n{}\n", roles.join(" "));
        let _ = write!(page, "\nWhat was tried: {}\n", what_was_tried(text("type")));
        for (title, part) in
            [("Connection", "settings"), ("Under `source`", "selection"), ("Under `destination`", "target")]
        {
            if connector[part].is_object() {
                write_object(&mut page, "###", title, &connector[part], &connector[part]);
            }
        }
    }
    page
}

/// What a connector was tried against, as its own page says.
fn what_was_tried(connector: &str) -> String {
    let page = prints(&["connectors", connector]);
    let (_, tried) = page
        .split_once("\n## What was tried\n\n")
        .unwrap_or_else(|| panic!("the README.md of {connector} does not say what was tried"));
    let end = ["\n## ", "\nSettings\n"].iter().filter_map(|next| tried.find(next)).min();
    let tried = tried[..end.unwrap_or(tried.len())].split_whitespace().collect::<Vec<_>>().join(" ");
    tried.replace("](../../../../docs/", "](../")
}

// --- schemas -----------------------------------------------------------------

/// A table of an object's keys, then what is to say of the definitions it refers to.
fn write_object(page: &mut String, level: &str, title: &str, object: &Value, root: &Value) {
    write_objects(page, level, title, object, root, &mut Vec::new());
}

/// The same, without the definitions that the page has already.
fn write_objects(
    page: &mut String,
    level: &str,
    title: &str,
    object: &Value,
    root: &Value,
    told: &mut Vec<String>,
) {
    let mut waiting = VecDeque::from([(title.to_owned(), object)]);
    while let Some((title, object)) = waiting.pop_front() {
        let mut names = Vec::new();
        let _ = write!(page, "\n{level} {title}\n");
        if let Some(help) = object["description"].as_str() {
            let _ = write!(page, "\n{}\n", help.replace('\n', " "));
        }
        match object["properties"].as_object() {
            Some(_) => write_keys(page, object, root, &mut names),
            None => drop(value_of(object, root, &mut names)),
        }
        for name in names {
            if !told.contains(&name) {
                waiting.push_back((title_of(&name).to_owned(), &root["$defs"][&name]));
                told.push(name);
            }
        }
    }
}

fn write_keys(page: &mut String, object: &Value, root: &Value, names: &mut Vec<String>) {
    let required: Vec<&str> = object["required"].as_array().into_iter().flatten().map(word).collect();
    page.push_str("\n| key | value | default | |\n|---|---|---|---|\n");
    for (name, property) in object["properties"].as_object().into_iter().flatten() {
        let value = value_of(property, root, names);
        let default = match (&property["default"], required.contains(&name.as_str())) {
            (_, true) => "required".to_owned(),
            // What is not one word or number is told by the description.
            (Value::Null | Value::Array(_) | Value::Object(_), _) => String::new(),
            (default, _) => format!("`{default}`"),
        };
        let _ = writeln!(page, "| `{name}` | {value} | {default} | {} |", cell(&property["description"]));
    }
}

/// `SyncSpec` → `Sync`.
fn title_of(name: &str) -> &str {
    name.strip_suffix("Spec").unwrap_or(name)
}

/// The kind of value that a schema allows; the definitions it names are added to `names`.
fn value_of(schema: &Value, root: &Value, names: &mut Vec<String>) -> String {
    if let Some(name) = schema["$ref"].as_str().and_then(|path| path.strip_prefix("#/$defs/")) {
        // An event has a channel, too: one of five words.
        let is_of_words = !root["$defs"][name]["oneOf"][0]["const"].is_null();
        if name == "Channel" && !is_of_words {
            return "`type` and the settings of that [channel](#channels)".to_owned();
        }
        if name == "Reference" {
            return String::new();
        }
        if name == "Connection" {
            return "`type` and the settings of that [connector](connectors.md)".to_owned();
        }
        let definition = &root["$defs"][name];
        if name == "Secret" {
            return "secret: `${NAME}`, `{ file: path }`, `{ secret: name }`".to_owned();
        }
        if definition["properties"].is_object() || names_others(definition) {
            names.push(name.to_owned());
            return format!("[{0}](#{0})", title_of(name).to_lowercase());
        }
        return value_of(definition, root, names);
    }
    for choice in ["oneOf", "anyOf"] {
        if let Some(choices) = schema[choice].as_array() {
            let mut kinds: Vec<String> = choices
                .iter()
                .map(|choice| value_of(choice, root, names))
                .filter(|kind| !kind.is_empty())
                .collect();
            kinds.dedup();
            return kinds.join(" or ");
        }
    }
    if let Some(constant) = schema.get("const") {
        let help = cell(&schema["description"]);
        return if help.is_empty() {
            format!("`{}`", word(constant))
        } else {
            format!("`{}` ({})", word(constant), help.trim_end_matches('.'))
        };
    }
    if let Some(words) = schema["enum"].as_array() {
        let words = words.iter().filter(|one| one.is_string());
        return words.map(|one| format!("`{}`", word(one))).collect::<Vec<_>>().join(" or ");
    }
    let kind = match &schema["type"] {
        Value::Array(kinds) => kinds.iter().map(word).find(|kind| *kind != "null").unwrap_or_default(),
        kind => word(kind),
    };
    match kind {
        "array" => format!("list of {}", value_of(&schema["items"], root, names)),
        "object" if schema["additionalProperties"].is_object() => {
            format!("name: {}", value_of(&schema["additionalProperties"], root, names))
        }
        "object" if schema["properties"].is_object() => {
            let members = schema["properties"].as_object().into_iter().flatten();
            let members: Vec<&str> = members.map(|(name, _)| name.as_str()).collect();
            format!("`{{ {} }}`", members.join(", "))
        }
        // A choice without a value of its own: its description begins with the word that is written.
        "null" => word(&schema["description"]).split_inclusive('`').take(2).collect(),
        "string" => "text".to_owned(),
        "integer" => "whole number".to_owned(),
        "boolean" => "`true` or `false`".to_owned(),
        "" => "any".to_owned(),
        other => other.to_owned(),
    }
}

/// Whether a definition is a choice between others.
fn names_others(definition: &Value) -> bool {
    let choices = definition["anyOf"].as_array().into_iter().flatten();
    choices.filter(|choice| choice["$ref"].is_string()).count() > 1
}

fn word(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// A description as one cell of a table.
fn cell(value: &Value) -> String {
    word(value).replace('\n', " ").replace('|', "\\|")
}

// --- the command line ----------------------------------------------------------

/// One line of a help text: what is written, and what it means.
type Entry = (String, String);

fn command_line() -> String {
    let help = prints(&["-h"]);
    let mut page = format!(
        "# The command line\n\n    {}\n\n\
         Data goes to stdout, everything else to stderr. `tidegate help VERB` prints a verb with its examples.\n\
         `--output json` and `--output jsonl` are described in [JSON output](json.md).\n\n\
         | exit code | |\n|---|---|\n| 0 | done |\n| 1 | failed, or stopped |\n\
         | 2 | wrong usage or configuration |\n| 3 | partial: rows were rejected or are in doubt |\n\
         | 4 | `apply --exit-code`: something changes |\n",
        usage(&help)
    );
    page.push_str("\n## Global options\n");
    let long = prints(&["--help"]);
    let mut global = section(&long, "Options:");
    global.retain(|(written, _)| !written.contains("--help") && !written.contains("--version"));
    write_entries(&mut page, &global);
    let listed = help.lines().skip_while(|line| !line.starts_with("Set up:"));
    for line in listed.take_while(|line| *line != "Options:") {
        let Some((verb, about)) = line.strip_prefix("  ").and_then(|line| line.split_once(' ')) else {
            continue;
        };
        if !verb.is_empty() && verb != "help" {
            write_verb(&mut page, "##", &[verb], about.trim());
        }
    }
    page
}

fn write_verb(page: &mut String, level: &str, verb: &[&str], about: &str) {
    let help = prints(&[verb, &["-h"]].concat());
    let _ = write!(page, "\n{level} {}\n\n{about}.\n\n    {}\n", verb.join(" "), usage(&help));
    let mut own = section(&help, "Arguments:");
    own.extend(section(&help, "Options:"));
    own.retain(|(written, _)| !written.starts_with("-h,") && !written.starts_with("-V,"));
    if !own.is_empty() {
        write_entries(page, &own);
    }
    let examples: Vec<&str> = help.lines().skip_while(|line| *line != "Examples:").skip(1).collect();
    if !examples.is_empty() {
        page.push_str("\nExamples:\n\n");
        for line in examples {
            let _ = writeln!(page, "  {line}");
        }
    }
    for (inner, about) in section(&help, "Commands:") {
        if inner != "help" {
            write_verb(page, "###", &[verb, &[inner.as_str()]].concat(), &about);
        }
    }
}

fn write_entries(page: &mut String, entries: &[Entry]) {
    page.push_str("\n| | |\n|---|---|\n");
    for (written, meaning) in entries {
        let meaning = meaning.replace('|', "\\|").replace(" Possible values: - ", ": ").replace(" - ", "; ");
        let _ = writeln!(page, "| `{written}` | {meaning} |");
    }
}

fn usage(help: &str) -> &str {
    help.lines().find_map(|line| line.strip_prefix("Usage: ")).expect("a usage line")
}

/// The entries below a heading. A long one has its meaning on the next line.
fn section(help: &str, heading: &str) -> Vec<Entry> {
    /// A meaning is further to the right than the thing it belongs to.
    const INDENT_MAX: usize = 6;
    let mut entries: Vec<Entry> = Vec::new();
    let lines = help.lines().skip_while(|line| *line != heading).skip(1);
    for line in lines.take_while(|line| line.is_empty() || line.starts_with(' ')) {
        let text = line.trim();
        let indent = line.len() - line.trim_start().len();
        match (indent <= INDENT_MAX, entries.last_mut()) {
            _ if text.is_empty() => {}
            (true, _) => {
                let (written, meaning) = text.split_once("  ").unwrap_or((text, ""));
                entries.push((written.to_owned(), meaning.trim().to_owned()));
            }
            (false, Some((_, meaning))) => {
                let space = if meaning.is_empty() { "" } else { " " };
                let _ = write!(meaning, "{space}{text}");
            }
            (false, None) => {}
        }
    }
    entries
}

// --- JSON ------------------------------------------------------------------------

fn json_output() -> String {
    let mut page = "# JSON output\n\n\
        With `--output json` every verb prints one JSON object on stdout and nothing on stderr, except for\n\
        logs. Lists are members of that object under a plural name. A verb that fails as a whole prints an\n\
        `error` object instead; the exit code is the same as for text. With `--output jsonl` the object is on\n\
        one line; a verb that prints a list prints each element of the list on a line of its own.\n\n\
        Members that are not known are `null`, never left out: a run that could not begin has the keys of\n\
        one that succeeded. New members may be added; members are not renamed or removed without a note in\n\
        the changelog. Times are RFC 3339 in UTC. Rows and requests keep the digits of their numbers.\n\n\
        `tidegate schema VERB` prints the JSON Schema of what a verb prints, for example\n\
        `tidegate schema run` or `tidegate schema error`. `serve` and `completions` print no JSON.\n"
        .to_owned();
    let mut told = Vec::new();
    for name in documents() {
        let words: Vec<&str> = ["schema"].into_iter().chain(name.split(' ')).collect();
        let schema = json(&words);
        write_objects(&mut page, "##", &name, &schema, &schema, &mut told);
    }
    page
}

/// The names of all documents, as the error of an unknown one lists them.
pub(crate) fn documents() -> Vec<String> {
    let output = Command::new(env!("CARGO_BIN_EXE_tidegate"))
        .args(["schema", "fly", "--output", "json"])
        .output()
        .expect("tidegate starts");
    let failure: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let names =
        failure["error"]["next_step"].as_str().and_then(|text| text.strip_prefix("the documents are: "));
    names.expect("the names").split(", ").map(str::to_owned).collect()
}
