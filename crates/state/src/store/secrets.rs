//! Secrets, sealed.

use tidegate_model::{Error, Secret};

use super::dialect::Database;
use super::statement::sql;
use crate::seal::{Seal, Sealed};

pub(super) async fn put(database: &Database, seal: &Seal, name: &str, secret: &Secret) -> Result<(), Error> {
    let sealed = seal.seal(name, secret)?;
    let statement = sql("INSERT INTO secrets (name, key_id, nonce, sealed) VALUES ($1, $2, $3, $4)
        ON CONFLICT (name) DO UPDATE SET key_id = excluded.key_id, nonce = excluded.nonce,
            sealed = excluded.sealed");
    let statement = statement.bind(name).bind(sealed.key_id.as_str());
    database.execute(statement.bind(sealed.nonce).bind(sealed.bytes)).await?;
    Ok(())
}

pub(super) async fn get(database: &Database, seal: &Seal, name: &str) -> Result<Option<Secret>, Error> {
    let statement = sql("SELECT key_id, nonce, sealed FROM secrets WHERE name = $1");
    let Some(record) = database.first(statement.bind(name)).await? else {
        return Ok(None);
    };
    let sealed =
        Sealed { key_id: record.get("key_id")?, nonce: record.get("nonce")?, bytes: record.get("sealed")? };
    seal.open(name, &sealed).map(Some)
}

pub(super) async fn names(database: &Database) -> Result<Vec<String>, Error> {
    let records = database.all(sql("SELECT name FROM secrets ORDER BY name")).await?;
    records.iter().map(|record| record.get("name")).collect()
}
