//! People, sessions, tokens, invitations and the audit log.

use async_trait::async_trait;
use jiff::Timestamp;
use tidegate_model::Error;
use tidegate_model::people::{AuditEntry, Deed, HashDeed, Invitation, PeopleBook, Person, Session, Token};

use super::SqlStore;
use super::dialect::Tx;
use super::statement::{Arg, Conditions, Record, from_word, sql};

#[async_trait]
impl PeopleBook for SqlStore {
    async fn people(&self) -> Result<Vec<Person>, Error> {
        self.database.all(sql("SELECT * FROM people ORDER BY name")).await?.iter().map(person).collect()
    }

    async fn any_password(&self) -> Result<bool, Error> {
        let statement = sql("SELECT name FROM people WHERE password IS NOT NULL LIMIT 1");
        Ok(self.database.first(statement).await?.is_some())
    }

    async fn person(&self, name: &str) -> Result<Option<Person>, Error> {
        let record = self.database.first(sql("SELECT * FROM people WHERE name = $1").bind(name)).await?;
        record.as_ref().map(person).transpose()
    }

    async fn put_person(&self, person: &Person) -> Result<(), Error> {
        let mut tx = self.database.write().await?;
        put(&mut tx, person).await?;
        tx.commit().await
    }

    async fn remove_person(&self, name: &str) -> Result<bool, Error> {
        let mut tx = self.database.write().await?;
        tx.execute(sql("DELETE FROM sessions WHERE person = $1").bind(name)).await?;
        tx.execute(sql("DELETE FROM invitations WHERE person = $1").bind(name)).await?;
        let removed = tx.execute(sql("DELETE FROM people WHERE name = $1").bind(name)).await?;
        tx.commit().await?;
        Ok(removed == 1)
    }

    async fn open_session(&self, session: &Session, expired: Timestamp) -> Result<(), Error> {
        let mut tx = self.database.write().await?;
        tx.execute(sql("DELETE FROM sessions WHERE created_at < $1").bind(expired)).await?;
        let statement =
            sql("INSERT INTO sessions (hash, person, created_at, seen_at) VALUES ($1, $2, $3, $4)");
        let statement = statement.bind(session.hash.as_str()).bind(session.person.as_str());
        tx.execute(statement.bind(session.created_at).bind(session.seen_at)).await?;
        tx.commit().await
    }

    async fn session(&self, hash: &str) -> Result<Option<Session>, Error> {
        let record = self.database.first(sql("SELECT * FROM sessions WHERE hash = $1").bind(hash)).await?;
        let session = |record: Record| {
            Ok(Session {
                hash: record.get("hash")?,
                person: record.get("person")?,
                created_at: record.time("created_at")?,
                seen_at: record.time("seen_at")?,
            })
        };
        record.map(session).transpose()
    }

    async fn see_session(&self, hash: &str, at: Timestamp) -> Result<(), Error> {
        let statement = sql("UPDATE sessions SET seen_at = $2 WHERE hash = $1");
        self.database.execute(statement.bind(hash).bind(at)).await.map(drop)
    }

    async fn end_session(&self, hash: &str) -> Result<(), Error> {
        self.database.execute(sql("DELETE FROM sessions WHERE hash = $1").bind(hash)).await.map(drop)
    }

    async fn add_token(&self, token: &Token) -> Result<bool, Error> {
        let statement = sql("INSERT INTO tokens (name, hash, role, sees_rows, created_at, expires_at)
            VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (name) DO NOTHING");
        let statement = statement.bind(token.name.as_str()).bind(token.hash.as_str());
        let statement = statement.bind(token.role.as_str()).bind(token.rows);
        let statement = statement.bind(token.created_at).bind(token.expires_at);
        Ok(self.database.execute(statement).await? == 1)
    }

    async fn tokens(&self) -> Result<Vec<Token>, Error> {
        self.database.all(sql("SELECT * FROM tokens ORDER BY name")).await?.iter().map(token).collect()
    }

    async fn token(&self, hash: &str) -> Result<Option<Token>, Error> {
        let record = self.database.first(sql("SELECT * FROM tokens WHERE hash = $1").bind(hash)).await?;
        record.as_ref().map(token).transpose()
    }

    async fn see_token(&self, hash: &str, at: Timestamp) -> Result<(), Error> {
        let statement = sql("UPDATE tokens SET used_at = $2 WHERE hash = $1");
        self.database.execute(statement.bind(hash).bind(at)).await.map(drop)
    }

    async fn remove_token(&self, name: &str) -> Result<bool, Error> {
        Ok(self.database.execute(sql("DELETE FROM tokens WHERE name = $1").bind(name)).await? == 1)
    }

    async fn invite(&self, invitation: &Invitation) -> Result<(), Error> {
        let person = invitation.person.as_deref().unwrap_or_default();
        let mut tx = self.database.write().await?;
        tx.execute(sql("DELETE FROM invitations WHERE person = $1").bind(person)).await?;
        let statement = sql("INSERT INTO invitations (hash, person, expires_at) VALUES ($1, $2, $3)");
        let statement = statement.bind(invitation.hash.as_str()).bind(person);
        tx.execute(statement.bind(invitation.expires_at)).await?;
        tx.commit().await
    }

    async fn invitation(&self, hash: &str) -> Result<Option<Invitation>, Error> {
        let record = self.database.first(sql("SELECT * FROM invitations WHERE hash = $1").bind(hash)).await?;
        let invitation = |record: Record| {
            let person: String = record.get("person")?;
            Ok(Invitation {
                hash: record.get("hash")?,
                person: (!person.is_empty()).then_some(person),
                expires_at: record.time("expires_at")?,
            })
        };
        record.map(invitation).transpose()
    }

    async fn accept(&self, hash: &str, person: &Person) -> Result<bool, Error> {
        let mut tx = self.database.write().await?;
        let used = tx.execute(sql("DELETE FROM invitations WHERE hash = $1").bind(hash)).await?;
        if used == 0 {
            return Ok(false);
        }
        put(&mut tx, person).await?;
        tx.commit().await?;
        Ok(true)
    }

    async fn append_deed(&self, deed: &Deed, hash: HashDeed) -> Result<(), Error> {
        let mut tx = self.database.write().await?;
        // One process at a time: the hash of the entry before is part of this one's.
        self.database.lock_tables(&mut tx).await?;
        let last = tx.first(sql("SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1")).await?;
        let (seq, before) = match last {
            Some(record) => (record.count("seq")? + 1, record.get("hash")?),
            None => (1, String::new()),
        };
        let statement = sql("INSERT INTO audit (seq, at, actor, via, action, subject, hash)
            VALUES ($1, $2, $3, $4, $5, $6, $7)");
        let statement = statement.bind(seq).bind(deed.at).bind(deed.actor.as_str()).bind(deed.via.as_str());
        let statement = statement.bind(deed.action.as_str()).bind(deed.subject.as_str());
        tx.execute(statement.bind(hash(&before, seq, deed).as_str())).await?;
        tx.commit().await
    }

    async fn audit_from(&self, after: u64, limit: usize) -> Result<Vec<AuditEntry>, Error> {
        let statement = sql("SELECT * FROM audit WHERE seq > $1 ORDER BY seq LIMIT $2");
        let records = self.database.all(statement.bind(after).bind(limit as u64)).await?;
        records.iter().map(entry).collect()
    }

    async fn audit_last(&self, before: Option<u64>, limit: usize) -> Result<Vec<AuditEntry>, Error> {
        let mut wanted = Conditions::default();
        wanted.add("seq <", before.map(Arg::from));
        let statement = wanted.select("audit", "seq DESC", limit);
        self.database.all(statement).await?.iter().map(entry).collect()
    }
}

/// Writes a person, and ends the sessions.
async fn put(tx: &mut Tx, person: &Person) -> Result<(), Error> {
    tx.execute(sql("DELETE FROM sessions WHERE person = $1").bind(person.name.as_str())).await?;
    let statement = sql("INSERT INTO people (name, role, sees_rows, by_groups, created_at, password)
        VALUES ($1, $2, $3, $4, $5, $6)
        ON CONFLICT (name) DO UPDATE SET role = excluded.role, sees_rows = excluded.sees_rows,
            by_groups = excluded.by_groups, password = excluded.password");
    let statement = statement.bind(person.name.as_str()).bind(person.role.as_str()).bind(person.rows);
    let statement = statement.bind(person.by_groups);
    tx.execute(statement.bind(person.created_at).bind(Arg::Text(person.password.clone()))).await?;
    Ok(())
}

fn person(record: &Record) -> Result<Person, Error> {
    Ok(Person {
        name: record.get("name")?,
        role: from_word(&record.get::<String>("role")?, "role")?,
        rows: record.get::<i64>("sees_rows")? != 0,
        by_groups: record.get::<i64>("by_groups")? != 0,
        created_at: record.time("created_at")?,
        password: record.get("password")?,
    })
}

fn token(record: &Record) -> Result<Token, Error> {
    Ok(Token {
        name: record.get("name")?,
        hash: record.get("hash")?,
        role: from_word(&record.get::<String>("role")?, "role")?,
        rows: record.get::<i64>("sees_rows")? != 0,
        created_at: record.time("created_at")?,
        expires_at: record.time("expires_at")?,
        used_at: record.maybe_time("used_at")?,
    })
}

fn entry(record: &Record) -> Result<AuditEntry, Error> {
    let deed = Deed {
        at: record.time("at")?,
        actor: record.get("actor")?,
        via: record.get("via")?,
        action: record.get("action")?,
        subject: record.get("subject")?,
    };
    Ok(AuditEntry { seq: record.count("seq")?, deed, hash: record.get("hash")? })
}
