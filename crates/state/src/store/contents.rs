//! The contents of failed rows, sealed with a data key that the master key seals.
//!
//! A rotation of the master key re-seals the data key and leaves the rows unchanged.
//!
//! ```text
//! sealed contents   id of the data key u32 | nonce 24 | the rows of a block as texts, sealed
//! ```

use std::collections::HashMap;
use std::sync::Arc;

use tidegate_model::{Error, ErrorKind};
use tokio::sync::OnceCell;
use uuid::Uuid;

use super::dialect::{Database, Tx};
use super::statement::{Record, Statement, sql};
use super::{failed_rows, secrets};
use crate::seal::{DataKey, Seal, Sealed};

const ID_BYTES: usize = 4;

/// Seals and opens the contents of rows.
pub(crate) struct Contents {
    database: Arc<Database>,
    seal: Arc<Seal>,
    /// The key that this process seals with.
    own: OnceCell<Arc<Sealing>>,
}

/// A data key and its number.
pub(crate) struct Sealing {
    id: u32,
    key: DataKey,
}

impl Sealing {
    /// Seals contents; they open with the same `about` only.
    pub(crate) fn seal(&self, plain: &[u8], about: &str) -> Result<Vec<u8>, Error> {
        let mut out = self.id.to_be_bytes().to_vec();
        self.key.seal(about.as_bytes(), plain, &mut out)?;
        Ok(out)
    }

    /// Returns the hash of a text that only holders of the key can compute.
    pub(super) fn keyed_hash(&self, text: &str) -> Vec<u8> {
        self.key.keyed_hash(text.as_bytes())
    }
}

/// The data keys, to open contents with.
pub(crate) struct Opening(HashMap<u32, DataKey>);

impl Opening {
    /// Opens what [`Sealing::seal`] sealed; `None` if its key was discarded.
    pub(crate) fn open(&self, sealed: &[u8], about: &str) -> Result<Option<Vec<u8>>, Error> {
        let damaged = || {
            Error::new(ErrorKind::Storage, "the stored contents of failed rows are damaged")
                .hint("restore a copy of the state, or let the sync read the rows again")
        };
        let (id, rest) = sealed.split_first_chunk::<ID_BYTES>().ok_or_else(damaged)?;
        let Some(key) = self.0.get(&u32::from_be_bytes(*id)) else { return Ok(None) };
        key.open(about.as_bytes(), rest).ok_or_else(damaged).map(Some)
    }
}

/// What is needed to change contents that are stored.
pub(super) struct Keys {
    pub(super) opening: Opening,
    pub(super) sealing: Arc<Sealing>,
}

impl Contents {
    pub(crate) fn new(database: Arc<Database>, seal: Arc<Seal>) -> Contents {
        Contents { database, seal, own: OnceCell::new() }
    }

    /// Returns the key to seal with, which is made with the first failed row.
    ///
    /// # Errors
    /// [`ErrorKind::Denied`] if the master key that sealed it is not there.
    pub(crate) async fn sealing(&self) -> Result<&Arc<Sealing>, Error> {
        self.own.get_or_try_init(async || self.find_or_make().await.map(Arc::new)).await
    }

    /// Returns the keys to open with.
    ///
    /// # Errors
    /// [`ErrorKind::Denied`] if a master key is missing.
    pub(crate) async fn opening(&self) -> Result<Opening, Error> {
        let mut keys = HashMap::new();
        for record in self.database.all(sql("SELECT id, key_id, nonce, sealed FROM data_keys")).await? {
            let Sealing { id, key } = self.read(&record)?;
            keys.insert(id, key);
        }
        Ok(Opening(keys))
    }

    /// Returns whether something is sealed with a master key that is not there.
    ///
    /// # Errors
    /// If the database or a key cannot be read.
    pub(crate) async fn lacks_key(&self) -> Result<bool, Error> {
        let ids = "SELECT key_id FROM secrets UNION SELECT key_id FROM data_keys ORDER BY key_id";
        for record in self.database.all(sql(ids)).await? {
            let id: String = record.get("key_id")?;
            if self.seal.with_id(&id)?.is_none() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Returns the keys to open and to seal with.
    ///
    /// # Errors
    /// [`ErrorKind::Denied`] if a master key is missing.
    pub(super) async fn keys(&self) -> Result<Keys, Error> {
        let sealing = Arc::clone(self.sealing().await?);
        Ok(Keys { opening: self.opening().await?, sealing })
    }

    async fn find_or_make(&self) -> Result<Sealing, Error> {
        let mut tx = secrets::alone(&self.database).await?;
        let newest = sql("SELECT id, key_id, nonce, sealed FROM data_keys ORDER BY id DESC LIMIT 1");
        if let Some(record) = tx.first(newest).await? {
            return self.read(&record);
        }
        // Not the number of one that was discarded.
        let (id, key) = (random_id(), DataKey::generate());
        let master = self.seal.to_seal(&secrets::key_ids(&mut tx).await?)?;
        let sealed = master.seal(&name(id), key.bytes())?;
        tx.execute(insert(id, sealed)).await?;
        tx.commit().await?;
        Ok(Sealing { id, key })
    }

    fn read(&self, record: &Record) -> Result<Sealing, Error> {
        let (id, sealed) = from_record(record)?;
        let master = self.seal.to_open("the key of the contents of failed rows", &sealed.key_id)?;
        let key = master.open(&name(id), &sealed).and_then(|bytes| DataKey::read(&bytes));
        Ok(Sealing { id, key: key.ok_or_else(damaged_key)? })
    }
}

/// A number that no other data key of this store has had.
fn random_id() -> u32 {
    (Uuid::new_v4().as_u64_pair().1 >> 32) as u32
}

/// What a data key is sealed under.
pub(super) fn name(id: u32) -> String {
    format!("data key {id}")
}

pub(super) fn from_record(record: &Record) -> Result<(u32, Sealed), Error> {
    let id = u32::try_from(record.count("id")?).unwrap_or_default();
    let sealed =
        Sealed { key_id: record.get("key_id")?, nonce: record.get("nonce")?, bytes: record.get("sealed")? };
    Ok((id, sealed))
}

/// Removes a data key that cannot be opened, and what it sealed.
pub(super) async fn discard(tx: &mut Tx, id: u32) -> Result<(), Error> {
    failed_rows::discard(tx, id).await?;
    for users in ["kept_users", "sent_users"] {
        let text = format!("DELETE FROM {users} WHERE substr(body, 1, 4) = $1");
        tx.execute(Statement::assembled(text, vec![id.to_be_bytes().to_vec().into()])).await?;
    }
    tx.execute(sql("DELETE FROM data_keys WHERE id = $1").bind(u64::from(id))).await?;
    Ok(())
}

pub(super) fn damaged_key() -> Error {
    Error::new(ErrorKind::Storage, "the key of the contents of failed rows is damaged")
        .hint("restore a copy of the state")
}

fn insert(id: u32, sealed: Sealed) -> Statement {
    sql("INSERT INTO data_keys (id, key_id, nonce, sealed) VALUES ($1, $2, $3, $4)")
        .bind(u64::from(id))
        .bind(sealed.key_id.as_str())
        .bind(sealed.nonce)
        .bind(sealed.bytes)
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use jiff::Timestamp;
    use tidegate_model::store::{BatchCommit, RowResult, RowStatus, RunLedger as _, SyncControl as _};
    use tidegate_model::{Cause, Columns, ObjectKind, Reason, Row, RowHash, SyncId, SystemClock, Value};

    use super::*;
    use crate::store::SqlStore;
    use crate::{MasterKeys, StateConfig, StoreLocation};

    const ROWS: u32 = 10_000;

    fn rejected(id: u32) -> RowResult {
        let columns = Columns::new(["id", "email", "note", "at"]);
        let texts =
            [format!("u-{id}"), format!("user-{id}@example.com"), "n".repeat(250), "2026-03-01".into()];
        RowResult {
            key: RowHash(id.into()),
            key_text: id.to_string().into(),
            row: RowHash(id.into()),
            user: id.to_string().into(),
            status: RowStatus::Rejected(Reason::new("too_long", "the text is too long")),
            payload: Some(
                Row { columns, values: texts.map(|text| Value::Text(text.into())).to_vec() }.into(),
            ),
        }
    }

    /// Prints a figure:
    /// `cargo nextest run --release -p tidegate-state --run-ignored only --no-capture -E 'test(what_sealing_costs)'`.
    #[tokio::test]
    #[ignore = "prints a figure"]
    async fn what_sealing_costs_of_a_commit() {
        let data = tempfile::tempdir().expect("folder");
        crate::folder::prepare(data.path()).expect("prepared");
        let store = SqlStore::open(StateConfig {
            data: data.path().to_owned(),
            store: StoreLocation::Embedded,
            clock: Arc::new(SystemClock),
            history_days: 0,
            failed_row_days: 0,
            master_keys: MasterKeys::default(),
            lease: crate::LEASE,
            bucket: None,
        });
        let store = store.await.expect("opened");
        let sync = SyncId::new("orders");
        let at = Timestamp::UNIX_EPOCH;
        let claim = store.claim(&sync).await.expect("asked").taken().expect("free");
        let run = store.start_run(&claim, ObjectKind::User, Cause::Manual, at).await.expect("started");
        let sealing = Arc::clone(store.contents.sealing().await.expect("a key"));
        let results: Vec<RowResult> = (0..ROWS).map(rejected).collect();
        let rows = failed_rows::of_batch(results.clone(), &[], &run.id, at).expect("rows");
        let texts: u64 = rows.iter().map(failed_rows::block::FailedEntry::bytes).sum();
        let plain = failed_rows::block::encode_contents(&rows).expect("written").expect("contents");
        let began = Instant::now();
        sealing.seal(&plain, "a block").expect("sealed");
        let sealing = began.elapsed();
        let began = Instant::now();
        let commit = BatchCommit { results, ..BatchCommit::default() };
        store.commit_batch(&run.id, commit).await.expect("committed");
        let commit = began.elapsed();
        eprintln!(
            "{ROWS} rejected rows of {} bytes: sealing {sealing:?} of a commit of {commit:?}, {:.1} %",
            texts / u64::from(ROWS),
            100.0 * sealing.as_secs_f64() / commit.as_secs_f64()
        );
    }
}
