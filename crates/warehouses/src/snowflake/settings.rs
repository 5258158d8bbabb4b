//! The settings of a Snowflake connection, and of a source.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;
use tidegate_model::clear_text::{self, Proof};
use tidegate_model::{Error, Secret};
use tidegate_transport::jwt::RsaKey;
use tidegate_transport::oauth::OAuthClient;
use tidegate_transport::rsa;
use tidegate_transport::settings::web_address;
use tidegate_transport::sql::selection::{Selected, selected};
use tidegate_transport::storage::LakeSettings;

use super::relation::{Relation, folded, is_name};

/// The domain of all accounts but those in China.
const DOMAIN: &str = ".snowflakecomputing.com";

/// How to reach an account of Snowflake.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SnowflakeSettings {
    /// The account identifier: organization and account name. It stands in Snowsight under your name >
    /// Account > View account details. An account locator with its region (`xy12345.eu-central-1`)
    /// works too.
    #[schemars(extend("examples" = ["myorg-account1"]))]
    pub account: String,
    /// The user that a key pair belongs to, a service user of its own. Tokens name their user themselves.
    #[schemars(extend("examples" = ["TIDEGATE"]))]
    pub user: Option<String>,
    /// A private RSA key of 2,048 bits or more in PEM, also an encrypted one: the preferred way to log in.
    pub private_key: Option<Secret>,
    /// The passphrase of an encrypted private key.
    pub private_key_passphrase: Option<Secret>,
    /// A programmatic access token, instead of a key pair.
    pub token: Option<Secret>,
    /// An OAuth access token, instead of a key pair. It is not renewed: `oauth` asks for tokens itself.
    pub oauth_token: Option<Secret>,
    /// An OAuth client, instead of a key pair: tokens are asked for, and renewed when they end.
    pub oauth: Option<OAuthSettings>,
    /// The role that statements run with. By default that of the user.
    #[schemars(extend("examples" = ["TIDEGATE_ROLE"]))]
    pub role: Option<String>,
    /// The warehouse that statements run on. By default that of the user.
    #[schemars(extend("examples" = ["TIDEGATE_WH"]))]
    pub warehouse: Option<String>,
    /// The database of tables that are written without one.
    pub database: Option<String>,
    /// The schema of tables that are written without one.
    pub schema: Option<String>,
    /// A folder of an object store that Snowflake reads, too: events are loaded through it. Without one, they
    /// travel inside of statements.
    pub stage: Option<StageSettings>,
    /// Another host of the account: for private connectivity, or in China.
    #[schemars(extend("format" = "host", "examples" = ["myorg-account1.privatelink.snowflakecomputing.com"]))]
    pub host: Option<String>,
    /// Another address of the account, for tests and proxies.
    #[schemars(extend("examples" = ["http://127.0.0.1:18010"]))]
    pub endpoint: Option<String>,
    /// PEM file with the authority that signed the server's certificate, or with that certificate
    /// itself, if the system's authorities are not enough. They are trusted besides.
    pub ca_file: Option<PathBuf>,
}

/// An OAuth client: of Snowflake's own OAuth, or of an identity provider that the account trusts.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OAuthSettings {
    /// The token endpoint of the identity provider (External OAuth). By default that of the account, for
    /// Snowflake's own OAuth, which needs a `refresh_token`.
    #[schemars(extend("format" = "url", "examples" = ["https://idp.example.com/oauth2/v1/token"]))]
    pub url: Option<String>,
    /// The id of the client.
    pub client_id: String,
    /// Its secret.
    pub client_secret: Secret,
    /// The refresh token of a user who has authorized the client. Without one, the client asks for itself
    /// (client credentials).
    pub refresh_token: Option<Secret>,
    /// The scope that is asked for.
    #[schemars(extend("examples" = ["session:role:TIDEGATE_ROLE"]))]
    pub scope: Option<String>,
}

/// An external stage, from both of its sides.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StageSettings {
    /// Its name in Snowflake, `database.schema.stage`. Shorter names count from `database` and `schema`.
    #[schemars(extend("examples" = ["SHOP.PUBLIC.TIDEGATE_STAGE"]))]
    pub name: String,
    /// The folder that is its `URL`, and how to write there.
    pub folder: LakeSettings,
}

/// How to prove who is asking.
pub enum Login {
    /// A key pair of a user: tokens that are signed here.
    KeyPair {
        /// The user, as Snowflake stores the name.
        user: String,
        /// The private half.
        key: RsaKey,
    },
    /// A programmatic access token.
    Token(Secret),
    /// An OAuth access token.
    OAuth(Secret),
    /// A client that asks for OAuth access tokens.
    Client(Box<OAuthClient>),
}

impl SnowflakeSettings {
    /// Refuses settings that cannot work, before anything is opened. Keys are not read.
    ///
    /// # Errors
    /// Names the setting.
    pub fn checked(self) -> Result<SnowflakeSettings, Error> {
        let account = self.short_account();
        let is_account = |sign: char| sign.is_ascii_alphanumeric() || "-_.".contains(sign);
        if account.is_empty() || !account.chars().all(is_account) {
            return Err(Error::settings("`account`: expected an account identifier")
                .hint("copy it from Snowsight: your name > Account > View account details, for example myorg-account1"));
        }
        if let Some(host) = &self.host
            && (host.is_empty() || host.contains("://") || host.contains(['/', ' ', '@', ':', '?', '#']))
        {
            return Err(Error::settings("`host`: expected a host name")
                .hint("write only the name, for example myorg-account1.privatelink.snowflakecomputing.com"));
        }
        for (setting, name) in [
            ("user", &self.user),
            ("role", &self.role),
            ("warehouse", &self.warehouse),
            ("database", &self.database),
            ("schema", &self.schema),
        ] {
            if name.as_ref().is_some_and(|name| !is_name(name)) {
                return Err(Error::settings(format!("`{setting}`: expected a name")));
            }
        }
        self.ways()?;
        Ok(self)
    }

    fn short_account(&self) -> &str {
        let account = self.account.trim();
        let account = account.strip_prefix("https://").unwrap_or(account);
        let account = account.strip_suffix('/').unwrap_or(account);
        account.strip_suffix(DOMAIN).unwrap_or(account)
    }

    /// Returns the account as tokens name it: upper case, without a region.
    ///
    /// Source: Snowflake docs, SQL API, "Authenticating to the server".
    pub fn claimed_account(&self) -> String {
        let account = self.short_account();
        account.split('.').next().unwrap_or(account).to_uppercase()
    }

    fn ways(&self) -> Result<(), Error> {
        let oauth = self.oauth.as_ref();
        let set = [
            ("private_key", self.private_key.as_ref()),
            ("token", self.token.as_ref()),
            ("oauth_token", self.oauth_token.as_ref()),
            ("oauth", oauth.map(|oauth| &oauth.client_secret)),
        ];
        let set: Vec<_> = set.iter().filter_map(|(name, secret)| Some((name, (*secret)?))).collect();
        if let Some((name, _)) = set.iter().find(|(_, secret)| secret.expose().trim().is_empty()) {
            let setting = if **name == "oauth" { "oauth.client_secret" } else { name };
            return Err(Error::settings(format!("`{setting}` is empty")));
        }
        if oauth.is_some_and(|oauth| oauth.url.is_none() && oauth.refresh_token.is_none()) {
            return Err(Error::settings("`oauth.url` is missing").hint(
                "name the token endpoint of your identity provider; Snowflake's own OAuth needs `oauth.refresh_token`",
            ));
        }
        match set.as_slice() {
            [] => Err(Error::settings("nothing is set to log in with").hint(
                "set `user` and `private_key`, or `token`, or `oauth`; passwords of services are refused by Snowflake",
            )),
            [(name, _)] if **name == "private_key" && self.user.is_none() => {
                Err(Error::settings("`user` is missing").hint("name the user that the key pair belongs to"))
            }
            [_] => Ok(()),
            [(one, _), (other, _), ..] => Err(Error::settings(format!("both `{one}` and `{other}` are set"))
                .hint("keep `private_key`: a key pair belongs to a service user and does not end")),
        }
    }

    /// Returns how to prove who is asking.
    ///
    /// # Errors
    /// [`tidegate_model::ErrorKind::Settings`] for a key that cannot be read.
    pub fn login(&self) -> Result<Login, Error> {
        self.ways()?;
        let trimmed = |secret: &Secret| Secret::new(secret.expose().trim());
        if let Some(oauth) = &self.oauth {
            return Ok(Login::Client(Box::new(self.client(oauth)?)));
        }
        Ok(match (&self.private_key, &self.token, &self.oauth_token) {
            (Some(pem), ..) => Login::KeyPair {
                user: folded(self.user.as_deref().unwrap_or_default()),
                key: rsa::open("private_key", pem, self.private_key_passphrase.as_ref())?,
            },
            (None, Some(token), _) => Login::Token(trimmed(token)),
            (None, None, Some(token)) => Login::OAuth(trimmed(token)),
            (None, None, None) => return Err(Error::settings("nothing is set to log in with")),
        })
    }

    fn client(&self, oauth: &OAuthSettings) -> Result<OAuthClient, Error> {
        // Source: Snowflake docs, "Configure Snowflake OAuth for custom clients", token endpoint.
        let address = match &oauth.url {
            Some(address) => address.clone(),
            None => format!("{}/oauth/token-request", self.base()?),
        };
        const EXAMPLE: &str = "https://idp.example.com/oauth2/v1/token";
        let parsed = web_address("oauth.url", &address, EXAMPLE)?;
        clear_text::validate("oauth.url", &parsed, Proof::Credential)?;
        let trimmed = |secret: &Secret| Secret::new(secret.expose().trim());
        let (id, scope) = (oauth.client_id.clone(), oauth.scope.clone());
        let refresh = oauth.refresh_token.as_ref().map(trimmed);
        Ok(OAuthClient::new(address, id, trimmed(&oauth.client_secret), scope, refresh))
    }

    /// Returns the address of the account, without a slash at its end.
    ///
    /// # Errors
    /// [`tidegate_model::ErrorKind::Settings`] for an `endpoint` that is none.
    pub fn base(&self) -> Result<String, Error> {
        let Some(endpoint) = &self.endpoint else {
            // Certificates know no underscore. Source: Snowflake docs, "Account identifiers".
            let own = || format!("{}{DOMAIN}", self.short_account().to_lowercase().replace('_', "-"));
            return Ok(format!("https://{}", self.host.clone().unwrap_or_else(own)));
        };
        let endpoint = endpoint.trim_end_matches('/');
        let address = web_address("endpoint", endpoint, "http://127.0.0.1:18010")?;
        clear_text::validate("endpoint", &address, Proof::Credential)?;
        Ok(endpoint.to_owned())
    }
}

/// What to read: exactly one of `table` and `query`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(extend("oneOf" = [{ "required": ["table"] }, { "required": ["query"] }]))]
pub struct SnowflakeSelection {
    /// A table or view, `database.schema.table`. Shorter names count from the connection's `database`
    /// and `schema`. Names are upper-cased as Snowflake does it, unless they are in double quotes.
    #[schemars(extend("examples" = ["SHOP.PUBLIC.ORDERS"]))]
    pub table: Option<String>,
    /// One `SELECT` statement.
    pub query: Option<String>,
    /// The columns that name a row.
    #[schemars(skip)]
    pub key: Option<Vec<String>>,
    /// The columns that are read; all of them if absent. Set by
    /// [`tidegate_transport::sql::selection::narrow`], never by a person.
    #[schemars(skip)]
    pub columns: Option<Vec<String>>,
}

impl SnowflakeSelection {
    /// Returns what a selection reads from.
    ///
    /// # Errors
    /// [`tidegate_model::ErrorKind::Settings`] for anything but one table or one query.
    pub fn relation(&self, settings: &SnowflakeSettings) -> Result<Relation, Error> {
        match selected(self.table.as_deref(), self.query.as_deref(), "SHOP.PUBLIC.ORDERS")? {
            Selected::Table(table) => {
                Relation::table(table, [settings.database.as_deref(), settings.schema.as_deref()])
            }
            Selected::Query(query) => Ok(Relation::Query(query.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use tidegate_testkit::http::raw;

    use super::*;

    fn settings(changes: &Value) -> Result<SnowflakeSettings, Error> {
        let mut members = json!({ "account": "MyOrg-Account_1", "user": "u", "private_key": "k" });
        for (name, value) in changes.as_object().into_iter().flatten() {
            members[name] = value.clone();
        }
        members.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        raw(members).parse::<SnowflakeSettings>()?.checked()
    }

    #[test]
    fn exactly_one_complete_way_to_log_in_is_taken_and_a_password_is_none() {
        assert!(settings(&json!({})).is_ok());
        assert!(settings(&json!({ "private_key": null, "user": null, "token": "t" })).is_ok());
        assert!(settings(&json!({ "private_key": null, "oauth_token": "t" })).is_ok());
        let oauth = |more: Value| {
            let mut client = json!({ "client_id": "c", "client_secret": "s" });
            client.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            client
        };
        for good in [json!({ "refresh_token": "r" }), json!({ "url": "https://idp.example/token" })] {
            let settings = settings(&json!({ "private_key": null, "oauth": oauth(good) })).unwrap();
            assert!(matches!(settings.login(), Ok(Login::Client(_))));
        }
        let exposed = oauth(json!({ "url": "http://idp.example/token" }));
        assert!(settings(&json!({ "private_key": null, "oauth": exposed })).unwrap().login().is_err());
        for wrong in [
            json!({ "private_key": null }),
            json!({ "private_key": " " }),
            json!({ "user": null }),
            json!({ "token": "t" }),
            json!({ "private_key": null, "token": "t", "oauth_token": "t" }),
            json!({ "private_key": null, "password": "p" }),
            json!({ "oauth": oauth(json!({ "refresh_token": "r" })) }),
            json!({ "private_key": null, "oauth": oauth(json!({})) }),
            json!({ "private_key": null, "oauth": oauth(json!({ "refresh_token": "r", "client_secret": "" })) }),
        ] {
            assert!(settings(&wrong).is_err(), "{wrong}");
        }
        let none = settings(&json!({ "private_key": null })).unwrap_err();
        assert!(none.next_step().contains("passwords of services are refused"), "{none}");
    }

    #[test]
    fn host_and_claim_are_made_of_the_account_however_it_is_pasted() {
        for (account, host, claim) in [
            ("MyOrg-Account_1", "myorg-account-1.snowflakecomputing.com", "MYORG-ACCOUNT_1"),
            ("xy12345.eu-central-1", "xy12345.eu-central-1.snowflakecomputing.com", "XY12345"),
            ("https://myorg-a.snowflakecomputing.com/", "myorg-a.snowflakecomputing.com", "MYORG-A"),
        ] {
            let settings = settings(&json!({ "account": account })).unwrap();
            assert_eq!(settings.base().unwrap(), format!("https://{host}"));
            assert_eq!(settings.claimed_account(), claim);
        }
        let other = settings(&json!({ "host": "a.privatelink.snowflakecomputing.com" })).unwrap();
        assert_eq!(other.base().unwrap(), "https://a.privatelink.snowflakecomputing.com");
        assert!(settings(&json!({ "account": "a b" })).is_err());
        assert!(settings(&json!({ "endpoint": "http://proxy.example" })).unwrap().base().is_err());
    }
}
