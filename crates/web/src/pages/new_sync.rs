//! `/syncs/new`: a sync from two connections to a draft or an active sync. Each step is an address.

use std::sync::Arc;

use askama::Template;
use axum::extract::rejection::FormRejection;
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Redirect, Response};
use axum::{Extension, Form};
use serde::Deserialize;
use tidegate_engine::service::{
    self, ActiveProject, Draft, Engine, Filling, Refusal, Section, SyncForm, Visitor, likely_cursor,
    likely_user, mapping_fields,
};
use tidegate_model::address::encoded;
use tidegate_model::source::Dataset;
use tidegate_model::{ConnectionId, ObjectKind, Row, SyncId};

use super::connection_form::{CheckView, FieldView};
use super::preview::{Records, records};
use super::project::Judged;
use super::shell::{self, Failure, Shell};
use super::views::with_edit_path;
use crate::access::{NotNoted, Subject};

/// Datasets that a page lists; others are typed.
const LISTED: usize = 1_000;
/// What a run may remove or change before it asks, and what each limit is.
const LIMITS: &[(&str, &str)] = &[
    ("removed", "Rows that are gone, or users that are deleted"),
    ("changed", "Rows of a mirror that differ"),
    ("first_run", "Rows of the first run of a mirror"),
];
/// Rows that are shown of a table.
const ROWS: usize = 3;

/// How far the wizard is.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Step {
    from: String,
    to: String,
    dataset: String,
    /// A dataset that is not in the list.
    other: String,
    object: String,
}

/// A connection to choose.
struct Choice {
    name: String,
    kind: String,
    is_chosen: bool,
}

#[derive(Template)]
#[template(path = "new_sync.html")]
struct ChoosePage {
    shell: Shell,
    step: Step,
    sources: Vec<Choice>,
    destinations: Vec<Choice>,
    /// What can be read, once both connections are chosen.
    datasets: Option<Vec<String>>,
    objects: Vec<String>,
    trouble: Option<(String, String)>,
}

pub(super) async fn page(
    State(project): State<Arc<ActiveProject>>,
    Extension(visitor): Extension<Visitor>,
    Query(mut step): Query<Step>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let engine = project.engine();
    let other = std::mem::take(&mut step.other);
    if !other.trim().is_empty() {
        other.trim().clone_into(&mut step.dataset);
    }
    // Nothing to choose from: straight to what is missing.
    if !engine.has_source() && !project.is_read_only() {
        return Ok(Redirect::to("/connections/new?then=source").into_response());
    }
    if !step.dataset.is_empty() && !step.object.is_empty() {
        let form = FormPage::begin(&engine, &visitor, step).await?;
        return shell::page(&headers, &form);
    }
    let shell = Shell::new(&engine, "New sync", "/syncs").await?;
    let infos = engine.connector_infos();
    let choices = |chosen: &str, fits: &dyn Fn(&service::ConnectorInfo) -> bool| {
        let connections = engine.connections().into_iter();
        let fitting = connections
            .filter(|connection| infos.iter().any(|info| info.name == connection.kind && fits(info)));
        let all: Vec<Choice> = fitting
            .map(|connection| Choice {
                is_chosen: connection.connection == chosen,
                name: connection.connection,
                kind: connection.title,
            })
            .collect();
        all
    };
    let mut template = ChoosePage {
        shell,
        sources: choices(&step.from, &|info| info.source),
        destinations: choices(&step.to, &|info| !info.objects.is_empty()),
        datasets: None,
        objects: Vec::new(),
        trouble: None,
        step,
    };
    // A name that is no connection is not chosen.
    for (name, choices) in
        [(&mut template.step.from, &template.sources), (&mut template.step.to, &template.destinations)]
    {
        if !choices.iter().any(|choice| choice.is_chosen) {
            name.clear();
        }
    }
    let Step { from, to, .. } = &template.step;
    if !from.is_empty() && !to.is_empty() {
        let objects = engine.objects_of(&ConnectionId::new(to));
        template.objects = objects.iter().map(ToString::to_string).collect();
        match engine.datasets(&ConnectionId::new(from)).await {
            Ok(datasets) => {
                let mut names: Vec<String> = datasets.into_iter().map(|one| one.name).collect();
                names.truncate(LISTED);
                template.datasets = Some(names);
            }
            Err(error) => {
                template.trouble =
                    Some((super::show::prose(&error.chain()), super::show::prose(error.next_step())));
                template.datasets = Some(Vec::new());
            }
        }
    }
    shell::page(&headers, &template)
}

/// A column of the source.
struct ColumnView {
    name: String,
    kind: String,
    /// Its values in the first rows.
    values: Vec<String>,
    is_key: bool,
    is_cursor: bool,
}

/// A field of the mapping.
struct MappingView {
    name: &'static str,
    about: &'static str,
    required: bool,
    many: bool,
    /// The column that fills it.
    column: String,
    /// The text that fills it instead.
    constant: String,
    /// The columns, if it takes several.
    columns: Vec<String>,
}

impl MappingView {
    fn has(&self, column: &str) -> bool {
        self.columns.iter().any(|one| one == column)
    }
}

#[derive(Template)]
#[template(path = "new_sync_form.html")]
struct FormPage {
    shell: Shell,
    step: Step,
    /// Its connections, with the pages that change and check them.
    connections: Vec<(String, String)>,
    name: String,
    columns: Vec<ColumnView>,
    sees_rows: bool,
    /// Empty if the source finds changes itself.
    modes: Vec<(String, bool)>,
    lookback: String,
    /// What a run may remove or change before it asks: the key, the text, what it is.
    limits: Vec<(&'static str, String, &'static str)>,
    has_limits: bool,
    fields: Vec<MappingView>,
    targets: Vec<FieldView>,
    every: String,
    cron: String,
    yaml: Option<String>,
    checks: Option<Vec<CheckView>>,
    passed: bool,
    records: Option<Records>,
    judged: Option<Judged>,
}

/// A form with fields of any name, some of them several times.
type Pairs = Vec<(String, String)>;

fn first<'p>(pairs: &'p Pairs, name: &str) -> &'p str {
    pairs.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value.trim())
}

fn all(pairs: &Pairs, name: &str) -> Vec<String> {
    pairs
        .iter()
        .filter(|(key, value)| key == name && !value.is_empty())
        .map(|(_, value)| value.clone())
        .collect()
}

impl FormPage {
    /// The page before anything is filled in, with what the table itself proposes.
    async fn begin(engine: &Engine, visitor: &Visitor, step: Step) -> Result<FormPage, Failure> {
        let from = ConnectionId::new(&step.from);
        let rows = if visitor.rows { ROWS } else { 0 };
        let (dataset, rows) = engine.first_rows(&from, &step.dataset, rows).await?;
        let cursor = likely_cursor(&dataset).map(str::to_owned);
        let mut pairs: Pairs = dataset.key.iter().map(|key| ("key".to_owned(), key.clone())).collect();
        let mode = match cursor {
            Some(cursor) => {
                pairs.push(("cursor".to_owned(), cursor));
                "incremental"
            }
            None if !dataset.key.is_empty() => "mirror",
            None => "full",
        };
        pairs.push(("mode".to_owned(), mode.to_owned()));
        pairs.push(("lookback".to_owned(), "10m".to_owned()));
        pairs.push(("name".to_owned(), proposed_name(engine, &step)));
        pairs.push(("every".to_owned(), "15m".to_owned()));
        if let Some(user) = likely_user(&dataset) {
            pairs.push(("map.external_id".to_owned(), user.to_owned()));
        }
        match (object_of(&step.object), dataset.key.as_slice()) {
            (Some(ObjectKind::Event), _) => {
                pairs.push(("text.name".to_owned(), plain(table_of(&step.dataset))));
            }
            (Some(ObjectKind::CatalogItem), [id]) => pairs.push(("map.id".to_owned(), id.clone())),
            _ => {}
        }
        FormPage::of(engine, visitor, step, &dataset, &rows, &pairs).await
    }

    async fn of(
        engine: &Engine,
        visitor: &Visitor,
        step: Step,
        dataset: &Dataset,
        rows: &[Row],
        pairs: &Pairs,
    ) -> Result<FormPage, Failure> {
        let from = ConnectionId::new(&step.from);
        let (keys, cursor, mode) = (all(pairs, "key"), first(pairs, "cursor"), first(pairs, "mode"));
        let modes = match engine.keeps_checkpoint(&from) {
            true => Vec::new(),
            false => engine
                .modes_of(&from)
                .iter()
                .map(|one| (one.as_str().to_owned(), one.as_str() == mode))
                .collect(),
        };
        let columns = dataset.columns.iter().enumerate().map(|(at, column)| ColumnView {
            name: column.name.clone(),
            kind: column.data_type.to_string(),
            values: rows.iter().map(|row| value_of(row, at)).collect(),
            is_key: keys.contains(&column.name),
            is_cursor: column.name == cursor,
        });
        let object = object_of(&step.object);
        let fields = object.map(mapping_fields).unwrap_or_default().iter().map(|field| MappingView {
            name: field.name,
            about: field.about,
            required: field.required,
            many: field.many,
            column: first(pairs, &format!("map.{}", field.name)).to_owned(),
            constant: first(pairs, &format!("text.{}", field.name)).to_owned(),
            columns: all(pairs, &format!("map.{}", field.name)),
        });
        let given = pairs
            .iter()
            .filter_map(|(key, value)| Some((key.strip_prefix("target.")?.to_owned(), value.clone())))
            .collect();
        let targets = engine.target_fields(&ConnectionId::new(&step.to), &step.object);
        Ok(FormPage {
            shell: Shell::new(engine, "New sync", "/syncs").await?,
            name: first(pairs, "name").to_owned(),
            columns: columns.collect(),
            sees_rows: visitor.rows,
            modes,
            lookback: first(pairs, "lookback").to_owned(),
            has_limits: LIMITS.iter().any(|(key, _)| !first(pairs, key).is_empty()),
            limits: LIMITS.iter().map(|(key, about)| (*key, first(pairs, key).to_owned(), *about)).collect(),
            fields: fields.collect(),
            targets: targets.iter().map(|field| FieldView::new(field, &given)).collect(),
            every: first(pairs, "every").to_owned(),
            cron: first(pairs, "cron").to_owned(),
            yaml: None,
            checks: None,
            passed: false,
            records: None,
            judged: None,
            connections: [&step.from, &step.to].map(|name| with_edit_path(name.clone())).into(),
            step,
        })
    }
}

fn object_of(word: &str) -> Option<ObjectKind> {
    use ObjectKind::{CatalogItem, Deletion, Event, Purchase, User};
    [User, Event, Purchase, Deletion, CatalogItem].into_iter().find(|object| object.as_str() == word)
}

fn value_of(row: &Row, at: usize) -> String {
    /// The longest value that is shown.
    const CHARS_MAX: usize = 40;
    let row: serde_json::Value = serde_json::from_str(row.to_json().as_str()).unwrap_or_default();
    let Some((_, value)) = row.as_object().and_then(|members| members.iter().nth(at)) else {
        return String::new();
    };
    let text = match value {
        serde_json::Value::String(text) => text.clone(),
        serde_json::Value::Null => "–".to_owned(),
        other => other.to_string(),
    };
    match text.chars().count() > CHARS_MAX {
        true => text.chars().take(CHARS_MAX).chain(['…']).collect(),
        false => text,
    }
}

/// Returns the name of a table without its schema, of a file without its folder and its ending.
fn table_of(dataset: &str) -> &str {
    match dataset.rsplit_once('/') {
        Some((_, file)) => file.split('.').next().unwrap_or(file),
        None => dataset.rsplit('.').next().unwrap_or(dataset),
    }
}

/// Returns a name in small letters of any script, digits and single `_`.
fn plain(text: &str) -> String {
    let small = text.chars().flat_map(char::to_lowercase);
    let words: String = small.map(|letter| if letter.is_alphanumeric() { letter } else { '_' }).collect();
    words.split('_').filter(|word| !word.is_empty()).collect::<Vec<_>>().join("_")
}

fn proposed_name(engine: &Engine, step: &Step) -> String {
    let plain = plain(&format!("{}_to_{}", table_of(&step.dataset), step.to));
    let begins = plain.starts_with(char::is_alphabetic);
    engine.free_name(Section::Syncs, &if begins { plain } else { format!("sync_{plain}") })
}

pub(super) async fn send(
    State(project): State<Arc<ActiveProject>>,
    Extension(visitor): Extension<Visitor>,
    headers: HeaderMap,
    form: Result<Form<Pairs>, FormRejection>,
) -> Result<Response, Failure> {
    let Form(pairs) = form?;
    let engine = project.engine();
    let text = |name: &str| first(&pairs, name).to_owned();
    let step = Step {
        from: text("from"),
        to: text("to"),
        dataset: text("dataset"),
        object: text("object"),
        ..Step::default()
    };
    let act = text("act");
    let drafted = drafted(&project, &engine, &step, &pairs, act == "draft").await;
    let id = SyncId::new(text("name"));
    if let (Ok(draft), "draft" | "activate") = (&drafted, act.as_str()) {
        match project.activate_draft(draft).await {
            Ok(_) => {
                let done = if act == "draft" { "drafted" } else { "activated" };
                let there = Redirect::to(&format!("/syncs/{}?done={done}", encoded(id.as_str())));
                return Ok((Extension(Subject(format!("+ sync {id}"))), there).into_response());
            }
            Err(refusal) => {
                return again(&engine, &visitor, &headers, step, &pairs, Some(refusal), None).await;
            }
        }
    }
    match drafted {
        Ok(draft) => again(&engine, &visitor, &headers, step, &pairs, None, Some((&draft, &id))).await,
        Err(refusal) => again(&engine, &visitor, &headers, step, &pairs, Some(refusal), None).await,
    }
}

/// The form again: with what is wrong, or with what the draft would do.
async fn again(
    engine: &Engine,
    visitor: &Visitor,
    headers: &HeaderMap,
    step: Step,
    pairs: &Pairs,
    refusal: Option<Refusal>,
    draft: Option<(&Draft, &SyncId)>,
) -> Result<Response, Failure> {
    let rows = if visitor.rows { ROWS } else { 0 };
    let (dataset, rows) = engine.first_rows(&ConnectionId::new(&step.from), &step.dataset, rows).await?;
    let mut page = FormPage::of(engine, visitor, step, &dataset, &rows, pairs).await?;
    page.judged = refusal.map(Judged::refused);
    if let Some((draft, id)) = draft {
        page.yaml = Some(draft.lines.clone());
        let report = draft.engine.check_sync(id).await?;
        page.passed = report.checks.passed();
        page.checks = Some(report.checks.0.into_iter().map(CheckView::from).collect());
        page.records = Some(records(&draft.engine, id, visitor.rows).await);
    }
    Ok((Extension(NotNoted), shell::page(headers, &page)?).into_response())
}

/// Makes a draft of the project with the sync that is filled in.
async fn drafted(
    project: &ActiveProject,
    engine: &Engine,
    step: &Step,
    pairs: &Pairs,
    is_draft: bool,
) -> Result<Draft, Refusal> {
    let name = first(pairs, "name");
    if engine.has_entry(Section::Syncs, name) {
        let error = tidegate_model::Error::settings(format!("there is a sync `{name}` already"));
        return Err(error.hint("give this one another name").into());
    }
    let fields = object_of(&step.object).map(mapping_fields).unwrap_or_default();
    let filled = fields.iter().filter_map(|field| {
        let columns = all(pairs, &format!("map.{}", field.name));
        let constant = first(pairs, &format!("text.{}", field.name));
        let filling = match (field.many, columns.as_slice(), constant) {
            (true, [_, ..], _) => Filling::Columns(columns),
            (false, [column, ..], _) => Filling::Column(column.clone()),
            (false, [], text) if !text.is_empty() => Filling::Constant(text.to_owned()),
            _ => return None,
        };
        Some((field.name.to_owned(), filling))
    });
    let given = pairs
        .iter()
        .filter_map(|(key, value)| Some((key.strip_prefix("target.")?.to_owned(), value.clone())))
        .collect();
    let targets = engine.target_fields(&ConnectionId::new(&step.to), &step.object);
    let target = service::filled(&targets, &given, |_, text| serde_json::Value::String(text.to_owned()));
    let key = engine.selection_key(&ConnectionId::new(&step.from)).unwrap_or("table");
    let (every, cron) = (first(pairs, "every"), first(pairs, "cron"));
    let schedule = match (cron.is_empty(), every.is_empty()) {
        (false, _) => ("cron", cron),
        (true, false) => ("every", every),
        (true, true) => ("", ""),
    };
    let form = SyncForm {
        from: step.from.clone(),
        selection: (key.to_owned(), step.dataset.clone()),
        to: step.to.clone(),
        object: step.object.clone(),
        target,
        mode: first(pairs, "mode").to_owned(),
        cursor: first(pairs, "cursor").to_owned(),
        lookback: first(pairs, "lookback").to_owned(),
        limits: LIMITS.iter().map(|(key, _)| ((*key).to_owned(), first(pairs, key).to_owned())).collect(),
        key: all(pairs, "key"),
        mapping: filled.collect(),
        schedule: (schedule.0.to_owned(), schedule.1.to_owned()),
        is_draft,
    };
    project.draft(Section::Syncs, name, &form.settings()).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_keeps_letters_of_every_script() {
        assert_eq!(plain(table_of("mis.Größe 表 🎉")), "größe_表");
        assert_eq!(plain("drops/*.csv"), "drops_csv");
        assert_eq!(plain("public.Orders__2026_"), "public_orders_2026");
    }
}
