//! Requests for work, in memory.

use async_trait::async_trait;
use tidegate_model::store::{WorkRequest, WorkRequests};
use tidegate_model::{Claim, Error, SyncId};

use super::MemoryStore;

#[async_trait]
impl WorkRequests for MemoryStore {
    async fn request_work(&self, sync: &SyncId, work: &str) -> Result<String, Error> {
        let mut memory = self.memory();
        memory.asked += 1;
        let id = format!("request-{:06}", memory.asked);
        memory.requests.insert(id.clone(), (sync.clone(), work.to_owned(), None));
        Ok(id)
    }

    async fn requested_work(&self, sync: &SyncId) -> Result<Vec<WorkRequest>, Error> {
        let memory = self.memory();
        let open = memory.requests.iter().filter(|(_, (of, _, answer))| of == sync && answer.is_none());
        Ok(open.map(|(id, (_, work, _))| WorkRequest { id: id.clone(), work: work.clone() }).collect())
    }

    async fn answer_work(&self, claim: &Claim, id: &str, answer: &str) -> Result<(), Error> {
        let mut memory = self.memory();
        memory.check(claim)?;
        if let Some((_, _, known)) = memory.requests.get_mut(id) {
            *known = Some(answer.to_owned());
        }
        Ok(())
    }

    async fn take_answer(&self, id: &str) -> Result<Option<String>, Error> {
        let mut memory = self.memory();
        match memory.requests.get(id) {
            Some((_, _, Some(_))) => Ok(memory.requests.remove(id).and_then(|(_, _, answer)| answer)),
            _ => Ok(None),
        }
    }

    async fn withdraw_work(&self, id: &str) -> Result<bool, Error> {
        let mut memory = self.memory();
        let open = memory.requests.get(id).is_some_and(|(_, _, answer)| answer.is_none());
        if open {
            memory.requests.remove(id);
        }
        Ok(open)
    }
}
