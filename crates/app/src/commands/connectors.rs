//! `tidegate connectors`

use comfy_table::Table;
use tidegate_engine::service::{self, ConnectorInfo};
use tidegate_model::Error;

use crate::cli::Output;
use crate::registry::CONNECTORS;
use crate::{DONE, output};

pub(super) fn connectors(name: Option<&str>, out: Output) -> Result<u8, Error> {
    let Some(name) = name else {
        output::print(out, &service::connectors(CONNECTORS), |all| table(all));
        return Ok(DONE);
    };
    let connector = service::connector(CONNECTORS, name)?;
    match out {
        Output::Json => output::json(&connector),
        Output::Text => {
            output::line(connector.readme.trim_end());
            output::line("\nSettings\n");
            for (name, property) in connector.settings["properties"].as_object().into_iter().flatten() {
                let help = property["description"].as_str().unwrap_or_default();
                output::line(format!("  {name}: {}", help.replace('\n', " ")));
            }
        }
    }
    Ok(DONE)
}

fn table(connectors: &[ConnectorInfo]) -> Table {
    let mut table = output::table(&["type", "system", "gives", "takes", "sandbox"]);
    for connector in connectors {
        let gives = [(connector.source, "rows"), (connector.ingest, "events")];
        let gives: Vec<&str> = gives.iter().filter(|(is, _)| *is).map(|(_, what)| *what).collect();
        let mut takes = connector.objects.clone();
        if connector.sink {
            takes.push("events of exports");
        }
        table.add_row([
            connector.name,
            connector.title,
            &gives.join(", "),
            &takes.join(", "),
            if connector.sandbox { "yes" } else { "" },
        ]);
    }
    table
}
