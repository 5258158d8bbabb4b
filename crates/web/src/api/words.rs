//! What a request that cannot be read lacks, in words of the API instead of those of a library.

use tidegate_model::settings::without_value;

/// Returns what is wrong with a member or a parameter, in our words.
pub(crate) fn plain(why: &str) -> String {
    let why = why.split(" at line ").next().unwrap_or(why).trim();
    if let Some((name, rest)) = named(why) {
        return format!("`{name}`: {}", sentence(rest));
    }
    sentence(why)
}

/// Splits `limit: invalid digit` into the name and the rest.
fn named(why: &str) -> Option<(&str, &str)> {
    let (name, rest) = why.split_once(": ")?;
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"_.[]".contains(&byte);
    let is_word = !name.is_empty() && name.bytes().all(is_name);
    is_word.then_some((name, rest))
}

fn sentence(why: &str) -> String {
    if let Some(name) = quoted(why, "missing field ") {
        return format!("`{name}` is missing");
    }
    for (start, what) in [("unknown field ", "member"), ("unknown variant ", "value")] {
        let Some(name) = quoted(why, start) else { continue };
        let known = why.split_once(", expected ").map(|(_, known)| known.trim_start_matches("one of "));
        return match known {
            Some(known) if known != "there are no fields" => {
                format!("there is no {what} `{name}`: expected {known}")
            }
            _ => format!("there is no {what} `{name}`"),
        };
    }
    if let Some(name) = quoted(why, "duplicate field ") {
        return format!("`{name}` is given twice");
    }
    if why.contains("invalid digit") || why.contains("cannot parse integer") || why.contains("number too") {
        return "expected a whole number from 0".to_owned();
    }
    if why.contains("parse")
        && (why.contains("timestamp") || why.contains("datetime") || why.contains("year"))
    {
        return "expected a point in time such as `2026-11-01T00:00:00Z`".to_owned();
    }
    if why.starts_with("EOF") || why.contains("expected value") {
        return "it ends too early".to_owned();
    }
    without_value(why)
}

/// The word in backticks that follows a beginning.
fn quoted<'w>(why: &'w str, start: &str) -> Option<&'w str> {
    why.strip_prefix(start)?.strip_prefix('`')?.split('`').next()
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn no_word_of_a_library_reaches_those_who_call_the_api() {
        for (said, ours) in [
            ("missing field `confirm` at line 1 column 2", "`confirm` is missing"),
            ("limit: invalid digit found in string", "`limit`: expected a whole number from 0"),
            (
                "unknown field `sinc`, expected one of `sync`, `run`",
                "there is no member `sinc`: expected `sync`, `run`",
            ),
            (
                "status: unknown variant `open`, expected one of `delivered`, `rejected`",
                "`status`: there is no value `open`: expected `delivered`, `rejected`",
            ),
            (
                "in_doubt: invalid type: string \"x\", expected a boolean at line 1 column 9",
                "`in_doubt`: expected `true` or `false`",
            ),
        ] {
            assert_eq!(plain(said), ours);
        }
    }
}
