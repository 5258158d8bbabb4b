//! The identity of an AWS machine as a token: a signed question to AWS who it is from, which Google asks.
//!
//! Source: Google AIP 4117, "Determining the subject token in AWS"; AWS STS API reference, `GetCallerIdentity`.

use bytes::Bytes;
use http::{HeaderValue, Request, Uri};
use serde_json::json;
use tidegate_model::address::encoded;
use tidegate_model::{ConnectorContext, Error, Secret};

use super::call::Caller;
use crate::aws::{AwsSettings, CredentialsProvider, sign};

/// What the only version of these configurations is called.
pub const ENVIRONMENT: &str = "aws1";
const ADDRESS: &str = "https://sts.{region}.amazonaws.com?Action=GetCallerIdentity&Version=2011-06-15";
/// The region whose token service is asked if the environment names none.
const DEFAULT_REGION: &str = "us-east-1";

/// Who this is at AWS, by the default chain of credentials.
pub struct AwsIdentity {
    address: Uri,
    region: String,
    audience: HeaderValue,
    provider: CredentialsProvider,
}

impl AwsIdentity {
    /// Creates the identity for the provider that `audience` names. `address` is that of the token service of AWS
    /// with `{region}` in it, if it is not the usual one.
    ///
    /// # Errors
    /// What is wrong, for the end of a sentence.
    pub fn new(
        address: Option<&str>,
        audience: &str,
        region: Option<String>,
        context: &ConnectorContext,
    ) -> Result<AwsIdentity, String> {
        let region = region.unwrap_or_else(|| DEFAULT_REGION.to_owned());
        let address = address.unwrap_or(ADDRESS).replace("{region}", &region);
        let address: Option<Uri> = address.parse().ok();
        // Google asks there, and nowhere else.
        let is_of_aws = |host: &str| host.starts_with("sts.") && host.ends_with(".amazonaws.com");
        let address = address
            .filter(|address| address.scheme_str() == Some("https") && address.host().is_some_and(is_of_aws));
        let settings = AwsSettings {
            region: region.clone(),
            endpoint: None,
            access_key_id: None,
            secret_access_key: None,
            session_token: None,
            profile: None,
            role_arn: None,
            external_id: None,
            session_name: None,
            sts_endpoint: None,
            ca_file: None,
        };
        Ok(AwsIdentity {
            address: address.ok_or(
                "`credential_source.regional_cred_verification_url`: expected the token service of AWS",
            )?,
            region,
            audience: HeaderValue::try_from(audience)
                .map_err(|_| "`audience` has characters that no name has")?,
            provider: CredentialsProvider::open(&settings, context).map_err(|error| error.chain())?,
        })
    }

    /// Returns its name for messages.
    pub fn name(&self) -> String {
        "the AWS identity of this machine".to_owned()
    }

    /// Returns the signed question.
    ///
    /// # Errors
    /// If there are no credentials of AWS, or what keeps their source from answering.
    pub async fn token(&self, caller: &Caller) -> Result<Secret, Error> {
        let credentials = self.provider.credentials().await?;
        let unsendable = |_| Error::internal("the question to AWS is no request");
        let mut request = Request::post(&self.address)
            .header("host", self.address.host().unwrap_or_default())
            .header("x-goog-cloud-target-resource", &self.audience)
            .body(Bytes::new())
            .map_err(unsendable)?;
        sign(&mut request, &credentials, "sts", &self.region, caller.clock.now())?;
        let headers = request
            .headers()
            .iter()
            .filter_map(|(name, value)| Some(json!({ "key": name.as_str(), "value": value.to_str().ok()? })));
        let question = json!({
            "url": self.address.to_string(), "method": "POST", "headers": headers.collect::<Vec<_>>(),
        });
        Ok(Secret::new(encoded(&question.to_string()).to_string()))
    }
}
