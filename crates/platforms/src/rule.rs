//! What a platform does not take, as a table. The reasons of rejected rows and the tables of the
//! READMEs are made of the same lines.

use tidegate_model::Reason;

/// One limit of a platform, as its documentation states it.
#[derive(Debug)]
pub(crate) struct Rule {
    /// The code of the reason: rows are grouped by it.
    pub(crate) code: &'static str,
    /// The objects it is about, for people.
    #[cfg_attr(not(test), expect(dead_code, reason = "only the tables of the READMEs show it"))]
    pub(crate) objects: &'static str,
    /// The number of the rule, if it has one.
    pub(crate) limit: usize,
    /// The rule as a clause that starts with the platform's name; `{}` stands for the number.
    pub(crate) clause: &'static str,
    /// The page that states it; empty for a bound of our own.
    pub(crate) page: &'static str,
}

impl Rule {
    /// Returns the reason for a row that breaks the rule: `what` of it does, and how it is put right.
    pub(crate) fn broken_by(&self, what: &str, next: &str) -> Reason {
        let mut message = format!("{what}; {}", self.clause());
        if !next.is_empty() {
            message.push_str("; ");
            message.push_str(next);
        }
        if !self.page.is_empty() {
            message.push_str(" (");
            message.push_str(self.page);
            message.push(')');
        }
        Reason::new(self.code, message)
    }

    /// The clause with its number.
    pub(crate) fn clause(&self) -> String {
        self.clause.replace("{}", &self.limit.to_string())
    }
}

/// Whether the text has the form of an e-mail address: a name, an `@`, a host with a dot, no blanks.
///
/// Platforms refuse more; nothing is refused here that one of them takes.
pub(crate) fn is_email(text: &str) -> bool {
    let Some((name, host)) = text.rsplit_once('@') else { return false };
    let blank = text.chars().any(|char| char.is_whitespace() || char.is_control());
    !blank && !name.is_empty() && host.contains('.') && !host.starts_with('.') && !host.ends_with('.')
}

/// Declares the rules of a platform, and for tests the list of all: name, code, objects, number,
/// page, clause.
macro_rules! rules {
    ($($name:ident: $code:expr, $objects:expr, $limit:expr, $page:expr, $clause:expr;)*) => {
        $(pub(super) static $name: $crate::rule::Rule = $crate::rule::Rule {
            code: $code,
            objects: $objects,
            limit: $limit,
            clause: $clause,
            page: $page,
        };)*

        #[cfg(test)]
        pub(super) static RULES: &[&$crate::rule::Rule] = &[$(&$name),*];
    };
}

pub(crate) use rules;

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Holds a table of rules in a README to the rules; `UPDATE=1` writes it.
    pub(crate) fn assert_documented(readme: &str, heading: &str, rules: &[&Rule]) {
        let path = format!("{}/{readme}", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(&path).expect("a README");
        let start = text.find(heading).expect("its heading");
        let table = start + text[start..].find("\n|").expect("its table") + 1;
        let end = table + text[table..].find("\n\n").map_or(text.len() - table, |end| end + 1);
        let expected = table_of(rules);
        if std::env::var("UPDATE").is_ok_and(|update| update == "1") {
            let text = format!("{}{expected}{}", &text[..table], &text[end..]);
            std::fs::write(&path, text).expect("written");
        } else {
            assert!(
                text[table..end] == expected,
                "the table in {readme} is not that of the rules: \
                 UPDATE=1 cargo test -p tidegate-platforms documented"
            );
        }
    }

    /// `100000` as `100,000`.
    fn grouped(number: usize) -> String {
        let digits = number.to_string();
        let mut out = String::with_capacity(digits.len() + digits.len() / 3);
        for (at, digit) in digits.chars().enumerate() {
            if at > 0 && (digits.len() - at).is_multiple_of(3) {
                out.push(',');
            }
            out.push(digit);
        }
        out
    }

    fn table_of(rules: &[&Rule]) -> String {
        let mut table = "| objects | limit | reason |\n|---|---|---|\n".to_owned();
        for rule in rules {
            let clause = rule.clause.replace("{}", &grouped(rule.limit));
            let stated = match rule.page {
                "" => clause,
                page => format!("[{clause}]({page})"),
            };
            table.push_str(&format!("| {} | {stated} | `{}` |\n", rule.objects, rule.code));
        }
        table
    }

    #[test]
    fn a_reason_has_the_limit_and_the_page() {
        let rule = Rule {
            code: "too_long",
            objects: "user",
            limit: 100_000,
            clause: "Vendor takes {} bytes",
            page: "https://vendor.example/limits",
        };
        let reason = rule.broken_by("`a` has 100001 bytes", "leave some out");
        assert_eq!(reason.code, "too_long");
        assert_eq!(
            reason.message,
            "`a` has 100001 bytes; Vendor takes 100000 bytes; leave some out (https://vendor.example/limits)"
        );
        let own = Rule { page: "", ..rule };
        assert_eq!(own.broken_by("`a` is long", "").message, "`a` is long; Vendor takes 100000 bytes");
    }

    #[test]
    fn numbers_are_grouped_by_three() {
        assert_eq!(
            [0, 255, 2_024, 100_000, 1_234_567].map(grouped),
            ["0", "255", "2,024", "100,000", "1,234,567"]
        );
    }

    #[test]
    fn an_address_has_a_name_and_a_host() {
        for good in ["a@b.example", "ada+news@mail.example.org", "ü@bücher.example", "\"a@b\"@c.example"] {
            assert!(is_email(good), "{good}");
        }
        for bad in
            ["", "bad", "a@b", "@b.example", "a@.example", "a@example.", "a b@c.example", "a@c.example\n"]
        {
            assert!(!is_email(bad), "{bad}");
        }
    }
}
