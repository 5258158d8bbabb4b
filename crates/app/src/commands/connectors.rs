//! `tidegate connectors`

use tidegate_engine::service::{self, ConnectorInfo};
use tidegate_model::Error;

use super::documents::Connectors;
use crate::cli::Output;
use crate::output::table::{Table, sentence, word};
use crate::registry::CONNECTORS;
use crate::{DONE, output};

pub(super) fn connectors(name: Option<&str>, out: Output) -> Result<u8, Error> {
    match (name, out) {
        (None, Output::Text) => {
            output::table(&table(&service::connectors(CONNECTORS)));
            output::note("\n`tidegate connectors TYPE` shows the settings of one.");
        }
        (None, _) => {
            let all = Connectors { connectors: service::connectors(CONNECTORS) };
            output::listing(out, &all, &all.connectors);
        }
        (Some(name), Output::Text) => page(&service::connector(CONNECTORS, name)?),
        (Some(name), _) => output::document(out, &service::connector(CONNECTORS, name)?),
    }
    Ok(DONE)
}

/// The page of a connector, and its settings.
fn page(connector: &ConnectorInfo) {
    output::line(connector.readme.trim_end());
    output::line("\nSettings\n");
    let mut table = Table::new([word("setting"), sentence("meaning")]);
    for (name, property) in connector.settings["properties"].as_object().into_iter().flatten() {
        let help = property["description"].as_str().unwrap_or_default();
        table.row([name.as_str().into(), help.replace('\n', " ").into()]);
    }
    output::table(&table);
}

fn table(connectors: &[ConnectorInfo]) -> Table {
    let columns =
        [word("type"), word("system"), word("gives"), sentence("takes"), word("sandbox").optional()];
    let mut table = Table::new(columns);
    for connector in connectors {
        let gives = [(connector.source, "rows"), (connector.ingest, "events")];
        let gives: Vec<&str> = gives.iter().filter(|(is, _)| *is).map(|(_, what)| *what).collect();
        let mut takes: Vec<String> =
            connector.objects.iter().map(|object| object.replace('_', " ")).collect();
        if connector.sink {
            takes.push("events of exports".to_owned());
        }
        table.row([
            connector.name.into(),
            connector.title.into(),
            gives.join(", ").into(),
            takes.join(", ").into(),
            if connector.sandbox { "yes" } else { "" }.into(),
        ]);
    }
    table
}
