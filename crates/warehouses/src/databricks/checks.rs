//! What a connection is asked to prove before it is trusted with a sync.

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use tidegate_model::{Checks, Error, ErrorKind, Selection};
use tidegate_transport::http::answer::RequestError;
use tidegate_transport::sql::table::Relation as _;

use super::client::{Client, VENDOR};
use super::grants;
use super::privileges::Identity;
use super::settings::DatabricksSelection;
use super::source::DatabricksSource;
use super::statement::Sql;

/// A token that ends sooner is warned of.
const TOKEN_WARNING: SignedDuration = SignedDuration::from_hours(14 * 24);

#[derive(Deserialize)]
struct Tokens {
    #[serde(default)]
    token_infos: Vec<TokenInfo>,
}

#[derive(Deserialize)]
struct TokenInfo {
    #[serde(default)]
    comment: String,
    /// Milliseconds since 1970; -1 for never.
    #[serde(default)]
    expiry_time: i64,
}

impl Client {
    /// Proves that the login works and that the warehouse may be used. Returns who is logged in,
    /// if going on makes sense.
    ///
    /// # Errors
    /// What keeps us from looking.
    pub async fn prove_connection(&self, checks: &mut Checks) -> Result<Option<Identity>, Error> {
        let who = match self.identity().await {
            Ok(who) => who,
            Err(error) if error.kind() == ErrorKind::Denied => {
                checks.fail("login", error.message(), error.next_step());
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        checks.pass("login", format!("{VENDOR} at {}, as {}", self.settings.host, who.name));
        if !self.is_principal() {
            self.prove_token(checks).await;
        }
        let name = format!("CAN USE on warehouse {}", self.warehouse);
        match self.warehouse_state().await {
            Ok(found) => {
                let start = match (found.state.as_str(), found.enable_serverless_compute) {
                    ("RUNNING", _) => "it is running",
                    (_, true) => "it starts with the first statement, in seconds",
                    (_, false) => "it starts with the first statement, in 2 to 5 minutes as a rule",
                };
                checks.pass(name, format!("granted: warehouse `{}`, {start}", found.name));
                Ok(Some(who))
            }
            Err(error) if matches!(error.kind(), ErrorKind::Denied | ErrorKind::Missing) => {
                let remedy = match error.kind() {
                    ErrorKind::Missing => {
                        "correct `http_path` or `warehouse_id`: SQL Warehouses > Connection details"
                            .to_owned()
                    }
                    _ => format!(
                        "in the workspace, SQL Warehouses > the warehouse > Permissions: add {} with \"Can use\"",
                        who.name
                    ),
                };
                checks.fail(name, error.message(), remedy);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Says when a personal token ends, as far as the workspace tells.
    ///
    /// Source: Databricks REST API reference, `GET /api/2.0/token/list`: the tokens of the caller.
    async fn prove_token(&self, checks: &mut Checks) {
        let advice = "use a service principal (`client_id`, `client_secret`): it belongs to no person, and its tokens last an hour";
        let Ok(Tokens { token_infos }) = self.get::<Tokens>("/api/2.0/token/list").await else {
            checks.warn("token", "a personal access token; when it ends is not known", advice);
            return;
        };
        let now = self.clock.now();
        let ends = |info: &TokenInfo| Timestamp::from_millisecond(info.expiry_time).ok();
        if let Some(soon) = token_infos
            .iter()
            .filter(|info| info.expiry_time > 0)
            .filter(|info| ends(info).is_some_and(|at| at.duration_since(now) < TOKEN_WARNING))
            .min_by_key(|info| info.expiry_time)
        {
            let day = ends(soon).map(|at| at.strftime("%F").to_string()).unwrap_or_default();
            let comment = if soon.comment.is_empty() { "without a comment" } else { &soon.comment };
            let which = if token_infos.len() == 1 { "the token" } else { "a token of this user" };
            checks.warn(
                "token",
                format!("{which} ({comment}) ends on {day}"),
                format!("make a new one and set `token`, or {advice}"),
            );
        } else if token_infos.iter().any(|info| info.expiry_time < 0) {
            checks.warn("token", "a token of this user never ends: whoever finds it keeps access", advice);
        } else {
            checks.warn("token", "a personal access token that lasts for 14 days at least", advice);
        }
    }
}

impl DatabricksSource {
    /// Looks at everything that reading needs.
    ///
    /// # Errors
    /// Only what keeps us from looking: no connection, a selection that is none.
    pub(super) async fn prove(&self, selection: Option<&Selection>) -> Result<Checks, Error> {
        let selected = selection.map(|selection| selection.parse::<DatabricksSelection>()).transpose()?;
        let relation =
            selected.as_ref().map(|selected| selected.relation(&self.client.settings)).transpose()?;
        let mut checks = Checks::default();
        let Some(who) = self.client.prove_connection(&mut checks).await? else { return Ok(checks) };
        let principal = who.name;
        let (Some(selected), Some(relation)) = (selected, relation) else { return Ok(checks) };
        let name = format!("reading {}", relation.label());
        let planned = match self.table(&selected).await {
            Err(error) => Err(error),
            Ok(table) => {
                // The warehouse plans the read: that needs the same privileges as reading.
                let plan: Sql = format!("EXPLAIN {}", table.everything()).into();
                let planned = self.client.query(&plan, &name).await.map_err(RequestError::into_error);
                planned.map(|_| table.columns.len())
            }
        };
        match planned {
            Ok(columns) => {
                if let super::relation::Relation::Table([catalog, schema, _], _) = &relation {
                    checks.pass(format!("USE CATALOG on catalog {catalog}"), "granted");
                    checks.pass(format!("USE SCHEMA on schema {catalog}.{schema}"), "granted");
                    checks.pass(format!("SELECT on table {}", relation.label()), "granted");
                }
                checks.pass(name, format!("works, {columns} columns"));
            }
            Err(error) => match grants::refused(error.message()) {
                Some(refused) => {
                    checks.fail(
                        refused.check(),
                        format!("{principal} does not have it"),
                        refused.remedy(Some(&principal)),
                    );
                }
                None => checks.fail(name, error.chain(), error.next_step()),
            },
        }
        Ok(checks)
    }
}
