//! Failed rows as CSV or JSON Lines: all that a request selects, page by page.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::Deserialize;
use tidegate_engine::service::Engine;
use tidegate_model::Error;
use tidegate_model::store::{self, FailedRowQuery};
use utoipa::ToSchema;

use super::cursor::{after, position, row_id};
use super::types::FailedRow;

/// Rows that are read at a time.
const PAGE: usize = 500;
/// The first line of the CSV.
const HEADER: &str =
    "id,sync,run,object,user,key,status,reason_code,reason,attempts,first_at,last_at,row\r\n";

/// How failed rows are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Format {
    /// A page of a list.
    #[default]
    Json,
    /// RFC 4180, with a header.
    Csv,
    /// One row a line.
    Ndjson,
}

/// How far an export is.
enum Step {
    Header,
    Rows(Box<FailedRowQuery>, usize),
    Done,
}

/// Answers with all rows that a query selects, at most `limit`. An error in between cuts the answer off.
pub(super) fn stream(engine: Arc<Engine>, query: FailedRowQuery, limit: usize, format: Format) -> Response {
    let csv = format == Format::Csv;
    let first = FailedRowQuery { limit: PAGE.min(limit), ..query };
    let begin = if csv { Step::Header } else { Step::Rows(Box::new(first.clone()), limit) };
    let pieces = futures_util::stream::try_unfold(begin, move |step| {
        let (engine, first) = (engine.clone(), first.clone());
        async move {
            match step {
                Step::Header => {
                    Ok(Some((Bytes::from_static(HEADER.as_bytes()), Step::Rows(Box::new(first), limit))))
                }
                Step::Rows(query, left) => page(&engine, *query, left, csv).await.map(Some),
                Step::Done => Ok::<_, Error>(None),
            }
        }
    });
    let kind = if csv { "text/csv; charset=utf-8" } else { "application/x-ndjson" };
    let mut answer = Body::from_stream(pieces).into_response();
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if csv {
        let name = HeaderValue::from_static("attachment; filename=\"failed-rows.csv\"");
        headers.insert(header::CONTENT_DISPOSITION, name);
    }
    answer
}

async fn page(
    engine: &Engine,
    query: FailedRowQuery,
    left: usize,
    csv: bool,
) -> Result<(Bytes, Step), Error> {
    let rows = engine.find_failed_rows(&query).await?;
    let left = left.saturating_sub(rows.len());
    let next = match rows.last().filter(|_| rows.len() == query.limit && left > 0) {
        Some(row) => {
            let after = position(&after(row));
            Step::Rows(Box::new(FailedRowQuery { after, limit: PAGE.min(left), ..query }), left)
        }
        None => Step::Done,
    };
    let text: String =
        rows.into_iter().map(|row| if csv { csv_line(&row) } else { json_line(row) }).collect();
    Ok((text.into(), next))
}

fn json_line(row: store::FailedRow) -> String {
    let mut line = serde_json::to_string(&FailedRow::from(row)).unwrap_or_default();
    line.push('\n');
    line
}

fn csv_line(row: &store::FailedRow) -> String {
    let entry = &row.entry;
    let reason = entry.reason.as_ref();
    let cells = [
        row_id(row.key),
        entry.sync.to_string(),
        entry.run.to_string(),
        entry.object.as_str().to_owned(),
        entry.user.clone(),
        entry.key.clone(),
        entry.status.as_str().to_owned(),
        reason.map(|reason| reason.code.to_string()).unwrap_or_default(),
        reason.map(|reason| reason.message.clone()).unwrap_or_default(),
        row.attempts.to_string(),
        row.first_at.to_string(),
        entry.at.to_string(),
        entry.payload.as_ref().map(|row| row.to_json().as_str().to_owned()).unwrap_or_default(),
    ];
    let mut line = cells.iter().map(|cell| quoted(cell)).collect::<Vec<_>>().join(",");
    line.push_str("\r\n");
    line
}

/// A cell as RFC 4180 has it. One that a spreadsheet would take for a formula begins with an apostrophe.
fn quoted(cell: &str) -> String {
    let text = if is_formula(cell) { &format!("'{cell}") } else { cell };
    match text.contains([',', '"', '\r', '\n']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.to_owned(),
    }
}

/// Whether a spreadsheet would calculate a cell. Ids come from end users, who may write anything in them. A
/// number with a sign, such as a telephone number, is none.
///
/// Source: <https://owasp.org/www-community/attacks/CSV_Injection>.
fn is_formula(cell: &str) -> bool {
    match cell.as_bytes() {
        [b'=' | b'@' | b'\t' | b'\r', ..] => true,
        [b'+' | b'-', rest @ ..] => !rest.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.'),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn a_cell_with_a_comma_a_quote_or_a_line_break_is_quoted() {
        assert_eq!(quoted("plain text"), "plain text");
        assert_eq!(quoted("a,b"), "\"a,b\"");
        assert_eq!(quoted("say \"hi\"\n"), "\"say \"\"hi\"\"\n\"");
    }

    #[test]
    fn an_id_is_no_formula_in_a_spreadsheet() {
        for formula in ["=1+1", "@sum(1)", "+1+cmd|' /C calc'!A0", "-2+3", "\t=1"] {
            assert_eq!(quoted(formula), format!("'{formula}"));
        }
        assert_eq!(quoted("=a,b"), "\"'=a,b\"");
        for other in ["+4915112345678", "-12.5", "a=b", "", "user@example.com"] {
            assert_eq!(quoted(other), other);
        }
    }
}
