//! Which identity provider it is, and what its groups may do here.

use std::path::PathBuf;
use std::str::FromStr;

use serde_json::Value;
use tidegate_model::people::Role;
use tidegate_model::{Error, ErrorKind, Secret};

/// What is set about the identity provider, outside of the project: an editor, who may change the project, must
/// not decide who is an admin.
#[derive(Clone, Debug)]
pub struct OidcSettings {
    /// The address by which the provider calls itself.
    pub issuer: String,
    /// The name of this program at the provider.
    pub client_id: String,
    /// The secret of this program there; `None` for a public client.
    pub client_secret: Option<Secret>,
    /// What is asked for, separated by spaces.
    pub scopes: String,
    /// The claim that is the name of a person here.
    pub name_claim: String,
    /// The claim that lists the groups of a person.
    pub groups_claim: String,
    /// The roles of groups.
    pub roles: Vec<GroupRole>,
    /// A PEM file of certificate authorities to trust besides the system's.
    pub ca_file: Option<PathBuf>,
}

/// The role of a group: `GROUP=ROLE`, or `GROUP=ROLE+rows` with the right to see values of rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupRole {
    /// The group, as the provider writes it.
    pub group: String,
    /// What its people may do.
    pub role: Role,
    /// Whether they may see values of rows.
    pub rows: bool,
}

impl FromStr for GroupRole {
    type Err = String;

    fn from_str(text: &str) -> Result<GroupRole, String> {
        let wrong = || "expected GROUP=ROLE or GROUP=ROLE+rows, such as data-team=editor".to_owned();
        // A group may be a path or the name of an LDAP entry, with `=` inside.
        let (group, role) = text.rsplit_once('=').filter(|(group, _)| !group.is_empty()).ok_or_else(wrong)?;
        let (role, rows) = match role.strip_suffix("+rows") {
            Some(role) => (role, true),
            None => (role, false),
        };
        let role = role.parse().map_err(|error: Error| error.message().to_owned())?;
        Ok(GroupRole { group: group.to_owned(), role, rows })
    }
}

impl OidcSettings {
    /// Returns the name of the person that claims are about.
    ///
    /// # Errors
    /// [`ErrorKind::Denied`] if they do not say, or the provider did not verify it.
    pub(super) fn name(&self, claims: &Value) -> Result<String, Error> {
        let claim = &self.name_claim;
        let Some(name) = claims[claim].as_str().map(str::trim).filter(|name| !name.is_empty()) else {
            return Err(Error::new(ErrorKind::Denied, format!("the identity provider sends no `{claim}`"))
                .hint("an operator adds a scope with `--oidc-scopes`, or names another claim with `--oidc-name-claim`"));
        };
        if claim == "email" && !is_verified(&claims["email_verified"]) {
            return Err(Error::new(
                ErrorKind::Denied,
                format!("the identity provider does not say that `{name}` is a verified address"),
            )
            .hint(
                "verify the address at the provider; if it never says so, an operator names a claim that people \
                 cannot set themselves with `--oidc-name-claim`",
            ));
        }
        Ok(if name.contains('@') { name.to_lowercase() } else { name.to_owned() })
    }

    /// Returns the highest role that the groups in claims have. Of equal ones, that which sees rows.
    pub(super) fn role(&self, claims: &Value) -> Option<&GroupRole> {
        let groups = &claims[&self.groups_claim];
        let one = groups.as_str().into_iter();
        let is_in = |group: &str| {
            let listed = groups.as_array().into_iter().flatten().filter_map(Value::as_str);
            listed.chain(one.clone()).any(|found| found == group)
        };
        self.roles.iter().filter(|role| is_in(&role.group)).max_by_key(|role| (role.role, role.rows))
    }
}

/// Some providers write it as text.
fn is_verified(claim: &Value) -> bool {
    claim.as_bool().unwrap_or_else(|| claim.as_str() == Some("true"))
}
