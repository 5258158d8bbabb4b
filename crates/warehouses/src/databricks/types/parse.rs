//! Types as Databricks writes them.

use super::SqlType;

/// Reads a type. An unknown text is [`SqlType::Other`], unchanged.
pub fn parse(text: &str) -> SqlType {
    let mut parser = Parser { rest: text.trim() };
    match parser.read() {
        Some(known) if parser.rest.trim().is_empty() => known,
        _ => SqlType::Other(text.trim().to_uppercase()),
    }
}

struct Parser<'a> {
    rest: &'a str,
}

impl<'a> Parser<'a> {
    fn read(&mut self) -> Option<SqlType> {
        let word = self.word()?.to_ascii_uppercase();
        Some(match word.as_str() {
            "BOOLEAN" => SqlType::Boolean,
            "TINYINT" | "BYTE" => SqlType::Integer("TINYINT"),
            "SMALLINT" | "SHORT" => SqlType::Integer("SMALLINT"),
            "INT" | "INTEGER" => SqlType::Integer("INT"),
            "BIGINT" | "LONG" => SqlType::Integer("BIGINT"),
            "FLOAT" | "REAL" => SqlType::Float,
            "DOUBLE" => SqlType::Double,
            "DECIMAL" | "DEC" | "NUMERIC" => self.decimal()?,
            "STRING" | "CHAR" | "CHARACTER" | "VARCHAR" => SqlType::Text(self.text(&word)),
            "BINARY" => SqlType::Binary,
            "DATE" => SqlType::Date,
            "TIMESTAMP" | "TIMESTAMP_LTZ" => SqlType::Timestamp,
            "TIMESTAMP_NTZ" => SqlType::TimestampNtz,
            "VARIANT" => SqlType::Variant,
            "GEOMETRY" | "GEOGRAPHY" => SqlType::Geo(format!("{word}{}", self.arguments())),
            "ARRAY" => SqlType::Array(Box::new(self.inside(Parser::read)?)),
            "MAP" => {
                let (key, value) = self.inside(|parser| {
                    let key = parser.read()?;
                    parser.sign(',')?;
                    Some((key, parser.read()?))
                })?;
                SqlType::Map(Box::new(key), Box::new(value))
            }
            "STRUCT" => SqlType::Struct(self.inside(Parser::members)?),
            "INTERVAL" => {
                // The words after it end with the type.
                let length = self.rest.find([',', '>']).unwrap_or(self.rest.len());
                let (words, rest) = self.rest.split_at(length);
                self.rest = rest;
                SqlType::Other(format!("INTERVAL {}", words.trim().to_ascii_uppercase()))
            }
            "VOID" | "NULL" => SqlType::Other("VOID".to_owned()),
            other => SqlType::Other(format!("{other}{}", self.arguments())),
        })
    }

    fn word(&mut self) -> Option<&'a str> {
        self.rest = self.rest.trim_start();
        let other = |character: char| !(character.is_alphanumeric() || character == '_');
        let length = self.rest.find(other).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(length);
        self.rest = rest;
        Some(word).filter(|word| !word.is_empty())
    }

    fn sign(&mut self, sign: char) -> Option<()> {
        self.rest = self.rest.trim_start().strip_prefix(sign)?;
        Some(())
    }

    fn inside<T>(&mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        self.sign('<')?;
        let inside = read(self)?;
        self.sign('>')?;
        Some(inside)
    }

    /// Returns the parenthesis after a word, unchanged; nothing if there is none.
    fn arguments(&mut self) -> String {
        if !self.rest.starts_with('(') {
            return String::new();
        }
        let length = self.rest.find(')').map_or(0, |at| at + 1);
        let (arguments, rest) = self.rest.split_at(length);
        self.rest = rest;
        arguments.to_owned()
    }

    fn decimal(&mut self) -> Option<SqlType> {
        let arguments = self.arguments();
        let digits = arguments.trim_start_matches('(').trim_end_matches(')');
        if digits.is_empty() {
            return Some(SqlType::Decimal(10, 0));
        }
        let (precision, scale) = digits.split_once(',').unwrap_or((digits, "0"));
        Some(SqlType::Decimal(precision.trim().parse().ok()?, scale.trim().parse().ok()?))
    }

    /// Returns a type of text. A collation is no part of it here: texts are compared as bytes.
    fn text(&mut self, word: &str) -> String {
        let text = format!("{word}{}", self.arguments());
        let before = self.rest;
        match self.word() {
            Some(collate) if collate.eq_ignore_ascii_case("collate") => {
                self.word();
            }
            _ => self.rest = before,
        }
        text
    }

    fn members(&mut self) -> Option<Vec<(String, SqlType)>> {
        let mut members = Vec::new();
        while !self.rest.trim_start().starts_with('>') {
            if !members.is_empty() {
                self.sign(',')?;
            }
            let name = self.name()?;
            self.sign(':')?;
            members.push((name, self.read()?));
            self.constraint();
        }
        Some(members)
    }

    fn name(&mut self) -> Option<String> {
        self.rest = self.rest.trim_start();
        let Some(quoted) = self.rest.strip_prefix('`') else {
            let length = self.rest.find(':')?;
            let (name, rest) = self.rest.split_at(length);
            self.rest = rest;
            return Some(name.trim().to_owned());
        };
        let mut name = String::new();
        let mut signs = quoted.char_indices().peekable();
        while let Some((at, sign)) = signs.next() {
            match sign {
                '`' if signs.next_if(|(_, next)| *next == '`').is_some() => name.push('`'),
                '`' => {
                    self.rest = &quoted[at + 1..];
                    return Some(name);
                }
                _ => name.push(sign),
            }
        }
        None
    }

    /// Skips `NOT NULL` and a comment after a member.
    fn constraint(&mut self) {
        let rest = self.rest.trim_start();
        if let Some(rest) = strip_words(rest, "NOT NULL") {
            self.rest = rest;
        }
        let Some(comment) = strip_words(self.rest.trim_start(), "COMMENT") else { return };
        let Some(comment) = comment.trim_start().strip_prefix('\'') else { return };
        let mut escaped = false;
        for (at, sign) in comment.char_indices() {
            match sign {
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                '\'' => {
                    self.rest = &comment[at + 1..];
                    return;
                }
                _ => {}
            }
        }
    }
}

fn strip_words<'a>(text: &'a str, words: &str) -> Option<&'a str> {
    let head = text.get(..words.len())?;
    head.eq_ignore_ascii_case(words).then(|| &text[words.len()..])
}

#[cfg(test)]
mod tests {
    use tidegate_model::DataType;
    use tidegate_transport::sql::table::ColumnSql as _;

    use super::super::Shape;
    use super::*;

    /// The spellings of recorded answers and of the documentation.
    #[test]
    fn a_type_is_the_same_in_every_spelling() {
        for (written, shown, data_type) in [
            ("BIGINT", "BIGINT", DataType::Integer),
            ("bigint", "BIGINT", DataType::Integer),
            ("decimal(10,2)", "DECIMAL(10,2)", DataType::Decimal { precision: Some(10), scale: Some(2) }),
            ("DECIMAL(38, 0)", "DECIMAL(38,0)", DataType::Decimal { precision: Some(38), scale: Some(0) }),
            ("string", "STRING", DataType::Text),
            ("STRING COLLATE UNICODE_CI", "STRING", DataType::Text),
            ("varchar(20)", "VARCHAR(20)", DataType::Text),
            ("timestamp", "TIMESTAMP", DataType::Timestamp),
            ("timestamp_ntz", "TIMESTAMP_NTZ", DataType::DateTime),
            ("ARRAY<INT>", "ARRAY<INT>", DataType::List(Box::new(DataType::Integer))),
            ("map<string,int>", "MAP<STRING, INT>", DataType::Object),
            (
                "STRUCT<street: STRING NOT NULL COMMENT 'it\\'s, <here>', `a``b:c`: INT>",
                "STRUCT<street: STRING, a`b:c: INT>",
                DataType::Object,
            ),
            ("struct<>", "STRUCT<>", DataType::Object),
            ("VARIANT", "VARIANT", DataType::Json),
            ("INTERVAL DAY TO SECOND", "INTERVAL DAY TO SECOND", DataType::Other),
            ("VOID", "VOID", DataType::Other),
            ("GEOGRAPHY(4326)", "GEOGRAPHY(4326)", DataType::Other),
            ("a type of tomorrow<", "A TYPE OF TOMORROW<", DataType::Other),
            ("", "", DataType::Other),
        ] {
            let parsed = parse(written);
            assert_eq!((parsed.to_string().as_str(), parsed.data_type()), (shown, data_type), "{written}");
        }
    }

    #[test]
    fn what_arrow_has_no_type_for_is_asked_for_as_text() {
        for (written, asked, shape) in [
            ("VARIANT", "to_json(c)", Shape::Json),
            ("INTERVAL YEAR TO MONTH", "CAST(c AS STRING)", Shape::Arrow),
            ("GEOMETRY(0)", "st_asewkt(c)", Shape::Arrow),
        ] {
            assert_eq!(parse(written).asked("c").as_deref(), Some(asked));
            assert_eq!(parse(written).shape(), shape);
        }
        let nested = parse("ARRAY<STRUCT<a: VARIANT, at: TIMESTAMP>>");
        assert!(nested.asked("c").unwrap().starts_with("to_json(c, map("));
        assert_eq!(nested.shape(), Shape::Json);
        assert_eq!(parse("ARRAY<STRUCT<a: INT>>").asked("c"), None);
    }
}
