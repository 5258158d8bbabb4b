//! The usual places, in the order in which AWS's own tools look.

use tidegate_model::{Error, Result, Secret};

use super::{Finder, Keys, sts};

impl Finder {
    /// The first credentials that are found.
    ///
    /// Source: AWS docs, SDKs and Tools Reference Guide, "Credential provider chain".
    pub(crate) async fn usual(&self) -> Result<Keys> {
        if let Some(keys) = self.environment()? {
            return Ok(keys);
        }
        let profile = self.variable("AWS_PROFILE");
        match &profile {
            Some(name) => return self.named_profile(name).await,
            None => {
                if let Some(keys) = self.profile("default").await? {
                    return Ok(keys);
                }
            }
        }
        if let (Some(file), Some(role)) =
            (self.variable("AWS_WEB_IDENTITY_TOKEN_FILE"), self.variable("AWS_ROLE_ARN"))
        {
            let session = self.variable("AWS_ROLE_SESSION_NAME").unwrap_or_else(|| sts::SESSION.to_owned());
            return self.web_identity(&role, &session, &file).await;
        }
        if let Some(keys) = self.container().await? {
            return Ok(keys);
        }
        if let Some(keys) = self.instance().await? {
            return Ok(keys);
        }
        Err(Error::settings(
            "no AWS credentials were found: not in the settings, the environment, the shared files, \
             a web identity, the container or the machine's role",
        )
        .hint("set `access_key_id` and `secret_access_key`, or `profile`; or give this machine a role"))
    }

    /// `AWS_ACCESS_KEY_ID` and the others.
    pub(crate) fn environment(&self) -> Result<Option<Keys>> {
        let id = self.variable("AWS_ACCESS_KEY_ID");
        let secret = self.variable("AWS_SECRET_ACCESS_KEY");
        match (id, secret) {
            (Some(id), Some(secret)) => Ok(Some(Keys {
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
