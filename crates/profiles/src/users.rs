//! Users and their identifiers.

use jiff::Timestamp;
use rusqlite::{OptionalExtension, params};
use serde_json::{Map, Value};
use tidegate_model::{Identity, Result};
use uuid::Uuid;

use super::store::{Session, micros, storage, timestamp};

/// A user's row. It stays the same for as long as the user exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct UserId(pub(crate) i64);

/// A user without aliases.
#[derive(Clone, Debug, PartialEq)]
pub struct User {
    /// The row.
    pub id: UserId,
    /// The id that this platform gave.
    pub platform_id: String,
    /// The customer's id.
    pub external_id: Option<String>,
    /// E-mail address.
    pub email: Option<String>,
    /// Phone number.
    pub phone: Option<String>,
    /// Everything else that is known.
    pub attributes: Map<String, Value>,
    /// When the user was first seen.
    pub created_at: Timestamp,
    /// When the profile last changed. Events and purchases do not count.
    pub updated_at: Timestamp,
}

impl Session<'_> {
    /// Returns the user with this identifier.
    ///
    /// Where several have the same e-mail address or phone number, it is one
    /// with an external id, and of those the most recently updated.
    pub fn find(&self, who: &Identity) -> Result<Option<UserId>> {
        let finding = storage("finding a user");
        let (sql, id) = match who {
            Identity::ExternalId(id) => ("SELECT id FROM users WHERE external_id = ?1", id),
            Identity::PlatformId(id) => ("SELECT id FROM users WHERE platform_id = ?1", id),
            Identity::Email(email) => (
                "SELECT id FROM users WHERE email = ?1
                 ORDER BY external_id IS NULL, updated_at DESC, id DESC LIMIT 1",
                email,
            ),
            Identity::Phone(phone) => (
                "SELECT id FROM users WHERE phone = ?1
                 ORDER BY external_id IS NULL, updated_at DESC, id DESC LIMIT 1",
                phone,
            ),
            Identity::Alias { label, name } => {
                return self
                    .db
                    .prepare_cached("SELECT user FROM aliases WHERE label = ?1 AND name = ?2")
                    .and_then(|mut query| {
                        query.query_row([&**label, &**name], |row| row.get(0).map(UserId)).optional()
                    })
                    .map_err(finding);
            }
            Identity::None => return Ok(None),
        };
        self.db
            .prepare_cached(sql)
            .and_then(|mut query| query.query_row([&**id], |row| row.get(0).map(UserId)).optional())
            .map_err(finding)
    }

    /// Returns the user with this identifier, created if there is none.
    ///
    /// `None` for a platform id that is not there: it never creates a user.
    pub fn find_or_create(&self, who: &Identity) -> Result<Option<UserId>> {
        match self.find(who)? {
            Some(id) => Ok(Some(id)),
            None => self.create(who),
        }
    }

    /// Creates a user with this identifier, which no user may have yet.
    fn create(&self, who: &Identity) -> Result<Option<UserId>> {
        let (mut external_id, mut email, mut phone) = (None, None, None);
        match who {
            Identity::ExternalId(id) => external_id = Some(&**id),
            Identity::Email(address) => email = Some(&**address),
            Identity::Phone(number) => phone = Some(&**number),
            Identity::Alias { .. } => {}
            Identity::PlatformId(_) | Identity::None => return Ok(None),
        }
        let platform_id = Uuid::new_v4().to_string();
        let now = micros(self.now);
        self.db
            .prepare_cached(
                "INSERT INTO users (platform_id, external_id, email, phone, attributes, created_at, updated_at)
                 VALUES (?1, ?2, ?3, ?4, '{}', ?5, ?5)",
            )
            .and_then(|mut insert| insert.execute(params![platform_id, external_id, email, phone, now]))
            .map_err(storage("creating a user"))?;
        let id = UserId(self.db.last_insert_rowid());
        if let Identity::Alias { label, name } = who {
            self.add_alias(id, label, name)?;
        }
        Ok(Some(id))
    }

    /// Returns everything about a user but the aliases.
    pub fn user(&self, id: UserId) -> Result<Option<User>> {
        self.db
            .prepare_cached(
                "SELECT platform_id, external_id, email, phone, attributes, created_at, updated_at
                 FROM users WHERE id = ?1",
            )
            .and_then(|mut query| {
                query
                    .query_row([id.0], |row| {
                        let attributes = row.get_ref(4)?.as_str()?;
                        Ok(User {
                            id,
                            platform_id: row.get(0)?,
                            external_id: row.get(1)?,
                            email: row.get(2)?,
                            phone: row.get(3)?,
                            attributes: serde_json::from_str(attributes).unwrap_or_default(),
                            created_at: timestamp(row.get(5)?),
                            updated_at: timestamp(row.get(6)?),
                        })
                    })
                    .optional()
            })
            .map_err(storage("reading a user"))
    }

    /// Writes back everything but the platform id; the profile counts as updated now.
    ///
    /// # Errors
    /// Also when another user has the same external id.
    pub fn save(&self, user: &User) -> Result<()> {
        let attributes = Value::from(user.attributes.clone()).to_string();
        self.db
            .prepare_cached(
                "UPDATE users SET external_id = ?2, email = ?3, phone = ?4, attributes = ?5, updated_at = ?6
                 WHERE id = ?1",
            )
            .and_then(|mut update| {
                let now = micros(self.now);
                update.execute(params![user.id.0, user.external_id, user.email, user.phone, attributes, now])
            })
            .map_err(storage("saving a user"))?;
        Ok(())
    }

    /// Sets the members of `patch`; null removes. `email` and `phone` become the
    /// user's address and number.
    pub fn merge(&self, id: UserId, patch: &Map<String, Value>) -> Result<()> {
        let Some(mut user) = self.user(id)? else { return Ok(()) };
        for (name, value) in patch {
            match (name.as_str(), value) {
                ("email", Value::String(_) | Value::Null) => user.email = value.as_str().map(str::to_owned),
                ("phone", Value::String(_) | Value::Null) => user.phone = value.as_str().map(str::to_owned),
                (_, Value::Null) => {
                    user.attributes.shift_remove(name);
                }
                _ => {
                    user.attributes.insert(name.clone(), value.clone());
                }
            }
        }
        self.save(&user)
    }

    /// Gives a user an alias. `false`, without effect, when another user has it.
    pub fn add_alias(&self, id: UserId, label: &str, name: &str) -> Result<bool> {
        self.db
            .prepare_cached(
                "INSERT INTO aliases (label, name, user) VALUES (?1, ?2, ?3)
                 ON CONFLICT DO UPDATE SET user = user WHERE user = excluded.user",
            )
            .and_then(|mut insert| insert.execute(params![label, name, id.0]))
            .map(|rows| rows == 1)
            .map_err(storage("adding an alias"))
    }

    /// Takes an alias away from its user. Returns whether there was one.
    pub fn remove_alias(&self, label: &str, name: &str) -> Result<bool> {
        self.db
            .prepare_cached("DELETE FROM aliases WHERE label = ?1 AND name = ?2")
            .and_then(|mut delete| delete.execute([label, name]))
            .map(|rows| rows == 1)
            .map_err(storage("removing an alias"))
    }

    /// Returns the user's aliases as (label, name).
    pub fn aliases(&self, id: UserId) -> Result<Vec<(String, String)>> {
        self.db
            .prepare_cached("SELECT label, name FROM aliases WHERE user = ?1 ORDER BY label, name")
            .and_then(|mut query| query.query_map([id.0], |row| Ok((row.get(0)?, row.get(1)?)))?.collect())
            .map_err(storage("reading aliases"))
    }

    /// Deletes a user with aliases, events and purchases, and counts the deletion.
    pub fn delete(&self, id: UserId) -> Result<()> {
        let deleting = storage("deleting a user");
        self.db
            .prepare_cached(
                "INSERT INTO deletions (platform_id, deleted_at) SELECT platform_id, ?2 FROM users WHERE id = ?1",
            )
            .and_then(|mut insert| insert.execute([id.0, micros(self.now)]))
            .map_err(&deleting)?;
        for sql in [
            "DELETE FROM aliases WHERE user = ?1",
            "DELETE FROM events WHERE user = ?1",
            "DELETE FROM purchases WHERE user = ?1",
            "DELETE FROM users WHERE id = ?1",
        ] {
            self.db.prepare_cached(sql).and_then(|mut delete| delete.execute([id.0])).map_err(&deleting)?;
        }
        Ok(())
    }

    /// Moves aliases, events and purchases of `from` to `into` and removes
    /// `from`. What `into` does not know yet it takes over from `from`.
    pub fn absorb(&self, from: UserId, into: UserId) -> Result<()> {
        let (Some(source), Some(mut target)) = (self.user(from)?, self.user(into)?) else { return Ok(()) };
        for sql in [
            "UPDATE aliases SET user = ?2 WHERE user = ?1",
            "UPDATE events SET user = ?2 WHERE user = ?1",
            "UPDATE purchases SET user = ?2 WHERE user = ?1",
            "DELETE FROM users WHERE id = ?1 AND id <> ?2",
        ] {
            self.db
                .prepare_cached(sql)
                .and_then(|mut change| change.execute([from.0, into.0]))
                .map_err(storage("merging users"))?;
        }
        target.email = target.email.or(source.email);
        target.phone = target.phone.or(source.phone);
        for (name, value) in source.attributes {
            target.attributes.entry(name).or_insert(value);
        }
        self.save(&target)
    }
}
