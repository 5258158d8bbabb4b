//! The privileges of whoever is logged in, as Unity Catalog lists them. Asking starts no warehouse
//! and makes nothing.
//!
//! Source: Databricks REST API reference: SCIM `GET /api/2.0/preview/scim/v2/Me`; Unity Catalog
//! `GET /api/2.1/unity-catalog/effective-permissions/{securable_type}/{full_name}` and `GET
//! /api/2.1/unity-catalog/{catalogs,schemas}/{full_name}`.

use serde::Deserialize;
use tidegate_model::address::encoded;
use tidegate_model::{Error, ErrorKind};

use super::client::Client;

/// The group that everybody of an account is in.
const EVERYBODY: &str = "account users";
/// Pages that are read at most, of one list.
const PAGES_MAX: usize = 100;

/// Whoever is logged in.
#[derive(Clone, Debug, Deserialize)]
pub struct Identity {
    /// The name of a user, or the application id of a service principal, as grants name them.
    #[serde(rename = "userName")]
    pub name: String,
    #[serde(default)]
    groups: Vec<Group>,
}

#[derive(Clone, Debug, Deserialize)]
struct Group {
    #[serde(default)]
    display: String,
}

impl Identity {
    /// Returns whether this is the name of the principal or of a group that it is in.
    fn is(&self, name: &str) -> bool {
        name == self.name || name == EVERYBODY || self.groups.iter().any(|group| group.display == name)
    }
}

/// Something that privileges are given on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Securable {
    /// A catalog.
    Catalog,
    /// A schema.
    Schema,
}

impl Securable {
    /// Returns its word in a `GRANT`.
    pub fn keyword(self) -> &'static str {
        match self {
            Securable::Catalog => "CATALOG",
            Securable::Schema => "SCHEMA",
        }
    }

    fn path(self) -> &'static str {
        match self {
            Securable::Catalog => "catalogs",
            Securable::Schema => "schemas",
        }
    }
}

/// Whether a privilege is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// It is, by a grant or by ownership.
    Yes,
    /// It is not: other privileges are listed, and this one is not among them.
    No,
    /// The workspace does not list any privilege of this principal.
    Unknown,
}

#[derive(Deserialize)]
struct Owned {
    #[serde(default)]
    owner: String,
}

#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    privilege_assignments: Vec<Assignment>,
    next_page_token: Option<String>,
}

#[derive(Deserialize)]
struct Assignment {
    #[serde(default)]
    principal: String,
    #[serde(default)]
    privileges: Vec<Effective>,
}

#[derive(Deserialize)]
struct Effective {
    #[serde(default)]
    privilege: String,
}

impl Client {
    /// Returns who is logged in.
    ///
    /// # Errors
    /// What the workspace said, or what kept it from answering.
    pub async fn identity(&self) -> Result<Identity, Error> {
        self.get("/api/2.0/preview/scim/v2/Me").await
    }

    /// Returns the owner of a catalog or schema; `None` if it is not there.
    ///
    /// # Errors
    /// What the workspace said, or what kept it from answering.
    pub async fn owner(&self, kind: Securable, name: &str) -> Result<Option<String>, Error> {
        let path = format!("/api/2.1/unity-catalog/{}/{}", kind.path(), encoded(name));
        match self.get::<Owned>(&path).await {
            Ok(found) => Ok(Some(found.owner)),
            Err(error) if error.kind() == ErrorKind::Missing => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Returns whether a principal has a privilege, written as in a `GRANT`: `CREATE TABLE`.
    ///
    /// # Errors
    /// What kept the workspace from answering. A refusal to say is [`Held::Unknown`].
    pub async fn holds(
        &self,
        who: &Identity,
        privilege: &str,
        kind: Securable,
        name: &str,
    ) -> Result<Held, Error> {
        let told = match self.owner(kind, name).await {
            Ok(Some(owner)) if who.is(&owner) => return Ok(Held::Yes),
            Ok(_) => self.effective(who, kind, name).await,
            Err(error) => Err(error),
        };
        let wanted = privilege.replace(' ', "_");
        match told {
            Ok(held) if held.iter().any(|held| *held == wanted || held == "ALL_PRIVILEGES") => Ok(Held::Yes),
            Ok(held) if held.is_empty() => Ok(Held::Unknown),
            Ok(_) => Ok(Held::No),
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::Denied | ErrorKind::Missing | ErrorKind::Rejected | ErrorKind::Settings
                ) =>
            {
                Ok(Held::Unknown)
            }
            Err(error) => Err(error),
        }
    }

    /// Returns the privileges of a principal and of its groups: `CREATE_TABLE`.
    async fn effective(&self, who: &Identity, kind: Securable, name: &str) -> Result<Vec<String>, Error> {
        let kind = kind.keyword().to_lowercase();
        let first = format!("/api/2.1/unity-catalog/effective-permissions/{kind}/{}", encoded(name));
        let mut path = format!("{first}?max_results=0");
        let mut held = Vec::new();
        for _ in 0..PAGES_MAX {
            let page: Page = self.get(&path).await?;
            let own = page.privilege_assignments.into_iter().filter(|one| who.is(&one.principal));
            held.extend(own.flat_map(|one| one.privileges).map(|one| one.privilege));
            let Some(token) = page.next_page_token.filter(|token| !token.is_empty()) else { break };
            let token: String = url::form_urlencoded::byte_serialize(token.as_bytes()).collect();
            path = format!("{first}?max_results=0&page_token={token}");
        }
        Ok(held)
    }
}
