//! `tidegate connectors`

use crate::registry::CONNECTORS;
use comfy_table::Table;
use serde_json::{Value, json};
use tidegate_model::{Connector, Error};

use crate::cli::Output;
use crate::{DONE, output};

pub(super) fn connectors(kind: Option<&str>, out: Output) -> Result<u8, Error> {
    let Some(kind) = kind else {
        match out {
            Output::Json => output::json(&CONNECTORS.iter().map(to_json).collect::<Vec<_>>()),
            Output::Text => output::line(table().to_string()),
        }
        return Ok(DONE);
    };
    let connector = crate::registry::find(kind).ok_or_else(|| {
        Error::settings(format!("there is no connector `{kind}`")).hint("`tidegate connectors` lists them")
    })?;
    match out {
        Output::Json => output::json(&to_json(connector)),
        Output::Text => {
            output::line(connector.readme.trim_end());
            let schema = json!((connector.settings)());
            output::line("\nSettings\n");
            for (name, property) in schema["properties"].as_object().into_iter().flatten() {
                let help = property["description"].as_str().unwrap_or_default();
                output::line(format!("  {name}: {}", help.replace('\n', " ")));
            }
        }
    }
    Ok(DONE)
}

fn objects(connector: &Connector) -> Vec<&'static str> {
    connector.platform.iter().flat_map(|role| role.objects).map(|object| object.as_str()).collect()
}

fn to_json(connector: &Connector) -> Value {
    json!({
        "kind": connector.kind,
        "title": connector.title,
        "source": connector.source.is_some(),
        "objects": objects(connector),
        "sandbox": connector.sandbox.is_some(),
        "settings": (connector.settings)(),
        "selection": connector.source.map(|role| (role.selection)()),
        "target": connector.platform.map(|role| (role.target)()),
    })
}

fn table() -> Table {
    let mut table = output::table(&["kind", "system", "rows are read", "takes", "sandbox"]);
    let yes = |is: bool| if is { "yes" } else { "" };
    for connector in CONNECTORS {
        table.add_row([
            connector.kind,
            connector.title,
            yes(connector.source.is_some()),
            &objects(connector).join(", "),
            yes(connector.sandbox.is_some()),
        ]);
    }
    table
}
