//! The rules of imports: rows of a source become objects of a platform.

use serde_json::{Value as Member, json};
use tidegate_model::mapping::{Absent, misfits};
use tidegate_model::{ContractRole, Lookback, MappingSpec, Mode, ObjectKind, SourceRole};

use super::findings::listed;
use super::formats::duration;
use super::habits;
use super::limits::{Limit, Limits};
use super::schedule::Schedule;
use super::sheet::{End, Sheet};
use super::spec::{Changed, Compare, ImportSpec, Removed, RowDestination, RowSource, State, not_removable};

/// Keys of a source that belong to exports.
const OF_EVENTS: &[&str] = &["kinds", "apps", "messages", "templates"];

pub(super) fn read(sheet: &mut Sheet<'_>, source: End, destination: End) -> Option<ImportSpec> {
    let why = format!("`{}` is an import: its source {} gives rows", sheet.id, source.shown());
    let Some(role) = source.connector.source else {
        let found =
            sheet.spot_of("source").finding(format!("{} gives neither rows nor events", source.shown()));
        sheet
            .findings
            .push(found.hint("read from another connection; `tidegate connectors` lists what each can be"));
        return None;
    };
    sheet.foreign_in("source", OF_EVENTS, "export", &why);
    sheet.foreign_in("destination", &["layout"], "export", &why);
    let selection = sheet.settings("source", &["connection", "time_zone"], json!((role.selection)()));
    let Some(platform) = destination.connector.platform else {
        let hint = match destination.connector.sink {
            Some(_) => "rows go to a platform; this connection takes events only",
            None => "name a connection that takes records; `tidegate connectors` lists them",
        };
        sheet.tell("destination", format!("{} takes no records, and {why}", destination.shown()), hint);
        return None;
    };
    let target = sheet.settings("destination", &["connection", "object"], json!((platform.target)()));
    let object = sheet.object(&destination, platform.objects);
    let mapping: Option<MappingSpec> = sheet.typed("mapping");
    let contract = sheet.typed::<String>("contract");
    let contract =
        contract.and_then(|name| sheet.file.contracts.iter().copied().find(|one| one.name == name));
    sheet.mapping_or_contract(object);
    let mode = sheet.mode(&role, &source, object, contract);
    let lookback = sheet.lookback(role.keeps_checkpoint);
    let primary_key = sheet.value("primary_key").map(names);
    sheet.no_key(&primary_key, contract);
    let changed = sheet.changed(mode, role.keeps_checkpoint, object);
    sheet.keyless_mirror(mode);
    let state = sheet.state(mode, &source);
    let compare = sheet.compare(mode, &source, state);
    let deletes_users = platform.objects.contains(&ObjectKind::Deletion);
    let removed = sheet.removed(mode, object, mapping.as_ref(), primary_key.as_deref(), deletes_users);
    let absent = sheet.absent(contract);
    let in_doubt = sheet.typed("in_doubt").unwrap_or_default();
    let cursor = sheet.typed("cursor");
    let options = sheet.options();
    let limits = sheet.limits(mode, object, removed, options.schedule.as_ref());
    Some(ImportSpec {
        source: RowSource { connection: source.connection, selection: selection? },
        mode: mode?,
        cursor,
        lookback,
        primary_key,
        changed,
        removed,
        state,
        compare,
        destination: RowDestination { connection: destination.connection, object: object?, target: target? },
        mapping,
        contract,
        in_doubt,
        absent,
        limits,
        options,
    })
}

/// A name, or a list of names, as a list.
fn names(value: Member) -> Vec<String> {
    match value {
        Member::String(name) => vec![name],
        Member::Array(names) => names.iter().filter_map(Member::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}

impl Sheet<'_> {
    /// Reads what rows become.
    fn object(&mut self, destination: &End, taken: &[ObjectKind]) -> Option<ObjectKind> {
        let entry = self.entry("destination")?;
        let takes: Vec<&str> = taken.iter().map(|object| object.as_str()).collect();
        let Some(written) = entry.value.entry("object") else {
            let found = self.spot_of("destination").finding("`object` is missing: what rows become");
            self.findings.push(found.hint(format!("add `object:` with one of {}", listed(takes))));
            return None;
        };
        // Whether it is a word that exists was looked at with the other keys.
        let object: ObjectKind = serde_json::from_value(written.value.to_member()).ok()?;
        if !taken.contains(&object) {
            let spot = self.spot_of("destination").key("object", written.at);
            let found = spot.finding(format!("{} does not take the object `{object}`", destination.shown()));
            let hint = format!("it takes {}", listed(takes));
            self.findings.push(found.hint(hint));
            return None;
        }
        Some(object)
    }

    /// One of `mapping` and `contract` is given, and the mapping has the fields of the object.
    fn mapping_or_contract(&mut self, object: Option<ObjectKind>) {
        match (self.entry("mapping"), self.entry("contract")) {
            (None, None) => self.tell(
                "",
                "neither `mapping` nor `contract` is given",
                "add `mapping:` with at least `external_id: <column>`, or `contract:` for a table in a fixed layout",
            ),
            (Some(_), Some(_)) => {
                self.tell("mapping", "`mapping` and `contract` exclude each other", "keep one of them");
            }
            _ => {}
        }
        let (Some(mapping), Some(object)) = (self.entry("mapping"), object) else { return };
        let schema = &self.file.schema["$defs"]["MappingSpec"]["properties"];
        let known: Vec<&str> =
            schema.as_object().into_iter().flatten().map(|(key, _)| key.as_str()).collect();
        let spot = self.spot_of("mapping");
        let mut present = Vec::new();
        let entries = mapping.value.entries();
        for entry in entries {
            if known.contains(&entry.key.as_str()) {
                present.push(entry.key.as_str());
            }
        }
        // A misspelt field was told as such: it is not missing as well.
        let meant: Vec<String> = entries
            .iter()
            .filter(|entry| !known.contains(&entry.key.as_str()))
            .filter_map(|entry| habits::of_key(&spot.path, &entry.key, &known).meant)
            .collect();
        present.extend(meant.iter().map(String::as_str));
        for misfit in misfits(&present, object) {
            let field = misfit.field.and_then(|field| mapping.value.entry(field));
            let spot = match field {
                Some(field) => spot.key(&field.key, field.at),
                None => spot.clone(),
            };
            self.findings.push(spot.finding(misfit.message).hint(misfit.hint));
        }
    }

    /// How rows are found: what is written, or what follows from the rest.
    fn mode(
        &mut self,
        role: &SourceRole,
        source: &End,
        object: Option<ObjectKind>,
        contract: Option<&ContractRole>,
    ) -> Option<Mode> {
        let wrong = self.entry("mode").is_some();
        let written: Option<Mode> = self.typed("mode");
        if wrong && written.is_none() {
            return None;
        }
        if let Some(mode) = written.filter(|mode| !role.modes.contains(mode)) {
            let modes = listed(role.modes.iter().map(|mode| mode.as_str()));
            self.tell(
                "mode",
                format!("{} is not read with `mode: {mode}`", source.shown()),
                format!("write one of {modes}"),
            );
            return None;
        }
        if role.keeps_checkpoint {
            for key in ["cursor", "lookback"] {
                if self.entry(key).is_some() {
                    let message = format!(
                        "`{key}` belongs to tables and queries; {} keeps its own position",
                        source.shown()
                    );
                    self.tell(key, message, format!("remove `{key}`"));
                }
            }
            return written.or_else(|| role.modes.first().copied());
        }
        let cursor = self.entry("cursor").is_some();
        match (written, cursor || contract.is_some()) {
            (None, true) => Some(Mode::Incremental),
            (None, false) => {
                let message = "`mode` is missing: how the rows to send are found";
                let hint = format!(
                    "{}, or `mode: mirror` to send the rows that differ from those sent before, or `mode: full` to send every row in every run",
                    self.proposal(object)
                );
                self.tell("", message, hint);
                None
            }
            (Some(Mode::Incremental), false) => {
                let hint = self.proposal(object);
                self.tell("mode", "`mode: incremental` needs a `cursor`", hint);
                None
            }
            (Some(mode @ (Mode::Full | Mode::Mirror | Mode::Stream)), true) => {
                if cursor {
                    let message = format!("`cursor` belongs to `mode: incremental`, not to `mode: {mode}`");
                    self.tell("cursor", message, format!("remove `cursor`, or `mode: {mode}`"));
                } else {
                    let found = contract.map(|contract| (contract.name, contract.cursor)).unwrap_or_default();
                    let message = format!("the contract `{}` finds rows by {}", found.0, found.1);
                    self.tell("mode", message, "remove `mode`");
                }
                None
            }
            (mode, _) => mode,
        }
    }

    /// Which cursor to write: the column of the time of an event is a good one.
    fn proposal(&self, object: Option<ObjectKind>) -> String {
        let mapping = self.entry("mapping").map(|mapping| &mapping.value);
        let time = mapping.and_then(|mapping| mapping.entry("timestamp").or_else(|| mapping.entry("time")));
        match (time.and_then(|time| time.value.text()), object) {
            (Some(column), _) => {
                format!("add `cursor: {column}`, the column mapped to `timestamp`, to send new rows only")
            }
            (None, Some(ObjectKind::Event | ObjectKind::Purchase)) => {
                "add `cursor:` with a column that grows with each new row, such as the time of the event"
                    .to_owned()
            }
            (None, _) => {
                "add `cursor:` with a column that grows with each change, such as `updated_at`".to_owned()
            }
        }
    }

    fn lookback(&mut self, keeps_checkpoint: bool) -> Option<Lookback> {
        let value = self.value("lookback")?;
        // Of `mode: incremental` without a cursor, that is what was told.
        let mode = self.entry("mode").and_then(|mode| mode.value.text());
        let by_cursor =
            self.entry("cursor").or(self.entry("contract")).is_some() || mode == Some("incremental");
        if !by_cursor && !keeps_checkpoint {
            self.tell("lookback", "`lookback` belongs to a `cursor`", "add `cursor:`, or remove `lookback`");
        }
        match value {
            Member::Number(units) => units.as_u64().map(Lookback::Units),
            Member::String(text) => match text.trim().parse() {
                Ok(units) => Some(Lookback::Units(units)),
                Err(_) => duration(&text).ok().map(Lookback::Time),
            },
            _ => None,
        }
    }

    /// A query alone names no key.
    fn no_key(&mut self, key: &Option<Vec<String>>, contract: Option<&ContractRole>) {
        let Some(source) = self.entry("source") else { return };
        let Some(query) = source.value.entry("query") else { return };
        if key.is_none() && self.entry("primary_key").is_none() && contract.is_none() {
            let spot = self.spot.key("source", source.at).key("query", query.at);
            let note = spot.finding("a query has no key: its rows are told apart by all their columns");
            self.notes.push(note.hint(
                "add `primary_key:` with the columns that name a row, so that a changed row is not a new one",
            ));
        }
    }

    /// What becomes of rows that changed. They are told by the rows that were delivered before.
    fn changed(
        &mut self,
        mode: Option<Mode>,
        keeps_checkpoint: bool,
        object: Option<ObjectKind>,
    ) -> Option<Changed> {
        let changed: Changed = self.typed("changed")?;
        let compares = match mode {
            Some(Mode::Mirror) | None => true,
            Some(Mode::Incremental) => !keeps_checkpoint,
            Some(Mode::Full | Mode::Stream) => false,
        };
        if changed == Changed::Ignore && !compares {
            self.tell(
                "changed",
                "`changed: ignore` compares the rows of a table or query that is read by a `cursor`, \
                 or by `mode: mirror`",
                "remove it: each row that is read is sent",
            );
        }
        if changed == Changed::Attributes && mode.is_some_and(|mode| mode != Mode::Mirror) {
            self.tell(
                "changed",
                "`changed: attributes` compares rows with what was sent of them, which `mode: mirror` does",
                "write `mode: mirror`, or remove it: a row that changed is sent whole",
            );
        } else if changed == Changed::Attributes && object.is_some_and(|object| object != ObjectKind::User) {
            self.tell(
                "changed",
                "`changed: attributes` is for `object: user`: no other object has attributes that are set one by one",
                "remove it",
            );
        }
        Some(changed)
    }

    /// Reads what is sent for members that a row lacks. In a fixed layout, the payload says which
    /// members there are.
    fn absent(&mut self, contract: Option<&ContractRole>) -> Absent {
        let Some(written) = self.value("absent") else { return Absent::default() };
        let absent = if written == "skip" { Absent::Skip } else { Absent::Null };
        if absent == Absent::Null && contract.is_some() {
            self.tell(
                "absent",
                "`absent: null` has no effect with `contract`: what the payload lacks is never sent",
                "remove it",
            );
        }
        absent
    }

    /// Reads what is done about rows that are gone.
    fn removed(
        &mut self,
        mode: Option<Mode>,
        object: Option<ObjectKind>,
        mapping: Option<&MappingSpec>,
        key: Option<&[String]>,
        deletes_users: bool,
    ) -> Removed {
        let removed: Removed = self.typed("removed").unwrap_or_default();
        let word = match removed {
            Removed::Ignore => return removed,
            Removed::Delete => "delete",
            Removed::Update => "update",
        };
        let fault: Option<(String, String)> = match (mode, object) {
            (Some(mode), _) if mode != Mode::Mirror => Some((
                format!("`removed: {word}` needs `mode: mirror`: with `mode: {mode}` no row is known to be gone"),
                "write `mode: mirror`, or remove it".to_owned(),
            )),
            (_, Some(object @ (ObjectKind::Event | ObjectKind::Purchase))) => Some((
                format!("`removed: {word}` is for users and catalog items: the object `{object}` cannot be taken back"),
                "remove it: rows that are gone are counted".to_owned(),
            )),
            (_, Some(ObjectKind::Deletion)) => Some((
                format!("`removed: {word}` has no effect with `object: deletion`: its rows are users to delete"),
                "remove it".to_owned(),
            )),
            (_, Some(ObjectKind::CatalogItem)) if removed == Removed::Update => Some((
                "`removed: update` sets attributes of users to null; a catalog item is replaced as a whole".to_owned(),
                "write `removed: delete`".to_owned(),
            )),
            (_, Some(ObjectKind::User)) if removed == Removed::Delete && !deletes_users => Some((
                "`removed: delete` needs a platform that deletes users".to_owned(),
                "write `removed: update`, or remove it".to_owned(),
            )),
            _ if removed == Removed::Update && mapping.is_some_and(MappingSpec::has_unnamed_attributes) => Some((
                "`removed: update` sets the attributes of the mapping to null, and their names are not all written"
                    .to_owned(),
                "list them under `attributes`, or write `removed: delete`".to_owned(),
            )),
            _ => mapping.zip(key).zip(object).and_then(|((mapping, key), object)| {
                let error = not_removable(mapping, object, key)?;
                Some((error.to_string(), error.next_step().to_string()))
            }),
        };
        if let Some((message, hint)) = fault {
            self.tell("removed", message, hint);
        }
        removed
    }

    /// Reads the brake.
    fn limits(
        &mut self,
        mode: Option<Mode>,
        object: Option<ObjectKind>,
        removed: Removed,
        schedule: Option<&Schedule>,
    ) -> Limits {
        let Some(written) = self.value("limits") else { return Limits::default() };
        let limit = |name: &str| written.get(name).and_then(Limit::read);
        let limits =
            Limits { removed: limit("removed"), changed: limit("changed"), first_run: limit("first_run") };
        let is_mirror = mode == Some(Mode::Mirror);
        for (name, limit) in [("changed", limits.changed), ("first_run", limits.first_run)] {
            if limit.is_some() && mode.is_some() && !is_mirror {
                let what = format!("`{name}` counts rows of `mode: mirror`, which compares all rows");
                self.tell("limits", what, "remove it, or write `mode: mirror`");
            }
        }
        if let Some(Limit::Percent(_)) = limits.first_run {
            let what = "no row is known before the first run, so `first_run` cannot be a share";
            self.tell("limits", what, "write a number of rows, for example `first_run: 100000`");
        }
        let Some(limit) = limits.removed else { return limits };
        let is_deletion = object == Some(ObjectKind::Deletion);
        if is_mirror && removed == Removed::Ignore && !is_deletion {
            let what = "`limits: { removed: … }` has no effect: rows that are gone are only counted";
            self.tell("limits", what, "write `removed: delete` or `removed: update`, or remove it");
        } else if !is_mirror && mode.is_some() && object.is_some() && !is_deletion {
            let what = "`removed` counts rows that are gone, which `mode: mirror` finds, or the rows of `object: deletion`";
            self.tell("limits", what, "remove it, or write `mode: mirror`");
        } else if is_deletion && matches!(limit, Limit::Percent(_)) {
            self.tell(
                "limits",
                "a sync with `object: deletion` does not know how many users there are: it has no share of them",
                "write a number of rows, for example `removed: 1000`",
            );
        } else if is_deletion && schedule == Some(&Schedule::Continuous) {
            self.tell(
                "limits",
                "`limits` counts the rows of one run, and a continuous sync is one run without end",
                "write for example `schedule: { every: 15m }`, or remove `limits`",
            );
        }
        limits
    }

    /// Tells what is written and cannot be done yet, instead of ignoring it.
    fn keyless_mirror(&mut self, mode: Option<Mode>) {
        let table = self.entry("source").is_some_and(|source| source.value.entry("table").is_some());
        if mode == Some(Mode::Mirror) && !table && self.entry("primary_key").is_none() {
            self.tell(
                "mode",
                "`mode: mirror` compares rows by their key, and only a table has one of its own",
                "add `primary_key:` with the columns whose values are different in each row",
            );
        }
    }

    /// Reads what a mirror reads of rows that are as they were.
    fn compare(&mut self, mode: Option<Mode>, source: &End, state: State) -> Compare {
        let Some(compare) = self.typed::<Compare>("compare") else { return Compare::default() };
        let table = self.entry("source").is_some_and(|source| source.value.entry("table").is_some());
        if compare != Compare::Hashes {
            return compare;
        }
        let fault = if mode.is_some_and(|mode| mode != Mode::Mirror) {
            Some((
                "`compare: hashes` is for `mode: mirror`, which compares all rows".to_owned(),
                "write `mode: mirror`, or remove it",
            ))
        } else if !source.connector.compares {
            let what = format!(
                "`compare: hashes` needs a source that makes hashes of its rows, and {} does not",
                source.shown()
            );
            Some((what, "remove it: all rows are read"))
        } else if !table {
            let what = "`compare: hashes` reads rows of a table by its key, and a query has none".to_owned();
            Some((what, "name a `table`, or remove it"))
        } else if state == State::Source {
            let what =
                "with `state: source` only rows that differ are read, so `compare: hashes` has no effect"
                    .to_owned();
            Some((what, "remove one of the two"))
        } else {
            None
        };
        if let Some((what, hint)) = fault {
            self.tell("compare", what, hint);
        }
        compare
    }

    /// Reads where a mirror keeps what it compares with.
    fn state(&mut self, mode: Option<Mode>, source: &End) -> State {
        let Some(state) = self.typed::<State>("state") else { return State::Ours };
        let table = self.entry("source").is_some_and(|source| source.value.entry("table").is_some());
        if state == State::Source && mode.is_some_and(|mode| mode != Mode::Mirror) {
            let what = "`state: source` is for `mode: mirror`, which compares all rows";
            self.tell("state", what, "write `mode: mirror`, or remove it");
        } else if state == State::Source && !source.connector.compares {
            let what = format!(
                "`state: source` needs a source that compares its rows itself, and {} does not",
                source.shown()
            );
            self.tell("state", what, "remove it: the rows are compared here, and the source is only read");
        } else if state == State::Source && !table {
            let what = "`state: source` compares rows of a table by its key, and a query has none";
            self.tell("state", what, "name a `table`, or remove it");
        }
        state
    }
}
