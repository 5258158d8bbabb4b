//! Sends of a user what has changed since it was sent last (`changed: attributes`).
//!
//! The store keeps a hash of each attribute that was delivered, with the version of its row. It counts only if
//! the ledger knows exactly this version under the key: after a lost response, a killed run or a rejection
//! whose effect is unknown, the whole row is sent.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::{StreamExt, TryStreamExt};
use tidegate_model::store::{BatchCommit, Known, Lookback, RowMemory, RowStatus, RowVersion, SentUser};
use tidegate_model::{Batch, Body, Error, Feed, Json, Mapping, Members, Record, Row, RowHash, SyncId, json};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::pipeline::transform::ItemKeys;

/// What was sent of users, and what is on its way.
pub(crate) struct SentAttributes {
    /// Attributes that are sent whenever anything is.
    always: &'static [&'static str],
    /// Whether what has not changed is left out; otherwise it is only noted.
    narrows: bool,
    users: Mutex<Users>,
}

#[derive(Default)]
struct Users {
    before: HashMap<RowHash, SentUser>,
    under_way: HashMap<RowVersion, SentUser>,
}

impl SentAttributes {
    pub(crate) fn new(always: &'static [&'static str], narrows: bool) -> Arc<SentAttributes> {
        Arc::new(SentAttributes { always, narrows, users: Mutex::default() })
    }

    fn users(&self) -> MutexGuard<'_, Users> {
        self.users.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks up what was sent of the rows of a feed before they are passed on.
    pub(crate) fn look_up(
        self: &Arc<SentAttributes>,
        rows: Feed<Row>,
        mapping: &Arc<Mapping>,
        (store, sync): (Arc<dyn RowMemory>, SyncId),
        lookback: Arc<dyn Lookback>,
    ) -> Feed<Row> {
        if !self.narrows {
            return rows;
        }
        let (sent, mapping) = (Arc::clone(self), Arc::clone(mapping));
        let looked_up = move |batch: Batch<Row>| {
            let mut scratch = Vec::new();
            let keys = batch.items.iter().map(|row| {
                let whole = mapping.version_of(row, &mut scratch);
                mapping.key_of(row, whole, &mut scratch)
            });
            let keys: Vec<RowHash> = keys.collect();
            let (sent, store, lookback) = (Arc::clone(&sent), Arc::clone(&store), Arc::clone(&lookback));
            let sync = sync.clone();
            async move {
                let known = lookback.find(&keys).await?;
                let found = store.sent_users(&sync, &keys).await?;
                sent.found(&keys, &known, found);
                Ok::<_, Error>(batch)
            }
        };
        rows.and_then(looked_up).boxed()
    }

    /// Notes what was sent under keys, as far as the ledger knows the same.
    fn found(&self, keys: &[RowHash], known: &[Known], found: Vec<SentUser>) {
        let known: HashMap<RowHash, &Known> = keys.iter().copied().zip(known).collect();
        let holds = |sent: &SentUser| known.get(&sent.key).is_some_and(|known| known.rows() == [sent.row]);
        let found = found.into_iter().filter(holds).map(|sent| (sent.key, sent));
        self.users().before.extend(found);
    }

    /// Returns a user with the attributes that have changed; the whole record if it is not known what was sent.
    pub(crate) fn narrowed(&self, record: Record, keys: ItemKeys) -> Record {
        let Body::User { attributes } = &record.body else { return record };
        let Ok(Members(members)) = serde_json::from_str(attributes.as_str()) else { return record };
        let hashes: Vec<u64> = members
            .iter()
            .map(|(name, value)| xxh3_64_with_seed(value.get().as_bytes(), hash(name)))
            .collect();
        let user = record.label().into_owned().into();
        let sent = SentUser { key: keys.key, row: keys.version, user, attributes: hashes.clone() };
        let mut users = self.users();
        let before = users.before.remove(&keys.key).filter(|before| self.narrows && before.user == sent.user);
        users.under_way.insert(RowVersion { key: keys.key, row: keys.version }, sent);
        drop(users);
        let Some(before) = before else { return record };
        let before: HashSet<u64> = before.attributes.into_iter().collect();
        if hashes.iter().all(|hash| before.contains(hash)) {
            // Other columns than attributes have changed.
            return record;
        }
        let mut out = String::from("{");
        for ((name, value), hash) in members.iter().zip(&hashes) {
            if before.contains(hash) && !self.always.contains(&&**name) {
                continue;
            }
            if out.len() > 1 {
                out.push(',');
            }
            json::write_string(name, &mut out);
            out.push(':');
            out.push_str(value.get());
        }
        out.push('}');
        Record { body: Body::User { attributes: Json::trusted(out) }, ..record }
    }

    /// Returns what is to be kept of the rows of a commit: what was delivered.
    pub(crate) fn committed(&self, commit: &BatchCommit) -> Vec<SentUser> {
        let mut users = self.users();
        let lost = commit.results.iter().filter(|row| row.status != RowStatus::Delivered);
        for row in lost {
            users.under_way.remove(&RowVersion { key: row.key, row: row.row });
        }
        commit.decided().filter_map(|row| users.under_way.remove(&row)).collect()
    }
}

fn hash(name: &str) -> u64 {
    xxh3_64_with_seed(name.as_bytes(), 0)
}

#[cfg(test)]
mod tests {
    use tidegate_model::Identity;

    use super::*;

    fn record(user: &str, attributes: &str) -> Record {
        let body = Body::User { attributes: Json::parse(attributes.into()).expect("JSON") };
        Record { id: RowHash(1), identity: Identity::ExternalId(user.into()), body }
    }

    fn keys(version: u128) -> ItemKeys {
        ItemKeys { key: RowHash(7), version: RowHash(version << 8) }
    }

    /// What is sent of the second version, if this is known of the first when it is looked up.
    fn second(first: &str, known: &[RowHash], user: &str, second: &str) -> String {
        let sent = SentAttributes::new(&["consent"], true);
        sent.narrowed(record("ann", first), keys(1));
        let delivered = sent.users().under_way.drain().map(|(_, sent)| sent).collect();
        let mut before = Known::Nothing;
        known.iter().for_each(|row| before.add(*row));
        sent.found(&[RowHash(7)], &[before], delivered);
        let record = sent.narrowed(record(user, second), keys(2));
        let Body::User { attributes } = record.body else { panic!("a user") };
        attributes.as_str().to_owned()
    }

    #[test]
    fn only_attributes_that_changed_are_sent_and_those_that_are_always_sent() {
        let first = r#"{"plan":"free","city":"Paris","consent":true,"left":null}"#;
        let known = [RowHash(1 << 8)];
        let changed = r#"{"plan":"pro","city":"Paris","consent":true,"left":null}"#;
        assert_eq!(second(first, &known, "ann", changed), r#"{"plan":"pro","consent":true}"#);
        let new = r#"{"plan":"free","city":"Paris","a\"b":[1, 2],"left":null}"#;
        assert_eq!(second(first, &known, "ann", new), r#"{"a\"b":[1, 2]}"#);
        let gone = r#"{"plan":"free","city":null,"left":null}"#;
        assert_eq!(second(first, &known, "ann", gone), r#"{"city":null}"#);
    }

    #[test]
    fn a_row_is_sent_whole_if_it_is_not_certain_what_the_platform_has() {
        let (first, changed) = (r#"{"plan":"free","city":"Paris"}"#, r#"{"plan":"pro","city":"Paris"}"#);
        let of = RowHash(1 << 8);
        for known in [&[][..], &[RowHash::UNCERTAIN], &[of, RowHash(3 << 8)], &[of.with_changes(2)]] {
            assert_eq!(second(first, known, "ann", changed), changed, "{known:?}");
        }
        // Another user under the same key, and a change of a column that is no attribute.
        assert_eq!(second(first, &[of], "bob", changed), changed);
        assert_eq!(second(first, &[of], "ann", first), first);
    }
}
