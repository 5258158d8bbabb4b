//! A statement and its parameters, as a job says them.
//!
//! Source: BigQuery REST reference, `JobConfigurationQuery`, `QueryParameter`.

use serde_json::{Map, Value, json};

/// A statement and what its `@p1`, `@p2` … are.
#[derive(Clone, Debug, Default)]
pub struct Sql {
    /// The statement.
    pub text: String,
    /// Its parameters.
    pub parameters: Vec<Parameter>,
}

/// A parameter.
#[derive(Clone, Debug)]
pub enum Parameter {
    /// A text that is read as a value of a type.
    One {
        /// The type.
        sql_type: &'static str,
        /// The text.
        value: String,
    },
    /// A list of structures whose members are `k0`, `k1` ….
    Keys {
        /// The types of the members.
        types: Vec<&'static str>,
        /// Their texts, for each structure.
        rows: Vec<Vec<Option<String>>>,
    },
}

impl From<String> for Sql {
    fn from(text: String) -> Sql {
        Sql { text, parameters: Vec::new() }
    }
}

impl Sql {
    /// Returns the `query` of a job's configuration.
    pub fn configuration(&self) -> Value {
        let mut configuration = json!({ "query": self.text, "useLegacySql": false });
        if !self.parameters.is_empty() {
            let parameters = self.parameters.iter().enumerate();
            let parameters = parameters.map(|(at, one)| one.described(&format!("p{}", at + 1)));
            configuration["parameterMode"] = "NAMED".into();
            configuration["queryParameters"] = parameters.collect();
        }
        configuration
    }
}

impl Parameter {
    fn described(&self, name: &str) -> Value {
        let (its_type, value) = match self {
            Parameter::One { sql_type, value } => (json!({ "type": sql_type }), json!({ "value": value })),
            Parameter::Keys { types, rows } => {
                let members: Vec<Value> = (types.iter().enumerate())
                    .map(|(at, sql_type)| json!({ "name": format!("k{at}"), "type": { "type": sql_type } }))
                    .collect();
                let rows: Vec<Value> = rows
                    .iter()
                    .map(|row| {
                        let members = row.iter().enumerate();
                        let members = members.map(|(at, text)| (format!("k{at}"), json!({ "value": text })));
                        json!({ "structValues": members.collect::<Map<_, _>>() })
                    })
                    .collect();
                (
                    json!({ "type": "ARRAY", "arrayType": { "type": "STRUCT", "structTypes": members } }),
                    json!({ "arrayValues": rows }),
                )
            }
        };
        json!({ "name": name, "parameterType": its_type, "parameterValue": value })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dialect_is_always_named_and_parameters_have_types() {
        assert_eq!(
            Sql::from("SELECT 1".to_owned()).configuration(),
            json!({ "query": "SELECT 1", "useLegacySql": false })
        );
        let one = Parameter::One { sql_type: "INT64", value: "5".to_owned() };
        let keys =
            Parameter::Keys { types: vec!["STRING"], rows: vec![vec![Some("a".to_owned())], vec![None]] };
        let sql = Sql { text: "SELECT @p1".to_owned(), parameters: vec![one, keys] };
        let parameters = &sql.configuration()["queryParameters"];
        let first =
            json!({ "name": "p1", "parameterType": { "type": "INT64" }, "parameterValue": { "value": "5" } });
        assert_eq!(parameters[0], first);
        assert_eq!(
            parameters[1]["parameterValue"]["arrayValues"][1],
            json!({ "structValues": { "k0": { "value": null } } })
        );
    }
}
