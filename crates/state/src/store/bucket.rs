//! Which bucket the files of a state database are in.
//!
//! Files that the database names are in one bucket, and whatever is in that bucket and not named is removed. So both
//! must know each other: the bucket holds an id, and the database the id and the address. Only a new
//! address is compared by its id.

use jiff::{SignedDuration, Timestamp};
use tidegate_model::{Error, ErrorKind};
use uuid::Uuid;

use super::dialect::{Database, Tx};
use super::statement::sql;
use super::trim;
use crate::shared_files::SharedFiles;

/// The file in the bucket that holds its id.
const ID_FILE: &str = "tidegate-state-id";
/// How often one of the processes removes what nothing names.
const SWEPT_EVERY: SignedDuration = SignedDuration::from_hours(24);

/// Takes the bucket for the database, or the database for the bucket.
///
/// # Errors
/// [`Settings`](ErrorKind::Settings) if they do not belong together, and those of the bucket.
pub(super) async fn claim(database: &Database, files: Option<&SharedFiles>) -> Result<(), Error> {
    if !database.is_server() {
        return match files {
            None => Ok(()),
            Some(files) => Err(Error::settings(format!(
                "--bucket names {}, and the state is in this data folder",
                files.address()
            ))
            .hint(
                "a bucket stands beside a PostgreSQL database, which names its files: set --store as well, \
                 or leave out --bucket and TIDEGATE_BUCKET",
            )),
        };
    }
    let mut tx = database.write().await?;
    database.lock_tables(&mut tx).await?;
    tx.script("CREATE TABLE IF NOT EXISTS bucket (id TEXT PRIMARY KEY, address TEXT NOT NULL, swept_at BIGINT NOT NULL)").await?;
    let known = tx.first(sql("SELECT id, address FROM bucket")).await?;
    let known = known.map(|known| Ok((known.get::<String>("id")?, known.get::<String>("address")?)));
    match (known.transpose()?, files) {
        (None, None) => {}
        (Some((_, address)), None) => {
            return Err(Error::settings(format!(
                "files of this state are in {address}, and --bucket is not set"
            ))
            .hint(format!("set TIDEGATE_BUCKET={address}, with the same parameters as on other machines")));
        }
        (None, Some(files)) => take(&mut tx, files).await?,
        (Some((id, address)), Some(files)) if address != files.address() => {
            moved(&mut tx, files, &id, &address).await?;
        }
        (Some(_), Some(_)) => {}
    }
    tx.commit().await
}

/// Returns whether the bucket still holds the id of this database.
pub(crate) async fn is_ours(database: &Database, files: &SharedFiles) -> Result<bool, Error> {
    let known = database.first(sql("SELECT id FROM bucket")).await?;
    let known = known.map(|known| known.get::<String>("id")).transpose()?;
    Ok(known.is_some() && known.map(String::into_bytes) == files.read(ID_FILE).await?)
}

/// Returns the time of this machine, or that of the server if it is earlier: to a clock that is ahead, files that other
/// machines are about to name were left behind.
pub(crate) async fn now(database: &Database, files: &SharedFiles) -> Result<Timestamp, Error> {
    trim::no_later_than_server(database, files.now()).await
}

/// Returns whether no process has swept the bucket within a day.
pub(super) async fn is_sweep_due(database: &Database, now: Timestamp) -> Result<bool, Error> {
    let known = database.first(sql("SELECT swept_at FROM bucket")).await?;
    let swept_at = known.map(|known| known.time("swept_at")).transpose()?;
    Ok(swept_at.is_some_and(|at| now.duration_since(at).abs() >= SWEPT_EVERY))
}

/// Notes that the bucket was swept.
pub(super) async fn note_sweep(database: &Database, now: Timestamp) -> Result<(), Error> {
    database.execute(sql("UPDATE bucket SET swept_at = $1").bind(now)).await.map(drop)
}

async fn take(tx: &mut Tx, files: &SharedFiles) -> Result<(), Error> {
    if files.read(ID_FILE).await?.is_some() {
        return Err(Error::settings(format!("{} holds files of another state database", files.address()))
            .hint(format!(
                "name a folder of the bucket that no other project uses; if none uses this one, remove {ID_FILE} from it"
            )));
    }
    let id = Uuid::new_v4().to_string();
    files.write(ID_FILE, id.clone().into_bytes()).await?;
    let statement = sql("INSERT INTO bucket (id, address, swept_at) VALUES ($1, $2, 0)");
    tx.execute(statement.bind(id.as_str()).bind(files.address().as_str())).await?;
    Ok(())
}

/// Follows files that were copied to another bucket.
async fn moved(tx: &mut Tx, files: &SharedFiles, id: &str, before: &str) -> Result<(), Error> {
    if files.read(ID_FILE).await?.as_deref() != Some(id.as_bytes()) {
        let now = files.address();
        return Err(Error::new(
            ErrorKind::Settings,
            format!("files of this state are in {before}, and --bucket names {now}, which does not hold them"),
        )
        .hint(format!(
            "name {before} on every machine; to move, stop all processes and copy everything in it to {now} first"
        )));
    }
    let statement = sql("UPDATE bucket SET address = $1 WHERE id = $2");
    tx.execute(statement.bind(files.address().as_str()).bind(id)).await?;
    Ok(())
}
