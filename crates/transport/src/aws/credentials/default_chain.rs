//! The default credential chain, in the order of AWS's own tools.

use tidegate_model::{Error, Result, Secret};

use super::{Credentials, CredentialsChain, sts};

impl CredentialsChain {
    /// Returns the first credentials of the chain.
    ///
    /// Source: AWS docs, SDKs and Tools Reference Guide, "Credential provider chain".
    pub(crate) async fn default_chain(&self) -> Result<Credentials> {
        if let Some(credentials) = self.environment()? {
            return Ok(credentials);
        }
        let profile = self.variable("AWS_PROFILE");
        match &profile {
            Some(name) => return self.named_profile(name).await,
            None => {
                if let Some(credentials) = self.profile("default").await? {
                    return Ok(credentials);
                }
            }
        }
        if let (Some(file), Some(role)) =
            (self.variable("AWS_WEB_IDENTITY_TOKEN_FILE"), self.variable("AWS_ROLE_ARN"))
        {
            let session = self.variable("AWS_ROLE_SESSION_NAME").unwrap_or_else(|| sts::SESSION.to_owned());
            return self.web_identity(&role, &session, &file).await;
        }
        if let Some(credentials) = self.container().await? {
            return Ok(credentials);
        }
        if let Some(credentials) = self.instance().await? {
            return Ok(credentials);
        }
        Err(Error::settings(
            "no AWS credentials were found: not in the settings, the environment, the shared files, \
             a web identity, the container or the machine's role",
        )
        .hint("set `access_key_id` and `secret_access_key`, or `profile`; or give this machine a role"))
    }

    /// `AWS_ACCESS_KEY_ID` and the others.
    pub(crate) fn environment(&self) -> Result<Option<Credentials>> {
        let id = self.variable("AWS_ACCESS_KEY_ID");
        let secret = self.variable("AWS_SECRET_ACCESS_KEY");
        match (id, secret) {
            (Some(id), Some(secret)) => Ok(Some(Credentials {
                id,
                secret: Secret::new(secret),
                token: self.variable("AWS_SESSION_TOKEN").map(Secret::new),
                expires: None,
            })),
            (None, None) => Ok(None),
            _ => Err(Error::settings(
                "the environment has only one of AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
            )
            .hint("set both or none")),
        }
    }

    /// A variable that is set to something.
    pub(crate) fn variable(&self, name: &str) -> Option<String> {
        (self.variables)(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
    }
}
