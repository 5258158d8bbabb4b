//! Erases a user from a file.

use std::path::Path;

use jiff::Timestamp;
use tidegate_model::Result;

use super::store::{Durability, Profiles, Session, storage};

/// Erases the users with an identifier of this text: external id, platform id, e-mail address,
/// phone number, alias as `label:name` or its name alone. Returns how many there were.
///
/// Free pages of the file are overwritten. A file that does not exist is not made.
///
/// # Errors
/// When the file cannot be opened or written.
pub fn erase(file: &Path, user: &str) -> Result<u64> {
    if !file.exists() {
        return Ok(0);
    }
    let profiles = Profiles::open(Some(file), Durability::PowerCut)?;
    let erased = profiles.transact(Timestamp::UNIX_EPOCH, |session| session.erase(user))?;
    profiles.scrub()?;
    Ok(erased)
}

impl Session<'_> {
    fn erase(&self, user: &str) -> Result<u64> {
        let erasing = || storage("erasing a user");
        let ids: Vec<i64> = self
            .db
            .prepare(
                "SELECT id FROM users WHERE external_id = ?1 OR platform_id = ?1 OR email = ?1 OR phone = ?1
                 UNION SELECT user FROM aliases WHERE name = ?1 OR label || ':' || name = ?1",
            )
            .and_then(|mut query| query.query_map([user], |row| row.get(0))?.collect())
            .map_err(erasing())?;
        for id in &ids {
            for sql in [
                "DELETE FROM deletions WHERE platform_id = (SELECT platform_id FROM users WHERE id = ?1)",
                "DELETE FROM events WHERE user = ?1",
                "DELETE FROM purchases WHERE user = ?1",
                "DELETE FROM aliases WHERE user = ?1",
                "DELETE FROM users WHERE id = ?1",
            ] {
                self.db.execute(sql, [id]).map_err(erasing())?;
            }
        }
        // A user that was deleted before leaves the platform's id.
        self.db.execute("DELETE FROM deletions WHERE platform_id = ?1", [user]).map_err(erasing())?;
        Ok(ids.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use tidegate_model::{Identity, Text};

    use super::*;

    #[test]
    fn an_erased_user_is_in_no_page_of_the_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("profiles.db");
        let profiles = Profiles::open(Some(&file), Durability::PowerCut).expect("opened");
        for name in ["canary-ann", "bob"] {
            let who = Identity::ExternalId(Text::from(name));
            let found = profiles.transact(Timestamp::UNIX_EPOCH, |session| session.find_or_create(&who));
            let id = found.expect("created").expect("a user");
            let patch = serde_json::json!({ "email": format!("{name}@example.com"), "note": name });
            let patch = patch.as_object().expect("an object").clone();
            profiles.transact(Timestamp::UNIX_EPOCH, |session| session.merge(id, &patch)).expect("merged");
        }
        drop(profiles);

        assert_eq!(erase(&file, "canary-ann").expect("erased"), 1);
        assert_eq!(erase(&file, "canary-ann").expect("erased"), 0);

        for entry in std::fs::read_dir(folder.path()).expect("listed").flatten() {
            let bytes = std::fs::read(entry.path()).expect("read");
            assert!(!bytes.windows(10).any(|window| window == b"canary-ann"), "{:?}", entry.path());
        }
        let profiles = Profiles::open(Some(&file), Durability::PowerCut).expect("opened");
        let bob = Identity::ExternalId(Text::from("bob"));
        let found = profiles.transact(Timestamp::UNIX_EPOCH, |session| session.find(&bob)).expect("asked");
        assert!(found.is_some());
        assert_eq!(erase(&folder.path().join("none.db"), "bob").expect("asked"), 0);
        assert!(!folder.path().join("none.db").exists());
    }
}
