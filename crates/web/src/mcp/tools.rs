//! The tools: what they are called, who may use them, what they change.

use std::sync::Arc;

use rmcp::model::{JsonObject, Tool, ToolAnnotations};
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::Value;
use tidegate_engine::service::Visitor;
use tidegate_model::people::Role;

use super::arguments as take;
use crate::rules::Right;

/// One tool.
pub(super) struct Described {
    pub(super) name: &'static str,
    title: &'static str,
    text: &'static str,
    /// What it asks of those who use it.
    pub(super) needs: Right,
    /// How the audit log calls it; empty for what is not noted.
    pub(super) action: &'static str,
    arguments: fn() -> JsonObject,
    changes: Changes,
}

/// What a tool changes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Changes {
    /// Nothing.
    Nothing,
    /// When a sync runs.
    Schedule,
    /// What a platform has: rows are sent to it.
    Platform,
}

const VIEW: Right = Right::Role(Role::Viewer);
const EDIT: Right = Right::Role(Role::Editor);

const TOOLS: &[Described] = &[
    Described {
        name: "list_syncs",
        title: "Syncs and their health",
        text: "Lists syncs with their health, the sentence that says why, their last run and their failed rows; those \
            that need a person come first.",
        needs: VIEW,
        action: "",
        arguments: schema::<take::Syncs>,
        changes: Changes::Nothing,
    },
    Described {
        name: "get_sync",
        title: "One sync",
        text: "Returns a sync with its mapping, mode, checkpoint, what is read and written, and its failed rows by \
            reason.",
        needs: VIEW,
        action: "",
        arguments: schema::<take::OneSync>,
        changes: Changes::Nothing,
    },
    Described {
        name: "list_runs",
        title: "Runs",
        text: "Lists runs, newest first, with their counts of rows and what ended them.",
        needs: VIEW,
        action: "",
        arguments: schema::<take::Runs>,
        changes: Changes::Nothing,
    },
    Described {
        name: "get_run",
        title: "One run",
        text: "Returns one run: its counts so far, how it ended, and the error with the next step.",
        needs: VIEW,
        action: "",
        arguments: schema::<take::OneRun>,
        changes: Changes::Nothing,
    },
    Described {
        name: "list_failed_row_groups",
        title: "Failed rows by reason",
        text: "Lists open failed rows in groups by reason, with the number of rows and users, without values of rows.",
        needs: VIEW,
        action: "",
        arguments: schema::<take::Groups>,
        changes: Changes::Nothing,
    },
    Described {
        name: "list_failed_rows",
        title: "Failed rows",
        text: "Lists open failed rows with the values that were read. They are personal data: ask for few, and repeat \
            only what is needed.",
        needs: Right::Rows,
        action: "see_rows",
        arguments: schema::<take::FailedRows>,
        changes: Changes::Nothing,
    },
    Described {
        name: "get_user_timeline",
        title: "What happened to a user",
        text: "Returns the rows that were sent for a user and the events that came back, newest first. They are \
            personal data.",
        needs: Right::Rows,
        action: "see_user",
        arguments: schema::<take::User>,
        changes: Changes::Nothing,
    },
    Described {
        name: "plan_sync",
        title: "What a run would send",
        text: "Returns what a run of a sync would send, by a dry run that reads the source and sends nothing: rows, \
            requests, how long they take, what is billed, and why rows would be rejected.",
        needs: VIEW,
        action: "",
        arguments: schema::<take::OneSync>,
        changes: Changes::Nothing,
    },
    Described {
        name: "run_sync",
        title: "Run a sync",
        text: "Runs a sync now, within its limits or exactly as planned, and waits until it ends. Rows sent to the \
            platform cannot be taken back.",
        needs: EDIT,
        action: "run_sync",
        arguments: schema::<take::Start>,
        changes: Changes::Platform,
    },
    Described {
        name: "retry_failed_rows",
        title: "Send failed rows again",
        text: "Sends rejected rows of a sync again, as the source has them now. Fix the cause first.",
        needs: EDIT,
        action: "retry_rows",
        arguments: schema::<take::Retry>,
        changes: Changes::Platform,
    },
    Described {
        name: "pause_sync",
        title: "Pause a sync",
        text: "Keeps a sync from running until it is resumed.",
        needs: EDIT,
        action: "pause_sync",
        arguments: schema::<take::Pause>,
        changes: Changes::Schedule,
    },
    Described {
        name: "resume_sync",
        title: "Resume a sync",
        text: "Lets a paused sync run again.",
        needs: EDIT,
        action: "resume_sync",
        arguments: schema::<take::OneSync>,
        changes: Changes::Schedule,
    },
];

/// Returns the tool of this name.
pub(super) fn named(name: &str) -> Option<&'static Described> {
    TOOLS.iter().find(|tool| tool.name == name)
}

/// Returns the tools that a visitor may use.
pub(super) fn of(visitor: &Visitor) -> Vec<Tool> {
    TOOLS.iter().filter(|tool| tool.needs.is_had_by(visitor)).map(Described::tool).collect()
}

impl Described {
    fn tool(&self) -> Tool {
        let hints = ToolAnnotations::new()
            .read_only(self.changes == Changes::Nothing)
            .destructive(self.changes == Changes::Platform)
            .idempotent(self.changes != Changes::Platform)
            .open_world(self.changes == Changes::Platform);
        Tool::new(self.name, self.text, Arc::new((self.arguments)()))
            .with_title(self.title)
            .with_annotations(hints)
    }
}

fn schema<T: JsonSchema>() -> JsonObject {
    let mut schema = SchemaGenerator::default().into_root_schema_for::<T>();
    for superfluous in ["$schema", "title", "description"] {
        schema.remove(superfluous);
    }
    match schema.to_value() {
        Value::Object(schema) => schema,
        _ => JsonObject::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(role: Role, rows: bool) -> Vec<String> {
        let visitor = Visitor { name: "token agent".to_owned(), role, rows };
        of(&visitor).into_iter().map(|tool| tool.name.into_owned()).collect()
    }

    #[test]
    fn an_agent_that_may_only_look_is_offered_nothing_that_changes_anything() {
        assert_eq!(TOOLS.len(), 12);
        let looks = names(Role::Viewer, false);
        assert_eq!(looks.len(), 6, "{looks:?}");
        for tool in TOOLS.iter().filter(|tool| looks.iter().any(|name| name == tool.name)) {
            assert!(tool.changes == Changes::Nothing, "{}", tool.name);
        }
        assert_eq!(names(Role::Viewer, true).len(), 8);
        assert_eq!(names(Role::Editor, false).len(), 10);
        assert_eq!(names(Role::Admin, true).len(), 12);
    }

    #[test]
    fn every_tool_says_what_it_takes() {
        for tool in of(&Visitor { name: String::new(), role: Role::Admin, rows: true }) {
            assert_eq!(tool.input_schema["type"], "object", "{}", tool.name);
            let members = tool.input_schema.get("properties").and_then(Value::as_object);
            for (name, member) in members.into_iter().flatten() {
                let text = member["description"].as_str().unwrap_or_default();
                assert!(text.len() > 10, "{} {name}", tool.name);
            }
        }
    }
}
