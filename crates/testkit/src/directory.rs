//! A platform that holds users and has moods: it throttles, loses responses and rejects, and says if anything was
//! sent without need.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tidegate_model::{
    Body, Checks, Destination, Error, ErrorKind, Idempotency, Identity, Limits, ObjectKind, ObjectSpec,
    Outcome, Platform, Reason, Receipt, Record,
};

use crate::dice::Dice;

/// The attributes of a user, by name.
pub type Attributes = BTreeMap<String, serde_json::Value>;

/// What the platform holds, and what it does with requests.
pub struct Directory {
    /// Who is there.
    pub users: BTreeMap<String, Attributes>,
    /// Users of whom Tidegate cannot know what the platform has.
    pub uncertain: BTreeSet<String>,
    /// Users that took effect in this run, or are on their way.
    pub touched: BTreeSet<String>,
    /// The names of the attributes that each record had.
    pub sent: Vec<Vec<String>>,
    /// The moods; `None` for a platform that takes everything that is acceptable.
    pub dice: Option<Dice>,
    /// Attributes that are never taken.
    pub unacceptable: fn(&Attributes) -> bool,
}

impl Directory {
    /// Creates an empty one, shared by the ways into it.
    pub fn new(unacceptable: fn(&Attributes) -> bool) -> Arc<Mutex<Directory>> {
        Arc::new(Mutex::new(Directory {
            users: BTreeMap::new(),
            uncertain: BTreeSet::new(),
            touched: BTreeSet::new(),
            sent: Vec::new(),
            dice: None,
            unacceptable,
        }))
    }

    /// Takes what a process that ended was sending for uncertain.
    pub fn process_ended(&mut self) {
        self.uncertain.append(&mut self.touched);
    }

    fn take(&mut self, record: &Record) -> Outcome {
        let Identity::ExternalId(user) = &record.identity else { panic!("{record:?}") };
        let wanted = match &record.body {
            Body::User { attributes } => Some(read(attributes.as_str())),
            Body::Deletion => None,
            body => panic!("{body:?}"),
        };
        let user = user.to_string();
        if wanted.as_ref().is_some_and(self.unacceptable) {
            return rejected();
        }
        self.sent.extend(wanted.iter().map(|wanted| wanted.keys().cloned().collect()));
        // Attributes that are not sent stay.
        let before = self.users.get(&user).cloned();
        let wanted = wanted.map(|wanted| before.into_iter().flatten().chain(wanted).collect::<Attributes>());
        let needed = self.users.get(&user) != wanted.as_ref() || self.uncertain.remove(&user);
        assert!(needed, "{user} is sent again as {wanted:?}");
        self.uncertain.remove(&user);
        self.touched.insert(user.clone());
        match wanted {
            Some(wanted) => self.users.insert(user, wanted),
            None => self.users.remove(&user),
        };
        Outcome::Delivered
    }

    fn deliver(&mut self, items: &[Record]) -> Result<Vec<Outcome>, Error> {
        let mood = self.dice.as_mut().map_or(99, |dice| dice.roll(30));
        let cut = self.dice.as_mut().map_or(0, |dice| dice.roll(items.len() as u64 + 1));
        let cut = usize::try_from(cut).unwrap_or_default();
        let fail = |kind| Err(Error::new(kind, "a mood"));
        match mood {
            0 => fail(ErrorKind::Unexpected),
            1 => fail(ErrorKind::Unavailable),
            2 | 3 => fail(ErrorKind::Throttled(None)),
            4 => fail(ErrorKind::TooLarge),
            5..=7 => {
                let mut outcomes: Vec<_> = items[..cut].iter().map(|item| self.take(item)).collect();
                outcomes.resize(items.len(), Outcome::Deferred(Reason::new("busy", "later")));
                Ok(outcomes)
            }
            8 | 9 => {
                // Some of them took effect, and no response says which.
                for item in &items[..cut] {
                    self.take(item);
                }
                self.uncertain.extend(items.iter().map(|item| item.label().into_owned()));
                Ok(vec![Outcome::Unknown(Reason::new("response_lost", "no answer")); items.len()])
            }
            10 => Ok(vec![rejected(); items.len()]),
            _ => Ok(items.iter().map(|item| self.take(item)).collect()),
        }
    }
}

fn rejected() -> Outcome {
    Outcome::Rejected(Reason::new("bad", "not like this"))
}

fn read(attributes: &str) -> Attributes {
    serde_json::from_str(attributes).unwrap_or_else(|error| panic!("{attributes}: {error}"))
}

/// One of the ways into a directory: records of one kind.
pub struct Door {
    /// The kind.
    pub kind: ObjectKind,
    /// The limits of the platform.
    pub limits: Limits,
    /// What is behind it.
    pub directory: Arc<Mutex<Directory>>,
}

impl Door {
    fn directory(&self) -> MutexGuard<'_, Directory> {
        self.directory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Destination<Record> for Door {
    async fn check(&self) -> Result<Checks, Error> {
        Ok(Checks::default())
    }

    fn limits(&self) -> Limits {
        self.limits
    }

    fn estimated_size(&self, _: &Record) -> usize {
        100
    }

    fn validate(&self, _: &Record) -> Result<(), Reason> {
        Ok(())
    }

    #[expect(clippy::disallowed_methods, reason = "a platform takes its time")]
    async fn deliver(&self, items: &[Record]) -> Result<Receipt, Error> {
        assert!(items.iter().all(|item| item.kind() == self.kind), "{items:?}");
        let users = items.iter().map(|item| item.label().into_owned());
        self.directory().touched.extend(users);
        tokio::time::sleep(Duration::from_millis(5)).await;
        let outcomes = self.directory().deliver(items)?;
        Ok(Receipt { outcomes, rate_limit: None })
    }
}

impl Platform for Door {
    fn object(&self) -> ObjectSpec {
        ObjectSpec { kind: self.kind, idempotency: Idempotency::Idempotent, identifiers: &["external_id"] }
    }
}
