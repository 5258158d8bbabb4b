//! People: signing in, roles, tokens of programs, and the audit log.
//!
//! `oidc` signs people in at an identity provider.
//!
//! The pages and the API ask [`Engine::visitor_by_session`] and [`Engine::visitor_by_token`] who they
//! speak to; the command line adds people and tokens. What is secret is kept as a hash only.

mod audit;
mod limit;
mod oidc;
mod secrets;
#[cfg(test)]
mod tests;

use std::net::IpAddr;

use jiff::{SignedDuration, Timestamp};
use tidegate_model::people::{Invitation, Person, Role, Session, Token};
use tidegate_model::{Error, ErrorKind};

pub use audit::AuditVerdict;
pub(crate) use limit::SignInLimit;
pub use oidc::{AtProvider, FromProvider, GroupRole, Oidc, OidcSettings, SignedIn};
pub(crate) use secrets::{hex, secret as random};

use crate::service::Engine;

/// A session that was not used for this long has ended.
const IDLE: SignedDuration = SignedDuration::from_hours(12);
/// A session ends after this long in any case.
const SESSION: SignedDuration = SignedDuration::from_hours(7 * 24);
/// How long an invitation is valid.
const INVITATION: SignedDuration = SignedDuration::from_hours(24);
/// How often the last use of a session or a token is written down.
const SEEN: SignedDuration = SignedDuration::from_mins(5);
/// The longest name.
const NAME_CHARS_MAX: usize = 64;
/// The longest that a token is valid, in days.
const TOKEN_DAYS_MAX: u32 = 366;
/// What a token begins with, so that scanners for secrets recognize it.
const TOKEN_PREFIX: &str = "tidegate_";

/// Who asks: a person, a program, or a user of this machine while there are no people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Visitor {
    /// The name for pauses and the audit log.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// Whether they may see values of rows.
    pub rows: bool,
}

/// The result of an attempt to sign in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignIn {
    /// The secret of the new session.
    Done(String),
    /// The name or the password is wrong.
    Wrong,
    /// Too many attempts failed: the next one is allowed after this many seconds.
    Wait(u64),
}

impl Engine {
    /// Returns whether anyone can sign in: from then on pages and API ask for it.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn has_people(&self) -> Result<bool, Error> {
        self.config.store.people_book().any_password().await
    }

    /// Returns everyone, by name.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn people(&self) -> Result<Vec<Person>, Error> {
        self.config.store.people_book().people().await
    }

    /// Adds a person, with a password, or without one until an invitation is accepted. A person of this
    /// name gets the new role, and keeps the password unless there is a new one.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`] for a name or a password that cannot be used, and errors of the store.
    pub async fn put_person(
        &self,
        name: &str,
        role: Role,
        rows: bool,
        password: Option<&str>,
    ) -> Result<(), Error> {
        check_name(name)?;
        let book = self.config.store.people_book();
        let known = book.person(name).await?;
        if role != Role::Admin {
            self.keeps_an_admin(name).await?;
        }
        let password = match password {
            Some(password) => Some(secrets::hash(password).await?),
            None => known.as_ref().and_then(|known| known.password.clone()),
        };
        let created_at = known.map_or_else(|| self.config.clock.now(), |known| known.created_at);
        let by_groups = false;
        book.put_person(&Person { name: name.to_owned(), role, rows, by_groups, created_at, password }).await
    }

    /// Removes a person.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`] if there is no such person, or it is the last admin.
    pub async fn remove_person(&self, name: &str) -> Result<(), Error> {
        self.keeps_an_admin(name).await?;
        match self.config.store.people_book().remove_person(name).await? {
            true => Ok(()),
            false => Err(unknown(name)),
        }
    }

    /// # Errors
    /// If others than `name` sign in, and none of them is an admin.
    async fn keeps_an_admin(&self, name: &str) -> Result<(), Error> {
        let people = self.config.store.people_book().people().await?;
        let is_admin = |person: &Person| person.role == Role::Admin && person.password.is_some();
        let is_one = people.iter().any(|person| person.name == name && is_admin(person));
        let others: Vec<&Person> = people.iter().filter(|person| person.name != name).collect();
        match is_one && !others.is_empty() && !others.iter().copied().any(is_admin) {
            false => Ok(()),
            true => Err(Error::settings(format!("`{name}` is the last admin"))
                .hint("make another person an admin first")),
        }
    }

    /// Makes a link that lets a person choose a password, once and within a day. Returns its secret.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`] if there is no such person, and errors of the store.
    pub async fn invite(&self, name: &str) -> Result<String, Error> {
        if self.config.store.people_book().person(name).await?.is_none() {
            return Err(unknown(name));
        }
        self.make_invitation(Some(name.to_owned())).await
    }

    /// Makes the link of the first admin, unless there are people. Returns its secret.
    ///
    /// # Errors
    /// Errors of the store.
    pub async fn invite_first(&self) -> Result<Option<String>, Error> {
        match self.has_people().await? {
            true => Ok(None),
            false => self.make_invitation(None).await.map(Some),
        }
    }

    async fn make_invitation(&self, person: Option<String>) -> Result<String, Error> {
        let secret = secrets::secret()?;
        let expires_at = self.later(INVITATION);
        let hash = secrets::digest(&secret);
        self.config.store.people_book().invite(&Invitation { hash, person, expires_at }).await?;
        Ok(secret)
    }

    /// Returns an invitation that is valid, by its secret.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn invitation(&self, secret: &str) -> Result<Option<Invitation>, Error> {
        let found = self.config.store.people_book().invitation(&secrets::digest(secret)).await?;
        let found = found.filter(|invitation| invitation.expires_at > self.config.clock.now());
        match found {
            // The first admin is there already.
            Some(Invitation { person: None, .. }) if self.has_people().await? => Ok(None),
            found => Ok(found),
        }
    }

    /// Accepts an invitation: the person gets this password, and is signed in. `name` counts for the first
    /// admin only. Returns the name, and the secret of the session.
    ///
    /// # Errors
    /// [`ErrorKind::Denied`] if the invitation is not valid, [`ErrorKind::Settings`] for a name or a password
    /// that cannot be used.
    pub async fn accept(&self, secret: &str, name: &str, password: &str) -> Result<(String, String), Error> {
        let gone = || {
            Error::new(ErrorKind::Denied, "the link was used, or is too old")
                .hint("an admin makes a new one with `tidegate people link NAME`")
        };
        let invitation = self.invitation(secret).await?.ok_or_else(gone)?;
        let book = self.config.store.people_book();
        let hash = secrets::hash(password).await?;
        let now = self.config.clock.now();
        let person = match &invitation.person {
            Some(name) => {
                let known = book.person(name).await?.ok_or_else(gone)?;
                // With a password the role is no longer one of groups alone.
                Person { password: Some(hash), by_groups: false, ..known }
            }
            None => {
                let name = name.trim();
                check_name(name)?;
                let (role, rows) = (Role::Admin, true);
                let by_groups = false;
                Person { name: name.to_owned(), role, rows, by_groups, created_at: now, password: Some(hash) }
            }
        };
        if !book.accept(&invitation.hash, &person).await? {
            return Err(gone());
        }
        let session = self.open_session(&person.name).await?;
        Ok((person.name, session))
    }

    /// Signs a person in.
    ///
    /// # Errors
    /// Errors of the store. A wrong password is no error.
    pub async fn sign_in(&self, name: &str, password: &str, from: IpAddr) -> Result<SignIn, Error> {
        let now = self.config.clock.now();
        if let Some(wait) = self.sign_ins.wait(name, from, now) {
            return Ok(SignIn::Wait(u64::try_from(wait.as_secs()).unwrap_or(0).max(1)));
        }
        // Counted before the answer: attempts in parallel get no more than those in a row.
        self.sign_ins.failed(name, from, now);
        let person = self.config.store.people_book().person(name).await?;
        let hash = person.as_ref().and_then(|person| person.password.clone());
        if !secrets::fits(password, hash).await? {
            return Ok(SignIn::Wrong);
        }
        self.sign_ins.succeeded(name, from);
        Ok(SignIn::Done(self.open_session(name).await?))
    }

    async fn open_session(&self, name: &str) -> Result<String, Error> {
        let secret = secrets::secret()?;
        let now = self.config.clock.now();
        let session = Session {
            hash: secrets::digest(&secret),
            person: name.to_owned(),
            created_at: now,
            seen_at: now,
        };
        let expired = now.saturating_sub(SESSION).unwrap_or(Timestamp::MIN);
        self.config.store.people_book().open_session(&session, expired).await?;
        Ok(secret)
    }

    /// Ends the session with this secret.
    ///
    /// # Errors
    /// Errors of the store.
    pub async fn sign_out(&self, secret: &str) -> Result<(), Error> {
        self.config.store.people_book().end_session(&secrets::digest(secret)).await
    }

    /// Returns who a session belongs to; `None` if it has ended.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn visitor_by_session(&self, secret: &str) -> Result<Option<Visitor>, Error> {
        let book = self.config.store.people_book();
        let Some(session) = book.session(&secrets::digest(secret)).await? else { return Ok(None) };
        let now = self.config.clock.now();
        if now.duration_since(session.seen_at) > IDLE || now.duration_since(session.created_at) > SESSION {
            book.end_session(&session.hash).await?;
            return Ok(None);
        }
        if now.duration_since(session.seen_at) > SEEN {
            book.see_session(&session.hash, now).await?;
        }
        let person = book.person(&session.person).await?;
        Ok(person.map(|person| Visitor { name: person.name, role: person.role, rows: person.rows }))
    }

    /// Returns which program a token belongs to; `None` if it is unknown or has ended.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn visitor_by_token(&self, secret: &str) -> Result<Option<Visitor>, Error> {
        let book = self.config.store.people_book();
        let Some(token) = book.token(&secrets::digest(secret)).await? else { return Ok(None) };
        let now = self.config.clock.now();
        if token.expires_at <= now {
            return Ok(None);
        }
        if token.used_at.is_none_or(|at| now.duration_since(at) > SEEN) {
            book.see_token(&token.hash, now).await?;
        }
        Ok(Some(Visitor { name: format!("token {}", token.name), role: token.role, rows: token.rows }))
    }

    /// Adds a token for a program. Returns its secret, which is shown once.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`] for a name that is in use or cannot be used, and for a time that is too long.
    pub async fn add_token(&self, name: &str, role: Role, rows: bool, days: u32) -> Result<String, Error> {
        check_name(name)?;
        if !(1..=TOKEN_DAYS_MAX).contains(&days) {
            return Err(Error::settings(format!("a token cannot be valid for {days} days"))
                .hint(format!("choose 1 to {TOKEN_DAYS_MAX} days")));
        }
        let secret = format!("{TOKEN_PREFIX}{}", secrets::secret()?);
        let token = Token {
            name: name.to_owned(),
            hash: secrets::digest(&secret),
            role,
            rows,
            created_at: self.config.clock.now(),
            expires_at: self.later(SignedDuration::from_hours(24 * i64::from(days))),
            used_at: None,
        };
        match self.config.store.people_book().add_token(&token).await? {
            true => Ok(secret),
            false => Err(Error::settings(format!("there is a token `{name}` already"))
                .hint("choose another name, or remove it first with `tidegate tokens remove`")),
        }
    }

    /// Returns all tokens, by name.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn tokens(&self) -> Result<Vec<Token>, Error> {
        self.config.store.people_book().tokens().await
    }

    /// Removes a token.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`] if there is no such token.
    pub async fn remove_token(&self, name: &str) -> Result<(), Error> {
        match self.config.store.people_book().remove_token(name).await? {
            true => Ok(()),
            false => Err(Error::settings(format!("there is no token `{name}`"))
                .hint("`tidegate tokens list` lists them")),
        }
    }

    fn later(&self, span: SignedDuration) -> Timestamp {
        self.config.clock.now().saturating_add(span).unwrap_or(Timestamp::MAX)
    }
}

fn unknown(name: &str) -> Error {
    Error::settings(format!("there is no person `{name}`")).hint("`tidegate people list` lists them")
}

/// # Errors
/// If a name is empty, too long, or has letters that would mislead in a list or an address.
fn check_name(name: &str) -> Result<(), Error> {
    let fits = |letter: char| letter.is_alphanumeric() || ".-_@+".contains(letter);
    let length = name.chars().count();
    match (1..=NAME_CHARS_MAX).contains(&length) && name.chars().all(fits) {
        true => Ok(()),
        false => Err(Error::settings(format!(
            "a name has 1 to {NAME_CHARS_MAX} letters and digits, and `.`, `-`, `_`, `@` or `+`"
        ))
        .hint("choose a name such as `ada` or `ada@example.com`")),
    }
}
