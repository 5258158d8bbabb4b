//! `/syncs` and `/syncs/{sync}`

use std::sync::Arc;

use askama::Template;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Deserialize;
use serde_json::Value;
use tidegate_engine::service::{Engine, Health};
use tidegate_model::SyncId;

use tidegate_model::address::encoded;

use super::shell::{self, Failure, Shell, known};
use super::show::{self, ago, number};
use super::views::{GroupView, RunView, SyncView};

/// Which syncs a list shows.
#[derive(Debug, Deserialize)]
pub(super) struct Filter {
    state: Option<String>,
    /// The number of the first sync of the page, from 0.
    from: Option<usize>,
}

/// Syncs on a page.
const SHOWN: usize = 50;

/// A filter of a list, with the number of what it shows.
pub(super) struct Chip {
    pub(super) path: String,
    pub(super) name: &'static str,
    pub(super) count: String,
    pub(super) is_current: bool,
}

#[derive(Template)]
#[template(path = "syncs.html")]
struct SyncsPage {
    shell: Shell,
    chips: Vec<Chip>,
    syncs: Vec<SyncView>,
    /// The next page, if there is one.
    next: Option<String>,
}

/// The filters of the list: a word in the address, a name, and the states it shows.
const CHIPS: &[(&str, &str, &[Health])] = &[
    ("needs_you", "Needs you", &[Health::Broken, Health::NeedsAttention]),
    ("healthy", "Healthy", &[Health::Healthy]),
    ("paused", "Paused", &[Health::Paused]),
    ("new", "Not run yet", &[Health::New]),
    ("draft", "Drafts", &[Health::Draft]),
];

pub(super) async fn list(
    State(engine): State<Arc<Engine>>,
    filter: Result<Query<Filter>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let Query(Filter { state, from }) = filter?;
    let mut overview = engine.overview().await?;
    let count =
        |states: &[Health]| overview.syncs.iter().filter(|sync| states.contains(&sync.health)).count();
    let mut chips = vec![Chip {
        path: "/syncs".to_owned(),
        name: "All",
        count: number(overview.syncs.len() as u64),
        is_current: state.is_none(),
    }];
    for (word, name, states) in CHIPS.iter().filter(|(.., states)| count(states) > 0) {
        chips.push(Chip {
            path: format!("/syncs?state={word}"),
            name,
            count: number(count(states) as u64),
            is_current: state.as_deref() == Some(word),
        });
    }
    let wanted = CHIPS.iter().find(|(word, ..)| state.as_deref() == Some(word)).map(|(.., states)| states);
    overview.syncs.retain(|sync| wanted.is_none_or(|states| states.contains(&sync.health)));
    let (from, count) = (from.unwrap_or_default(), overview.syncs.len());
    let state = state.map(|state| format!("state={}&", encoded(&state))).unwrap_or_default();
    let behind = from.saturating_add(SHOWN);
    let mut shown: Vec<_> = overview.syncs.into_iter().skip(from).take(SHOWN).collect();
    engine.read_recent_runs(&mut shown).await?;
    engine.read_reasons(&mut shown).await?;
    let template = SyncsPage {
        shell: Shell::new(&engine, "Syncs", "/syncs").await?,
        chips,
        syncs: shown.iter().map(|sync| SyncView::new(sync, overview.at)).collect(),
        next: (behind < count).then(|| format!("/syncs?{state}from={behind}")),
    };
    shell::page(&headers, &template)
}

/// A partition of a sync's stream.
struct LagView {
    partition: String,
    position: String,
    behind: String,
    last_seen: String,
}

#[derive(Template)]
#[template(path = "sync.html")]
struct SyncPage {
    shell: Shell,
    sync: SyncView,
    mode: Option<&'static str>,
    /// What a run of this mode reads, in words.
    reads_what: &'static str,
    cursor: Option<String>,
    mapping: Vec<(String, String)>,
    reads: Vec<(String, String)>,
    writes: Vec<(String, String)>,
    contacts: String,
    groups: Vec<GroupView>,
    runs: Vec<RunView>,
    lag: Vec<LagView>,
    /// What was done right before, as HTML.
    done: String,
    /// Whether a reset was asked for by another name.
    mistyped: bool,
}

/// What was done right before.
#[derive(Debug, Deserialize)]
pub(super) struct Done {
    #[serde(default)]
    done: String,
}

pub(super) async fn page(
    State(engine): State<Arc<Engine>>,
    Path(sync): Path<String>,
    done: Result<Query<Done>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let Query(Done { done }) = done?;
    let id = known(&engine, &sync)?;
    shell::page(&headers, &SyncPage::new(&engine, &id, &done).await?)
}

/// The page of a sync that was not reset, since the name that was typed is not its own.
pub(super) async fn not_reset(
    engine: &Engine,
    id: &SyncId,
    headers: &HeaderMap,
) -> Result<Response, Failure> {
    let page = SyncPage { mistyped: true, ..SyncPage::new(engine, id, "").await? };
    shell::page_of_failure(headers, &page)
}

impl SyncPage {
    async fn new(engine: &Engine, id: &SyncId, done: &str) -> Result<SyncPage, Failure> {
        let details = engine.sync_details(id).await?;
        let shell = Shell::new(engine, id.as_str(), "/syncs").await?;
        let now = shell.now;
        let export = details.mode.is_none();
        let overview = &details.overview;
        let lag = |lag: &tidegate_model::Lag| LagView {
            partition: lag.partition.clone(),
            position: number(lag.position),
            behind: number(lag.behind),
            last_seen: lag.last_seen.map(|at| ago(at, now)).unwrap_or_default(),
        };
        Ok(SyncPage {
            sync: SyncView::new(overview, now),
            mode: details.mode,
            reads_what: match details.mode {
                None => "events, as they come in",
                Some("full") => "every row, in every run",
                Some("mirror") => "all rows, and sends those that differ",
                Some("stream") => "messages, as they come in",
                Some(_) => "what is new since the last run",
            },
            cursor: details.cursor.clone(),
            mapping: details.mapping.as_ref().map(mapped).unwrap_or_default(),
            reads: lines(&details.reads),
            writes: lines(&details.writes),
            contacts: overview.status.contacts.join(", "),
            groups: details.groups.iter().map(|group| GroupView::new(group, now)).collect(),
            runs: overview.recent_runs.iter().take(10).map(|run| RunView::new(run, export, now)).collect(),
            lag: overview.status.lag.iter().map(lag).collect(),
            mistyped: false,
            done: show::marked(match done {
                "paused" => "It is paused: it does not run until you resume it.",
                "dismissed" => "The rows are closed. `tidegate rows --dismissed` lists them with the note.",
                "activated" => "It is active.",
                "drafted" => "It is saved as a draft.",
                "resumed" => "It is active again.",
                "reset" => "Its checkpoint is cleared: the next run reads from the beginning.",
                "started" => "A run has started. It is listed below as soon as it has read something.",
                _ => "",
            }),
            shell,
        })
    }
}

/// A mapping as pairs: a field of the destination, and what fills it.
fn mapped(mapping: &Value) -> Vec<(String, String)> {
    let fields = mapping.as_object().into_iter().flatten().filter(|(_, from)| !from.is_null());
    fields.map(|(field, from)| (field.clone(), filled(from))).collect()
}

/// What fills a field, in words.
fn filled(from: &Value) -> String {
    match from {
        Value::String(column) => format!("column {column}"),
        Value::Array(columns) => {
            let names: Vec<&str> = columns.iter().filter_map(Value::as_str).collect();
            match names.as_slice() {
                [name] => format!("column {name}"),
                _ => format!("columns {}", names.join(", ")),
            }
        }
        Value::Object(members) => match (members.get("value"), members.get("column"), members.get("rest")) {
            (Some(constant), ..) => format!("always {}", plain(constant)),
            (_, Some(column), _) => format!("column {}", plain(column)),
            (.., Some(Value::Bool(true))) => "every column that is not used above".to_owned(),
            _ => {
                let parts = members.iter().filter(|(_, part)| !part.is_null());
                parts.map(|(name, part)| format!("{name}: {}", nested(part))).collect::<Vec<_>>().join(", ")
            }
        },
        other => plain(other),
    }
}

fn nested(part: &Value) -> String {
    match part {
        Value::Object(members) => {
            let all = members.iter().map(|(name, from)| format!("{name} ← {}", filled(from)));
            all.collect::<Vec<_>>().join(", ")
        }
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(", "),
        other => plain(other),
    }
}

/// Settings as pairs.
pub(super) fn lines(settings: &Value) -> Vec<(String, String)> {
    let members = settings.as_object().into_iter().flatten();
    members.map(|(name, value)| (name.replace('_', " "), plain(value))).collect()
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(", "),
        Value::Object(members) => {
            let all =
                members.iter().map(|(name, value)| format!("{}: {}", name.replace('_', " "), plain(value)));
            all.collect::<Vec<_>>().join(", ")
        }
        Value::Null => "–".to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_mapping_reads_as_sentences() {
        let mapping = json!({
            "external_id": "customer", "name": { "value": "order_placed" }, "email": null,
            "properties": { "columns": ["id", "store"], "fields": { "total": "order_total" } },
            "attributes": ["first_name", "last_name"],
        });
        let shown: Vec<String> =
            mapped(&mapping).iter().map(|(field, from)| format!("{field} = {from}")).collect();
        assert_eq!(
            shown,
            [
                "external_id = column customer",
                "name = always order_placed",
                "properties = columns: id, store, fields: total ← column order_total",
                "attributes = columns first_name, last_name",
            ]
        );
    }
}
