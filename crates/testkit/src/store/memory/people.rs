//! People in memory.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use jiff::Timestamp;
use tidegate_model::Error;
use tidegate_model::people::{AuditEntry, Deed, HashDeed, Invitation, PeopleBook, Person, Session, Token};

/// People and the audit log in plain memory. Clones share them.
#[derive(Clone, Default)]
pub(super) struct MemoryPeople(Arc<Mutex<Kept>>);

#[derive(Default)]
struct Kept {
    people: BTreeMap<String, Person>,
    sessions: BTreeMap<String, Session>,
    tokens: BTreeMap<String, Token>,
    invitations: Vec<Invitation>,
    audit: Vec<AuditEntry>,
}

impl Kept {
    fn put(&mut self, person: &Person) {
        self.sessions.retain(|_, session| session.person != person.name);
        let created_at = self.people.get(&person.name).map_or(person.created_at, |known| known.created_at);
        self.people.insert(person.name.clone(), Person { created_at, ..person.clone() });
    }
}

impl MemoryPeople {
    /// Changes an entry of the audit log without its hash.
    pub(super) fn forge_audit(&self, seq: u64, change: impl FnOnce(&mut Deed)) {
        if let Some(entry) = self.kept().audit.iter_mut().find(|entry| entry.seq == seq) {
            change(&mut entry.deed);
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl PeopleBook for MemoryPeople {
    async fn people(&self) -> Result<Vec<Person>, Error> {
        Ok(self.kept().people.values().cloned().collect())
    }

    async fn any_password(&self) -> Result<bool, Error> {
        Ok(self.kept().people.values().any(|person| person.password.is_some()))
    }

    async fn person(&self, name: &str) -> Result<Option<Person>, Error> {
        Ok(self.kept().people.get(name).cloned())
    }

    async fn put_person(&self, person: &Person) -> Result<(), Error> {
        self.kept().put(person);
        Ok(())
    }

    async fn remove_person(&self, name: &str) -> Result<bool, Error> {
        let mut kept = self.kept();
        kept.sessions.retain(|_, session| session.person != name);
        kept.invitations.retain(|invitation| invitation.person.as_deref() != Some(name));
        Ok(kept.people.remove(name).is_some())
    }

    async fn open_session(&self, session: &Session, expired: Timestamp) -> Result<(), Error> {
        let mut kept = self.kept();
        kept.sessions.retain(|_, session| session.created_at >= expired);
        kept.sessions.insert(session.hash.clone(), session.clone());
        Ok(())
    }

    async fn session(&self, hash: &str) -> Result<Option<Session>, Error> {
        Ok(self.kept().sessions.get(hash).cloned())
    }

    async fn see_session(&self, hash: &str, at: Timestamp) -> Result<(), Error> {
        if let Some(session) = self.kept().sessions.get_mut(hash) {
            session.seen_at = at;
        }
        Ok(())
    }

    async fn end_session(&self, hash: &str) -> Result<(), Error> {
        self.kept().sessions.remove(hash);
        Ok(())
    }

    async fn add_token(&self, token: &Token) -> Result<bool, Error> {
        let mut kept = self.kept();
        let free = !kept.tokens.contains_key(&token.name);
        if free {
            kept.tokens.insert(token.name.clone(), token.clone());
        }
        Ok(free)
    }

    async fn tokens(&self) -> Result<Vec<Token>, Error> {
        Ok(self.kept().tokens.values().cloned().collect())
    }

    async fn token(&self, hash: &str) -> Result<Option<Token>, Error> {
        Ok(self.kept().tokens.values().find(|token| token.hash == hash).cloned())
    }

    async fn see_token(&self, hash: &str, at: Timestamp) -> Result<(), Error> {
        if let Some(token) = self.kept().tokens.values_mut().find(|token| token.hash == hash) {
            token.used_at = Some(at);
        }
        Ok(())
    }

    async fn remove_token(&self, name: &str) -> Result<bool, Error> {
        Ok(self.kept().tokens.remove(name).is_some())
    }

    async fn invite(&self, invitation: &Invitation) -> Result<(), Error> {
        let mut kept = self.kept();
        kept.invitations.retain(|other| other.person != invitation.person);
        kept.invitations.push(invitation.clone());
        Ok(())
    }

    async fn invitation(&self, hash: &str) -> Result<Option<Invitation>, Error> {
        Ok(self.kept().invitations.iter().find(|invitation| invitation.hash == hash).cloned())
    }

    async fn accept(&self, hash: &str, person: &Person) -> Result<bool, Error> {
        let mut kept = self.kept();
        let before = kept.invitations.len();
        kept.invitations.retain(|invitation| invitation.hash != hash);
        let used = kept.invitations.len() < before;
        if used {
            kept.put(person);
        }
        Ok(used)
    }

    async fn append_deed(&self, deed: &Deed, hash: HashDeed) -> Result<(), Error> {
        let mut kept = self.kept();
        let before = kept.audit.last().map(|entry| entry.hash.clone()).unwrap_or_default();
        let seq = kept.audit.len() as u64 + 1;
        let hash = hash(&before, seq, deed);
        kept.audit.push(AuditEntry { seq, deed: deed.clone(), hash });
        Ok(())
    }

    async fn audit_from(&self, after: u64, limit: usize) -> Result<Vec<AuditEntry>, Error> {
        let kept = self.kept();
        Ok(kept.audit.iter().filter(|entry| entry.seq > after).take(limit).cloned().collect())
    }

    async fn audit_last(&self, before: Option<u64>, limit: usize) -> Result<Vec<AuditEntry>, Error> {
        let kept = self.kept();
        let wanted = kept.audit.iter().rev().filter(|entry| before.is_none_or(|before| entry.seq < before));
        Ok(wanted.take(limit).cloned().collect())
    }
}
