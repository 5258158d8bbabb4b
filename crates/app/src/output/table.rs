//! Tables for people: no lines between rows, and never wider than the terminal.

use comfy_table::{
    Attribute, Cell as Drawn, CellAlignment, Color, ColumnConstraint, ContentArrangement, presets,
};

/// What a cell says about its row, shown as a color.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    /// All is well.
    Good,
    /// Needs a look.
    Attention,
    /// Went wrong.
    Bad,
    /// Of little interest.
    Quiet,
}

impl Tone {
    /// Returns the tone of a word for a state, an ending or a status; none for other words.
    pub(crate) fn of(word: &str) -> Option<Tone> {
        match word {
            "succeeded" | "delivered" | "active" | "ok" => Some(Tone::Good),
            "partial" | "in_doubt" | "paused" | "note" | "interrupted" => Some(Tone::Attention),
            "failed" | "rejected" | "FAIL" | "error" => Some(Tone::Bad),
            "draft" => Some(Tone::Quiet),
            _ => None,
        }
    }
}

/// A text with its tone.
#[derive(Clone, Debug)]
pub(crate) struct Cell {
    text: String,
    tone: Option<Tone>,
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Cell {
        Cell { text: text.into(), tone: None }
    }
}

/// Returns a cell with a state, in its color.
pub(crate) fn state(word: &str) -> Cell {
    Cell { text: word.to_owned(), tone: Tone::of(word) }
}

/// Returns a cell with a count; empty for zero, so that a column without any is dropped.
pub(crate) fn count(value: u64) -> Cell {
    Cell::from(if value == 0 { String::new() } else { super::number(value) })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A name or a time, never cut.
    Word,
    /// A number, never cut and aligned at the right.
    Number,
    /// A sentence, wrapped between words.
    Sentence,
}

/// A column of a [`Table`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column {
    name: &'static str,
    kind: Kind,
    optional: bool,
}

/// Returns a column of names or times.
pub(crate) fn word(name: &'static str) -> Column {
    Column { name, kind: Kind::Word, optional: false }
}

/// Returns a column of numbers.
pub(crate) fn numeric(name: &'static str) -> Column {
    Column { name, kind: Kind::Number, optional: false }
}

/// Returns a column of sentences.
pub(crate) fn sentence(name: &'static str) -> Column {
    Column { name, kind: Kind::Sentence, optional: false }
}

impl Column {
    /// Left out if the terminal is too narrow; the rightmost such column first.
    pub(crate) fn optional(self) -> Column {
        Column { optional: true, ..self }
    }
}

/// Rows under a heading.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// Creates a table without rows.
    pub(crate) fn new(columns: impl Into<Vec<Column>>) -> Table {
        Table { columns: columns.into(), rows: Vec::new() }
    }

    /// Adds a row, with a cell for each column.
    pub(crate) fn row(&mut self, cells: impl Into<Vec<Cell>>) {
        self.rows.push(cells.into());
    }

    /// Returns the text of the table, with colors as ANSI escapes. Columns without a value
    /// are dropped. If the rest is wider than `width`, optional columns are dropped, and if
    /// that is not enough, each row becomes a list of its values.
    pub(crate) fn render(&self, width: Option<u16>) -> String {
        let filled =
            |at: usize| self.rows.iter().any(|row| row.get(at).is_some_and(|cell| !cell.text.is_empty()));
        let mut shown: Vec<usize> = (0..self.columns.len()).filter(|at| filled(*at)).collect();
        let all = shown.clone();
        let Some(width) = width else {
            return match self.narrowest(&shown) <= WIDEST {
                true => self.grid(&shown, None),
                false => self.list(&shown, u16::MAX),
            };
        };
        loop {
            if self.narrowest(&shown) <= usize::from(width) {
                return self.grid(&shown, Some(width));
            }
            match shown.iter().rposition(|at| self.columns[*at].optional) {
                Some(position) => drop(shown.remove(position)),
                None => break,
            }
        }
        let is_sentence = |at: &usize| self.columns[*at].kind == Kind::Sentence;
        let (sentences, words): (Vec<usize>, Vec<usize>) = shown.iter().partition(|at| is_sentence(at));
        match self.narrowest(&words) <= usize::from(width) {
            true => self.grid_above_sentences(&words, &sentences, width),
            false => self.list(&all, width),
        }
    }

    /// Each row with its sentences on lines of their own below it.
    fn grid_above_sentences(&self, words: &[usize], sentences: &[usize], width: u16) -> String {
        let grid = self.grid(words, Some(width));
        let mut lines = grid.lines();
        let mut text = lines.next().unwrap_or_default().to_owned();
        for (row, line) in self.rows.iter().zip(lines) {
            text.push('\n');
            text.push_str(line);
            let below = sentences.iter().filter_map(|at| row.get(*at)).filter(|cell| !cell.text.is_empty());
            for cell in below {
                let mut wrapped = blank(Some(width));
                wrapped.add_row([draw(Some(cell))]);
                if let Some(column) = wrapped.column_mut(0) {
                    column.set_padding((4, 0));
                }
                text.push('\n');
                text.push_str(&wrapped.trim_fmt());
            }
        }
        text
    }

    /// Each row as a list of its values, for a table of one row or few columns.
    pub(crate) fn render_as_list(&self, width: Option<u16>) -> String {
        let filled =
            |at: usize| self.rows.iter().any(|row| row.get(at).is_some_and(|cell| !cell.text.is_empty()));
        let shown: Vec<usize> = (0..self.columns.len()).filter(|at| filled(*at)).collect();
        self.list(&shown, width.unwrap_or(u16::MAX))
    }

    /// The width below which a word would be cut.
    fn narrowest(&self, shown: &[usize]) -> usize {
        /// A sentence in less than this is hard to read.
        const SENTENCE: usize = 28;
        let of = |at: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(at)).map(|cell| cell.text.as_str());
            let natural = cells.chain([self.columns[at].name]).map(columns_of).max().unwrap_or_default();
            if self.columns[at].kind == Kind::Sentence { natural.min(SENTENCE) } else { natural }
        };
        shown.iter().map(|at| of(*at) + usize::from(GAP)).sum::<usize>().saturating_sub(usize::from(GAP))
    }

    fn grid(&self, shown: &[usize], width: Option<u16>) -> String {
        let mut drawn = blank(width);
        drawn.set_header(
            shown.iter().map(|at| Drawn::new(self.columns[*at].name).add_attribute(Attribute::Bold)),
        );
        for row in &self.rows {
            drawn.add_row(shown.iter().map(|at| draw(row.get(*at))));
        }
        for (position, at) in shown.iter().enumerate() {
            let Some(column) = drawn.column_mut(position) else { continue };
            column.set_padding((0, GAP));
            match self.columns[*at].kind {
                Kind::Word => drop(column.set_constraint(ColumnConstraint::ContentWidth)),
                Kind::Number => {
                    column.set_constraint(ColumnConstraint::ContentWidth);
                    column.set_cell_alignment(CellAlignment::Right);
                }
                Kind::Sentence => {}
            }
        }
        drawn.trim_fmt()
    }

    fn list(&self, shown: &[usize], width: u16) -> String {
        let mut records = Vec::new();
        for row in &self.rows {
            let mut drawn = blank(Some(width));
            for at in shown {
                if row.get(*at).is_some_and(|cell| !cell.text.is_empty()) {
                    let name = Drawn::new(self.columns[*at].name).add_attribute(Attribute::Bold);
                    drawn.add_row([name, draw(row.get(*at))]);
                }
            }
            if let Some(column) = drawn.column_mut(0) {
                column.set_padding((0, GAP));
                let widest =
                    shown.iter().map(|at| columns_of(self.columns[*at].name)).max().unwrap_or_default();
                let widest = u16::try_from(widest).unwrap_or(u16::MAX).saturating_add(GAP);
                column.set_constraint(ColumnConstraint::Absolute(comfy_table::Width::Fixed(widest)));
            }
            if let Some(column) = drawn.column_mut(1) {
                column.set_padding((0, 0));
            }
            records.push(drawn.trim_fmt());
        }
        records.join("\n\n")
    }
}

/// Spaces between two columns.
const GAP: u16 = 2;
/// A table without a terminal that would be wider becomes lists: one long name would fill every line with spaces.
const WIDEST: usize = 400;

fn blank(width: Option<u16>) -> comfy_table::Table {
    let mut drawn = comfy_table::Table::new();
    drawn.load_style(presets::NOTHING).enforce_styling().style_text_only();
    match width {
        // The gap after the last column may exceed the width.
        Some(width) => {
            drawn.set_width(width.saturating_add(GAP)).set_content_arrangement(ContentArrangement::Dynamic)
        }
        None => drawn.set_content_arrangement(ContentArrangement::Disabled),
    };
    drawn
}

fn draw(cell: Option<&Cell>) -> Drawn {
    let Some(cell) = cell else { return Drawn::new("") };
    let drawn = Drawn::new(&cell.text);
    match cell.tone {
        Some(Tone::Good) => drawn.fg(Color::DarkGreen),
        Some(Tone::Attention) => drawn.fg(Color::DarkYellow),
        Some(Tone::Bad) => drawn.fg(Color::DarkRed),
        Some(Tone::Quiet) => drawn.add_attribute(Attribute::Dim),
        None => drawn,
    }
}

/// The columns of a terminal that a text takes.
fn columns_of(text: &str) -> usize {
    unicode_width::UnicodeWidthStr::width(text)
}

#[cfg(test)]
mod tests {
    use super::{Table, count, numeric, sentence, state, word};

    fn rows() -> Table {
        let mut table = Table::new([
            word("at"),
            word("sync"),
            word("route").optional(),
            numeric("rows"),
            numeric("in doubt"),
            word("status"),
            sentence("reason"),
        ]);
        table.row([
            "2026-11-29 07:43:13Z".into(),
            "用户_to_braze".into(),
            "warehouse → braze".into(),
            count(1_200_300),
            count(0),
            state("rejected"),
            "not_an_object: `event_data` holds JSON that is not an object".into(),
        ]);
        table
    }

    fn plain(text: &str) -> String {
        anstream::adapter::strip_str(text).to_string()
    }

    #[test]
    fn a_table_on_a_wide_terminal_is_one_line_a_row_and_has_no_empty_column() {
        let text = plain(&rows().render(Some(160)));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 2, "{text}");
        assert!(lines[0].starts_with("at                    sync           route"), "{text}");
        assert!(!text.contains("in doubt"), "{text}");
        assert!(lines[1].ends_with("that is not an object"), "{text}");
    }

    #[test]
    fn a_narrower_terminal_drops_what_is_optional_and_wraps_between_words() {
        let text = plain(&rows().render(Some(92)));
        assert!(!text.contains("route"), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 92), "{text}");
        assert!(text.contains("2026-11-29 07:43:13Z") && text.contains("`event_data`"), "{text}");
    }

    #[test]
    fn sentences_stand_below_their_rows_if_there_is_no_room_beside_them() {
        let text = plain(&rows().render(Some(70)));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3, "{text}");
        assert!(lines[1].ends_with("rejected") && lines[2].starts_with("    not_an_object: "), "{text}");
    }

    #[test]
    fn a_terminal_that_is_too_narrow_shows_each_row_as_a_list_and_cuts_no_word() {
        let text = plain(&rows().render(Some(40)));
        assert!(
            text.contains("at      2026-11-29 07:43:13Z\nsync    用户_to_braze\nroute   warehouse → braze\n"),
            "{text}"
        );
        assert!(text.contains("\nstatus  rejected\nreason  not_an_object: "), "{text}");
    }

    #[test]
    fn one_long_name_does_not_fill_the_lines_of_a_file_with_spaces() {
        let mut table = rows();
        let long = "u".repeat(5_000);
        table.row([
            "2026-11-29 07:43:13Z".into(),
            long.as_str().into(),
            "a → b".into(),
            count(1),
            count(0),
            state("rejected"),
            "no".into(),
        ]);
        let text = plain(&table.render(None));
        assert!(text.contains(&long) && text.len() < 2 * long.len(), "{} bytes", text.len());
    }

    #[test]
    fn states_have_colours() {
        assert!(rows().render(None).contains("\u{1b}["));
    }
}
