//! Requests for work, in memory.

use async_trait::async_trait;
use tidegate_model::store::{ASKED_FOR, AbandonedWork, FORGOTTEN, RequestState, WorkRequest, WorkRequests};
use tidegate_model::{Claim, Error, SyncId};
use tokio::time::Instant;

use super::MemoryStore;

/// A request for work.
pub(super) struct MemoryRequest {
    sync: SyncId,
    work: String,
    answer: Option<String>,
    asked_at: Instant,
    /// The token of the holder that began with it.
    begun: Option<u64>,
}

impl MemoryRequest {
    fn may_begin(&self, claim: &Claim) -> bool {
        let is_open = self.answer.is_none() && self.begun != Some(claim.token());
        self.sync == *claim.sync() && is_open && self.asked_at.elapsed() < ASKED_FOR
    }
}

#[async_trait]
impl WorkRequests for MemoryStore {
    async fn request_work(&self, sync: &SyncId, work: &str) -> Result<String, Error> {
        let mut memory = self.memory();
        memory.asked += 1;
        let id = format!("request-{:06}", memory.asked);
        let (sync, work) = (sync.clone(), work.to_owned());
        let request = MemoryRequest { sync, work, answer: None, asked_at: Instant::now(), begun: None };
        memory.requests.insert(id.clone(), request);
        Ok(id)
    }

    async fn keep_request(&self, id: &str) -> Result<RequestState, Error> {
        let mut memory = self.memory();
        let Some(request) = memory.requests.get_mut(id) else { return Ok(RequestState::Gone) };
        request.asked_at = Instant::now();
        Ok(match (&request.answer, request.begun) {
            (Some(_), _) => RequestState::Answered,
            (None, None) => RequestState::Open,
            (None, Some(_)) => RequestState::Begun,
        })
    }

    async fn requested_work(&self, claim: &Claim) -> Result<Vec<WorkRequest>, Error> {
        let memory = self.memory();
        let open = memory.requests.iter().filter(|(_, request)| request.may_begin(claim));
        Ok(open.map(|(id, request)| WorkRequest { id: id.clone(), work: request.work.clone() }).collect())
    }

    async fn begin_work(&self, claim: &Claim, id: &str) -> Result<bool, Error> {
        let mut memory = self.memory();
        memory.check(claim)?;
        let request = memory.requests.get_mut(id).filter(|request| request.may_begin(claim));
        let Some(request) = request else { return Ok(false) };
        request.begun = Some(claim.token());
        Ok(true)
    }

    async fn answer_work(&self, claim: &Claim, id: &str, answer: &str) -> Result<bool, Error> {
        let mut memory = self.memory();
        memory.check(claim)?;
        let Some(request) = memory.requests.get_mut(id) else { return Ok(false) };
        request.answer = Some(answer.to_owned());
        Ok(true)
    }

    async fn take_answer(&self, id: &str) -> Result<Option<String>, Error> {
        let mut memory = self.memory();
        match memory.requests.get(id) {
            Some(request) if request.answer.is_some() => {
                Ok(memory.requests.remove(id).and_then(|request| request.answer))
            }
            _ => Ok(None),
        }
    }

    async fn withdraw_work(&self, id: &str) -> Result<bool, Error> {
        let mut memory = self.memory();
        let open = memory.requests.get(id).is_some_and(|request| request.begun.is_none());
        if open {
            memory.requests.remove(id);
        }
        Ok(open)
    }

    async fn forget_requests(&self) -> Result<Vec<AbandonedWork>, Error> {
        let mut memory = self.memory();
        let old = memory.requests.extract_if(.., |_, request| request.asked_at.elapsed() > FORGOTTEN);
        let abandoned = old.filter_map(|(_, MemoryRequest { sync, work, answer, .. })| {
            Some(AbandonedWork { sync, work, answer: answer? })
        });
        Ok(abandoned.collect())
    }
}
