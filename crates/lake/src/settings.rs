//! Settings that the sinks of lakes share.

use tidegate_model::Error;
use tidegate_transport::settings::UpToAnHour;

/// How long events are gathered before they are written: `5s`, `1m`, or a number of seconds.
pub(crate) type CommitEvery = UpToAnHour<5>;

/// The name of a table or of a folder, as one part of a path.
///
/// # Errors
/// [`tidegate_model::ErrorKind::Settings`] for a name that readers of lakes
/// would stumble over: they skip names that begin with `_` or `.`.
pub(crate) fn part(setting: &str, name: &str) -> Result<(), Error> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    if !name.is_empty() && name.len() <= 200 && name.bytes().all(allowed) && !name.starts_with(['_', '.']) {
        return Ok(());
    }
    Err(Error::settings(format!("`{setting}`: {name:?} cannot be the name of a folder"))
        .hint("use letters, digits, `_`, `-` and `.`, beginning with a letter or a digit"))
}

/// The name of a connection as the beginning of a folder's name.
pub(crate) fn folder_of(stream: &str) -> String {
    let kept = |letter: char| if letter.is_ascii_alphanumeric() || letter == '-' { letter } else { '_' };
    let name: String = stream.chars().map(kept).collect();
    format!("{}_events", name.trim_start_matches('_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_lead_out_of_its_folder() {
        for wrong in ["", ".", "..", "a/b", "_log", "a b", "é"] {
            assert!(part("table", wrong).is_err(), "{wrong}");
        }
        assert!(part("table", "message_events-2.x").is_ok());
        assert_eq!(folder_of("__one signal/é"), "one_signal___events");
    }
}
