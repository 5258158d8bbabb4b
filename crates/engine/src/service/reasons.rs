//! Why rows of a run failed, and how many failed rows are open.

use std::collections::BTreeMap;

use tidegate_model::store::{RowQuery, StatusKind};
use tidegate_model::{Error, Run, SyncId};

use super::Engine;
use super::dry_run::Rejection;

impl Engine {
    /// Returns the reasons of a run's rejected rows and rows in doubt, most frequent first.
    /// Only the 10,000 newest rows of each status are counted.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn reasons(&self, run: &Run) -> Result<Vec<Rejection>, Error> {
        /// Rows that are read to be counted.
        const ROWS_MAX: usize = 10_000;
        /// Examples of each reason.
        const EXAMPLES: usize = 5;
        let mut reasons: BTreeMap<String, Rejection> = BTreeMap::new();
        for (rows, status) in
            [(run.counts.rejected, StatusKind::Rejected), (run.counts.in_doubt, StatusKind::InDoubt)]
        {
            if rows == 0 {
                continue;
            }
            let query = RowQuery {
                run: Some(run.id.clone()),
                sync: Some(run.sync.clone()),
                status: Some(status),
                limit: ROWS_MAX,
                without_payload: true,
                ..RowQuery::default()
            };
            for entry in self.config.store.rows(&query).await? {
                let Some(reason) = entry.reason else { continue };
                let found = reasons.entry(reason.code.to_string()).or_insert_with(|| Rejection {
                    code: reason.code.to_string(),
                    message: reason.message,
                    rows: 0,
                    examples: Vec::new(),
                });
                found.rows += 1;
                let name = if entry.key.is_empty() { entry.user } else { entry.key };
                if found.examples.len() < EXAMPLES && !name.is_empty() {
                    found.examples.push(name);
                }
            }
        }
        let mut reasons: Vec<Rejection> = reasons.into_values().collect();
        reasons.sort_by_key(|reason| std::cmp::Reverse(reason.rows));
        Ok(reasons)
    }

    /// Returns the number of open failed rows of a sync.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn open_failed_rows(&self, sync: &SyncId) -> Result<u64, Error> {
        Ok(self.config.store.failed_row_totals(sync).await?.rows)
    }
}
