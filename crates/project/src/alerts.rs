//! Alerts: where messages go, and which alerts a sync has.

use indexmap::IndexMap;
use serde_json::{Value as Member, json};
use tidegate_model::alert::ChannelType;

use super::conform::{Conform, Spot};
use super::file_position::FilePosition;
use super::findings::{Finding, listed, nearest};
use super::formats::age;
use super::habits;
use super::references::Written;
use super::sheet::Sheet;
use super::spec::{AlertRules, Alerts, ChannelSpec};
use super::yaml::{Data, Entry, Node};

/// Reads the alerts of a project.
pub(super) fn read(
    root: &Node,
    schema: &Member,
    channels: &'static [ChannelType],
    findings: &mut Vec<Finding>,
) -> Alerts {
    let Some(entry) = root.entry("alerts") else { return Alerts::default() };
    // The settings of a channel follow from its type, and are read apart.
    let mut own = schema["$defs"]["Alerts"].clone();
    own["properties"]["channels"] = Member::Bool(true);
    let mut conform = Conform::plain(schema);
    let value = conform.read(&entry.value, &own, &Spot::new(entry.at, "alerts"));
    findings.append(&mut conform.findings);
    let mut alerts = Alerts {
        channels: IndexMap::new(),
        dashboard: value["dashboard"].as_str().map(|url| url.trim_end_matches('/').to_owned()),
        rules: rules(&value),
    };
    for entry in listed_channels(root) {
        if let Some(channel) = channel(entry, channels, findings) {
            alerts.channels.insert(entry.key.clone(), channel);
        }
    }
    alerts
}

/// Returns the names of the channels, also of those that cannot be used.
pub(super) fn names(root: &Node) -> Vec<String> {
    listed_channels(root).iter().map(|entry| entry.key.clone()).collect()
}

fn listed_channels(root: &Node) -> &[Entry] {
    let channels = root.entry("alerts").and_then(|entry| entry.value.entry("channels"));
    channels.map_or(&[], |entry| entry.value.entries())
}

fn channel(
    entry: &Entry,
    channels: &'static [ChannelType],
    findings: &mut Vec<Finding>,
) -> Option<ChannelSpec> {
    let spot = Spot::new(entry.at, format!("alerts.channels.{}", entry.key));
    let types: Vec<&str> = channels.iter().map(|channel| channel.kind).collect();
    if !matches!(entry.value.data, Data::Map(_)) {
        let found = spot.finding(format!("expected a mapping with `type`, found {}", entry.value.kind()));
        findings.push(found.hint(format!("write `type:` with one of {}, and its settings", listed(types))));
        return None;
    }
    let Some(written) = entry.value.entry("type") else {
        let found = spot.finding("`type` is missing: how the channel is reached");
        findings.push(found.hint(format!("add `type:` with one of {}", listed(types))));
        return None;
    };
    let name = written.value.text().unwrap_or_default();
    let Some(channel) = channels.iter().find(|channel| channel.kind == name) else {
        let found = spot.key("type", written.at).finding(format!("there is no type of channel `{name}`"));
        let hint = match nearest(name, types.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => habits::of_value(name, &types),
        };
        findings.push(found.hint(hint));
        return None;
    };
    let mut schema = json!((channel.settings)());
    schema["properties"]["type"] = json!({ "type": "string" });
    schema["additionalProperties"] = json!(false);
    let mut conform = Conform::resolving(&schema, &[]);
    let read = conform.read(&entry.value, &schema, &spot);
    let fits = conform.findings.is_empty();
    findings.append(&mut conform.findings);
    let Member::Object(mut members) = read else { return None };
    members.shift_remove("type");
    let settings = Written::new(members, conform.references, FilePosition::new(spot.at, &spot.path, entry));
    fits.then(|| ChannelSpec { kind: channel.kind.to_owned(), settings })
}

/// Reads rules that fit their schema.
fn rules(value: &Member) -> AlertRules {
    let percent = |text: &str| text.trim().strip_suffix('%')?.trim().parse().ok();
    let span = |key: &str| value[key].as_str().and_then(|text| age(text).ok());
    AlertRules {
        rejected: value["rejected"].as_str().and_then(percent),
        stale: span("stale"),
        no_rows: span("no_rows"),
        lag: span("lag"),
    }
}

impl Sheet<'_> {
    /// Reads the rules of the sync's alerts, and the channels if it names some.
    pub(super) fn alerts(&mut self) -> (AlertRules, Option<Vec<String>>) {
        let Some(value) = self.value("alerts") else { return (AlertRules::default(), None) };
        let named = value["channels"]
            .as_array()
            .map(|names| names.iter().filter_map(Member::as_str).map(str::to_owned).collect::<Vec<String>>());
        let known = &self.file.channels;
        let unknown: Vec<String> =
            named.iter().flatten().filter(|name| !known.contains(name)).cloned().collect();
        for name in unknown {
            let hint = match nearest(&name, known.iter().map(String::as_str)) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "add it under `alerts.channels` of the project".to_owned(),
            };
            self.tell("alerts", format!("there is no channel `{name}`"), hint);
        }
        (rules(&value), named)
    }
}
