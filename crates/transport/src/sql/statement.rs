//! Is this text one query?
//!
//! An early and readable refusal, not the guard: the guard is the read-only
//! transaction that the query runs in.

use tidegate_model::Error;

/// The one `SELECT` or `WITH` statement in `text`, without what follows it.
///
/// # Errors
/// [`tidegate_model::ErrorKind::Settings`] if there is none, more than one,
/// or a quote, comment or parenthesis that does not end.
pub fn single_query(text: &str) -> Result<&str, Error> {
    let mut scanner = Scanner { text, at: 0 };
    let (mut first, mut end, mut depth, mut closed) = (None, 0, 0_usize, false);
    while let Some(token) = scanner.next_token()? {
        if token == ";" && depth == 0 {
            closed = true;
            continue;
        }
        if closed {
            return Err(Error::settings("`query` holds more than one statement")
                .hint("give one SELECT; what has to run before it belongs into a view"));
        }
        match token {
            "(" => depth += 1,
            ")" if depth == 0 => {
                return Err(Error::settings("`query` closes a parenthesis that it did not open"));
            }
            ")" => depth -= 1,
            _ => {}
        }
        first.get_or_insert((scanner.at - token.len(), token));
        end = scanner.at;
    }
    let Some((start, keyword)) = first else {
        return Err(Error::settings("`query` is empty").hint("give one SELECT statement"));
    };
    if depth > 0 {
        return Err(Error::settings("`query` opens a parenthesis that it does not close"));
    }
    if !["select", "with", "("].iter().any(|allowed| keyword.eq_ignore_ascii_case(allowed)) {
        return Err(Error::settings("`query` is not a SELECT statement")
            .hint("a source only reads: begin the query with SELECT or WITH"));
    }
    Ok(&text[start..end])
}

/// Walks over the tokens that matter for finding the end of a statement.
struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scanner<'a> {
    /// The next word, quoted piece or sign; comments and blanks are skipped.
    fn next_token(&mut self) -> Result<Option<&'a str>, Error> {
        loop {
            let rest = &self.text[self.at..];
            let blank = rest.len() - rest.trim_start().len();
            if blank > 0 {
                self.at += blank;
            } else if rest.starts_with("--") {
                self.at += rest.find('\n').unwrap_or(rest.len());
            } else if rest.starts_with("/*") {
                self.at += comment_length(rest).ok_or_else(|| unfinished("comment"))?;
            } else {
                break;
            }
        }
        let rest = &self.text[self.at..];
        let Some(sign) = rest.chars().next() else { return Ok(None) };
        let length = match sign {
            '\'' => quoted_length(rest, '\'', false).ok_or_else(|| unfinished("text in single quotes"))?,
            '"' => quoted_length(rest, '"', false).ok_or_else(|| unfinished("name in double quotes"))?,
            'e' | 'E' if rest[1..].starts_with('\'') => {
                1 + quoted_length(&rest[1..], '\'', true)
                    .ok_or_else(|| unfinished("text in single quotes"))?
            }
            '$' => match dollar_tag(rest) {
                Some(tag) => {
                    let body = &rest[tag.len()..];
                    tag.len() * 2 + body.find(tag).ok_or_else(|| unfinished("dollar-quoted text"))?
                }
                None => 1,
            },
            // A dollar sign inside a word belongs to the word and opens no quote.
            _ if is_word(sign) => rest.find(|next: char| !is_word(next) && next != '$').unwrap_or(rest.len()),
            _ => sign.len_utf8(),
        };
        self.at += length;
        Ok(Some(&rest[..length]))
    }
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

fn unfinished(what: &str) -> Error {
    Error::settings(format!("`query` has a {what} that does not end"))
}

/// How long a quoted piece is, its quotes included; a doubled quote stands for itself.
fn quoted_length(text: &str, quote: char, backslash: bool) -> Option<usize> {
    let mut characters = text.char_indices().skip(1).peekable();
    while let Some((at, character)) = characters.next() {
        if backslash && character == '\\' {
            characters.next();
        } else if character == quote && characters.next_if(|(_, next)| *next == quote).is_none() {
            return Some(at + 1);
        }
    }
    None
}

/// How long a block comment is; PostgreSQL lets them nest.
fn comment_length(text: &str) -> Option<usize> {
    let (mut depth, mut at) = (0, 0);
    while at < text.len() {
        match text.as_bytes().get(at..at + 2) {
            Some(b"/*") => (depth, at) = (depth + 1, at + 2),
            Some(b"*/") if depth == 1 => return Some(at + 2),
            Some(b"*/") => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
    }
    None
}

/// The opening of a dollar quote: `$$` or `$tag$`.
fn dollar_tag(text: &str) -> Option<&str> {
    let end = text[1..].find('$')? + 1;
    let tag = &text[1..end];
    let opens = tag.chars().all(is_word) && !tag.starts_with(|first: char| first.is_ascii_digit());
    opens.then(|| &text[..=end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_the_statement_is_cut_off() {
        for (text, query) in [
            ("select 1", "select 1"),
            ("  SELECT 1 ; \n-- the end\n", "SELECT 1"),
            ("-- first\nwith a as (select 1) select * from a;;", "with a as (select 1) select * from a"),
            ("select 1 /* a; /* b; */ c */ ;", "select 1"),
            ("(select 1) union (select 2)", "(select 1) union (select 2)"),
        ] {
            assert_eq!(single_query(text).expect(text), query);
        }
    }

    #[test]
    fn a_semicolon_in_a_quote_ends_nothing() {
        for text in [
            "select ';'",
            "select 'it''s;'",
            r"select E'\';'",
            "select \"a;b\" from t",
            "select $$;$$",
            "select $tag$ ; $$ ; $tag$",
            "select a$1 from t where b = $1",
        ] {
            assert_eq!(single_query(text).expect(text), text);
        }
    }

    #[test]
    fn everything_but_one_query_is_refused() {
        for text in [
            "",
            " -- nothing",
            ";",
            "select 1; select 2",
            "delete from t",
            "select 'a",
            "select \"a",
            "select $$a",
            "select /* a",
            "select 1) as x, (select 2",
            "select (1",
        ] {
            assert!(single_query(text).is_err(), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_the_scanner_panic(text in "[a-zE$'\"();/*\\\\é \n-]{0,40}") {
            if let Ok(query) = single_query(&text) {
                proptest::prop_assert!(text.contains(query));
            }
        }
    }
}
