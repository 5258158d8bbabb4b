//! Profiles of the shared files.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind as Io;
use std::path::{Path, PathBuf};

use tidegate_model::{Error, Result, Secret};

use super::{Credentials, CredentialsChain, Role, sts};

/// The settings of one profile.
type Profile = BTreeMap<String, String>;

impl CredentialsChain {
    /// Returns the credentials of a profile that must exist.
    pub(crate) async fn named_profile(&self, name: &str) -> Result<Credentials> {
        self.profile(name).await?.ok_or_else(|| {
            Error::settings(format!("the AWS profile `{name}` is not in the shared files, or holds no credentials"))
                .hint("list the profiles with `aws configure list-profiles`, or set AWS_CONFIG_FILE and AWS_SHARED_CREDENTIALS_FILE")
        })
    }

    /// Returns the credentials of a profile, following its source profiles.
    ///
    /// Source: AWS docs, SDKs and Tools Reference Guide, "Assume role credential provider".
    pub(crate) async fn profile(&self, name: &str) -> Result<Option<Credentials>> {
        let profiles = self.shared_files().await?;
        let (mut name, mut roles, mut seen) = (name.to_owned(), Vec::new(), BTreeSet::new());
        let mut credentials = loop {
            let Some(profile) = profiles.get(&name) else {
                if roles.is_empty() {
                    return Ok(None);
                }
                return Err(broken(
                    &name,
                    "another profile names it as `source_profile`, and it is not there",
                ));
            };
            if !seen.insert(name.clone()) {
                return Err(broken(&name, "its `source_profile` leads back to itself"));
            }
            let get = |setting: &str| profile.get(setting).cloned();
            let Some(arn) = get("role_arn") else {
                match own_credentials(profile) {
                    Some(credentials) => break credentials,
                    None => unsupported(&name, profile)?,
                }
                if roles.is_empty() {
                    return Ok(None);
                }
                return Err(broken(
                    &name,
                    "another profile names it as `source_profile`, and it holds no credentials",
                ));
            };
            let session = get("role_session_name").unwrap_or_else(|| sts::SESSION.to_owned());
            if let Some(file) = get("web_identity_token_file") {
                break self.web_identity(&arn, &session, &file).await?;
            }
            roles.push(Role { arn, external_id: get("external_id"), session });
            match (get("source_profile"), get("credential_source").as_deref()) {
                (Some(source), _) if source == name => match own_credentials(profile) {
                    Some(credentials) => break credentials,
                    None => {
                        return Err(broken(&name, "it is its own `source_profile` and holds no access key"));
                    }
                },
                (Some(source), _) => name = source,
                (None, source) => {
                    let found = match source {
                        Some("Environment") => self.environment()?,
                        Some("EcsContainer") => self.container().await?,
                        Some("Ec2InstanceMetadata") => self.instance().await?,
                        _ => {
                            return Err(broken(
                                &name,
                                "its role needs `source_profile` or `credential_source`",
                            ));
                        }
                    };
                    break found
                        .ok_or_else(|| broken(&name, "its `credential_source` holds no credentials"))?;
                }
            }
        };
        for role in roles.iter().rev() {
            credentials = self.assume(&credentials, role).await?;
        }
        Ok(Some(credentials))
    }

    /// Returns both files as one; the credentials file takes precedence.
    async fn shared_files(&self) -> Result<BTreeMap<String, Profile>> {
        let home = self.variable("HOME").or_else(|| self.variable("USERPROFILE")).map(PathBuf::from);
        let path_of = |variable: &str, name: &str| {
            self.variable(variable)
                .map(PathBuf::from)
                .or_else(|| Some(home.as_ref()?.join(".aws").join(name)))
        };
        let mut profiles = BTreeMap::new();
        for (path, prefixed) in [
            (path_of("AWS_CONFIG_FILE", "config"), true),
            (path_of("AWS_SHARED_CREDENTIALS_FILE", "credentials"), false),
        ] {
            if let Some(path) = path
                && let Some(text) = read(&path).await?
            {
                parse(&text, prefixed, &mut profiles);
            }
        }
        Ok(profiles)
    }
}

async fn read(path: &Path) -> Result<Option<String>> {
    match tokio::fs::read(path).await {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(cause) if matches!(cause.kind(), Io::NotFound | Io::NotADirectory) => Ok(None),
        Err(cause) => Err(Error::settings(format!("{} cannot be read", path.display()))
            .hint("let the user who runs tidegate read it")
            .caused_by(cause)),
    }
}

/// Adds the sections of a file. In the file of settings all but `default` are
/// called `profile name`.
fn parse(text: &str, prefixed: bool, profiles: &mut BTreeMap<String, Profile>) {
    let mut current: Option<String> = None;
    for line in text.lines() {
        // An indented line continues a setting that has nothing to do with credentials.
        if line.trim().is_empty() || line.starts_with([' ', '\t', '#', ';']) {
            continue;
        }
        if let Some(section) = line.strip_prefix('[').and_then(|rest| rest.split(']').next()) {
            let section = section.trim();
            current = match section.strip_prefix("profile ").map(str::trim) {
                Some(name) if prefixed => Some(name.trim_matches('"').to_owned()),
                None if !prefixed || section == "default" => Some(section.to_owned()),
                _ => None,
            };
        } else if let (Some(name), Some((setting, value))) = (&current, line.split_once('=')) {
            let value = value.split(" #").next().unwrap_or_default().split(" ;").next().unwrap_or_default();
            let profile = profiles.entry(name.clone()).or_default();
            profile.insert(setting.trim().to_ascii_lowercase(), value.trim().to_owned());
        }
    }
}

fn own_credentials(profile: &Profile) -> Option<Credentials> {
    let get = |name: &str| profile.get(name).filter(|value| !value.is_empty());
    Some(Credentials {
        id: get("aws_access_key_id")?.clone(),
        secret: Secret::new(get("aws_secret_access_key")?.clone()),
        token: get("aws_session_token").map(Secret::new),
        expires: None,
    })
}

/// Ways to sign in that need a browser or a program.
fn unsupported(name: &str, profile: &Profile) -> Result<()> {
    let of = |prefix: &str| profile.keys().any(|key| key.starts_with(prefix));
    if of("sso_") || of("credential_process") || of("login_session") {
        return Err(Error::settings(format!("the AWS profile `{name}` signs in by a browser or a program")).hint(
            format!("run `aws configure export-credentials --profile {name} --format env` and start tidegate with these"),
        ));
    }
    Ok(())
}

fn broken(name: &str, why: &str) -> Error {
    Error::settings(format!("the AWS profile `{name}` cannot be used: {why}"))
        .hint("correct ~/.aws/config, then run `tidegate check`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_as_the_command_line_reads_them() {
        let mut profiles = BTreeMap::new();
        let config = "# comment\n[default]\nregion = eu-west-1\ns3 =\n  max = 1\n\n[profile two]\nrole_arn=arn:x # why\n\
                      [sso-session x]\nsso_region = y\n[two]\nlost = 1\n";
        parse(config, true, &mut profiles);
        parse("[two]\nAWS_ACCESS_KEY_ID = A=B\nnonsense\n[unclosed\n", false, &mut profiles);

        let found = |name: &str, setting: &str| profiles.get(name)?.get(setting).map(String::as_str);
        assert_eq!(found("default", "region"), Some("eu-west-1"));
        assert_eq!(found("default", "max"), None);
        assert_eq!(found("two", "role_arn"), Some("arn:x"));
        assert_eq!(found("two", "aws_access_key_id"), Some("A=B"));
        assert_eq!(found("two", "lost"), None);
        assert_eq!(profiles.len(), 2, "{profiles:?}");
    }
}
