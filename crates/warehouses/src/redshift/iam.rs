//! Sign-in by AWS's identities: a database user and a password of 15 minutes instead of a stored password.
//!
//! Sources: Amazon Redshift API Reference, `GetClusterCredentials`; Amazon Redshift Serverless API
//! Reference, `GetCredentials`; Management Guide, "Options for providing IAM credentials".

use std::any::Any;
use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};
use tidegate_model::{ConnectorContext, Error, ErrorKind, Secret};
use tidegate_transport::aws::{self, AwsClient, AwsSettings, ErrorHints, Grant, Service};
use tidegate_transport::http::answer::RequestError;

use crate::postgres::client::{Login, SignIn};

use super::settings::RedshiftSettings;

/// Seconds that a password is valid for: the fewest there are. A connection outlives it.
const VALID_SECONDS: u32 = 900;

static CLUSTERS: Service = Service { title: "Amazon Redshift", name: "redshift", target: "" };
static WORKGROUPS: Service = Service {
    title: "Amazon Redshift Serverless",
    name: "redshift-serverless",
    target: "RedshiftServerless",
};

/// Where the database runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Home {
    /// A provisioned cluster, by its identifier.
    Cluster(String),
    /// A workgroup of Redshift Serverless, by its name.
    Workgroup(String),
}

/// Asks AWS for a password whenever a connection is opened.
pub struct Iam {
    client: AwsClient,
    identity: AwsSettings,
    home: Home,
    user: String,
    database: String,
}

impl fmt::Debug for Iam {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Iam({:?})", self.home)
    }
}

impl Iam {
    /// Creates the sign-in of the settings, without I/O; `None` if they have a password of their own.
    ///
    /// # Errors
    /// Settings that cannot work.
    pub fn open(settings: &RedshiftSettings, context: &ConnectorContext) -> Result<Option<Iam>, Error> {
        let Some((home, aws)) = settings.identity()? else { return Ok(None) };
        let (service, setting) = match home {
            Home::Cluster(_) => (&CLUSTERS, "cluster"),
            Home::Workgroup(_) => (&WORKGROUPS, "workgroup"),
        };
        let hints = ErrorHints {
            missing: format!("correct `{setting}` or the region"),
            denied: format!(
                "add this statement to the policy of the identity, then run `tidegate check`: {}",
                statement(&home, aws, &settings.database, &settings.user)
            ),
        };
        Ok(Some(Iam {
            client: AwsClient::open(aws, service, hints, context)?,
            identity: aws.clone(),
            home,
            user: settings.user.clone(),
            database: settings.database.clone(),
        }))
    }

    async fn asked(&self) -> Result<Option<(String, Secret)>, RequestError> {
        let seconds = VALID_SECONDS.to_string();
        match &self.home {
            Home::Cluster(cluster) => {
                let parameters = [
                    ("ClusterIdentifier", cluster.as_str()),
                    ("DbUser", &self.user),
                    ("DbName", &self.database),
                    ("AutoCreate", "false"),
                    ("DurationSeconds", &seconds),
                ];
                let answer = self.client.query("2012-12-01", "GetClusterCredentials", &parameters).await?;
                let text = |name| aws::xml_text(answer.body(), name);
                Ok(text("DbUser").zip(text("DbPassword").map(Secret::new)))
            }
            Home::Workgroup(workgroup) => {
                #[derive(Deserialize)]
                #[serde(rename_all = "camelCase")]
                struct Given {
                    db_user: String,
                    db_password: Secret,
                }
                let body = json!({ "workgroupName": workgroup, "dbName": self.database, "durationSeconds": VALID_SECONDS });
                let answer = self.client.call("GetCredentials", Bytes::from(body.to_string())).await?;
                let given = serde_json::from_slice::<Given>(answer.body()).ok();
                Ok(given.map(|given| (given.db_user, given.db_password)))
            }
        }
    }
}

#[async_trait]
impl Login for Iam {
    async fn sign_in(&self) -> Result<SignIn, Error> {
        let (user, password) = self.asked().await.map_err(RequestError::into_error)?.ok_or_else(|| {
            Error::new(ErrorKind::Unexpected, format!("{} answered without a password", self.client.title()))
        })?;
        Ok(SignIn { user, database: self.database.clone(), password: Some(password) })
    }

    fn is_same_as(&self, other: &dyn Login) -> bool {
        let other: &dyn Any = other;
        other.downcast_ref::<Iam>().is_some_and(|other| {
            (&self.home, &self.identity, &self.user, &self.database)
                == (&other.home, &other.identity, &other.user, &other.database)
        })
    }
}

/// Returns the statement of a policy that lets the identity sign in.
///
/// Source: Service Authorization Reference, "Amazon Redshift" and "Amazon Redshift Serverless": resource types.
pub fn statement(home: &Home, settings: &AwsSettings, database: &str, user: &str) -> Value {
    let resource =
        |actions, service, kind: &str, name| Grant::new(settings, actions, service, kind, name).resource;
    match home {
        Home::Cluster(cluster) => {
            const ACTIONS: &[&str] = &["redshift:GetClusterCredentials"];
            let resources = [("dbuser", user), ("dbname", database)]
                .map(|(kind, name)| resource(ACTIONS, "redshift", &format!("{kind}:{cluster}"), name));
            json!({ "Effect": "Allow", "Action": ACTIONS, "Resource": resources })
        }
        Home::Workgroup(_) => {
            const ACTIONS: &[&str] = &["redshift-serverless:GetCredentials"];
            // The resource has the id of the workgroup, not its name.
            let resource = resource(ACTIONS, "redshift-serverless", "workgroup", "<workgroup-id>");
            json!({ "Effect": "Allow", "Action": ACTIONS, "Resource": resource })
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tidegate_testkit::ManualClock;
    use tidegate_testkit::http::{Canned, context, raw};

    use super::*;

    fn iam(changes: &Value, answer: &str) -> (Iam, Arc<Canned>) {
        let aws = json!({ "region": "eu-central-1", "access_key_id": "AKIDEXAMPLE", "secret_access_key": "example" });
        let mut members = json!({ "host": "h", "database": "shop", "user": "tidegate", "aws": aws });
        members.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        let http = Canned::once(200, answer);
        let context = context(http.clone(), &ManualClock::default());
        (Iam::open(&raw(members).parse().unwrap(), &context).unwrap().expect("an identity"), http)
    }

    /// The example of the API reference, with a password that XML has to escape.
    #[tokio::test]
    async fn a_cluster_gives_a_user_and_a_password_in_xml() {
        let (iam, http) = iam(
            &json!({ "cluster": "examplecluster" }),
            "<GetClusterCredentialsResponse xmlns=\"http://redshift.amazonaws.com/doc/2012-12-01/\"><GetClusterCredentialsResult>\
             <DbUser>IAM:tidegate</DbUser><Expiration>2016-12-09T00:00:00Z</Expiration>\
             <DbPassword>AMA&amp;FQoD&lt;X</DbPassword></GetClusterCredentialsResult></GetClusterCredentialsResponse>",
        );
        let given = iam.sign_in().await.unwrap();
        assert_eq!((given.user.as_str(), given.password.unwrap().expose()), ("IAM:tidegate", "AMA&FQoD<X"));
        let request = http.requests().remove(0);
        assert_eq!(request.uri(), "https://redshift.eu-central-1.amazonaws.com/");
        assert_eq!(
            request.body().as_ref(),
            b"Action=GetClusterCredentials&Version=2012-12-01&ClusterIdentifier=examplecluster&DbUser=tidegate\
              &DbName=shop&AutoCreate=false&DurationSeconds=900"
        );
    }

    #[tokio::test]
    async fn a_workgroup_gives_a_user_and_a_password_in_json() {
        let (iam, http) = iam(
            &json!({ "workgroup": "shop" }),
            r#"{"dbPassword":"secret","dbUser":"IAMR:tidegate","expiration":1.7e9,"nextRefreshTime":1.7e9}"#,
        );
        let given = iam.sign_in().await.unwrap();
        assert_eq!((given.user.as_str(), given.password.unwrap().expose()), ("IAMR:tidegate", "secret"));
        let request = http.requests().remove(0);
        assert_eq!(request.headers()["x-amz-target"], "RedshiftServerless.GetCredentials");
        assert_eq!(
            request.body().as_ref(),
            br#"{"workgroupName":"shop","dbName":"shop","durationSeconds":900}"#
        );
        let authorization = request.headers()["authorization"].to_str().unwrap();
        assert!(authorization.contains("/eu-central-1/redshift-serverless/aws4_request"), "{authorization}");
    }

    #[test]
    fn the_policy_names_the_user_and_the_database_of_a_cluster() {
        let settings: AwsSettings = serde_json::from_value(json!({ "region": "eu-central-1" })).unwrap();
        let found = statement(&Home::Cluster("c".into()), &settings, "shop", "tidegate");
        assert_eq!(
            found["Resource"],
            json!([
                "arn:aws:redshift:eu-central-1:<account-id>:dbuser:c/tidegate",
                "arn:aws:redshift:eu-central-1:<account-id>:dbname:c/shop"
            ])
        );
    }
}
