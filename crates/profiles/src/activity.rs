//! The activity of users: their events and purchases.

use jiff::Timestamp;
use rusqlite::params;
use tidegate_model::Result;

use super::store::{Session, micros, storage, timestamp};
use super::users::UserId;

/// The idempotency key of an event or a purchase.
#[derive(Clone, Copy, Debug)]
pub struct Key<'a> {
    /// The key.
    pub name: &'a str,
    /// A use before this time does not count; with `None`, all uses count.
    pub since: Option<Timestamp>,
}

/// Something a user did.
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    /// Its name.
    pub name: &'a str,
    /// When.
    pub time: Timestamp,
    /// A JSON object as text.
    pub properties: &'a str,
    /// The app it happened in.
    pub app_id: Option<&'a str>,
    /// Its idempotency key.
    pub key: Option<Key<'a>>,
}

/// Something a user bought.
#[derive(Clone, Copy, Debug)]
pub struct Purchase<'a> {
    /// What.
    pub product_id: &'a str,
    /// ISO 4217 code.
    pub currency: &'a str,
    /// Price of one, a JSON number digit for digit.
    pub price: &'a str,
    /// How many.
    pub quantity: u32,
    /// When.
    pub time: Timestamp,
    /// A JSON object as text.
    pub properties: &'a str,
    /// The app it was bought in.
    pub app_id: Option<&'a str>,
    /// Its idempotency key.
    pub key: Option<Key<'a>>,
}

/// Events or purchases of one user with the same name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActivitySummary {
    /// Name of the event or of the product.
    pub name: String,
    /// The first one.
    pub first: Timestamp,
    /// The last one.
    pub last: Timestamp,
    /// How many.
    pub count: u64,
}

impl Session<'_> {
    /// Records an event; `false`, without effect, when its key was used before.
    pub fn record_event(&self, user: UserId, event: &Event<'_>) -> Result<bool> {
        self.forget(event.key, "UPDATE events SET key = NULL WHERE key = ?1 AND received_at < ?2")?;
        self.db
            .prepare_cached(
                "INSERT INTO events (user, name, time, properties, app_id, key, received_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO NOTHING",
            )
            .and_then(|mut insert| {
                insert.execute(params![
                    user.0,
                    event.name,
                    micros(event.time),
                    event.properties,
                    event.app_id,
                    event.key.map(|key| key.name),
                    micros(self.now),
                ])
            })
            .map(|rows| rows == 1)
            .map_err(storage("recording an event"))
    }

    /// Records a purchase; `false`, without effect, when its key was used before.
    pub fn record_purchase(&self, user: UserId, purchase: &Purchase<'_>) -> Result<bool> {
        self.forget(purchase.key, "UPDATE purchases SET key = NULL WHERE key = ?1 AND received_at < ?2")?;
        self.db
            .prepare_cached(
                "INSERT INTO purchases (user, product_id, currency, price, quantity, time, properties, app_id, key, received_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) ON CONFLICT DO NOTHING",
            )
            .and_then(|mut insert| {
                insert.execute(params![
                    user.0,
                    purchase.product_id,
                    purchase.currency,
                    purchase.price,
                    purchase.quantity,
                    micros(purchase.time),
                    purchase.properties,
                    purchase.app_id,
                    purchase.key.map(|key| key.name),
                    micros(self.now),
                ])
            })
            .map(|rows| rows == 1)
            .map_err(storage("recording a purchase"))
    }

    /// Forgets a key that was last used too long ago.
    fn forget(&self, key: Option<Key<'_>>, sql: &str) -> Result<()> {
        if let Some(Key { name, since: Some(since) }) = key {
            self.db
                .prepare_cached(sql)
                .and_then(|mut update| update.execute(params![name, micros(since)]))
                .map_err(storage("forgetting an old key"))?;
        }
        Ok(())
    }

    /// Returns a user's events, by name.
    pub fn events_of(&self, user: UserId) -> Result<Vec<ActivitySummary>> {
        self.activity(
            user,
            "SELECT name, min(time), max(time), count(*) FROM events WHERE user = ?1 GROUP BY name ORDER BY name",
        )
    }

    /// Returns a user's purchases, by product.
    pub fn purchases_of(&self, user: UserId) -> Result<Vec<ActivitySummary>> {
        self.activity(
            user,
            "SELECT product_id, min(time), max(time), sum(quantity) FROM purchases
             WHERE user = ?1 GROUP BY product_id ORDER BY product_id",
        )
    }

    fn activity(&self, user: UserId, sql: &str) -> Result<Vec<ActivitySummary>> {
        self.db
            .prepare_cached(sql)
            .and_then(|mut query| {
                query
                    .query_map([user.0], |row| {
                        Ok(ActivitySummary {
                            name: row.get(0)?,
                            first: timestamp(row.get(1)?),
                            last: timestamp(row.get(2)?),
                            count: row.get::<_, i64>(3)?.unsigned_abs(),
                        })
                    })?
                    .collect()
            })
            .map_err(storage("reading what a user did"))
    }
}
