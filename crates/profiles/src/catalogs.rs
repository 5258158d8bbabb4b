//! Catalogs and their items.

use rusqlite::{OptionalExtension, Row, params};
use tidegate_model::Result;

use super::store::{Session, micros, storage};

/// A catalog without its items.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Catalog {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// Its fields: JSON text of the maker's own shape.
    pub fields: String,
    /// When it was last changed.
    pub updated_at: jiff::Timestamp,
    /// How many items it has.
    pub items: u64,
}

const SELECT: &str = "SELECT name, description, fields, updated_at,
    (SELECT count(*) FROM items WHERE catalog = name) FROM catalogs";

impl Session<'_> {
    /// Creates a catalog; `false`, without effect, when the name is taken.
    pub fn create_catalog(&self, name: &str, description: &str, fields: &str) -> Result<bool> {
        self.db
            .prepare_cached(
                "INSERT INTO catalogs (name, description, fields, created_at, updated_at)
                 VALUES (?1, ?2, ?3, ?4, ?4) ON CONFLICT DO NOTHING",
            )
            .and_then(|mut insert| insert.execute(params![name, description, fields, micros(self.now)]))
            .map(|rows| rows == 1)
            .map_err(storage("creating a catalog"))
    }

    /// Returns a catalog by name.
    pub fn catalog(&self, name: &str) -> Result<Option<Catalog>> {
        self.db
            .prepare_cached(&format!("{SELECT} WHERE name = ?1"))
            .and_then(|mut query| query.query_row([name], catalog).optional())
            .map_err(storage("reading a catalog"))
    }

    /// Returns all catalogs, by name.
    pub fn catalogs(&self) -> Result<Vec<Catalog>> {
        self.db
            .prepare_cached(&format!("{SELECT} ORDER BY name"))
            .and_then(|mut query| query.query_map([], catalog)?.collect())
            .map_err(storage("reading catalogs"))
    }

    /// Deletes a catalog and its items; whether it was there.
    pub fn delete_catalog(&self, name: &str) -> Result<bool> {
        let deleting = storage("deleting a catalog");
        self.db.execute("DELETE FROM items WHERE catalog = ?1", [name]).map_err(&deleting)?;
        self.db
            .execute("DELETE FROM catalogs WHERE name = ?1", [name])
            .map(|rows| rows == 1)
            .map_err(&deleting)
    }

    /// Creates or replaces an item. `fields` is a JSON object without the id.
    pub fn put_item(&self, catalog: &str, id: &str, fields: &str) -> Result<()> {
        self.db
            .prepare_cached("INSERT OR REPLACE INTO items (catalog, id, fields) VALUES (?1, ?2, ?3)")
            .and_then(|mut insert| insert.execute([catalog, id, fields]))
            .map_err(storage("saving a catalog item"))?;
        Ok(())
    }

    /// Returns an item's fields.
    pub fn item(&self, catalog: &str, id: &str) -> Result<Option<String>> {
        self.db
            .prepare_cached("SELECT fields FROM items WHERE catalog = ?1 AND id = ?2")
            .and_then(|mut query| query.query_row([catalog, id], |row| row.get(0)).optional())
            .map_err(storage("reading a catalog item"))
    }

    /// Up to `limit` items in the order of their ids, those after `after`, as (id, fields).
    pub fn items(&self, catalog: &str, after: &str, limit: u32) -> Result<Vec<(String, String)>> {
        self.db
            .prepare_cached(
                "SELECT id, fields FROM items WHERE catalog = ?1 AND id > ?2 ORDER BY id LIMIT ?3",
            )
            .and_then(|mut query| {
                query
                    .query_map(params![catalog, after, limit], |row| Ok((row.get(0)?, row.get(1)?)))?
                    .collect()
            })
            .map_err(storage("reading catalog items"))
    }

    /// Removes an item; whether it was there.
    pub fn remove_item(&self, catalog: &str, id: &str) -> Result<bool> {
        self.db
            .prepare_cached("DELETE FROM items WHERE catalog = ?1 AND id = ?2")
            .and_then(|mut delete| delete.execute([catalog, id]))
            .map(|rows| rows == 1)
            .map_err(storage("removing a catalog item"))
    }
}

fn catalog(row: &Row<'_>) -> rusqlite::Result<Catalog> {
    Ok(Catalog {
        name: row.get(0)?,
        description: row.get(1)?,
        fields: row.get(2)?,
        updated_at: super::store::timestamp(row.get(3)?),
        items: row.get::<_, i64>(4)?.unsigned_abs(),
    })
}
