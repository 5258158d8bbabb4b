//! People, programs with a token, and what they did.

use std::fmt;
use std::str::FromStr;

use async_trait::async_trait;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Error;

/// What a person or a program may do. A higher role may do everything that a lower one may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Sees states, counts and reasons.
    Viewer,
    /// Runs, pauses, retries and dismisses as well.
    Editor,
    /// Resets, tests channels and manages people as well.
    Admin,
}

impl Role {
    /// Every role, from the lowest.
    pub const ALL: &[Role] = &[Role::Viewer, Role::Editor, Role::Admin];

    /// Returns the word in files and documents.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Viewer => "viewer",
            Role::Editor => "editor",
            Role::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = Error;

    /// # Errors
    /// [`Settings`](crate::ErrorKind::Settings) with the roles that there are.
    fn from_str(word: &str) -> Result<Role, Error> {
        Role::ALL.iter().copied().find(|role| role.as_str() == word).ok_or_else(|| {
            Error::settings(format!(
                "there is no role `{word}`: the roles are `viewer`, `editor` and `admin`"
            ))
            .hint("write one of these roles")
        })
    }
}

/// Someone who signs in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Person {
    /// The name to sign in with.
    pub name: String,
    /// What the person may do.
    pub role: Role,
    /// Whether the person may see values of rows.
    pub rows: bool,
    /// Whether the role comes from groups at the identity provider, and ends with them.
    pub by_groups: bool,
    /// When the person was added.
    pub created_at: Timestamp,
    /// The hash of the password as a PHC string; `None` until the person has chosen one.
    #[serde(skip)]
    pub password: Option<String>,
}

/// A browser that a person signed in with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// The SHA-256 of its secret, in hexadecimal.
    pub hash: String,
    /// The name of the person.
    pub person: String,
    /// When the person signed in.
    pub created_at: Timestamp,
    /// When it was used last, to some minutes.
    pub seen_at: Timestamp,
}

/// A program that may use the API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Token {
    /// Its name.
    pub name: String,
    /// The SHA-256 of its secret, in hexadecimal.
    #[serde(skip)]
    pub hash: String,
    /// What the program may do.
    pub role: Role,
    /// Whether the program may see values of rows.
    pub rows: bool,
    /// When it was added.
    pub created_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
    /// When it was used last, to some minutes.
    pub used_at: Option<Timestamp>,
}

/// A link that lets a person choose a password, once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invitation {
    /// The SHA-256 of its secret, in hexadecimal.
    pub hash: String,
    /// The person; `None` for the first one, who chooses a name as well and becomes an admin.
    pub person: Option<String>,
    /// When it ends.
    pub expires_at: Timestamp,
}

/// Something that was done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Deed {
    /// When.
    pub at: Timestamp,
    /// The person, `token NAME`, or the user of the machine.
    pub actor: String,
    /// How: `page`, `api`, `command`, or `oidc` at the identity provider.
    pub via: String,
    /// What, such as `pause_sync`.
    pub action: String,
    /// The thing that it was done to, such as a sync; never a value of a row.
    pub subject: String,
}

/// An entry of the audit log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct AuditEntry {
    /// Its number, from 1 without gaps.
    pub seq: u64,
    /// What was done.
    #[serde(flatten)]
    pub deed: Deed,
    /// The SHA-256 over the entry before it and this one, in hexadecimal.
    pub hash: String,
}

/// Makes the hash of an entry of the audit log from the hash of the one before, its number and what was done.
pub type HashDeed = fn(&str, u64, &Deed) -> String;

/// The part of a store that keeps people. Durable as [`Store`](crate::Store) is.
///
/// # Errors
/// As for [`Store`](crate::Store).
#[async_trait]
pub trait PeopleBook: Send + Sync {
    /// Returns everyone, by name.
    async fn people(&self) -> Result<Vec<Person>, Error>;

    /// Returns whether anyone has a password. It is asked for each request.
    async fn any_password(&self) -> Result<bool, Error>;

    /// Returns one person.
    async fn person(&self, name: &str) -> Result<Option<Person>, Error>;

    /// Adds a person, or replaces the one of this name. All sessions of the person end.
    async fn put_person(&self, person: &Person) -> Result<(), Error>;

    /// Removes a person with all sessions and invitations. Returns whether there was one.
    async fn remove_person(&self, name: &str) -> Result<bool, Error>;

    /// Opens a session. Those that ended before `expired` are removed.
    async fn open_session(&self, session: &Session, expired: Timestamp) -> Result<(), Error>;

    /// Returns a session by the hash of its secret.
    async fn session(&self, hash: &str) -> Result<Option<Session>, Error>;

    /// Notes that a session is in use.
    async fn see_session(&self, hash: &str, at: Timestamp) -> Result<(), Error>;

    /// Ends a session.
    async fn end_session(&self, hash: &str) -> Result<(), Error>;

    /// Adds a token. Returns whether the name was free.
    async fn add_token(&self, token: &Token) -> Result<bool, Error>;

    /// Returns all tokens, by name.
    async fn tokens(&self) -> Result<Vec<Token>, Error>;

    /// Returns a token by the hash of its secret.
    async fn token(&self, hash: &str) -> Result<Option<Token>, Error>;

    /// Notes that a token is in use.
    async fn see_token(&self, hash: &str, at: Timestamp) -> Result<(), Error>;

    /// Removes a token. Returns whether there was one.
    async fn remove_token(&self, name: &str) -> Result<bool, Error>;

    /// Adds an invitation in place of all others for the same person.
    async fn invite(&self, invitation: &Invitation) -> Result<(), Error>;

    /// Returns an invitation by the hash of its secret.
    async fn invitation(&self, hash: &str) -> Result<Option<Invitation>, Error>;

    /// Uses an invitation up and writes the person, both or neither. Returns whether it was there.
    async fn accept(&self, hash: &str, person: &Person) -> Result<bool, Error>;

    /// Appends to the audit log. `hash` makes the hash of an entry from that of the one before and its
    /// number; it is called while no other process appends.
    async fn append_deed(&self, deed: &Deed, hash: HashDeed) -> Result<(), Error>;

    /// Returns up to `limit` entries of the audit log with a number above `after`, oldest first.
    async fn audit_from(&self, after: u64, limit: usize) -> Result<Vec<AuditEntry>, Error>;

    /// Returns the last `limit` entries of the audit log, newest first; those before the number `before`, if one
    /// is given.
    async fn audit_last(&self, before: Option<u64>, limit: usize) -> Result<Vec<AuditEntry>, Error>;
}
