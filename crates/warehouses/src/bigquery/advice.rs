//! What a run costs, and what makes it cheaper.

use tidegate_model::{Checks, Error};
use tidegate_transport::sql::table::Relation as _;

use super::relation::{Relation, quote};
use super::settings::BigQuerySelection;
use super::source::{BigQuerySource, Found, incremental};

impl BigQuerySource {
    /// Says how much a read processes, by a dry run, and whether a cursor makes it less.
    ///
    /// # Errors
    /// What BigQuery said, or what kept it from answering.
    pub(super) async fn advice(
        &self,
        selected: &BigQuerySelection,
        cursor: Option<&str>,
    ) -> Result<Checks, Error> {
        let found = self.found(selected).await?;
        let mut checks = Checks::default();
        let sql = match cursor {
            Some(column) => incremental(&found.table, column, None, "UTC")?.0,
            None => found.table.everything().into(),
        };
        let doing = format!("reading {}", found.table.relation.label());
        let forecast = self.client.forecast(&sql, found.location.as_deref()).await;
        let bytes = forecast.map_err(|error| error.context(doing))?.bytes;
        let shown = size(bytes);
        match self.client.settings.maximum_bytes_billed {
            Some(most) if most < bytes => checks.fail(
                "bytes",
                format!("a read of all rows processes {shown}, and `maximum_bytes_billed` is {}", size(most)),
                "raise `maximum_bytes_billed`, or read fewer columns, or a query with a condition",
            ),
            _ => checks.pass("bytes", format!("a read of all rows processes {shown}")),
        }
        if let Some(column) = cursor {
            partitioned(&found, column, &mut checks);
        }
        Ok(checks)
    }
}

fn partitioned(found: &Found, column: &str, checks: &mut Checks) {
    let name = format!("partition by {column}");
    let (Relation::Table(..), Some(info)) = (&found.table.relation, &found.info) else { return };
    if info.kind != "TABLE" {
        checks.pass(name, "not known for a view: partitions belong to the table behind it");
    } else if info.is_ordered_by(column) {
        checks.pass(name, "there: a run reads only what is new");
    } else {
        let column = quote(column);
        checks.warn(
            name,
            "none: every run processes the whole of the columns that it reads",
            format!("make the table again with PARTITION BY DATE({column}), or CLUSTER BY {column}"),
        );
    }
}

/// Returns a number of bytes for people: `1.2 GB`.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["bytes", "KB", "MB", "GB", "TB"];
    let mut scaled = bytes as f64;
    let mut unit = 0;
    while scaled >= 1_000.0 && unit + 1 < UNITS.len() {
        scaled /= 1_000.0;
        unit += 1;
    }
    match unit {
        0 => format!("{bytes} {}", UNITS[0]),
        _ => format!("{scaled:.1} {}", UNITS[unit]),
    }
}

#[cfg(test)]
mod tests {
    use super::size;

    #[test]
    fn a_number_of_bytes_has_the_unit_that_people_read() {
        for (bytes, shown) in
            [(0, "0 bytes"), (999, "999 bytes"), (1_500, "1.5 KB"), (5_368_709_120, "5.4 GB")]
        {
            assert_eq!(size(bytes), shown);
        }
    }
}
