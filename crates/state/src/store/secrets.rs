//! Secrets, sealed.

use async_trait::async_trait;
use tidegate_model::store::{KeyRotation, SecretStore};
use tidegate_model::{Error, ErrorKind, Secret};

use super::dialect::{Database, Tx};
use super::statement::{Record, sql};
use super::{SqlStore, contents};
use crate::seal::{Seal, Sealed};

#[async_trait]
impl SecretStore for SqlStore {
    async fn put_secret(&self, name: &str, secret: &Secret) -> Result<(), Error> {
        put(&self.database, &self.seal, name, secret).await
    }

    async fn secret(&self, name: &str) -> Result<Option<Secret>, Error> {
        get(&self.database, &self.seal, name).await
    }

    async fn secrets(&self) -> Result<Vec<String>, Error> {
        let records = self.database.all(sql("SELECT name FROM secrets ORDER BY name")).await?;
        records.iter().map(|record| record.get("name")).collect()
    }

    async fn remove_secret(&self, name: &str) -> Result<bool, Error> {
        let removed = self.database.execute(sql("DELETE FROM secrets WHERE name = $1").bind(name)).await?;
        Ok(removed > 0)
    }

    async fn rotate_master_key(&self, discard_unreadable: bool) -> Result<KeyRotation, Error> {
        rotate(&self.database, &self.seal, discard_unreadable).await
    }
}

async fn put(database: &Database, seal: &Seal, name: &str, secret: &Secret) -> Result<(), Error> {
    // The key is chosen while no rotation can be under way.
    let mut tx = alone(database).await?;
    let key = seal.to_seal(&key_ids(&mut tx).await?)?;
    let sealed = key.seal(name, secret.expose().as_bytes())?;
    let statement = sql("INSERT INTO secrets (name, key_id, nonce, sealed) VALUES ($1, $2, $3, $4)
        ON CONFLICT (name) DO UPDATE SET key_id = excluded.key_id, nonce = excluded.nonce,
            sealed = excluded.sealed");
    let statement = statement.bind(name).bind(sealed.key_id.as_str());
    tx.execute(statement.bind(sealed.nonce).bind(sealed.bytes)).await?;
    tx.commit().await
}

async fn get(database: &Database, seal: &Seal, name: &str) -> Result<Option<Secret>, Error> {
    let statement = sql("SELECT key_id, nonce, sealed FROM secrets WHERE name = $1");
    let Some(record) = database.first(statement.bind(name)).await? else {
        return Ok(None);
    };
    let sealed = from_record(&record)?;
    let key = seal.to_open(&format!("the secret `{name}`"), &sealed.key_id)?;
    let plain = key.open(name, &sealed).ok_or_else(|| damaged(name))?;
    String::from_utf8(plain).map(|text| Some(Secret::new(text))).map_err(|_| damaged(name))
}

/// Seals every secret with a new master key, all in one transaction.
///
/// The new key is durable before the transaction begins to write, and replaces the old one
/// only after its commit.
async fn rotate(database: &Database, seal: &Seal, discard_unreadable: bool) -> Result<KeyRotation, Error> {
    let mut tx = alone(database).await?;
    let mut opened = Vec::new();
    let mut discarded = Vec::new();
    for record in tx.all(sql("SELECT name, key_id, nonce, sealed FROM secrets ORDER BY name")).await? {
        let (name, sealed): (String, _) = (record.get("name")?, from_record(&record)?);
        let key = seal.to_open(&format!("the secret `{name}`"), &sealed.key_id);
        match key.and_then(|key| key.open(&name, &sealed).ok_or_else(|| damaged(&name))) {
            Ok(plain) => opened.push((name, plain)),
            Err(error) if discard_unreadable && error.kind() == ErrorKind::Denied => discarded.push(name),
            Err(error) => return Err(error),
        }
    }
    let (data_keys, lost) = data_keys(&mut tx, seal, discard_unreadable).await?;
    let key = seal.to_rotate()?;
    for (name, plain) in &opened {
        let sealed = key.seal(name, plain)?;
        let statement = sql("UPDATE secrets SET key_id = $2, nonce = $3, sealed = $4 WHERE name = $1");
        let statement = statement.bind(name.as_str()).bind(sealed.key_id.as_str()).bind(sealed.nonce);
        tx.execute(statement.bind(sealed.bytes)).await?;
    }
    for name in &discarded {
        tx.execute(sql("DELETE FROM secrets WHERE name = $1").bind(name.as_str())).await?;
    }
    for (id, plain) in &data_keys {
        let sealed = key.seal(&contents::name(*id), plain)?;
        let statement = sql("UPDATE data_keys SET key_id = $2, nonce = $3, sealed = $4 WHERE id = $1");
        let statement = statement.bind(u64::from(*id)).bind(sealed.key_id.as_str()).bind(sealed.nonce);
        tx.execute(statement.bind(sealed.bytes)).await?;
    }
    for id in lost {
        contents::discard(&mut tx, id).await?;
    }
    if opened.is_empty() && data_keys.is_empty() {
        // Nothing that is stored says which key is in use: the file does, from here on.
        seal.promote()?;
    }
    tx.commit().await?;
    seal.promote()?;
    Ok(KeyRotation { key: key.id().to_owned(), sealed: opened.len() as u64, discarded })
}

/// Opens the data keys. Returns those whose master key is lost apart, if they may go.
async fn data_keys(
    tx: &mut Tx,
    seal: &Seal,
    discard_unreadable: bool,
) -> Result<(Vec<(u32, Vec<u8>)>, Vec<u32>), Error> {
    let (mut opened, mut lost) = (Vec::new(), Vec::new());
    for record in tx.all(sql("SELECT id, key_id, nonce, sealed FROM data_keys")).await? {
        let (id, sealed) = contents::from_record(&record)?;
        let key = seal.to_open("the key of the contents of failed rows", &sealed.key_id);
        match key.map(|key| key.open(&contents::name(id), &sealed)) {
            Ok(Some(plain)) => opened.push((id, plain)),
            Ok(None) => return Err(contents::damaged_key()),
            Err(error) if discard_unreadable && error.kind() == ErrorKind::Denied => lost.push(id),
            Err(error) => return Err(error),
        }
    }
    Ok((opened, lost))
}

/// Begins to write while no other process seals, opens in order to seal, or rotates.
pub(super) async fn alone(database: &Database) -> Result<Tx, Error> {
    let mut tx = database.write().await?;
    database.lock_tables(&mut tx).await?;
    Ok(tx)
}

/// Returns the names of the master keys that sealed what is stored.
pub(super) async fn key_ids(tx: &mut Tx) -> Result<Vec<String>, Error> {
    let both = "SELECT key_id FROM secrets UNION SELECT key_id FROM data_keys ORDER BY key_id";
    let records = tx.all(sql(both)).await?;
    records.iter().map(|record| record.get("key_id")).collect()
}

fn from_record(record: &Record) -> Result<Sealed, Error> {
    Ok(Sealed { key_id: record.get("key_id")?, nonce: record.get("nonce")?, bytes: record.get("sealed")? })
}

fn damaged(name: &str) -> Error {
    Error::new(ErrorKind::Storage, format!("the stored secret `{name}` is damaged"))
        .hint("set the secret again")
}
