//! The keys that imports and exports have in common.

use std::time::Duration;

use jiff::tz::TimeZone;

use super::formats::duration;
use super::schedule::{CronSchedule, Schedule};
use super::sheet::Sheet;
use super::spec::SyncOptions;

/// How long an unreachable system is tried if the file says nothing.
const RETRY_FOR: Duration = Duration::from_secs(120);

impl Sheet<'_> {
    /// Reads them.
    pub(super) fn options(&mut self) -> SyncOptions {
        let retry_for = self.typed::<String>("retry_for").and_then(|text| duration(&text).ok());
        let (alert_rules, alert_channels) = self.alerts();
        SyncOptions {
            alert_rules,
            alert_channels,
            schedule: self.schedule(),
            retry_for: retry_for.unwrap_or(RETRY_FOR),
            enabled: self.typed("enabled").unwrap_or(true),
            contacts: self.typed("contacts").unwrap_or_default(),
            labels: self.typed("labels").unwrap_or_default(),
            dbt: self.typed("dbt").unwrap_or_default(),
        }
    }

    fn schedule(&mut self) -> Option<Schedule> {
        let entry = self.entry("schedule")?;
        if let Some(text) = entry.value.text().filter(|text| *text != "continuous") {
            let hint = match (text.split_whitespace().count(), duration(text)) {
                (5, _) => format!("write `schedule: {{ cron: \"{text}\" }}`"),
                (_, Ok(_)) => format!("write `schedule: {{ every: {text} }}`"),
                _ => "write `continuous`, `{ every: 15m }` or `{ cron: \"0 6 * * *\" }`".to_owned(),
            };
            self.tell("schedule", format!("`{text}` is not a schedule"), hint);
            return None;
        }
        let value = self.value("schedule")?;
        let text = |key: &str| value[key].as_str().map(str::to_owned);
        if let Some(every) = text("every") {
            let span = duration(&every).ok()?;
            if span < Duration::from_secs(1) {
                let spot = self.spot_of("schedule");
                let at = entry.value.entry("every").map_or(spot.at, |every| every.at);
                let found = spot.key("every", at).finding("`every` must be a second or more");
                self.findings.push(found.hint("write `schedule: continuous` to run all the time"));
                return None;
            }
            return Some(Schedule::Every(span));
        }
        if let Some(pattern) = text("cron") {
            let zone = match text("time_zone") {
                Some(name) => TimeZone::get(&name).ok()?,
                None => self.file.zone.clone(),
            };
            return Some(Schedule::Cron(Box::new(CronSchedule::new(&pattern, zone).ok()?)));
        }
        Some(Schedule::Continuous)
    }
}
