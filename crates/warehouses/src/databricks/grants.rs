//! The statements that lift a refusal.

use tidegate_transport::sql::backtick;

/// What a refusal names: `User does not have USE SCHEMA on Schema 'main.shop'.`
///
/// Source: answers quoted in dbt-labs/dbt-databricks 838, ibis-project/ibis 9038 and
/// Azure/spark-cdm-connector 149.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The privilege.
    pub privilege: String,
    /// What it is needed on: `SCHEMA`.
    pub kind: String,
    /// Its name: `main.shop`.
    pub name: String,
}

/// Returns what a refusal names, if it names something.
pub fn refused(message: &str) -> Option<Refused> {
    let (_, rest) = message.split_once("does not have ")?;
    let (privilege, rest) = rest.split_once(" on ")?;
    let (kind, rest) = rest.split_once(" '").or_else(|| rest.split_once(" `"))?;
    let name = rest.split(['\'']).next().unwrap_or_default().trim_end_matches('`');
    let words = |text: &str| text.chars().all(|sign| sign.is_ascii_alphabetic() || sign == ' ');
    (words(privilege) && words(kind) && !name.is_empty()).then(|| Refused {
        privilege: privilege.to_uppercase(),
        kind: kind.to_uppercase(),
        name: name.replace('`', ""),
    })
}

impl Refused {
    /// Returns the name of a check: `USE SCHEMA on schema main.shop`.
    pub fn check(&self) -> String {
        format!("{} on {} {}", self.privilege, self.kind.to_lowercase(), self.name)
    }

    /// Returns the refusal as a sentence, of which [`refused`] reads the same again.
    pub fn sentence(&self) -> String {
        let kind = self.kind.to_lowercase();
        format!("the login does not have {} on {kind} '{}'", self.privilege, self.name)
    }

    /// Returns the statement that lifts the refusal, for a principal or a blank to fill in.
    pub fn remedy(&self, principal: Option<&str>) -> String {
        let name: Vec<String> = self.name.split('.').map(backtick).collect();
        grant(&self.privilege, &self.kind, &name.join("."), principal)
    }
}

/// Returns a `GRANT`; `name` is quoted.
pub fn grant(privilege: &str, kind: &str, name: &str, principal: Option<&str>) -> String {
    let principal = principal.map_or_else(|| "<principal>".to_owned(), backtick);
    format!("GRANT {privilege} ON {kind} {name} TO {principal};")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_answered_with_the_statement_that_lifts_it() {
        for (message, statement) in [
            (
                "PERMISSION_DENIED: User does not have USE SCHEMA on Schema 'dev.default'.",
                "GRANT USE SCHEMA ON SCHEMA `dev`.`default` TO `it's me`;",
            ),
            (
                "Insufficient privileges:\nUser does not have SELECT on Table 'main.shop.orders'. SQLSTATE: 42501",
                "GRANT SELECT ON TABLE `main`.`shop`.`orders` TO `it's me`;",
            ),
            (
                "User does not have WRITE VOLUME on Volume 'a.b.c'.",
                "GRANT WRITE VOLUME ON VOLUME `a`.`b`.`c` TO `it's me`;",
            ),
        ] {
            let found = refused(message).unwrap();
            assert_eq!(found.remedy(Some("it's me")), statement);
            assert_eq!(refused(&found.sentence()), Some(found));
        }
        assert_eq!(refused("User does not have USE CATALOG on Catalog"), None);
        assert_eq!(refused("something else"), None);
    }
}
