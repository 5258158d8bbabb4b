//! Credentials of a container or an EC2 instance.

use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, Uri};
use jiff::Timestamp;
use serde::Deserialize;
use tidegate_model::{Error, ErrorKind, HttpFailure, Result, Secret};

use super::{Credentials, CredentialsChain};

/// These services are one hop away or absent.
const PATIENCE: Duration = Duration::from_secs(2);
/// Source: AWS docs, ECS task IAM role.
const CONTAINER: &str = "http://169.254.170.2";
/// Source: AWS docs, EC2 instance metadata.
const INSTANCE: &str = "http://169.254.169.254";
const ROLES: &str = "/latest/meta-data/iam/security-credentials/";

/// The response of both services.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct CredentialsResponse {
    access_key_id: String,
    secret_access_key: Secret,
    token: Secret,
    expiration: Timestamp,
}

impl CredentialsChain {
    /// Returns the credentials of ECS or EKS; `None` if the environment names no agent.
    pub(crate) async fn container(&self) -> Result<Option<Credentials>> {
        let address = match (
            self.variable("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"),
            self.variable("AWS_CONTAINER_CREDENTIALS_FULL_URI"),
        ) {
            (Some(path), _) => format!("{CONTAINER}{path}"),
            (None, Some(address)) => address,
            (None, None) => return Ok(None),
        };
        let wrong = || {
            Error::settings("the container's address for credentials is not one that may be asked")
                .hint("look at AWS_CONTAINER_CREDENTIALS_FULL_URI: https://, or a local address")
        };
        let uri: Uri = address.parse().map_err(|_| wrong())?;
        if !may_be_asked(&uri) {
            return Err(wrong());
        }
        let token = match self.variable("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE") {
            Some(file) => Some(read_token(&file).await?),
            None => self.variable("AWS_CONTAINER_AUTHORIZATION_TOKEN"),
        };
        let token = token.map(|token| ("authorization", token));
        match self.ask(Method::GET, &address, token).await? {
            Some(answer) if answer.status().is_success() => {
                Ok(Some(read_response("the container", &answer)?))
            }
            Some(answer) => Err(refused("the container", answer.status())),
            None => Err(Error::new(ErrorKind::Unavailable, "the container's credentials cannot be reached")),
        }
    }

    /// Returns the credentials of the instance metadata service, version 2; `None` if there is none.
    pub(crate) async fn instance(&self) -> Result<Option<Credentials>> {
        if self.variable("AWS_EC2_METADATA_DISABLED").is_some_and(|it| it.eq_ignore_ascii_case("true")) {
            return Ok(None);
        }
        let base = self.variable("AWS_EC2_METADATA_SERVICE_ENDPOINT");
        let base = base.as_deref().unwrap_or(INSTANCE).trim_end_matches('/');
        let lifetime = ("x-aws-ec2-metadata-token-ttl-seconds", "21600".to_owned());
        let token = match self.ask(Method::PUT, &format!("{base}/latest/api/token"), Some(lifetime)).await? {
            Some(answer) if answer.status().is_success() => text(&answer)?,
            // Something else listens there, or it was turned off.
            Some(_) | None => return Ok(None),
        };
        let token = || Some(("x-aws-ec2-metadata-token", token.clone()));
        let roles = match self.ask(Method::GET, &format!("{base}{ROLES}"), token()).await? {
            Some(answer) if answer.status() == StatusCode::NOT_FOUND => return Ok(None),
            Some(answer) if answer.status().is_success() => text(&answer)?,
            Some(answer) => return Err(refused("the machine", answer.status())),
            None => return Err(silent()),
        };
        let Some(role) = roles.lines().next().map(str::trim).filter(|role| !role.is_empty()) else {
            return Ok(None);
        };
        match self.ask(Method::GET, &format!("{base}{ROLES}{role}"), token()).await? {
            Some(answer) if answer.status().is_success() => Ok(Some(read_response("the machine", &answer)?)),
            Some(answer) => Err(refused("the machine", answer.status())),
            None => Err(silent()),
        }
    }

    /// Sends a request once; `None` without a response.
    async fn ask(
        &self,
        method: Method,
        address: &str,
        header: Option<(&'static str, String)>,
    ) -> Result<Option<Response<Bytes>>> {
        let mut request = Request::builder().method(method).uri(address);
        if let Some((name, value)) = header {
            request = request.header(name, value);
        }
        let request = request
            .body(Bytes::new())
            .map_err(|_| Error::settings("the address of the AWS credentials endpoint is not valid"))?;
        match tokio::time::timeout(PATIENCE, self.http.send(request)).await {
            Ok(Ok(answer)) => Ok(Some(answer)),
            Ok(Err(HttpFailure::NotSent(_) | HttpFailure::ResponseLost(_))) | Err(_) => Ok(None),
        }
    }
}

/// Returns whether an address may be asked: one that is encrypted or local.
///
/// Source: AWS docs, SDKs and Tools Reference Guide, "Container credential provider".
fn may_be_asked(uri: &Uri) -> bool {
    let Some(host) = uri.host() else { return false };
    let local = match host.trim_matches(['[', ']']).parse::<IpAddr>() {
        Ok(IpAddr::V4(address)) => {
            address.is_loopback() || matches!(address.octets(), [169, 254, 170, 2 | 23])
        }
        Ok(IpAddr::V6(address)) => {
            address.is_loopback() || address.segments() == [0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23]
        }
        Err(_) => host == "localhost",
    };
    uri.scheme_str() == Some("https") || (uri.scheme_str() == Some("http") && local)
}

/// Reads a token, which is rotated from time to time.
pub(crate) async fn read_token(file: &str) -> Result<String> {
    let text = tokio::fs::read_to_string(file).await.map_err(|cause| {
        Error::settings(format!("the AWS token file {file} cannot be read"))
            .hint("check that it is mounted, and readable for the user who runs tidegate")
            .caused_by(cause)
    })?;
    Ok(text.trim().to_owned())
}

fn text(answer: &Response<Bytes>) -> Result<String> {
    std::str::from_utf8(answer.body()).map(|text| text.trim().to_owned()).map_err(|_| {
        Error::new(
            ErrorKind::Unexpected,
            "the machine's metadata service responded with something that is not text",
        )
    })
}

fn read_response(who: &str, answer: &Response<Bytes>) -> Result<Credentials> {
    // The cause is omitted: it may contain the credentials.
    let read: CredentialsResponse = serde_json::from_slice(answer.body()).map_err(|_| {
        Error::new(ErrorKind::Unexpected, format!("{who} returned AWS credentials in an unknown format"))
    })?;
    Ok(Credentials {
        id: read.access_key_id,
        secret: read.secret_access_key,
        token: Some(read.token),
        expires: Some(read.expiration),
    })
}

fn refused(who: &str, status: StatusCode) -> Error {
    let kind = if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
        ErrorKind::Unavailable
    } else {
        ErrorKind::Denied
    };
    Error::new(kind, format!("{who} returned no AWS credentials: status {}", status.as_u16()))
        .hint("check the role that is attached to it")
}

fn silent() -> Error {
    Error::new(ErrorKind::Unavailable, "the machine's metadata service stopped responding")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_encrypted_or_local_address_is_asked() {
        for (address, good) in [
            ("http://169.254.170.23/v1/credentials", true),
            ("http://[fd00:ec2::23]/v1/credentials", true),
            ("http://localhost:8080/x", true),
            ("https://credentials.example.com/x", true),
            ("http://credentials.example.com/x", false),
            ("http://169.254.169.254/x", false),
            ("/x", false),
        ] {
            assert_eq!(may_be_asked(&address.parse().expect(address)), good, "{address}");
        }
    }
}
