//! What a mirror does about rows that are gone.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::{StreamExt, stream};
use tidegate_model::store::{Intent, Lookback, RowMemory};
use tidegate_model::{
    Batch, Columns, Comparison, Error, Feed, Mapping, Origin, Outcome, Platform, Row, RowHash, SyncId, Text,
    Value,
};

use crate::pipeline::import::Import;

/// Keys whose users are looked up together: each time, all users that are kept are read.
const PAGE_KEYS: usize = 100_000;

/// Where rows that are gone are sent to.
#[derive(Clone)]
pub struct Removal {
    /// The platform, opened for deletions or for what the rows became.
    pub platform: Arc<dyn Platform>,
    /// Whether what they became is deleted; otherwise attributes are set to null.
    pub deletes: bool,
}

/// Returns what an import does with rows that are gone.
pub(crate) fn on_removed(import: &Import) -> tidegate_project::Removed {
    match &import.removal {
        None => tidegate_project::Removed::Ignore,
        Some(Removal { deletes: true, .. }) => tidegate_project::Removed::Delete,
        Some(Removal { deletes: false, .. }) => tidegate_project::Removed::Update,
    }
}

/// Returns the users that earlier runs were about to send and that may have taken effect, by the key
/// of their rows.
pub(crate) fn about_to_be_sent(intents: Vec<Intent>) -> HashMap<RowHash, Text> {
    let mut users = HashMap::new();
    for intent in intents {
        for (at, row) in intent.rows.iter().enumerate() {
            let outcome = intent.outcomes.as_ref().and_then(|outcomes| outcomes.get(at));
            if !intent.had_no_effect(at) && !matches!(outcome, Some(Outcome::Rejected(_))) {
                users.insert(row.key, row.user.clone());
            }
        }
    }
    users
}

/// Returns those of the users whose rows were not committed: a comparison does not find them.
///
/// # Errors
/// If what is remembered cannot be read.
pub(crate) async fn unknown(
    users: HashMap<RowHash, Text>,
    lookback: &dyn Lookback,
) -> Result<Vec<(RowHash, Text)>, Error> {
    let users: Vec<(RowHash, Text)> = users.into_iter().collect();
    let keys: Vec<RowHash> = users.iter().map(|(key, _)| *key).collect();
    let known = lookback.find(&keys).await?;
    Ok(users
        .into_iter()
        .zip(known)
        .filter(|(_, known)| known.rows().is_empty())
        .map(|(user, _)| user)
        .collect())
}

/// Rows that are gone, page by page.
pub(crate) struct Removed {
    pub(crate) store: Arc<dyn RowMemory>,
    pub(crate) sync: SyncId,
    pub(crate) comparison: Box<dyn Comparison>,
    pub(crate) columns: Arc<Columns>,
    pub(crate) mapping: Arc<Mapping>,
    pub(crate) batch_rows: usize,
}

impl Removed {
    /// Returns a row for each key that is gone: with its identifier in the place of the key, and
    /// nothing else. `unknown` ones were about to be sent, and may have taken effect.
    pub(crate) fn feed(self, unknown: &[(RowHash, Text)]) -> Feed<Row> {
        let ready: Vec<Batch<Row>> = unknown
            .chunks(self.batch_rows.max(1))
            .map(|users| Batch {
                origins: users.iter().map(|(key, _)| Origin::Removed(*key)).collect(),
                ..Batch::of(users.iter().map(|(_, user)| self.row(Some(user.clone()))).collect())
            })
            .collect();
        let batches = stream::try_unfold((self, ready), |(mut removed, mut ready)| async move {
            if ready.is_empty() {
                let keys = removed.comparison.removed(PAGE_KEYS).await?;
                if keys.is_empty() {
                    return Ok(None);
                }
                ready = removed.page(keys).await?;
            }
            Ok(ready.pop().map(|batch| (batch, (removed, ready))))
        });
        batches.boxed()
    }

    /// The batches of these keys, the last one first.
    async fn page(&self, keys: Vec<RowHash>) -> Result<Vec<Batch<Row>>, Error> {
        let mut users: HashMap<RowHash, Option<Text>> = keys.iter().map(|key| (*key, None)).collect();
        let mut last = 0;
        while let Some((seq, kept)) = self.store.kept_users(&self.sync, last).await? {
            last = seq;
            for kept in kept {
                if let Some(user) = users.get_mut(&kept.key) {
                    *user = Some(kept.user);
                }
            }
        }
        let batch = |keys: &[RowHash]| Batch {
            origins: keys.iter().map(|key| Origin::Removed(*key)).collect(),
            ..Batch::of(keys.iter().map(|key| self.row(users.get(key).cloned().flatten())).collect())
        };
        Ok(keys.chunks(self.batch_rows.max(1)).rev().map(batch).collect())
    }

    fn row(&self, user: Option<Text>) -> Row {
        let mut values = vec![Value::Null; self.columns.len()];
        if let (Some(user), [key]) = (user, self.mapping.key_columns())
            && let Some(value) = values.get_mut(*key)
        {
            *value = Value::Text(user);
        }
        Row { columns: Arc::clone(&self.columns), values }
    }
}
