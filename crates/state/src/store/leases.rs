//! The right to run a sync.
//!
//! On a server a lease is a row with an end. One task renews all leases of this process
//! together, and the server's clock decides what has ended. In a data folder a lock on a
//! file says whether the holder still lives, so that its lease needs no end and no clock.
//! In both, the row gives out the token.
//!
//! Taking a lease ends the runs that were open. It locks their rows against every write
//! that is under way, so that nothing of an earlier holder is written afterwards.

use std::collections::HashMap;
use std::fs::File;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use tidegate_model::{Claim, Ending, Error, ErrorKind, Holder, Lease, RunId, SyncId};
use tokio::runtime::Handle;
use tokio::time::{self, MissedTickBehavior};
use uuid::Uuid;

use super::dialect::{Database, Tx};
use super::process::Process;
use super::recency::Recency;
use super::statement::{Record, Statement, sql};
use super::term::Term;

/// How often a lease is renewed in its span.
const RENEWALS: u32 = 4;
/// It is renewed at least this often: so long may a process take to notice that it is no longer alone.
const RENEWAL_LATEST: Duration = Duration::from_secs(2);

/// The leases that this process holds.
pub(super) struct Leases(Arc<Shared>);

struct Shared {
    database: Arc<Database>,
    span: Duration,
    /// A name that no other process has.
    owner: String,
    process: Process,
    /// By the sync and token. Those of a data folder are not among them: they have no end.
    held: Mutex<HashMap<(String, u64), Arc<Term>>>,
    /// Whether no other process holds a lease, as far as this one has seen.
    alone: AtomicBool,
    recency: Arc<Recency>,
}

/// What came of asking for a lease.
pub(super) enum Taken {
    /// The lease, and the runs that were ended with it.
    Lease(Claim, Vec<RunId>),
    Held(Holder),
}

impl Leases {
    /// Starts with no lease. Each one lasts for `span` unless it is renewed.
    pub(super) fn new(database: Arc<Database>, span: Duration, recency: Arc<Recency>) -> Leases {
        let shared = Arc::new(Shared {
            // Processes that share a data folder do not share their limits.
            alone: AtomicBool::new(!database.is_server()),
            database,
            span,
            owner: Uuid::new_v4().simple().to_string(),
            process: Process::this(),
            held: Mutex::default(),
            recency,
        });
        if let Database::Postgres { .. } = *shared.database {
            tokio::spawn(renew_all(Arc::downgrade(&shared)));
        }
        Leases(shared)
    }

    /// Returns the name of this process in the rows of its leases.
    pub(super) fn owner(&self) -> &str {
        &self.0.owner
    }

    /// Returns whether no other process holds a lease.
    pub(super) fn is_alone(&self) -> bool {
        self.0.alone.load(Ordering::Acquire)
    }

    /// Takes the lease of a sync unless another process holds it, and ends the runs of the
    /// sync that are open.
    pub(super) async fn take(&self, sync: &SyncId, at: Timestamp) -> Result<Taken, Error> {
        let taken = match &*self.0.database {
            Database::Sqlite { .. } => self.take_file(sync, at).await?,
            Database::Postgres { .. } => self.take_row(sync, at).await?,
        };
        if let Taken::Lease(claim, _) = &taken
            && let Err(error) = self.0.recency.begin().await
        {
            claim.release().await;
            return Err(error);
        }
        Ok(taken)
    }

    async fn take_file(&self, sync: &SyncId, at: Timestamp) -> Result<Taken, Error> {
        let Some(file) = self.0.database.lock_file(&format!("sync {sync}"))? else {
            let holder = self.0.read(sync).await?.map(|row| row.process);
            return Ok(Taken::Held(Holder {
                process: holder.unwrap_or_else(|| "another process".to_owned()),
                until: None,
            }));
        };
        let mut tx = self.0.database.write().await?;
        let statement = sql("INSERT INTO leases (sync, token, owner, process, identity, expires_at)
            VALUES ($1, 1, $2, $3, $4, 0)
            ON CONFLICT (sync) DO UPDATE SET token = leases.token + 1, owner = excluded.owner,
                process = excluded.process, identity = excluded.identity
            RETURNING token");
        let record = tx.first(self.0.named(statement, sync)).await?;
        let record = record.ok_or_else(|| Error::internal("a lease was taken and has no row"))?;
        let ended = end_runs(&mut tx, sync, at).await?;
        tx.commit().await?;
        Ok(self.taken(sync, record.count("token")?, Term::endless(), Some(file), ended))
    }

    async fn take_row(&self, sync: &SyncId, at: Timestamp) -> Result<Taken, Error> {
        let row = self.0.read(sync).await?;
        // A process of this machine that was killed is not waited for.
        let dead = row.filter(|row| row.live && Process::has_ended(&row.identity)).map(|row| row.owner);
        let term = Arc::new(Term::from_now(self.0.span));
        // Whether this process begins to send: it is alone, and says so, until it has looked for others.
        let is_first = self.0.held().values().all(|term| term.is_lost());
        let mut tx = self.0.database.write().await?;
        let statement = sql("INSERT INTO leases (sync, token, owner, process, identity, expires_at, alone)
            VALUES ($1, 1, $2, $3, $4,
                CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT) + $5, $7)
            ON CONFLICT (sync) DO UPDATE SET token = leases.token + 1, owner = excluded.owner,
                process = excluded.process, identity = excluded.identity, expires_at = excluded.expires_at,
                alone = excluded.alone
            WHERE leases.owner = $6
                OR leases.expires_at <= CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT)
            RETURNING token");
        let statement = self.0.named(statement, sync).bind(micros(self.0.span));
        let statement = statement.bind(dead.unwrap_or_default().as_str()).bind(is_first || self.is_alone());
        let Some(record) = tx.first(statement).await? else {
            drop(tx);
            let row = self.0.read(sync).await?;
            return Ok(Taken::Held(row.map_or_else(
                || Holder { process: "another process".to_owned(), until: None },
                |row| Holder {
                    process: row.process,
                    until: Timestamp::from_microsecond(row.expires_at).ok(),
                },
            )));
        };
        let ended = end_runs(&mut tx, sync, at).await?;
        tx.commit().await?;
        let token = record.count("token")?;
        self.0.held().insert((sync.to_string(), token), Arc::clone(&term));
        if is_first {
            self.0.look_for_others().await?;
        }
        Ok(self.taken(sync, token, term, None, ended))
    }

    fn taken(
        &self,
        sync: &SyncId,
        token: u64,
        term: Arc<Term>,
        file: Option<File>,
        ended: Vec<RunId>,
    ) -> Taken {
        let shared = Arc::clone(&self.0);
        shared.recency.hold();
        Taken::Lease(
            Arc::new(HeldLease {
                shared,
                sync: sync.clone(),
                token,
                term,
                file: Mutex::new(file),
                has_ended: AtomicBool::new(false),
            }),
            ended,
        )
    }
}

/// The row of a lease.
struct Row {
    owner: String,
    process: String,
    identity: String,
    expires_at: i64,
    /// Whether its end is yet to come.
    live: bool,
}

impl Shared {
    fn held(&self) -> MutexGuard<'_, HashMap<(String, u64), Arc<Term>>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn named(&self, statement: Statement, sync: &SyncId) -> Statement {
        let statement = statement.bind(sync).bind(self.owner.as_str());
        statement.bind(self.process.shown.as_str()).bind(self.process.identity.as_str())
    }

    async fn read(&self, sync: &SyncId) -> Result<Option<Row>, Error> {
        let now = match &*self.database {
            Database::Sqlite { .. } => "0",
            Database::Postgres { .. } => "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT)",
        };
        let text =
            format!("SELECT owner, process, identity, expires_at, {now} AS now FROM leases WHERE sync = $1");
        let record = self.database.first(Statement::assembled(text, vec![sync.into()])).await?;
        let row = |record: &Record| {
            let expires_at: i64 = record.get("expires_at")?;
            Ok::<Row, Error>(Row {
                owner: record.get("owner")?,
                process: record.get("process")?,
                identity: record.get("identity")?,
                expires_at,
                live: expires_at > record.get::<i64>("now")?,
            })
        };
        record.as_ref().map(row).transpose()
    }

    /// Renews every lease of this process that has not ended; those that are not renewed
    /// were taken by another process.
    async fn renew(&self) -> Result<(), Error> {
        let known: Vec<_> = self.held().iter().map(|(key, term)| (key.clone(), Arc::clone(term))).collect();
        if known.is_empty() {
            // It sends nothing, and does not see others come: the next lease begins with a look.
            self.alone.store(false, Ordering::Release);
            return Ok(());
        }
        let end = Term::end_from_now(self.span);
        let alone = self.alone.load(Ordering::Acquire);
        let statement = sql("UPDATE leases
            SET expires_at = CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT) + $2, alone = $3
            WHERE owner = $1
                AND expires_at > CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT)
            RETURNING sync, token, (SELECT COUNT(*) FROM leases AS others WHERE others.owner <> $1
                AND others.expires_at > CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT))
                AS others");
        let statement = statement.bind(self.owner.as_str()).bind(micros(self.span)).bind(alone);
        let records = self.database.renew(statement).await?;
        let mut renewed = Vec::with_capacity(records.len());
        let mut others = 0;
        for record in records {
            renewed.push((record.get::<String>("sync")?, record.count("token")?));
            others = record.count("others")?;
        }
        for (key, term) in known {
            if renewed.contains(&key) {
                term.renew(end);
            } else {
                term.lose();
            }
        }
        if renewed.is_empty() {
            self.alone.store(false, Ordering::Release);
            return Ok(());
        }
        match (alone, others) {
            (true, 1..) => self.is_not_alone().await,
            (false, 0) => {
                self.say_alone(true).await?;
                self.look_for_others().await
            }
            _ => Ok(()),
        }
    }

    /// Finds out whether this process is alone. Its rows say so already: of two processes that do this
    /// at the same time, at least one sees the other.
    async fn look_for_others(&self) -> Result<(), Error> {
        let statement = sql("SELECT COUNT(*) AS others FROM leases WHERE owner <> $1
            AND expires_at > CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT)");
        let record = self.database.first(statement.bind(self.owner.as_str())).await?;
        if record.is_some_and(|record| record.count("others").is_ok_and(|others| others == 0)) {
            self.alone.store(true, Ordering::Release);
            return Ok(());
        }
        self.is_not_alone().await
    }

    /// Lets other processes lease turns of limits. From now on this one leases its own.
    async fn is_not_alone(&self) -> Result<(), Error> {
        self.alone.store(false, Ordering::Release);
        self.say_alone(false).await
    }

    async fn say_alone(&self, alone: bool) -> Result<(), Error> {
        let statement = sql("UPDATE leases SET alone = $2 WHERE owner = $1");
        self.database.execute(statement.bind(self.owner.as_str()).bind(alone)).await?;
        Ok(())
    }

    /// Ends a lease of this process now.
    async fn release(&self, sync: &SyncId, token: u64) -> Result<(), Error> {
        self.held().remove(&(sync.to_string(), token));
        let statement = sql("UPDATE leases SET expires_at = 0 WHERE sync = $1 AND token = $2");
        self.database.execute(statement.bind(sync).bind(token)).await?;
        Ok(())
    }
}

/// Renews the leases of this process until it no longer needs any.
async fn renew_all(shared: Weak<Shared>) {
    let Some(span) = shared.upgrade().map(|shared| shared.span) else { return };
    let pause = (span / RENEWALS).min(RENEWAL_LATEST);
    let mut ticks = time::interval(pause);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut failing = false;
    loop {
        ticks.tick().await;
        let Some(shared) = shared.upgrade() else { return };
        // One that does not answer is asked again, and its lease expires.
        let renewed = time::timeout(pause, shared.renew()).await;
        let trouble = match renewed {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.chain()),
            Err(_) => Some("the state database does not answer".to_owned()),
        };
        if let (Some(trouble), false) = (&trouble, failing) {
            tracing::warn!(
                trouble,
                "leases of syncs could not be renewed; runs stop before their leases end"
            );
        }
        failing = trouble.is_some();
    }
}

/// A lease in the hands of a run.
struct HeldLease {
    shared: Arc<Shared>,
    sync: SyncId,
    token: u64,
    term: Arc<Term>,
    /// The lock of a data folder, until it is released.
    file: Mutex<Option<File>>,
    has_ended: AtomicBool,
}

impl HeldLease {
    /// Lets the lock go, or says that the row has to be written.
    fn let_go(&self) -> bool {
        let already = self.term.is_lost();
        self.term.lose();
        self.file.lock().unwrap_or_else(PoisonError::into_inner).take();
        let known = self.shared.held().remove(&(self.sync.to_string(), self.token)).is_some();
        known && !already
    }
}

#[async_trait]
impl Lease for HeldLease {
    fn sync(&self) -> &SyncId {
        &self.sync
    }

    fn token(&self) -> u64 {
        self.token
    }

    fn remaining(&self) -> Duration {
        self.term.remaining()
    }

    async fn release(&self) {
        if self.let_go()
            && let Err(error) = self.shared.release(&self.sync, self.token).await
        {
            let (sync, trouble) = (&self.sync, error.chain());
            tracing::debug!(%sync, trouble, "a lease could not be released, it will expire");
        }
        if !self.has_ended.swap(true, Ordering::AcqRel) {
            self.shared.recency.end().await;
        }
    }
}

impl Drop for HeldLease {
    fn drop(&mut self) {
        if self.let_go()
            && let Ok(runtime) = Handle::try_current()
        {
            let (shared, sync, token) = (Arc::clone(&self.shared), self.sync.clone(), self.token);
            runtime.spawn(async move { shared.release(&sync, token).await });
        }
        if !self.has_ended.swap(true, Ordering::AcqRel)
            && let Ok(runtime) = Handle::try_current()
        {
            let recency = Arc::clone(&self.shared.recency);
            runtime.spawn(async move { recency.end().await });
        }
    }
}

/// Makes sure that a transaction is one of the holder of a sync, until it ends.
///
/// # Errors
/// [`ErrorKind::Held`] if another process took the sync over.
pub(super) async fn check(tx: &mut Tx, claim: &Claim) -> Result<(), Error> {
    let text = format!("SELECT token FROM leases WHERE sync = $1 AND token = $2{}", tx.for_update());
    let statement = Statement::assembled(text, vec![claim.sync().into(), claim.token().into()]);
    match tx.first(statement).await? {
        Some(_) => Ok(()),
        None => Err(lost(claim.sync().as_str())),
    }
}

/// The failure of a write that comes after another process took the sync over.
pub(super) fn lost(sync: &str) -> Error {
    Error::new(ErrorKind::Held, format!("another process has taken over the sync `{sync}`"))
        .hint("nothing to do: what this process had not committed is read again by the other one")
}

/// Ends the open runs of a sync. It waits for every write of theirs that is under way.
async fn end_runs(tx: &mut Tx, sync: &SyncId, at: Timestamp) -> Result<Vec<RunId>, Error> {
    let text = format!("SELECT id FROM runs WHERE sync = $1 AND ending IS NULL{}", tx.for_update());
    let open = tx.all(Statement::assembled(text, vec![sync.into()])).await?;
    if open.is_empty() {
        return Ok(Vec::new());
    }
    let statement = sql("UPDATE runs SET ending = $2, finished_at = $3 WHERE sync = $1 AND ending IS NULL");
    tx.execute(statement.bind(sync).bind(Ending::Interrupted.as_str()).bind(at)).await?;
    open.iter().map(|record| Ok(RunId::new(record.get::<String>("id")?))).collect()
}

pub(super) fn micros(span: Duration) -> i64 {
    i64::try_from(span.as_micros()).unwrap_or(i64::MAX)
}
