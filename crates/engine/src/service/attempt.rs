//! Taking a sync and opening both of its ends. An attempt that fails is a run that failed.

use tidegate_model::store::{PauseChange, PausedBy, RunEnd, SyncState};
use tidegate_model::{
    Cause, Claim, Claimed, ConnectionId, Ending, Error, ErrorKind, ExportRequest, Holder, ObjectKind,
    Reaction, SyncId,
};

use super::Engine;
use super::active::object_changed;
use super::export::requested_id;
use super::measures;
use super::runs::OpenSync;
use tidegate_project::SyncSpec;

impl Engine {
    /// Everything a run needs, and the sync held for this process.
    pub(crate) async fn ready(&self, id: &SyncId, cause: Cause) -> Result<(OpenSync, Claim), Error> {
        self.opened(id, cause, false).await
    }

    /// The same for the last run of a sync that a person paused.
    pub(crate) async fn ready_for_last_run(&self, id: &SyncId) -> Result<(OpenSync, Claim), Error> {
        self.opened(id, Cause::Schedule, true).await
    }

    /// The same for an export that a caller of a connection's API asked for.
    pub(crate) async fn ready_requested(
        &self,
        connection: &ConnectionId,
        request: &ExportRequest,
    ) -> Result<(OpenSync, Claim), Error> {
        let claim = self.claim(&requested_id(connection, &request.name)).await?;
        match self.requested_export(connection, request) {
            Ok(export) => Ok((OpenSync::Export(Box::new(export)), claim)),
            Err(error) => {
                self.note_failure(&claim, ObjectKind::Event, Cause::Schedule, &error).await;
                claim.release().await;
                Err(error)
            }
        }
    }

    /// Opens both ends of a sync that is held already.
    pub(super) async fn open_again(&self, claim: &Claim) -> Result<OpenSync, Error> {
        let id = claim.sync();
        let state = self.config.store.sync_state(id).await?;
        self.open(id, self.object_of(id)?, &state).await
    }

    async fn opened(
        &self,
        id: &SyncId,
        cause: Cause,
        even_if_paused: bool,
    ) -> Result<(OpenSync, Claim), Error> {
        let object = self.object_of(id)?;
        let claim = self.claim(id).await?;
        let opened = async {
            let state = self.config.store.sync_state(id).await?;
            // What was sent since the copy would be sent again by a last run, too.
            let is_older = state.paused.as_ref().is_some_and(|pause| pause.by == PausedBy::Restored);
            if !even_if_paused || is_older {
                not_paused_by_a_person(id, &state)?;
            }
            let opened = self.open(id, object, &state).await;
            if let Err(error) = &opened {
                self.note_failure(&claim, object, cause, error).await;
            }
            opened
        };
        let opened = opened.await;
        if opened.is_err() {
            claim.release().await;
        }
        Ok((opened?, claim))
    }

    /// Takes a sync for this process.
    pub(crate) async fn claim(&self, id: &SyncId) -> Result<Claim, Error> {
        self.heed_older_state().await?;
        match self.config.store.claim(id).await? {
            Claimed::Taken(claim) => Ok(claim),
            Claimed::Held(holder) => Err(held(id, &holder)),
        }
    }

    fn object_of(&self, id: &SyncId) -> Result<ObjectKind, Error> {
        Ok(match self.sync(id)? {
            SyncSpec::Import(import) => import.destination.object,
            SyncSpec::Export(_) => ObjectKind::Event,
        })
    }

    /// Opens both ends of a sync.
    async fn open(&self, id: &SyncId, object: ObjectKind, state: &SyncState) -> Result<OpenSync, Error> {
        if let Some(before) = state.object.filter(|before| *before != object) {
            return Err(object_changed(id, before.as_str(), object.as_str()));
        }
        match self.sync(id)? {
            SyncSpec::Import(_) => {
                self.import(id, None).await.map(|import| OpenSync::Import(Box::new(import)))
            }
            SyncSpec::Export(export) => {
                self.export(id, export).await.map(|export| OpenSync::Export(Box::new(export)))
            }
        }
    }

    /// Records an attempt that could not begin as a run that failed, with its reason. A
    /// cause that a person has to fix pauses a sync that ran before.
    pub(crate) async fn note_failure(&self, claim: &Claim, object: ObjectKind, cause: Cause, error: &Error) {
        let why = format!("{}. Next: {}", error.chain(), error.next_step());
        let state = self.config.store.sync_state(claim.sync()).await.unwrap_or_default();
        let pause = match error.reaction() {
            Reaction::Pause if state.object.is_some() => PauseChange::Set(why.clone()),
            _ => PauseChange::Explain(why.clone()),
        };
        self.note_attempt(claim, (object, cause), error, why, pause).await;
    }

    /// Records a run that was asked for in a way that is not allowed, with the reason. Nothing is wrong with its
    /// sync: a pause stays as it is.
    pub(super) async fn note_refusal(&self, claim: &Claim, object: ObjectKind, cause: Cause, error: &Error) {
        let why = format!("{}. Next: {}", error.chain(), error.next_step());
        self.note_attempt(claim, (object, cause), error, why, PauseChange::Keep).await;
    }

    async fn note_attempt(
        &self,
        claim: &Claim,
        (object, cause): (ObjectKind, Cause),
        error: &Error,
        why: String,
        pause: PauseChange,
    ) {
        let end = RunEnd {
            error: Some(why),
            failure: Some(error.into()),
            pause,
            ..RunEnd::new(Ending::Failed, self.config.clock.now())
        };
        match self.config.store.fail_run(claim, object, cause, end).await {
            Ok(run) => measures::run_ended(&run),
            Err(trouble) => {
                let (sync, trouble) = (claim.sync(), trouble.chain());
                tracing::warn!(%sync, trouble, "a run that could not begin is not in the list of runs");
            }
        }
        self.watching.run_ended(claim.sync());
    }
}

/// The failure of what needs a sync that another process holds.
fn held(id: &SyncId, holder: &Holder) -> Error {
    let running = format!("the sync `{id}` is running in {holder}");
    match holder.until {
        None => Error::new(ErrorKind::Held, running)
            .hint("wait for it to end, or pause the sync if it is continuous; `tidegate status` shows it"),
        Some(until) => {
            let until = until.strftime("%Y-%m-%d %H:%M:%SZ");
            Error::new(ErrorKind::Held, format!("{running}, whose lease lasts until {until}"))
                .hint("wait for its run to end; if that process is gone, the lease then expires")
        }
    }
}

/// # Errors
/// If a person paused the sync.
pub(super) fn not_paused_by_a_person(id: &SyncId, state: &SyncState) -> Result<(), Error> {
    match state.paused.as_ref().filter(|pause| pause.by != PausedBy::System) {
        None => Ok(()),
        Some(pause) => Err(Error::new(
            ErrorKind::Denied,
            format!("the sync `{id}` was paused by {}: {}", pause.by, pause.why),
        )
        .hint(match pause.by {
            PausedBy::Restored => format!(
                "`tidegate plan {id}` shows what would be sent, and `tidegate resume {id}` lets it be sent \
                 (docs/guides/backup.md)"
            ),
            _ => format!("run `tidegate resume {id}`"),
        })),
    }
}
