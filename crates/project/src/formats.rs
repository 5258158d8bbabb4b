//! Texts that have a form of their own, by the `format` of a schema.
//!
//! `time-span` is not called `duration`, which in JSON Schema is ISO 8601 alone.

use std::net::IpAddr;
use std::time::Duration;

use tidegate_model::event::KindPattern;

use super::findings::{Misfit, nearest};
use super::schedule::cron;

/// Checks a text against a format; formats that are not known take any text.
pub(super) fn check(format: &str, text: &str) -> Result<(), Misfit> {
    match format {
        "time-span" => duration(text).map(drop),
        "days" => days(text).map(drop),
        "age" => age(text).map(drop),
        "time-zone" => time_zone(text),
        "cron" => cron(text).map(drop),
        "endpoint" => endpoint(text),
        "url" => url(text).map(drop),
        "host" => host(text),
        "uuid" => uuid(text),
        "date-time" => text.parse::<jiff::Timestamp>().map(drop).map_err(|_| {
            (
                format!("`{text}` is not a point in time"),
                "write for example `2026-11-01T00:00:00Z`".to_owned(),
            )
        }),
        "event-kind" => KindPattern::check(text).map_err(|near| {
            (format!("no message event has the kind `{text}`"), format!("did you mean `{near}`?"))
        }),
        "percent" => percent(text),
        _ => Ok(()),
    }
}

/// Reads `90s`, `10m`, `1h 30m` and ISO 8601 durations.
pub(super) fn duration(text: &str) -> Result<Duration, Misfit> {
    let wrong = || {
        let hint = match text.parse::<u64>() {
            Ok(number) => format!("write it with its unit, for example `{number}s`"),
            Err(_) => "write for example `90s`, `10m` or `1h 30m`".to_owned(),
        };
        (format!("`{text}` is not a duration"), hint)
    };
    let span: jiff::SignedDuration = text.parse().map_err(|_| wrong())?;
    Duration::try_from(span).map_err(|_| wrong())
}

/// Reads a duration, or whole days: `26h`, `7d`.
pub(super) fn age(text: &str) -> Result<Duration, Misfit> {
    match days(text) {
        Ok(days) => Ok(Duration::from_secs(86_400 * u64::from(days))),
        Err(_) => duration(text).map_err(|(wrong, _)| (wrong, "write for example `26h` or `7d`".to_owned())),
    }
}

/// Reads `30d`.
pub(super) fn days(text: &str) -> Result<u32, Misfit> {
    let days = text.trim().strip_suffix('d').and_then(|number| number.trim_end().parse().ok());
    days.filter(|days| (1..=36_500).contains(days)).ok_or_else(|| {
        let hint = match text.parse::<u64>() {
            Ok(number) => format!("write it with its unit: `{number}d`"),
            Err(_) => "write whole days, for example `30d`".to_owned(),
        };
        (format!("`{text}` is not a number of days"), hint)
    })
}

fn time_zone(name: &str) -> Result<(), Misfit> {
    if jiff::tz::TimeZone::get(name).is_ok() {
        return Ok(());
    }
    let names: Vec<String> = jiff::tz::db().available().map(|name| name.to_string()).collect();
    let hint = match nearest(name, names.iter().map(String::as_str)) {
        Some(near) if name.len() > 3 => format!("did you mean `{near}`?"),
        _ => "write an IANA name such as `Europe/Paris`".to_owned(),
    };
    Err((format!("there is no time zone `{name}`"), hint))
}

/// The address of an API, or the word for the sandbox inside this program.
fn endpoint(text: &str) -> Result<(), Misfit> {
    if text.trim_end_matches('/') == "sandbox" {
        return Ok(());
    }
    if !text.contains("://") {
        let hint = match nearest(text, ["sandbox"]) {
            Some(word) => format!("did you mean `{word}`?"),
            None => "write an address that begins with https://, or `sandbox`".to_owned(),
        };
        // With a credential in it, it is not repeated.
        let shown = if text.contains('@') { "this".to_owned() } else { format!("`{text}`") };
        return Err((format!("{shown} is neither an address nor `sandbox`"), hint));
    }
    let host = url(text)?;
    if host.starts_with("dashboard") {
        return Err((
            format!("`{text}` is the address of the dashboard, not of the API"),
            "copy the REST endpoint from the settings of your account".to_owned(),
        ));
    }
    Ok(())
}

/// Checks the address of a server. Returns its host.
fn url(text: &str) -> Result<String, Misfit> {
    // What is in an address may be a secret.
    let wrong =
        || ("this is not an address".to_owned(), "write for example `https://host.example.com`".to_owned());
    let uri: http::Uri = text.parse().map_err(|_| wrong())?;
    // It would be shown wherever the address is.
    if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return Err((
            "a user or a password does not belong in an address".to_owned(),
            "remove what is in front of the `@`, and write it in the settings that are meant for it"
                .to_owned(),
        ));
    }
    match (uri.scheme_str(), uri.host()) {
        (Some("http" | "https"), Some(host)) if !host.is_empty() => Ok(host.to_owned()),
        _ => Err(wrong()),
    }
}

/// Checks an IP address, or a network by its address and the length of its prefix.
pub(super) fn network(text: &str) -> Result<(), Misfit> {
    let (address, prefix) =
        text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
    let bits = address.parse::<IpAddr>().ok().map(|address| if address.is_ipv4() { 32 } else { 128 });
    let fits = |bits: u8| prefix.is_none_or(|prefix| prefix.parse::<u8>().is_ok_and(|prefix| prefix <= bits));
    match bits.is_some_and(fits) {
        true => Ok(()),
        false => Err((
            format!("`{text}` is neither an IP address nor a network"),
            "write for example 203.0.113.7 or 203.0.113.0/29".to_owned(),
        )),
    }
}

/// The name of a server, or its address.
fn host(text: &str) -> Result<(), Misfit> {
    if text.is_empty() || text.contains("://") || text.contains(['/', ' ', '@']) {
        return Err((
            "expected a host name or an address".to_owned(),
            "write only the name, for example db.example.com; port, user and database have their own settings"
                .to_owned(),
        ));
    }
    Ok(())
}

fn uuid(text: &str) -> Result<(), Misfit> {
    let parts: Vec<usize> = text.split('-').map(str::len).collect();
    let hexadecimal = text.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit());
    if parts == [8, 4, 4, 4, 12] && hexadecimal {
        return Ok(());
    }
    Err((
        format!("`{text}` is not a UUID"),
        "it has 36 characters, such as 11111111-2222-3333-4444-555555555555".to_owned(),
    ))
}

fn percent(text: &str) -> Result<(), Misfit> {
    let share = text.strip_suffix('%').and_then(|number| number.trim().parse::<f64>().ok());
    match share {
        Some(share) if (0.0..=100.0).contains(&share) => Ok(()),
        _ => Err((
            format!("`{text}` is not a share of the rows"),
            match text.trim().parse::<f64>() {
                Ok(number) if (0.0..=100.0).contains(&number) => format!("write `{}%`", text.trim()),
                _ => "write a share such as `10%`".to_owned(),
            },
        )),
    }
}
