//! Real rows and what they become, beside a mapping that is being written.

use std::collections::BTreeMap;

use tidegate_engine::service::{Engine, Preview, PreviewInput, ShownRecord};
use tidegate_model::SyncId;

use super::show::{self, count};

/// Rows that are looked at.
const LOOKED_AT: usize = 100;
/// Records that are shown, those that would be rejected first.
const SHOWN: usize = 4;

/// What the first rows of a sync would become.
pub(super) struct Records {
    /// How many would be delivered and rejected, a sentence.
    pub(super) headline: String,
    /// Whether none would be rejected.
    pub(super) is_good: bool,
    /// The reasons of rejected rows, with their number.
    pub(super) reasons: Vec<(String, String)>,
    /// Rows and their records, for those who may see rows.
    pub(super) records: Vec<RecordView>,
    /// Why no rows could be looked at.
    pub(super) trouble: Option<(String, String)>,
}

/// A row, and its record or the reason that there is none.
pub(super) struct RecordView {
    pub(super) row: String,
    pub(super) record: Result<String, String>,
}

/// Reads the first rows of a sync and makes their records, without sending anything.
pub(super) async fn records(engine: &Engine, sync: &SyncId, sees_rows: bool) -> Records {
    match engine.preview(sync, LOOKED_AT).await {
        Ok(previews) => of(&previews, sees_rows),
        Err(error) => Records {
            headline: String::new(),
            is_good: false,
            reasons: Vec::new(),
            records: Vec::new(),
            trouble: Some((show::prose(&error.chain()), show::prose(error.next_step()))),
        },
    }
}

fn of(previews: &[Preview], sees_rows: bool) -> Records {
    let mut reasons: BTreeMap<&str, (u64, &str)> = BTreeMap::new();
    for reason in previews.iter().filter_map(|preview| preview.record.as_ref().err()) {
        reasons.entry(&reason.code).or_insert((0, &reason.message)).0 += 1;
    }
    let rejected: u64 = reasons.values().map(|(rows, _)| rows).sum();
    let all = previews.len() as u64;
    let looked = match previews.len() {
        LOOKED_AT => format!("Of the first {LOOKED_AT} rows"),
        _ => format!("Of {}", count(all, "row", "rows")),
    };
    let headline = match (all, rejected) {
        (0, _) => "There are no rows yet.".to_owned(),
        (_, 0) => format!("{looked}, all would be delivered."),
        _ => format!("{looked}, {} would be delivered and {rejected} rejected.", all - rejected),
    };
    // A sentence may repeat a value of a row; the code does not.
    let said = |(code, (rows, message)): (&str, (u64, &str))| {
        let said =
            if sees_rows { show::prose(message) } else { format!("<code>{}</code>", show::escaped(code)) };
        (count(rows, "row", "rows"), said)
    };
    let (bad, good): (Vec<&Preview>, Vec<&Preview>) =
        previews.iter().partition(|preview| preview.record.is_err());
    let few = bad.into_iter().take(SHOWN / 2).chain(good).take(if sees_rows { SHOWN } else { 0 });
    Records {
        headline,
        is_good: rejected == 0,
        reasons: reasons.into_iter().map(said).collect(),
        records: few.map(view).collect(),
        trouble: None,
    }
}

fn view(preview: &Preview) -> RecordView {
    let record = match &preview.record {
        Ok(record) => Ok(indented(&serde_json::to_string(&ShownRecord::of(record)).unwrap_or_default())),
        Err(reason) => Err(show::prose(&reason.message)),
    };
    let row = match &preview.input {
        PreviewInput::Row(row) => indented(row.to_json().as_str()),
        PreviewInput::Unreadable(location) => location.clone(),
    };
    RecordView { row, record }
}

/// Returns JSON with a line for each member. Numbers stay as they are written: `11.00` is no `11.0` to a person.
fn indented(json: &str) -> String {
    let mut out = String::with_capacity(json.len() * 2);
    let (mut depth, mut in_text, mut is_escaped) = (0, false, false);
    let mut letters = json.chars().peekable();
    while let Some(letter) = letters.next() {
        if in_text {
            out.push(letter);
            in_text = letter != '"' || is_escaped;
            is_escaped = letter == '\\' && !is_escaped;
            continue;
        }
        let is_closed_at_once = matches!(letters.peek(), Some('}' | ']'));
        match letter {
            '{' | '[' if !is_closed_at_once => {
                depth += 1;
                out.push(letter);
                line(&mut out, depth);
            }
            '}' | ']' if !out.ends_with(['{', '[']) => {
                depth -= 1;
                line(&mut out, depth);
                out.push(letter);
            }
            ',' => {
                out.push(letter);
                line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            _ if letter.is_whitespace() => {}
            _ => {
                in_text = letter == '"';
                out.push(letter);
            }
        }
    }
    out
}

fn line(out: &mut String, depth: usize) {
    out.push('\n');
    out.extend(std::iter::repeat_n("  ", depth));
}

#[cfg(test)]
mod tests {
    use super::indented;

    #[test]
    fn json_has_a_line_for_each_member_and_its_numbers_as_written() {
        let json = r#"{"a":11.00, "b":{"c":"x, {y}: \"z\\","d":[]},"e":[1,{}]}"#;
        let shown = "{\n  \"a\": 11.00,\n  \"b\": {\n    \"c\": \"x, {y}: \\\"z\\\\\",\n    \"d\": []\n  },\n  \"e\": [\n    1,\n    {}\n  ]\n}";
        assert_eq!(indented(json), shown);
        let values: [serde_json::Value; 2] =
            [json, shown].map(|text| serde_json::from_str(text).expect("JSON"));
        assert_eq!(values[0], values[1]);
    }
}
