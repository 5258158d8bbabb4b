//! The settings of a connection to AWS.

use std::path::PathBuf;

use http::Uri;
use schemars::JsonSchema;
use serde::Deserialize;
use tidegate_model::clear_text::{self, Proof};
use tidegate_model::{Error, Result, Secret};

use super::arn::{self, Arn};

/// An account at Amazon Web Services. Without keys and profile, credentials come from the default
/// chain: the environment, the shared files, a web identity, the container, the machine's role.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AwsSettings {
    /// The region, for example `eu-central-1`.
    pub region: String,
    /// The service's address, if it is not the region's own: a VPC endpoint or an emulator.
    #[schemars(extend("format" = "url"))]
    pub endpoint: Option<String>,
    /// The id of an access key. Together with `secret_access_key`.
    pub access_key_id: Option<String>,
    /// The secret of the access key.
    pub secret_access_key: Option<Secret>,
    /// The session token that belongs to a temporary access key.
    pub session_token: Option<Secret>,
    /// A profile of the shared files `~/.aws/config` and `~/.aws/credentials`, instead of an access key.
    pub profile: Option<String>,
    /// A role to take on, for example `arn:aws:iam::123456789012:role/tidegate`.
    pub role_arn: Option<String>,
    /// The external id that the role's trust policy asks for.
    pub external_id: Option<String>,
    /// The name of the role's session, as CloudTrail shows it. Default: `tidegate`.
    pub session_name: Option<String>,
    /// The address of the token service (STS), if it is not the region's own.
    #[schemars(extend("format" = "url"))]
    pub sts_endpoint: Option<String>,
    /// PEM file with the authority that signed the server's certificate, or with that certificate
    /// itself, if the system's authorities are not enough. They are trusted besides.
    pub ca_file: Option<PathBuf>,
}

impl AwsSettings {
    /// Checks what the types cannot say.
    pub fn validate(&self) -> Result<()> {
        if !looks_like_a_region(&self.region) {
            return Err(Error::settings("`region`: this is not the name of a region")
                .hint("write it as in the console's address, for example eu-central-1"));
        }
        self.validate_key()?;
        self.validate_role()
    }

    fn validate_key(&self) -> Result<()> {
        let secrets = [
            ("access_key_id", self.access_key_id.as_deref()),
            ("secret_access_key", self.secret_access_key.as_ref().map(Secret::expose)),
            ("session_token", self.session_token.as_ref().map(Secret::expose)),
        ];
        for (name, value) in secrets {
            if value
                .is_some_and(|value| value.is_empty() || !value.bytes().all(|byte| byte.is_ascii_graphic()))
            {
                return Err(Error::settings(format!("`{name}` is empty or has characters that no key has"))
                    .hint("look for a line break or a quote at its end"));
            }
        }
        let [id, secret, token] = secrets.map(|(_, value)| value.is_some());
        if id != secret || (token && !id) {
            return Err(Error::settings("`access_key_id` and `secret_access_key` belong together"));
        }
        if id && self.profile.is_some() {
            return Err(Error::settings("`profile` and `access_key_id` exclude each other"));
        }
        Ok(())
    }

    fn validate_role(&self) -> Result<()> {
        let Some(role) = &self.role_arn else {
            if self.external_id.is_some() || self.session_name.is_some() {
                return Err(Error::settings("`external_id` and `session_name` belong to a `role_arn`"));
            }
            return Ok(());
        };
        if !Arn::parse(role).is_some_and(|arn| arn.service == "iam" && arn.resource.starts_with("role/")) {
            return Err(Error::settings("`role_arn`: this is no ARN of a role")
                .hint("it looks like arn:aws:iam::123456789012:role/name"));
        }
        // Source: AWS docs, STS AssumeRole: RoleSessionName, ExternalId.
        let named = |text: &str, more: &str, length: std::ops::RangeInclusive<usize>| {
            length.contains(&text.len())
                && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || more.as_bytes().contains(&byte))
        };
        if self.session_name.as_deref().is_some_and(|name| !named(name, "_+=,.@-", 2..=64)) {
            return Err(Error::settings("`session_name` has 2 to 64 letters, digits and _+=,.@-"));
        }
        if self.external_id.as_deref().is_some_and(|id| !named(id, "_+=,.@:/-", 2..=1224)) {
            return Err(Error::settings("`external_id` has 2 to 1,224 letters, digits and _+=,.@:/-"));
        }
        Ok(())
    }

    /// The address of a service.
    pub(crate) fn endpoint_of(&self, service: &str) -> Result<Uri> {
        address("endpoint", self.endpoint.as_deref(), service, &self.region, Proof::Signature)
    }

    /// The address of the token service.
    pub(crate) fn sts(&self) -> Result<Uri> {
        // Its answers hold credentials.
        address("sts_endpoint", self.sts_endpoint.as_deref(), "sts", &self.region, Proof::Credential)
    }
}

/// Source: AWS docs, Regions and endpoints: `eu-central-1`, `us-gov-west-1`, `ap-southeast-4`.
fn looks_like_a_region(name: &str) -> bool {
    let mut parts = name.rsplit('-');
    let number = parts.next().unwrap_or_default();
    let words: Vec<&str> = parts.collect();
    let all = |text: &str, good: fn(&u8) -> bool| !text.is_empty() && text.as_bytes().iter().all(good);
    name.len() <= 32
        && all(number, u8::is_ascii_digit)
        && words.len() >= 2
        && words.iter().all(|word| all(word, u8::is_ascii_lowercase))
}

fn address(setting: &str, given: Option<&str>, service: &str, region: &str, proof: Proof) -> Result<Uri> {
    let wrong = |message: &str| {
        Error::settings(format!("`{setting}`: {message}")).hint(
            "leave it out for the region's own address, or write for example https://vpce-1.example.com",
        )
    };
    let Some(given) = given else {
        let own = format!("https://{service}.{region}.{}/", arn::domain(region));
        return own.parse().map_err(|_| Error::settings("`region`: this is not the name of a region"));
    };
    let uri: Uri = given.parse().map_err(|_| wrong("this is not an address"))?;
    if uri.scheme().is_none() || uri.host().is_none() {
        return Err(wrong("the address must start with https://"));
    }
    if uri.path().len() > 1
        || uri.query().is_some()
        || uri.authority().is_some_and(|it| it.as_str().contains('@'))
    {
        return Err(wrong("the address must end behind the host and its port"));
    }
    clear_text::validate(setting, &uri, proof)?;
    Ok(uri)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::tests::settings;

    #[test]
    fn a_region_is_known_by_its_shape() {
        for good in ["eu-central-1", "us-gov-west-1", "ap-southeast-10"] {
            assert!(looks_like_a_region(good), "{good}");
        }
        for bad in ["", "eu", "eu-1", "eu-central", "eu-central-1.evil.com", "EU-CENTRAL-1", "a--1", "-a-1"] {
            assert!(!looks_like_a_region(bad), "{bad}");
        }
    }

    #[test]
    fn each_region_has_its_address_and_another_one_can_be_given() {
        let own = settings(serde_json::json!({ "region": "cn-north-1" }));
        assert_eq!(own.endpoint_of("kinesis").unwrap(), "https://kinesis.cn-north-1.amazonaws.com.cn/");
        let at = |address: &str| {
            settings(serde_json::json!({ "region": "eu-west-1", "endpoint": address })).endpoint_of("kinesis")
        };
        for good in
            ["http://127.0.0.1:4567", "http://localstack:4566/", "https://vpce-1.kinesis.amazonaws.com"]
        {
            assert!(at(good).is_ok(), "{good}");
        }
        for bad in
            ["", "kinesis", "http://kinesis.example.com", "https://a.b/c", "https://u:p@a.b", "https://a.b?c"]
        {
            let error = at(bad).expect_err(bad);
            assert!(error.message().starts_with("`endpoint`: "), "{error:?}");
        }
    }

    #[test]
    fn what_belongs_together_comes_together() {
        for (members, named) in [
            (serde_json::json!({ "region": "x" }), "`region`"),
            (serde_json::json!({ "access_key_id": "A" }), "`secret_access_key`"),
            (serde_json::json!({ "session_token": "A" }), "`access_key_id`"),
            (serde_json::json!({ "external_id": "abc" }), "`role_arn`"),
            (serde_json::json!({ "role_arn": "arn:aws:iam::1:user/x" }), "`role_arn`"),
            (
                serde_json::json!({ "role_arn": "arn:aws:iam::1:role/x", "session_name": "a b" }),
                "`session_name`",
            ),
            (
                serde_json::json!({ "role_arn": "arn:aws:iam::1:role/x", "external_id": "\n" }),
                "`external_id`",
            ),
        ] {
            let mut whole = serde_json::json!({ "region": "eu-west-1" });
            whole.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
            let error = settings(whole).validate().expect_err(named);
            assert!(error.message().contains(named), "{error:?}");
        }
    }
}
